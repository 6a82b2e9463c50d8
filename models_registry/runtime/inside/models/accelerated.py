"""What a network computes on: the processor, or a card that CUDA speaks to.

The settings make the same card, versions and batch shapes give the same bits, as far as CUDA offers that; operations
that it does not offer it for warn in the operator's log. `CUBLAS_WORKSPACE_CONFIG` is in the runner's environment.
"""

import time
from typing import Any

import torch

from models_registry.runtime.inside.measuring import Trial, rows_measured
from models_registry.runtime.inside.models.base import Model, TextModel
from models_registry.runtime.inside.models.generation import Generator

# Rows of a batch are bound by tokens too; short rows fill a card only many at a time.
MOST_ROWS = 256
# The first batch that is tried, in rows of the longest.
_LEAST_ROWS = 8
# Of the memory that is free after loading: other runners may share the card.
_SHARE_OF_FREE = 0.5


def settle() -> None:
    """Fix what the result depends on, whatever the device will be."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    # TF32 keeps ten bits of the numbers that it multiplies; fp32 is to mean fp32.
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    matmul.allow_fp16_reduced_precision_reduction = matmul.allow_bf16_reduced_precision_reduction = False
    # A benchmark chooses the fastest kernel of the moment, and so another one the next time.
    cudnn.benchmark, cudnn.deterministic = False, True


def device() -> str:
    """cuda where the runner was given a card that works, cpu otherwise."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def dtype_on(device: str, wanted: torch.dtype) -> torch.dtype:
    """The wanted one, or fp32 where the card has no bfloat16 of its own. The processor has them all."""
    if device == "cuda" and wanted is torch.bfloat16 and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float32
    return wanted


def batches_measure(model: Model) -> None:
    """Choose batches by trying them on the card; the processor keeps the constants, which were measured.

    Rows of the longest are tried, so that what fits there fits for all. Tasks whose inputs run one by one need none.
    """
    if model.device != "cuda" or not isinstance(model, TextModel) or isinstance(model, Generator):
        return
    if model.batch_size == 1:
        return
    free, _ = torch.cuda.mem_get_info()
    room = int(free * _SHARE_OF_FREE)
    rows = rows_measured(lambda rows: _tried(model, rows), room_bytes=room, least=_LEAST_ROWS, most=MOST_ROWS)
    model.batch_size, model.batch_tokens = MOST_ROWS, rows * model.max_length
    torch.cuda.empty_cache()


def facts(model: Model) -> dict[str, Any]:
    """What the fingerprint says of the card; nothing where the processor computes."""
    if model.device != "cuda":
        return {}
    major, minor = torch.cuda.get_device_capability()
    return {
        "accelerator": {
            "name": torch.cuda.get_device_name(),
            "capability": f"{major}.{minor}",
            "cuda": torch.version.cuda or "",
            "cudnn": str(torch.backends.cudnn.version() or ""),
            "dtype": str(model.network.dtype).removeprefix("torch."),
            "batch_rows": getattr(model, "batch_size", 1),
            "batch_tokens": getattr(model, "batch_tokens", 0),
        }
    }


def _tried(model: TextModel, rows: int) -> Trial | None:
    """The second of two runs: the first one chooses kernels and gets memory."""
    ids = torch.zeros((rows, model.max_length), dtype=torch.long, device=model.device)
    mask = torch.ones_like(ids)
    try:
        model.network(input_ids=ids, attention_mask=mask)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, started = torch.cuda.memory_allocated(), time.monotonic()
        model.network(input_ids=ids, attention_mask=mask)
        torch.cuda.synchronize()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return None
    return Trial(time.monotonic() - started, torch.cuda.max_memory_allocated() - before)
