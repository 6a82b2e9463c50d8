"""Payloads of a runner that its model has taken over. Bound into the sandbox and started in the place of `serve`.

Each goes the production way as far as it likes, then misbehaves. The first `load` answers as the tests need.
"""

import ctypes
import hashlib
import mmap
import os
import struct
import sys
import threading
import time
from pathlib import Path

from models_registry.runtime.inside import lockdown
from models_registry.runtime.wire import RunnerChannel, encode

READY = {"kind": "ready", "device": "cpu", "cpu_capability": "AVX2", "max_length": 64}
GOOD = {
    "kind": "done",
    "data": struct.pack("<2f", 0.25, 0.5),
    "shape": [1, 2],
    "batches": [[1, 3]],
    "input_tokens": 3,
    "output_tokens": 0,
    "truncated": [],
}


def loaded(channel: RunnerChannel) -> None:
    channel.send({"kind": "locked", **lockdown.lock(channel.receive())})
    channel.receive()
    channel.send(READY)


def by_release(channel: RunnerChannel) -> None:
    """What the file `behaviour` of the release says, from the moment that a model would have been loaded."""
    channel.send({"kind": "locked", **lockdown.lock(channel.receive())})
    channel.receive()
    globals()["loaded"] = lambda channel: channel.send(READY)
    globals()[Path(lockdown.MODEL_PATH, "behaviour").read_text()](channel)


def answering(change):
    """A payload whose answer is good but for a change; it answers good ever after."""

    def payload(channel: RunnerChannel) -> None:
        loaded(channel)
        while True:
            channel.send({**GOOD, "id": channel.receive()["id"], **change})

    return payload


def raw(data: bytes):
    """A payload that answers the first request with bytes."""

    def payload(channel: RunnerChannel) -> None:
        loaded(channel)
        channel.receive()
        view = memoryview(data)
        while view:
            view = view[os.write(channel._descriptor, view) :]
        time.sleep(60)

    return payload


def good(channel):
    answering({})(channel)


def good_after_a_while(channel):
    time.sleep(1)
    good(channel)


def nan(channel):
    answering({"data": struct.pack("<2f", float("nan"), 0.5)})(channel)


def wrong_shape(channel):
    answering({"shape": [1, 3]})(channel)


def wrong_id(channel):
    answering({"id": b"0" * 16})(channel)


def more_outputs(channel):
    answering({"shape": [2, 1], "batches": [[2, 3]]})(channel)


def text_for_numbers(channel):
    answering({"data": "12345678"})(channel)


def forged_failure(channel):
    answering({"kind": "failed", "code": "licence.refunded", "reason": "<script>", "message": "send money"})(channel)


def array_answer(channel):
    raw(b"\0\0\0\2\x91\x01")(channel)


def garbage(channel):
    raw(b"\0\0\0\x40" + b"\xc1" * 64)(channel)


def giant_frame(channel):
    raw(b"\xff\xff\xff\xff" + b"x" * 2**20)(channel)


def swollen_arrays(channel):
    """Megabytes of empty arrays, each of which would cost the host a hundred bytes."""
    body = b"\x81\xa4data" + b"\xdd" + struct.pack(">I", 4 * 2**20) + b"\x90" * (4 * 2**20)
    raw(struct.pack(">I", len(body)) + body)(channel)


def answers_ahead(channel):
    """Sends an answer before there is a question."""
    loaded(channel)
    channel.send({**GOOD, "id": b"0" * 16})
    time.sleep(60)


def two_answers(channel):
    """Appends a second answer to the first, for the next buyer."""
    loaded(channel)
    request = channel.receive()
    answer = encode({**GOOD, "id": request["id"]})
    os.write(channel._descriptor, answer + encode({**GOOD, "id": b"0" * 16}))
    time.sleep(60)


def silent(channel):
    loaded(channel)
    time.sleep(600)


def never_ready(channel):
    channel.send({"kind": "locked", **lockdown.lock(channel.receive())})
    time.sleep(600)


def silent_before_the_lock(channel):
    time.sleep(600)


def unlocked(channel):
    """Claims to be ready without having locked itself."""
    channel.receive()
    channel.send(READY)
    time.sleep(60)


def dies(channel):
    loaded(channel)
    channel.receive()
    os._exit(3)


def segfaults(channel):
    loaded(channel)
    channel.receive()
    ctypes.string_at(1)


def hangs_up(channel):
    """Closes the channel and lives on."""
    loaded(channel)
    channel.receive()
    os.close(channel._descriptor)
    time.sleep(600)


def floods_log(channel):
    loaded(channel)
    request = channel.receive()
    try:
        for _ in range(64):
            os.write(2, b"\x1b[31mSECRET " * 2**16)
    except OSError:
        pass
    channel.send({**GOOD, "id": request["id"]})
    time.sleep(60)


def prints_controls(channel):
    loaded(channel)
    channel.receive()
    sys.stderr.write("\x1b]0;owned\x07 last words")
    sys.stderr.flush()
    os._exit(1)


