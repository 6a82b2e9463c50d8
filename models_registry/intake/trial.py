"""Trying a model in the sandbox before anybody may buy it."""

import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from weighhouse.core.manifest import Manifest

from models_registry.errors import refusal
from models_registry.runners import runner_pool
from models_registry.runtime.errors import InputError, RunnerBusyError, RunnerError
from models_registry.runtime.specs import RunnerSpec
from models_registry.runtime.tasks import TASKS

# Raise it with every change of what intake accepts: refused releases may then be submitted again.
RULES_VERSION = 3
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "pillow")

# Short answers: the trial shows that the model runs, not that it is good.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "text-generation": {"max_new_tokens": 8},
    "text2text-generation": {"max_new_tokens": 8},
}

_REMEDIES = {
    "model.unloadable": "Save model and tokenizer together with save_pretrained and upload all files that it wrote.",
    "runner.out_of_memory": "Publish a smaller model, or one in float16 or bfloat16.",
    "runner.deadline": "Publish a smaller model: a short input must be answered in time.",
    "output.invalid": "Check the weights: the answer to a short input held no usable numbers.",
}
_REMEDY = "Run the model with transformers on your own machine, mend it, and upload it again."


class TrialRefusedError(Exception):
    """The model does not run. `refusal` says why; `is_certain` is False where trying again may tell another story."""

    def __init__(self, refused: dict[str, str], *, is_certain: bool) -> None:
        super().__init__(refused["found"])
        self.refusal = refused
        self.is_certain = is_certain


def tool_chain() -> str:
    """What a verdict depends on beside the files, as one hash: the rules of intake, the libraries, the limits."""
    parts = [str(RULES_VERSION), *(f"{name} {_version(name)}" for name in _LIBRARIES)]
    parts += [str(getattr(settings, name)) for name in ("SANDBOX_MEMORY_BYTES", "JOB_DEADLINE_S")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def model_try(directory: Path, manifest: Manifest, digest: str) -> Mapping[str, Any]:
    """Run the task's example through the model and return the runtime's fingerprint.

    Raises TrialRefusedError, and where this machine cannot try anything now SandboxUnavailable, RunnerBusyError.
    """
    task = TASKS[manifest.task]
    spec = RunnerSpec(release_path=directory, digest=digest, task=manifest.task, dtype=manifest.runtime.dtype)
    inputs = list(task.example.inputs)
    parameters = {**task.example.parameters, **_PARAMETERS.get(manifest.task, {})}
    try:
        return runner_pool().run(spec, inputs, parameters, settings.JOB_DEADLINE_S).fingerprint
    except RunnerBusyError:
        # It says nothing of the model.
        raise
    except (RunnerError, InputError) as error:
        # The inputs are the task's own example: a model that cannot take them is at fault.
        found = f"a model that does not run: {error.message}"
        refused = refusal("", error.code, found, _REMEDIES.get(error.code, _REMEDY))
        raise TrialRefusedError(refused, is_certain=not error.retryable) from error
