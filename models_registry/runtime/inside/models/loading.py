"""From a directory to a model of its task."""

import sys
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from models_registry.runtime.inside.models import accelerated
from models_registry.runtime.inside.models.base import Model
from models_registry.runtime.inside.models.entailment import ZeroShotClassifier
from models_registry.runtime.inside.models.generation import Generator, Rewriter
from models_registry.runtime.inside.models.images import ImageClassifier
from models_registry.runtime.inside.models.questions import Answerer
from models_registry.runtime.inside.models.speech import Recogniser
from models_registry.runtime.inside.models.tokenwise import MaskFiller, TokenClassifier
from models_registry.runtime.inside.models.vectors import Classifier, Embedder
from models_registry.runtime.inside.serve import Refusal

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TRUSTED_LOADING = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True)
class _Kind:
    """How a task is loaded. `ignored` are prefixes of weights that the task does not use."""

    model: type[Model]
    network: Any
    ignored: tuple[str, ...] = ()
    reads: str = "text"


_KINDS = {
    "feature-extraction": _Kind(Embedder, AutoModel, ("pooler.",)),
    "text-classification": _Kind(Classifier, AutoModelForSequenceClassification),
    "token-classification": _Kind(TokenClassifier, AutoModelForTokenClassification),
    "fill-mask": _Kind(MaskFiller, AutoModelForMaskedLM),
    "question-answering": _Kind(Answerer, AutoModelForQuestionAnswering),
    "zero-shot-classification": _Kind(ZeroShotClassifier, AutoModelForSequenceClassification),
    "text-generation": _Kind(Generator, AutoModelForCausalLM),
    "text2text-generation": _Kind(Rewriter, AutoModelForSeq2SeqLM),
    "image-classification": _Kind(ImageClassifier, AutoModelForImageClassification, reads="image"),
    "automatic-speech-recognition": _Kind(Recogniser, AutoModelForCTC, reads="sound"),
}


def configure(threads: int) -> None:
    """Fix what the result depends on. Called once, after the lock."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    accelerated.settle()
    torch.set_grad_enabled(False)


def load(path: str, task: str, dtype: str) -> Model:
    """The model in `path`. Raises Refusal("model.unloadable", reason)."""
    config = AutoConfig.from_pretrained(path, **_TRUSTED_LOADING)
    kind = _KINDS[task]
    processors = _processors(kind.reads, path, config)
    device = accelerated.device()
    network, loading = _network(kind.network, path, config, dtype=accelerated.dtype_on(device, _DTYPES[dtype]))
    missing = [key for key in loading["missing_keys"] if not key.startswith(kind.ignored)]
    if missing or loading["mismatched_keys"]:
        # transformers fills such tensors with random numbers and goes on.
        print("missing:", missing, "mismatched:", loading["mismatched_keys"], file=sys.stderr)  # noqa: T201
        raise Refusal("model.unloadable", "weights_missing")
    model = kind.model(network.eval().to(device), *processors, device=device)
    accelerated.batches_measure(model)
    return model


def _processors(reads: str, path: str, config: Any) -> list[Any]:
    """What turns inputs into tensors, and for text and sound the tokenizer."""
    if reads == "image":
        # Without torchvision: it resizes with Pillow. The file is named, since a config.json could stand in for it.
        named = {"image_processor_filename": "preprocessor_config.json", "backend": "pil"}
        return [AutoImageProcessor.from_pretrained(path, **named, **_TRUSTED_LOADING)]
    tokenizer = AutoTokenizer.from_pretrained(path, config=config, **_TRUSTED_LOADING)
    if reads == "sound":
        return [tokenizer, AutoFeatureExtractor.from_pretrained(path, **_TRUSTED_LOADING)]
    return [tokenizer]


def _network(auto: Any, path: str, config: Any, *, dtype: torch.dtype) -> tuple[Any, dict[str, Any]]:
    options = {"config": config, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
    try:
        return auto.from_pretrained(path, attn_implementation="sdpa", **options, **_TRUSTED_LOADING)  # type: ignore[no-any-return]
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return auto.from_pretrained(path, attn_implementation="eager", **options, **_TRUSTED_LOADING)  # type: ignore[no-any-return]
