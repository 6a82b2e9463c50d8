"""Accelerators of this machine: which device nodes they have, and what a runner may say of the one that it uses."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models_registry.runtime import replies
from models_registry.runtime.replies import Message

_CARD = re.compile(r"nvidia[0-9]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()/+-]{0,63}")
_VERSION = re.compile(r"[0-9]{1,8}(\.[0-9]{1,8}){0,3}|")
_FIELDS = frozenset({"name", "capability", "cuda", "cudnn", "dtype", "batch_rows", "batch_tokens"})


def nodes(directory: Path = Path("/dev"), *, is_node: Callable[[Path], bool] = Path.is_char_device) -> tuple[Path, ...]:
    """What CUDA opens: the nodes of NVIDIA's driver and of each card. None at all where there is no card."""
    cards = sorted(path for path in directory.glob("nvidia[0-9]*") if _CARD.fullmatch(path.name) and is_node(path))
    drivers = [directory / name for name in ("nvidiactl", "nvidia-uvm")]
    return (*drivers, *cards) if cards and all(map(is_node, drivers)) else ()


def facts(reply: Message, *, is_given: bool, dtype: str) -> dict[str, Any]:
    """What a `ready` message says of the accelerator, as `accelerator`; nothing where the processor computes.

    Its `dtype` is what the network computes in there: the release's, or float32 where a card has no bfloat16. Raises
    RunnerProtocolError, also for a device that was not given.
    """
    if reply.get("device") != "cuda":
        return {}
    found = reply.get("accelerator")
    if not is_given or not isinstance(found, dict) or set(found) != _FIELDS:
        raise replies.forged("its device")
    patterns = {"name": _NAME, "capability": _VERSION, "cuda": _VERSION, "cudnn": _VERSION}
    for field, pattern in patterns.items():
        if not isinstance(found[field], str) or not pattern.fullmatch(found[field]):
            raise replies.forged("its device")
    if found["dtype"] != dtype and (dtype, found["dtype"]) != ("bfloat16", "float32"):
        raise replies.forged("its device")
    counts = {name: replies.count_of(found, name, most=2**31) for name in ("batch_rows", "batch_tokens")}
    return {"accelerator": {**found, **counts}}
