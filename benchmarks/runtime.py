"""What the sandbox costs and what joining gains: interleaved with the same work in this process, in one run.

1. A runner, and a pool with a lone caller, against the same code in this process.
2. 32 callers at once through a pool against the pipeline of transformers, one text by one, on as many threads.

`.venv/bin/python -m benchmarks.runtime [--rounds N]`. Ratios hold on any machine; times are this machine's.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.minilm import SENTENCE, TASK, minilm_spec
from models_registry.runtime import sandbox
from models_registry.runtime.launcher import Launcher
from models_registry.runtime.pool import RunnerPool
from models_registry.runtime.runner import Runner
from models_registry.runtime.specs import MIB, RunnerSpec, SandboxConfig

CALLERS = 32
CALLS = 4  # of each caller in a round
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
    spec = minilm_spec()

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
    model = models.load(str(spec.release_path), TASK, "float32")
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
    with RunnerUse(spec, threads=1) as pool:
        compare(
            "1 text, lone caller of a pool",
            lambda: pool.run(spec, SENTENCE, PARAMETERS, 60),
            lambda: model.run([SENTENCE], PARAMETERS),
            rounds,
        )
    with RunnerUse(spec, threads=2) as pool:
        crowd(pool, spec, rounds=max(5, rounds // 10))


class RunnerUse:
    """A pool for a while, with the release loaded."""

    def __init__(self, spec: RunnerSpec, *, threads: int) -> None:
        self._pool = RunnerPool(SandboxConfig(threads=threads), memory_bytes=4096 * MIB)
        self._pool.run(spec, SENTENCE, PARAMETERS, 60)

    def __enter__(self) -> RunnerPool:
        return self._pool

    def __exit__(self, *_: object) -> None:
        self._pool.close()


def crowd(pool: RunnerPool, spec: RunnerSpec, *, rounds: int) -> None:
    """Callers at once, each with one text at a time, against one text after the other in this process."""
    import torch  # noqa: PLC0415
    from transformers import pipeline  # noqa: PLC0415

    torch.set_num_threads(2)
    embed = pipeline("feature-extraction", model=str(spec.release_path), dtype=torch.float32)
    texts = [f"A weigh house certified {n} goods{' and scales' * (n % 5)}." for n in range(CALLERS)]
    shapes: list[int] = []

    def one(text: str) -> np.ndarray:
        result = pool.run(spec, text, PARAMETERS, 60, buyer=text)
        shapes.append(max(rows for rows, _ in result.fingerprint["batches"]))
        return np.array(result.outputs[0])

    def single(text: str) -> np.ndarray:
        vector = np.array(embed(text)[0]).mean(0)
        return vector / np.linalg.norm(vector)

    with ThreadPoolExecutor(CALLERS) as threads:
        together, alone = list(threads.map(one, texts)), list(map(single, texts))
        worst = np.abs(np.array(together) - np.array(alone)).max()
        shapes.clear()
        ratios = []
        for _ in range(rounds):
            # Before and after, so that what else the machine does weighs on both.
            before = seconds(lambda: list(map(single, texts)))
            at_once = seconds(lambda: list(threads.map(one, texts * CALLS))) / CALLS
            ratios.append((before + seconds(lambda: list(map(single, texts)))) / 2 / at_once)
    print(f"\n{CALLERS} callers at once against the pipeline one by one, 2 threads, {rounds} rounds:")
    print(f"{statistics.median(ratios):.2f} times (from {min(ratios):.2f} to {max(ratios):.2f})")
    print(f"batches of {statistics.mean(shapes):.0f} rows (median {statistics.median(shapes):.0f})")
    print(f"largest difference of a number: {worst:.1e}")
    if worst > 1e-5:
        raise SystemExit("The results differ by more than 1e-5.")


if __name__ == "__main__":
    main()
