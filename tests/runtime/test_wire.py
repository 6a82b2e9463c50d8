import socket
import struct
import time
from contextlib import suppress
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry.runtime.wire import FrameError, HostChannel, RunnerChannel, decode, encode


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    channel = HostChannel(ours)
    yield channel, theirs
    channel.close()
    theirs.close()


def open_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def soon(seconds: float = 2.0) -> float:
    return time.monotonic() + seconds


def test_message_sent_arrives_unchanged(ends):
    host, theirs = ends
    runner = RunnerChannel(theirs.fileno())
    host.send({"op": "run", "data": b"\0\xff" * 50_000, "text": "grün"}, until=soon())
    message = runner.receive()
    runner.send(message)
    assert host.receive(limit=200_000, until=soon()) == message


def test_length_above_limit_is_refused_before_the_body(ends):
    host, theirs = ends
    theirs.sendall(struct.pack(">I", 0xFFFFFFFF))
    with pytest.raises(FrameError, match="4294967295"):
        host.receive(limit=1000, until=soon())


def test_half_a_frame_waits_no_longer_than_the_deadline(ends):
    host, theirs = ends
    theirs.sendall(struct.pack(">I", 100) + b"\x81")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        host.receive(limit=1000, until=soon(0.2))
    assert time.monotonic() - started < 1


def test_dribbled_bytes_do_not_extend_the_deadline(ends):
    host, theirs = ends
    theirs.sendall(struct.pack(">I", 1000) + b"x" * 10)
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        while True:
            theirs.sendall(b"x")
            host.receive(limit=2000, until=started + 0.3)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("sent", [b"", struct.pack(">I", 100) + b"x"])
def test_look_ends_the_reading_within_a_frame_too(ends, sent):
    host, theirs = ends
    theirs.sendall(sent)
    looks = []

    def look() -> None:
        looks.append(1)
        if len(looks) > 3:
            raise LookupError

    with pytest.raises(LookupError):
        host.receive(limit=1000, until=soon(60), look=look)


def test_runner_sees_whether_the_host_has_spoken(ends):
    host, theirs = ends
    runner = RunnerChannel(theirs.fileno())
    assert not runner.is_waiting()
    host.send({"cancel": b"x"}, until=soon())
    assert runner.is_waiting()
    runner.receive()
    host.close()
    assert runner.is_waiting()


def test_closed_end_is_end_of_file(ends):
    host, theirs = ends
    theirs.close()
    with pytest.raises(EOFError):
        host.receive(limit=1000, until=soon())


def test_waiting_bytes_and_closed_end_are_not_quiet(ends):
    host, theirs = ends
    assert host.is_quiet()
    theirs.sendall(b"x")
    assert not host.is_quiet()


def test_attached_descriptors_are_dropped(ends):
    host, theirs = ends
    before = open_descriptors()
    frame = encode({"kind": "done"})
    socket.send_fds(theirs, [frame], [0, 1, 2])
    assert host.receive(limit=1000, until=soon()) == {"kind": "done"}
    assert open_descriptors() == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb(7),
        msgpack.packb({1: 2}),
        msgpack.packb({"a": msgpack.ExtType(5, b"x")}),
        msgpack.packb({"a": 1}) + b"\x00",
        b"\x81\xa1a" + b"\x91" * 100_000,
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xa2\xff\xfe",
        b"\x81\xa1a\xc6\xff\xff\xff\xff",
    ],
)
def test_malformed_body_is_a_frame_error(body):
    with pytest.raises(FrameError):
        decode(body)


@given(st.binary(max_size=300))
def test_random_body_is_a_map_or_a_frame_error(body):
    with suppress(FrameError):
        assert isinstance(decode(body), dict)


def test_nested_lists_that_would_swell_on_the_host_are_refused():
    """128 lists of 65,535 empty maps: 8 MiB as a frame, 600 MB as objects."""
    inner = b"\xdc\xff\xff" + b"\x80" * 65_535
    with pytest.raises(FrameError, match="lists and maps"):
        decode(b"\x81\xa1x" + b"\xdc\x00\x80" + inner * 128)


def test_as_many_entities_as_an_honest_runner_sends_are_decoded():
    entities = [[[0, 0.5, 0, 1]] * 8192] * 32
    assert len(decode(msgpack.packb({"entities": entities}))["entities"]) == 32
