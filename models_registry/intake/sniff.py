"""What a file is by its first bytes and its end, whatever it is called.

Used to say what was found, and to refuse what can run code or unpack itself wherever it turns up.
"""

import io
import pickletools
import zipfile
from pathlib import Path

HEAD_BYTES = 4096
_PICKLE_SCAN_BYTES = 1 << 20
APPENDED_ZIP = "a ZIP archive appended to the file"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive (PyTorch's .bin and .pt files are ZIP archives with a pickle inside)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"\x04\x22\x4d\x18", "an LZ4 archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x7fELF", "an ELF program"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a macOS program"),
    (b"\xfe\xed\xfa\xce", "a macOS program"),
    (b"\xfe\xed\xfa\xcf", "a macOS program"),
    (b"\xca\xfe\xba\xbe", "a macOS program or Java class"),
    (b"#!", "a script"),
    (b"GGUF", "a GGUF model"),
    (b"GGML", "a GGML model"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras weights may carry code)"),
    (b"\x93NUMPY", "a NumPy file, which may carry a pickle"),
    (b"SQLite format 3\x00", "a SQLite database"),
    (b"%PDF-", "a PDF document"),
    (b"\x00asm", "a WebAssembly program"),
    (b"version https://git-lfs", "a Git LFS pointer instead of the file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)
# A pickle does harm by importing a callable and calling it. Text that parses as a pickle by chance does not do both.
_IMPORTS = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
_CALLS = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}


def found_in(path: Path) -> str:
    """What the file seems to be, in words: "" for plain text or bytes without a known mark."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return "a pickle, which runs code when it is loaded"
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP image"
    return ""


def is_dangerous(found: str) -> bool:
    """Whether `found_in` named something that no release may hold under any name."""
    return found != "" and not found.endswith("image")


def ends_as_zip(path: Path) -> bool:
    """Whether a ZIP reader, which looks from the end, would open the file."""
    return zipfile.is_zipfile(path)


def hidden_in(path: Path) -> str:
    """What else the file is at the same time: a ZIP at its end, or a pickle of printable opcodes. "" for nothing."""
    if ends_as_zip(path):
        return APPENDED_ZIP
    with path.open("rb") as file:
        head = file.read(_PICKLE_SCAN_BYTES)
    if _calls_something(head):
        return "a pickle in its text form, which runs code when it is loaded"
    return ""


def _calls_something(data: bytes) -> bool:
    """Whether the data, read as a pickle, calls something that it imported: what `pickle.load` would run."""
    opcodes = set()
    try:
        for opcode, _, _ in pickletools.genops(io.BytesIO(data)):
            opcodes.add(opcode.name)
            if opcodes & _IMPORTS and opcodes & _CALLS:
                return True
    except (ValueError, EOFError, OverflowError, MemoryError):  # the bytes are no pickle from here on
        return False
    return False
