"""What the sandbox does with a file: decode no more than the head allows, and hear the same sound at any rate."""

# ruff: noqa: PLC0415 - the code beside that of the models imports torch

import struct

import numpy as np
import pytest

from tests.fixtures.media import image_of, png_that_says, tone, wav_of


@pytest.mark.parametrize(
    "data",
    [
        png_that_says(50_000, 50_000),
        png_that_says(1, 30_000),
        image_of("PNG", 64, 64)[:200],
        b"GIF89a" + struct.pack("<HH", 4, 4) + bytes(32),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"",
    ],
)
def test_image_that_must_not_be_decoded_is_refused_inside_as_well(data):
    from models_registry.runtime.inside.models.images import opened
    from models_registry.runtime.inside.serve import Refusal

    with pytest.raises(Refusal) as caught:
        opened(data, 3)
    assert caught.value.fields == {"code": "input.invalid", "reason": "unreadable", "position": 3}


def test_image_is_opened_upright_and_in_colours():
    import io

    from PIL import Image

    from models_registry.runtime.inside.models.images import opened

    file = io.BytesIO()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("L", (40, 20), 99).save(file, "JPEG", exif=turned)
    image = opened(file.getvalue(), 0)
    assert (image.size, image.mode) == ((20, 40), "RGB")


def test_both_sides_of_a_recording_are_mixed():
    from models_registry.runtime.inside.models.speech import samples_of

    left = tone(440, 8_000, 0.5)
    samples, rate = samples_of(wav_of(np.stack([left, -left], axis=1), 8_000), 0)
    assert rate == 8_000 and len(samples) == 4_000 and not samples.any()


@pytest.fixture(scope="module")
def resampled():
    from models_registry.runtime.inside.models.speech import resampled

    return resampled


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 44_101, 48_000, 192_000])
@pytest.mark.parametrize("frequency", [110, 440, 3_000])
def test_tone_keeps_frequency_phase_and_loudness(resampled, rate, frequency):
    given = np.sin(2 * np.pi * frequency * np.arange(rate) / rate).astype(np.float32)
    wanted = np.sin(2 * np.pi * frequency * np.arange(16_000) / 16_000)
    found = resampled(given, rate, 16_000)
    assert len(found) == 16_000
    # The ends have silence beside them.
    assert np.abs(found - wanted)[400:-400].max() < 5e-3


def test_tone_above_half_the_new_rate_is_silenced(resampled):
    given = np.sin(2 * np.pi * 11_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resampled(given, 48_000, 16_000))[400:-400].max() < 1e-2


def test_same_rate_changes_nothing(resampled):
    given = np.arange(10, dtype=np.float32)
    assert resampled(given, 16_000, 16_000) is given


class Given:
    """A request that the host gives up once so many inputs were begun."""

    def __init__(self, begun: int) -> None:
        self.left = begun

    def check(self) -> None:
        from models_registry.runtime.inside.serve import Refusal

        if self.left == 0:
            raise Refusal("runner.cancelled")
        self.left -= 1


@pytest.mark.parametrize("task", ["image-classification", "automatic-speech-recognition"])
def test_request_that_is_given_up_stops_between_two_files(tiny_models, task):
    import base64

    import torch

    from models_registry.runtime.inside.models import load
    from models_registry.runtime.inside.serve import Refusal
    from models_registry.runtime.tasks import TASKS

    model = load(str(tiny_models[task]), task, "float32")
    data = base64.b64decode(TASKS[task].example.inputs[0]["data"])
    with torch.inference_mode():
        model.exchange = Given(begun=2)
        assert model.run([data] * 2, {})["truncated"] == []
        model.exchange = Given(begun=2)
        with pytest.raises(Refusal) as caught:
            model.run([data] * 3, {})
    assert caught.value.fields["code"] == "runner.cancelled"
