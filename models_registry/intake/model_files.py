"""Do the files make up a model that the declared task can run? Reads configuration and headers only."""

from pathlib import Path
from typing import Any

from weighhouse.core import canonical, safetensors_header
from weighhouse.core.manifest import Manifest

from models_registry.errors import refusal
from models_registry.intake.architectures import ARCHITECTURES
from models_registry.intake.config_numbers import number_refusals
from models_registry.intake.content import json_read
from models_registry.intake.preprocessors import preprocessor_refusals

Refusal = dict[str, str]

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

# A tokenizer is one of these sets. What hears letters needs their list alone; what sees needs none.
_TOKENIZERS = ({"tokenizer.json"}, {"vocab.txt"}, {"vocab.json", "merges.txt"})
_LETTERS = {"vocab.json", "tokenizer_config.json"}


def model_refusals(manifest: Manifest, directory: Path) -> list[Refusal]:
    """Why the files of a release do not make a model of its task; empty when they do.

    Each file has passed `content.file_refusals` before.
    """
    paths = {file.path for file in manifest.files}
    refused = _config_refusals(manifest, directory, paths)
    refused += _tokenizer_refusals(manifest.task, paths)
    refused += preprocessor_refusals(manifest.task, directory, paths)
    refused += _weights_refusals(manifest, directory, paths)
    if refused:
        return refused
    weights = [directory / path for path in sorted(paths) if path.endswith(".safetensors")]
    headers = [safetensors_header.header_read(file) for file in weights]
    shapes = [tensor.shape for header in headers for tensor in header.tensors.values()]
    return number_refusals(json_read(directory / CONFIG), CONFIG, shapes)


def _tokenizer_refusals(task: str, paths: set[str]) -> list[Refusal]:
    if task == "image-classification":
        return []
    accepted = (*_TOKENIZERS, _LETTERS) if task == "automatic-speech-recognition" else _TOKENIZERS
    if any(tokenizer <= paths for tokenizer in accepted):
        return []
    remedy = "Add tokenizer.json: tokenizer.save_pretrained(directory) writes it."
    if task == "automatic-speech-recognition":
        remedy = "Add vocab.json and tokenizer_config.json: tokenizer.save_pretrained(directory) writes them."
    return [refusal("tokenizer.json", "tokenizer.missing", "no tokenizer", remedy)]


def _config_refusals(manifest: Manifest, directory: Path, paths: set[str]) -> list[Refusal]:
    if CONFIG not in paths:
        return [
            refusal(CONFIG, "config.missing", "no config.json", "Add it: model.save_pretrained(directory) writes it.")
        ]
    allowed = ARCHITECTURES.get(manifest.task)
    if allowed is None:
        found = f"the task {manifest.task}"
        return [refusal(CONFIG, "task.unsupported", found, f"Choose one of {', '.join(sorted(ARCHITECTURES))}.")]
    config: Any = json_read(directory / CONFIG)
    kind, architectures = config.get("model_type"), config.get("architectures")
    expected = allowed.get(kind) if isinstance(kind, str) else None
    if expected is None:
        found = f"the model_type {str(kind)[:60]!r}"
        remedy = f"For {manifest.task} this site runs: {', '.join(sorted(allowed))}."
        return [refusal(CONFIG, "config.model_type", found, remedy)]
    if architectures != [expected]:
        found = f"architectures {str(architectures)[:80]}"
        return [refusal(CONFIG, "config.architecture", found, f"For {manifest.task} it must be [{expected!r}].")]
    return []


def _weights_refusals(manifest: Manifest, directory: Path, paths: set[str]) -> list[Refusal]:
    shards = sorted(path for path in paths if path.endswith(".safetensors"))
    if not shards:
        remedy = "Add model.safetensors: model.save_pretrained(directory, safe_serialization=True) writes it."
        return [refusal(SINGLE, "weights.missing", "no safetensors file", remedy)]
    if shards == [SINGLE]:
        return _dtype_refusals(manifest, directory, shards)
    if SINGLE in shards or INDEX not in paths:
        found = "several weight files without an index" if SINGLE not in shards else "a whole file beside its parts"
        return [
            refusal(INDEX, "weights.index", found, "Upload either model.safetensors, or all parts with their index.")
        ]
    return _index_refusals(directory, shards) or _dtype_refusals(manifest, directory, shards)


def _index_refusals(directory: Path, shards: list[str]) -> list[Refusal]:
    try:
        weight_map = json_read(directory / INDEX)["weight_map"]
    except (KeyError, canonical.JsonError):
        weight_map = None
    held = {name: shard for shard in shards for name in safetensors_header.header_read(directory / shard).tensors}
    if weight_map == held:
        return []
    return [
        refusal(
            INDEX, "weights.index", "an index that does not match the parts", "Upload the parts and index of one save."
        )
    ]


_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def _dtype_refusals(manifest: Manifest, directory: Path, shards: list[str]) -> list[Refusal]:
    """The dtype that the manifest declares must be the one that most numbers of the weights have."""
    counts: dict[str, int] = {}
    for shard in shards:
        for tensor in safetensors_header.header_read(directory / shard).tensors.values():
            counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.end - tensor.begin
    found = max(counts, key=lambda dtype: counts[dtype])
    if found == _DTYPES[manifest.runtime.dtype]:
        return []
    names = {short: name for name, short in _DTYPES.items()}
    remedy = f"Declare dtype {names[found]}." if found in names else "Save the weights as float32, float16 or bfloat16."
    return [refusal(shards[0], "weights.dtype", f"weights in {found}, declared as {manifest.runtime.dtype}", remedy)]
