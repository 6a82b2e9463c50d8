"""A header that passes describes the file exactly; no hostile one is believed or costs much."""

import json

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from weighhouse.core import safetensors_header as header
from weighhouse.core.safetensors_header import SafetensorsError, header_parse, header_read

GOOD = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def parse(value, data_bytes=8):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return header_parse(raw, file_bytes=8 + len(raw) + data_bytes)


def test_header_read_of_a_file_of_the_library_finds_its_tensors(tmp_path):
    save_file({"w": numpy.zeros((3, 4), dtype=numpy.float32), "b": numpy.zeros(0, dtype=numpy.int64)}, tmp_path / "m")
    found = header_read(tmp_path / "m")
    assert {name: entry.shape for name, entry in found.tensors.items()} == {"w": (3, 4), "b": (0,)}
    assert found.parameters == 12


@pytest.mark.parametrize(
    ("what", "value", "data_bytes"),
    [
        ("nothing", {}, 0),
        ("not an object", b"[]", 0),
        ("a space first", b' {"a":1}', 8),
        ("cut short", b'{"a":', 8),
        (
            "duplicate keys",
            b'{"a":' + json.dumps(GOOD["a"]).encode() + b',"a":' + json.dumps(GOOD["a"]).encode() + b"}",
            8,
        ),
        ("unknown dtype", {"a": tensor("F128")}, 8),
        ("dtype of another type", {"a": tensor(["F32"])}, 8),
        ("negative shape", {"a": tensor(shape=(-2,))}, 8),
        ("fractional shape", {"a": tensor(shape=(2.0,))}, 8),
        ("boolean shape", {"a": tensor(shape=(True, 2))}, 8),
        ("absurd shape", {"a": tensor(shape=(2**52, 2**52))}, 8),
        ("too many dimensions", {"a": tensor(shape=(1,) * 17)}, 4),
        ("reversed offsets", {"a": tensor(offsets=(8, 0))}, 8),
        ("three offsets", {"a": tensor(offsets=(0, 4, 8))}, 8),
        ("size against shape", {"a": tensor(shape=(3,))}, 8),
        ("overlap", {"a": tensor(), "b": tensor(offsets=(4, 12))}, 12),
        ("gap", {"a": tensor(), "b": tensor(offsets=(12, 20))}, 20),
        ("gap at the start", {"a": tensor(offsets=(4, 12))}, 12),
        ("beyond the end", {"a": tensor()}, 4),
        ("bytes behind the last", {"a": tensor()}, 9),
        ("an extra key", {"a": {**tensor(), "code": "x"}}, 8),
        ("metadata of numbers", {"__metadata__": {"a": 1}, **GOOD}, 8),
        ("deep nesting", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}", 0),
    ],
)
def test_header_parse_of_a_hostile_header_is_refused(what, value, data_bytes):
    with pytest.raises(SafetensorsError):
        parse(value, data_bytes)


@pytest.mark.parametrize("prefix", [b"", b"\x00" * 7, (2**63).to_bytes(8, "little"), (10**7 * 9).to_bytes(8, "little")])
def test_header_read_of_an_absurd_length_is_refused(tmp_path, prefix):
    (tmp_path / "m").write_bytes(prefix)
    with pytest.raises(SafetensorsError):
        header_read(tmp_path / "m")


def test_header_read_of_a_length_over_the_cap_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "m").open("wb") as file:
        file.write((header.MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        file.truncate(1 << 40)  # sparse
    with pytest.raises(SafetensorsError, match="at most"):
        header_read(tmp_path / "m")


@given(st.binary(max_size=300))
def test_header_parse_of_noise_raises_nothing_but_its_own_error(raw):
    with pytest.raises(SafetensorsError):
        header_parse(raw, file_bytes=8 + len(raw) + 8)
