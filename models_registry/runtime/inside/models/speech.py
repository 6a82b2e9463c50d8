"""automatic-speech-recognition with models of connectionist temporal classification (CTC)."""

import math
from typing import Any

import numpy as np

from models_registry.runtime import media
from models_registry.runtime.inside.models.base import Model, finite, text_of
from models_registry.runtime.inside.serve import Refusal

_RATES = (8_000, 48_000)
# Zero crossings of the resampling filter on each side, and how many products are computed at once.
_CROSSINGS = 16
_PRODUCTS = 1 << 20
_ROLLOFF = 0.945

_Samples = np.ndarray[Any, np.dtype[np.float32]]


class Recogniser(Model):
    """The text of a recording."""

    def __init__(self, network: Any, tokenizer: Any, extractor: Any, *, device: str) -> None:
        super().__init__(network, device=device)
        self.tokenizer, self.extractor = tokenizer, extractor
        self.rate = extractor.sampling_rate
        if type(self.rate) is not int or not _RATES[0] <= self.rate <= _RATES[1]:
            raise Refusal("model.unloadable", "sampling_rate")

    def run(self, inputs: list[bytes], parameters: dict[str, Any]) -> dict[str, Any]:
        texts, shapes, written = [], [], 0
        for position, data in enumerate(inputs):
            self.look()
            samples, rate = samples_of(data, position)
            features = self.extractor(
                resampled(samples, rate, self.rate),
                sampling_rate=self.rate,
                return_tensors="pt",
                return_attention_mask=True,
            )
            values = features["input_values"].to(self.device, self.network.dtype)
            mask = features["attention_mask"].to(self.device)
            logits = finite(self.network(input_values=values, attention_mask=mask).logits)
            tokens = logits[0].argmax(dim=-1).tolist()
            if tokens and max(tokens) >= len(self.tokenizer):
                raise Refusal("model.unloadable", "vocabulary")
            texts.append({"text": text_of(self.tokenizer.decode(tokens, skip_special_tokens=False))})
            shapes.append([1, int(values.shape[-1])])
            written += len(tokens)
        return {
            "texts": texts,
            "batches": shapes,
            "input_tokens": sum(shape[1] for shape in shapes),
            "output_tokens": written,
            "truncated": [],
        }


def samples_of(data: bytes, position: int) -> tuple[_Samples, int]:
    """The samples of a WAV file, mono, from -1 to 1, and how many there are in a second."""
    try:
        wave = media.wave_head(data)
    except media.MediaError as error:
        raise Refusal("input.invalid", "unreadable", position=position) from error
    samples = np.frombuffer(data[wave.start : wave.end], dtype="<i2").astype(np.float32) / 32768
    return samples.reshape(-1, wave.channels).mean(axis=1, dtype=np.float32), wave.rate


def resampled(samples: _Samples, rate: int, wanted: int) -> _Samples:
    """Samples at another rate: a sinc windowed by Hann, evaluated for each output.

    The filter's length depends on the ratio of the rates alone, so that no pair of rates is dear.
    """
    if rate == wanted:
        return samples
    band = min(1.0, wanted / rate) * _ROLLOFF
    width = math.ceil(_CROSSINGS / band)
    padded = np.pad(samples.astype(np.float64), width)
    taps = np.arange(-width, width)
    count = len(samples) * wanted // rate
    result = np.empty(count, dtype=np.float32)
    block = _PRODUCTS // len(taps)
    for start in range(0, count, block):
        times = np.arange(start, min(start + block, count)) * (rate / wanted)
        nearest = np.floor(times).astype(np.int64)
        away = (nearest[:, None] + taps) - times[:, None]
        window = np.cos(np.clip(away * band / _CROSSINGS, -1, 1) * (math.pi / 2)) ** 2
        weights = band * np.sinc(away * band) * window
        result[start : start + len(times)] = (weights * padded[nearest[:, None] + taps + width]).sum(axis=1)
    return result
