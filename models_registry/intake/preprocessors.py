"""preprocessor_config.json, or its section in processor_config.json: how images and sounds become numbers.

The class is one of a short list, under the one key that transformers reads, so that no other code is chosen by a file.
The numbers are held to what a small input may grow to: they are read before the model is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models_registry.errors import refusal
from models_registry.intake.architectures import PREPROCESSORS
from models_registry.intake.content import json_read

Refusal = dict[str, str]

PREPROCESSOR = "preprocessor_config.json"
PROCESSOR = "processor_config.json"
# Sections of processor_config.json that transformers prefers to a file of their own.
_SECTIONS = {
    "image-classification": ("image_processor",),
    "automatic-speech-recognition": ("feature_extractor", "audio_processor"),
}
_KINDS = {"image-classification": "image_processor_type", "automatic-speech-recognition": "feature_extractor_type"}
# Older files name an image processor as a feature extractor.
_FORMER = ("FeatureExtractor", "ImageProcessor")
# Pixels of a side that an image is scaled or cut to.
MAX_SIDE = 1024
_SIDE_KEYS = ("size", "crop_size", "pad_size")
_MAX_NUMBER = 1 << 20
_RATES = (8_000, 48_000)
_REMEDY = "Upload the preprocessor_config.json that the processor's save_pretrained wrote."


def preprocessor_refusals(task: str, directory: Path, paths: set[str]) -> list[Refusal]:
    """Why the release's files cannot prepare the inputs of its task; empty when they can, or need not."""
    allowed = PREPROCESSORS.get(task)
    if allowed is None:
        return []
    path, config = _found(task, directory, paths)
    if config is None:
        return [refusal(path, "preprocessor.missing", "nothing that says how inputs are prepared", _REMEDY)]
    named = _named(config, task)
    if named not in allowed:
        found = f"the processor {str(named)[:60]!r}"
        return [refusal(path, "preprocessor.type", found, f"For {task} it must be {_choices(allowed)}.")]
    problems = [*_size_problems(config), *_rate_problems(config, task)]
    return [refusal(path, "preprocessor.number", what, _REMEDY) for what in problems[:10]]


def _found(task: str, directory: Path, paths: set[str]) -> tuple[str, dict[str, Any] | None]:
    """The file that transformers reads it from, and what it holds; None where that is nothing."""
    if PROCESSOR in paths:
        whole = json_read(directory / PROCESSOR)
        for section in _SECTIONS[task]:
            if section in whole:
                value = whole[section]
                return PROCESSOR, value if isinstance(value, dict) else None
    return PREPROCESSOR, json_read(directory / PREPROCESSOR) if PREPROCESSOR in paths else None


def _named(config: dict[str, Any], task: str) -> Any:
    named = config.get(_KINDS[task])
    if named is None and task == "image-classification":
        former = config.get("feature_extractor_type")
        named = former.replace(*_FORMER) if isinstance(former, str) else None
    return named if isinstance(named, str) else None


def _choices(allowed: frozenset[str]) -> str:
    return ", ".join(sorted(name for name in allowed if not name.endswith(("Fast", "Pil"))))


def _size_problems(config: dict[str, Any]) -> Iterator[str]:
    """Sides must be numbers that a picture may have; all other numbers, such as means, must be of a sane size."""
    for key, value in config.items():
        for number in _numbers(value):
            if key in _SIDE_KEYS and not 1 <= number <= MAX_SIDE:
                yield f"{key}: {str(number)[:30]}, where 1 to {MAX_SIDE} pixels are accepted"
            elif not -_MAX_NUMBER <= number <= _MAX_NUMBER:
                yield f"{key[:60]!a}: {str(number)[:30]}"


def _rate_problems(config: dict[str, Any], task: str) -> Iterator[str]:
    rate = config.get("sampling_rate", 16_000)
    if task == "automatic-speech-recognition" and (type(rate) is not int or not _RATES[0] <= rate <= _RATES[1]):
        yield f"sampling_rate: {str(rate)[:30]}, where {_RATES[0]} to {_RATES[1]} are accepted"


def _numbers(value: Any) -> Iterator[int | float]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield item