def eats_memory(channel):
    loaded(channel)
    channel.receive()
    held = []
    while True:
        area = mmap.mmap(-1, 2**24)
        for page in range(0, 2**24, 4096):
            area[page] = 1
        held.append(area)


def keyed(channel):
    """Answers any number of inputs well, and falls over one of three words: `poison`, `tarpit`, `forged`."""
    loaded(channel)
    while True:
        request = channel.receive()
        inputs = request.get("inputs", [])
        if any("poison" in text for text in inputs):
            os._exit(3)
        if any("tarpit" in text for text in inputs):
            time.sleep(600)
        count = len(inputs)
        changes = {
            "data": struct.pack("<2f", 0.25, 0.5) * count,
            "shape": [count, 2],
            "batches": [[count, 3]],
            "input_tokens": 3 * count,
            "row_tokens": [3] * count,
            "row_batches": [0] * count,
        }
        if any("forged" in text for text in inputs):
            changes["row_tokens"] = [3 * count] + [0] * (count - 1) + [1]
        channel.send({**GOOD, **changes, "id": request["id"]})


WRITTEN = {
    "kind": "done",
    "texts": [{"text": "one two", "finish_reason": "stop", "output_tokens": 2}],
    "batches": [[1, 3]],
    "input_tokens": 3,
    "output_tokens": 2,
    "truncated": [],
}


def writing(*parts, **change):
    """A payload that sends pieces of text and then the text. A piece is a position and a text, or a whole message."""

    def payload(channel: RunnerChannel) -> None:
        loaded(channel)
        while True:
            identity = channel.receive().get("id")
            for part in parts:
                fields = part if isinstance(part, dict) else {"position": part[0], "text": part[1]}
                channel.send({"kind": "part", "id": identity, **fields})
            channel.send({**WRITTEN, "id": identity, **change})

    return payload


def pieces_good(channel):
    writing((0, "one "), (0, "two"))(channel)


def pieces_of_another_text(channel):
    writing((0, "one "), (0, "three"))(channel)


def pieces_too_few(channel):
    writing((0, "one "))(channel)


def pieces_for_nobody(channel):
    writing((1, "one two"))(channel)


def pieces_at_minus_one(channel):
    writing((-1, "one two"))(channel)


def pieces_at_true(channel):
    writing((False, "one two"))(channel)


def pieces_without_text(channel):
    writing({"position": 0}, (0, "one two"))(channel)


def pieces_empty(channel):
    writing((0, ""), (0, "one two"))(channel)


def pieces_of_bytes(channel):
    writing((0, b"one two"))(channel)


def pieces_too_long(channel):
    writing((0, "x" * 70_000))(channel)


def pieces_too_many(channel):
    writing(*[(0, "x")] * 10_000)(channel)


def pieces_under_another_id(channel):
    writing({"id": b"0" * 16, "position": 0, "text": "one two"})(channel)


def pieces_for_ever(channel):
    """Whole megabytes at a time, for as long as somebody reads."""
    loaded(channel)
    identity = channel.receive()["id"]
    while True:
        channel.send({"kind": "part", "id": identity, "position": 0, "text": "x" * 60_000})


def dribbles(channel):
    """The beginning of an answer that never ends."""
    loaded(channel)
    channel.receive()
    os.write(channel._descriptor, b"\0\1\0\0")
    while True:
        os.write(channel._descriptor, b"x")
        time.sleep(0.02)


def spins(channel):
    """Computes for ever."""
    loaded(channel)
    channel.receive()
    while True:
        pass


def forks(channel):
    """As many processes and threads as it can get, then silence."""
    loaded(channel)
    channel.receive()
    while True:
        try:
            os.fork()
        except OSError:
            break
    try:
        while True:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    except RuntimeError:
        time.sleep(600)


def spins_32_threads(channel):
    """Good answers, and 32 threads that compute between them too, as far as Python lets threads compute at once."""
    loaded(channel)
    for _ in range(32):
        # Outside of the interpreter's lock.
        threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 2**31 - 1), daemon=True).start()
    while True:
        channel.send({**GOOD, "id": channel.receive()["id"]})


def fills_disk(channel):
    """Everything that can be written, then a good answer."""
    loaded(channel)
    request = channel.receive()
    for place in ("/tmp/fill", "/dev/shm/fill"):
        try:
            with Path(place).open("wb", buffering=0) as file:
                while file.write(b"x" * 2**20):
                    pass
        except OSError:
            pass
    channel.send({**GOOD, "id": request["id"]})
    time.sleep(60)


def floods_channel(channel):
    """Good answers without end, to a question that was asked once."""
    loaded(channel)
    answer = encode({**GOOD, "id": channel.receive()["id"]})
    while True:
        os.write(channel._descriptor, answer * 1000)


def half_a_frame(channel):
    """Promises more than it sends, and waits."""
    raw(struct.pack(">I", 1000) + b"\x81")(channel)


def half_a_frame_and_leaves(channel):
    loaded(channel)
    channel.receive()
    os.write(channel._descriptor, struct.pack(">I", 1000) + b"\x81")
    os._exit(0)


def half_a_length(channel):
    raw(b"\0\0")(channel)
