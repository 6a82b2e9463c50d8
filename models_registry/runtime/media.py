"""What the head of an image or a sound file says, before anything decodes it. Pure; used on both sides of the border.

A file is known by its content, never by a name or a media type. Nothing here is decompressed: a picture of a
gigapixel is a few hundred bytes of file, and its size is refused from its head.
"""

import struct
from dataclasses import dataclass

IMAGE_PIXELS = 40_000_000
# A thin strip that is scaled by its short side would grow without bound.
IMAGE_PROPORTION = 20
AUDIO_SECONDS = 60
AUDIO_SECONDS_LEAST = 0.1
AUDIO_RATES = (4_000, 192_000)

# Parts of a file that are passed over before its size is known: real ones have dozens.
_MOST_PARTS = 1024
_PCM, _EXTENSIBLE = 1, 0xFFFE
_PCM_SUBFORMAT = bytes.fromhex("0100000000001000800000aa00389b71")


class MediaError(Exception):
    """The file cannot be taken. The message goes on from "Input 1 "."""


@dataclass(frozen=True, slots=True)
class ImageHead:
    """What an image's head states. `kind` is PNG, JPEG or WEBP."""

    kind: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Wave:
    """Where the samples of a PCM 16-bit file lie: `frames` of `channels` each, from byte `start` on."""

    channels: int
    rate: int
    start: int
    frames: int

    @property
    def end(self) -> int:
        return self.start + 2 * self.channels * self.frames


def image_head(data: bytes) -> ImageHead:
    """The kind and size of a PNG, JPEG or WebP image. Raises MediaError for others, damaged and excessive ones."""
    for kind, reader in (("PNG", _png_size), ("JPEG", _jpeg_size), ("WEBP", _webp_size)):
        size = reader(data)
        if size is not None:
            image_size_check(*size)
            return ImageHead(kind, *size)
    raise MediaError("is no PNG, JPEG or WebP image. Convert it, or check that the whole file was sent.")


def image_size_check(width: int, height: int) -> None:
    """Raises MediaError for a size that no decoder should be asked for."""
    if width < 1 or height < 1:
        raise MediaError("is an image without a pixel. Send another one.")
    if width * height > IMAGE_PIXELS:
        raise MediaError(
            f"is an image of {width} x {height} pixels; at most {IMAGE_PIXELS} in all are accepted. Scale it down."
        )
    if max(width, height) > IMAGE_PROPORTION * min(width, height):
        raise MediaError(
            f"is an image of {width} x {height} pixels; one side may be {IMAGE_PROPORTION} times the other at most. "
            "Cut it."
        )


def _png_size(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[8:16] != b"\0\0\0\rIHDR" or len(data) < 33:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Of the first frame header before the first scan."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    at = 2
    for _ in range(_MOST_PARTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def wave_head(data: bytes) -> Wave:
    """The layout of a WAV file of PCM 16-bit samples, mono or stereo. Raises MediaError."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise MediaError("is no WAV file. Save the recording as WAV, PCM 16 bit.")
    channels = rate = 0
    at = 12
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            break
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            channels, rate = _wave_format(data[at + 8 : at + 8 + min(size, 64)])
        elif name == b"data":
            return _wave_samples(channels, rate, start=at + 8, size=size, held=len(data) - at - 8)
        at += 8 + size + size % 2
    raise MediaError("is a WAV file without samples. Save the recording again.")


def _wave_format(head: bytes) -> tuple[int, int]:
    if len(head) < 16:
        raise MediaError("is a WAV file with a broken head. Save the recording again.")
    kind, channels, rate, _, block, bits = struct.unpack("<HHIIHH", head[:16])
    is_pcm = kind == _PCM or (kind == _EXTENSIBLE and head[24:40] == _PCM_SUBFORMAT)
    if not is_pcm or bits != 16:
        raise MediaError("is a WAV file of another encoding than PCM 16 bit. Save the recording as PCM 16 bit.")
    if channels not in (1, 2) or block != 2 * channels:
        raise MediaError(f"is a WAV file of {channels} channels; 1 or 2 are accepted. Mix it down.")
    if not AUDIO_RATES[0] <= rate <= AUDIO_RATES[1]:
        raise MediaError(
            f"has {rate} samples a second; {AUDIO_RATES[0]} to {AUDIO_RATES[1]} are accepted. Save it with 16000."
        )
    return channels, rate


def _wave_samples(channels: int, rate: int, *, start: int, size: int, held: int) -> Wave:
    if not channels:
        raise MediaError("is a WAV file whose samples come before their format. Save the recording again.")
    if size > held:
        raise MediaError(
            f"says that it holds {size} bytes of samples and ends after {held}. Send the whole file, or save it again."
        )
    frames = size // (2 * channels)
    if frames < AUDIO_SECONDS_LEAST * rate:
        raise MediaError(f"holds {frames / rate:.3f} seconds of sound; at least {AUDIO_SECONDS_LEAST} are needed.")
    if frames > AUDIO_SECONDS * rate:
        raise MediaError(
            f"holds {frames / rate:.0f} seconds of sound; at most {AUDIO_SECONDS} are accepted. Split the recording."
        )
    return Wave(channels, rate, start, frames)
