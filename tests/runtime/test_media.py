"""Files as inputs: what a head says decides, and a head that lies is found out."""

import base64
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry.runtime.errors import InputError
from models_registry.runtime.media import MediaError, image_head, wave_head
from models_registry.runtime.tasks import TASKS
from tests.fixtures.media import image_of, png_that_says, tone, wav_of

SECOND = tone(440, 8_000, 1.0)


def sent(data: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(data).decode()}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_head_of_an_image_tells_kind_and_size(kind):
    head = image_head(image_of(kind, 61, 43))
    assert (head.kind, head.width, head.height) == (kind, 61, 43)


def test_lossless_webp_and_progressive_jpeg_are_read_too():
    import io  # noqa: PLC0415

    from PIL import Image  # noqa: PLC0415

    for kind, options in (("WEBP", {"lossless": True}), ("JPEG", {"progressive": True})):
        file = io.BytesIO()
        Image.new("RGB", (120, 77), "teal").save(file, kind, **options)
        head = image_head(file.getvalue())
        assert (head.width, head.height) == (120, 77)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png_that_says(50_000, 50_000), "50000 x 50000 pixels; at most 40000000"),
        (png_that_says(2**31 - 1, 2**31 - 1), "at most 40000000"),
        (png_that_says(1, 30_000), "20 times the other"),
        (png_that_says(0, 10), "without a pixel"),
        (b"\x89PNG\r\n\x1a\n", "no PNG, JPEG or WebP"),
        (b"GIF89a" + bytes(64), "no PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG or WebP"),
        (b"\xff\xd8\xff" + b"\xe0\x00\x00" * 40, "no PNG, JPEG or WebP"),
        (b"", "no PNG, JPEG or WebP"),
    ],
)
def test_image_that_must_not_be_decoded_is_refused_from_its_head(data, words):
    with pytest.raises(InputError, match=words) as caught:
        TASKS["image-classification"].validate_inputs(sent(data))
    assert caught.value.code == "input.invalid" and caught.value.message.startswith("Input 1 ")


def test_head_of_a_recording_tells_where_the_samples_are():
    stereo = np.stack([SECOND, SECOND], axis=1)
    wave = wave_head(wav_of(stereo, 8_000))
    assert (wave.channels, wave.rate, wave.frames, wave.start) == (2, 8_000, 8_000, 44)
    assert wave.end == 44 + 4 * 8_000


def test_other_chunks_around_the_samples_are_passed_over():
    data = wav_of(SECOND, 8_000)
    listed = data[:12] + b"LIST" + struct.pack("<I", 5) + b"INFO!\0" + data[12:]
    assert wave_head(listed).start == wave_head(data).start + 14


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wav_of(SECOND, 8_000, size=10**9), "says that it holds 1000000000 bytes of samples and ends after 16000"),
        (wav_of(SECOND, 8_000, size=2**32 - 1), "says that it holds"),
        (wav_of(SECOND, 8_000, size=0), "0.000 seconds"),
        (wav_of(SECOND[:0], 8_000), "0.000 seconds"),
        (wav_of(SECOND, 8_000, rate=1), "4000 to 192000"),
        (wav_of(SECOND, 8_000, rate=2**32 - 1), "4000 to 192000"),
        (wav_of(SECOND, 8_000, channels=0), "0 channels"),
        (wav_of(SECOND, 8_000, channels=6), "6 channels"),
        (wav_of(SECOND, 8_000, bits=8), "another encoding"),
        (wav_of(SECOND, 8_000, kind=3), "another encoding"),
        (wav_of(tone(440, 8_000, 61), 8_000), "at most 60"),
        (wav_of(SECOND, 8_000)[:40], "without samples"),
        (wav_of(SECOND, 8_000)[:20], "broken head"),
        (b"RIFF\0\0\0\0WAVEdata" + struct.pack("<I", 4) + bytes(4), "before their format"),
        (b"OggS" + bytes(60), "no WAV file"),
        (b"", "no WAV file"),
    ],
)
def test_recording_that_cannot_be_heard_is_refused_from_its_head(data, words):
    with pytest.raises(InputError, match=words):
        TASKS["automatic-speech-recognition"].validate_inputs(sent(data))


@given(
    data=st.binary(max_size=200),
    prefix=st.sampled_from([b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"RIFFxxxxWEBPVP8X"]),
)
def test_any_bytes_as_an_image_are_a_head_or_a_refusal(data, prefix):
    for whole in (data, prefix + data):
        try:
            head = image_head(whole)
        except MediaError as error:
            assert str(error).isprintable()
        else:
            assert head.width * head.height <= 40_000_000


def test_head_after_a_flood_of_empty_parts_is_not_looked_for():
    """Passing over millions of them would keep the web process busy for seconds."""
    whole = image_of("JPEG", 8, 8)
    assert image_head(whole[:2] + b"\xff\xe0\0\2" * 100 + whole[2:])
    with pytest.raises(MediaError):
        image_head(whole[:2] + b"\xff" * 5_000 + whole[2:])
    sound = wav_of(SECOND, 8_000)
    assert wave_head(sound[:12] + (b"note" + bytes(4)) * 100 + sound[12:])
    with pytest.raises(MediaError):
        wave_head(sound[:12] + (b"note" + bytes(4)) * 5_000 + sound[12:])


@given(data=st.binary(max_size=200))
def test_any_bytes_as_a_recording_are_a_head_or_a_refusal(data):
    for whole in (data, b"RIFF\0\0\0\0WAVE" + data, b"RIFF\0\0\0\0WAVEfmt " + data, wav_of(SECOND, 8_000)[:36] + data):
        try:
            wave = wave_head(whole)
        except MediaError as error:
            assert str(error).isprintable()
        else:
            assert wave.end <= len(whole)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"data": "not base64!"}, "not base64"),
        ({"data": "QQ"}, "not base64"),
        ({"data": "ä" * 8}, "not base64"),
        ({"data": 7}, "the file in base64"),
        ({"data": "QUJD", "url": "file:///etc/passwd"}, "the file in base64"),
        ("https://example.org/cat.png", "one of them"),
        ({"data": "A" * 6_000_000}, "at most 4194304"),
    ],
)
def test_what_is_no_file_is_refused_in_a_sentence(value, words):
    with pytest.raises(InputError, match=words):
        TASKS["image-classification"].validate_inputs(value)


def test_file_goes_to_the_runner_as_bytes():
    task = TASKS["image-classification"]
    data = image_of("PNG", 8, 8)
    assert task.wire_inputs(task.validate_inputs([sent(data), sent(data)])) == [data, data]
