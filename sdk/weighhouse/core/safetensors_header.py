"""Reading a safetensors header without trusting it, and without loading a tensor.

Format: 8 bytes little-endian length N, N bytes of JSON, then the tensors' bytes without gaps.
Source: https://github.com/huggingface/safetensors#format. What passes here has tensors of known types that cover the
rest of the file exactly: nothing hides between, behind or beyond them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weighhouse.core import canonical
from weighhouse.core.errors import WeighhouseError

MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 16

# Bits per element.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64,
}  # fmt: skip


class SafetensorsError(WeighhouseError):
    """A file is not a well-formed safetensors file."""

    code = "safetensors.invalid"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as its header describes it: `begin` and `end` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class SafetensorsHeader:
    """`tensors` by name, free-form `metadata`, and the bytes of the whole file."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    file_bytes: int

    @property
    def parameters(self) -> int:
        """How many numbers the file holds."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors.values())


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"Tensor {name!r} must have exactly dtype, shape and data_offsets.")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BITS:
        raise SafetensorsError(f"Tensor {name!r} has an unknown dtype {str(dtype)[:20]!r}.")
    if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_size(item) for item in shape):
        raise SafetensorsError(f"Tensor {name!r} has a malformed shape.")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(item) for item in offsets):
        raise SafetensorsError(f"Tensor {name!r} has malformed offsets.")
    begin, end = offsets
    needed = math.prod(shape) * DTYPE_BITS[dtype] // 8
    if end - begin != needed:
        raise SafetensorsError(f"Tensor {name!r} needs {needed} bytes by its shape; its offsets give {end - begin}.")
    return Tensor(dtype, tuple(shape), begin, end)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53


def _cover_check(tensors: Mapping[str, Tensor], data_bytes: int) -> None:
    at = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != at:
            what = "overlaps another" if tensor.begin < at else "leaves a gap before it"
            raise SafetensorsError(f"Tensor {name!r} {what}.")
        at = tensor.end
    if at != data_bytes:
        raise SafetensorsError(f"The tensors cover {at} bytes, and the file holds {data_bytes} bytes of data.")


def header_parse(raw: bytes, *, file_bytes: int) -> SafetensorsHeader:
    """Parse the header's JSON for a file of `file_bytes`. Raises SafetensorsError."""
    if not raw.startswith(b"{"):
        raise SafetensorsError("The header does not begin with '{'.")
    try:
        value = canonical.loads(raw)
    except canonical.JsonError as error:
        raise SafetensorsError(f"The header is not acceptable JSON. {error.message}") from None
    metadata = value.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(item, str) for item in metadata.values()):
        raise SafetensorsError("The header's __metadata__ must map text to text.")
    if not 0 < len(value) <= MAX_TENSORS:
        raise SafetensorsError(f"Expected 1 to {MAX_TENSORS} tensors, found {len(value)}.")
    tensors = {name: _tensor(name[:100], entry) for name, entry in value.items()}
    _cover_check(tensors, file_bytes - 8 - len(raw))
    return SafetensorsHeader(tensors, metadata, file_bytes)


def header_read(path: Path) -> SafetensorsHeader:
    """Read and check the header of a file. Raises SafetensorsError, OSError."""
    with path.open("rb") as file:
        file_bytes = path.stat().st_size
        prefix = file.read(8)
        if len(prefix) < 8:
            raise SafetensorsError("The file is shorter than a safetensors header.")
        length = int.from_bytes(prefix, "little")
        if length > MAX_HEADER_BYTES:
            raise SafetensorsError(f"The header announces {length} bytes; at most {MAX_HEADER_BYTES} are accepted.")
        if length > file_bytes - 8:
            raise SafetensorsError(f"The header announces {length} bytes, and the file has {file_bytes}.")
        raw = file.read(length)
    return header_parse(raw, file_bytes=file_bytes)
