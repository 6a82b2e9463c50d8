"""A recording at another rate is the same sound."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def resampled():
    # It lies beside the code of the sandbox, which imports torch.
    from models_registry.runtime.inside.models.speech import resampled  # noqa: PLC0415

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
