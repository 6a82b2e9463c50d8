"""CARs are written as others read them, and a stranger's is checked block by block."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from weighhouse.core import car, unixfs
from weighhouse.core.car import CarError, CarTruncatedError
from weighhouse.core.cid import DAG_PB, RAW, Cid

BLOCKS = [(Cid.of(RAW, data), data) for data in (b"one", b"", b"x" * 70_000)]
ROOT = Cid.of(DAG_PB, b"root")
STREAM = b"".join(car.write(ROOT, BLOCKS))


def test_read_of_what_was_written_gives_the_blocks():
    assert list(car.read(io.BytesIO(STREAM))) == BLOCKS


def test_header_equals_the_one_that_the_format_fixes():
    # A CAR of one root, as go-car writes it: map of roots and version in DAG-CBOR.
    assert car.header(ROOT).hex() == "3aa265726f6f747381d82a582500" + bytes(ROOT).hex() + "6776657273696f6e01"


# The ends of sections: only there may a stream end.
_ENDS = {
    len(car.header(ROOT)) + sum(len(car.section(*block)) for block in BLOCKS[:count])
    for count in range(len(BLOCKS) + 1)
}


@given(st.integers(0, len(STREAM) - 1).filter(lambda cut: cut not in _ENDS))
def test_read_of_a_truncated_stream_says_so(cut):
    with pytest.raises(CarTruncatedError):
        list(car.read(io.BytesIO(STREAM[:cut])))


@given(st.integers(len(car.header(ROOT)), len(STREAM) - 1), st.integers(1, 255))
def test_read_of_a_flipped_byte_is_refused_or_yields_only_true_blocks(position, mask):
    spoiled = bytearray(STREAM)
    spoiled[position] ^= mask
    with pytest.raises(CarError):
        for cid, block in car.read(io.BytesIO(bytes(spoiled))):
            assert cid.matches(block)


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff\x7f", b"\xff" * 10, b"\x80\x80\x80\x02"])
def test_read_of_an_absurd_length_allocates_nothing(length):
    with pytest.raises(CarError):
        list(car.read(io.BytesIO(car.header(ROOT) + length)))


def test_read_of_a_short_reader_is_patient():
    class Drip(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            return super().read(min(size or 0, 7))

    assert list(car.read(Drip(STREAM))) == BLOCKS


def test_blocks_of_a_directory_survive_a_car(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a" * 3_000_000)
    dag = unixfs.directory_import(tmp_path)
    blocks = [(cid, dag.block(cid)) for cid in [*dag.leaves, *dag.nodes]]
    held = dict(car.read(io.BytesIO(b"".join(car.write(dag.root, blocks)))))
    (entry,) = unixfs.directory_walk(dag.root, held.__getitem__)
    assert b"".join(held[part.cid] for part in unixfs.file_parts(entry, held.__getitem__)) == b"a" * 3_000_000
