"""What the whole way through the site costs: HTTP, the check on chain, queue, worker, sandbox, receipt.

`.venv/bin/python -m benchmarks.round_trip [--rounds 200]`. It starts the site of `make demo`, and measures alternately,
in one run: a warm embedding by `POST /api/v1/jobs` with `Prefer: wait`, by `POST /v1/embeddings`, each for one of
twelve buyers in turn, and by the same code in this process, with as many threads as the site's runners have; then a
streamed completion against the same tokens written in this process. Goals: 12 ms more at the median, 40 ms at the 99th
percentile, 3 ms for each token.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from benchmarks.minilm import SENTENCE
from benchmarks.site import Holder, holders_make, site
from tests.fixtures.stack import Stack

EMBEDDING = {"pooling": "mean", "normalise": True, "truncate": True}
PROMPT = "Once upon a time"
TOKENS = 60
# In turn, each within the rates of one account and one licence.
BUYERS = 12
WRITING = {"max_new_tokens": TOKENS, "temperature": 0.8, "top_p": 1.0, "seed": 3, "stop": [], "truncate": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    with site() as stack:
        embeddings(stack, rounds=rounds)
        completions(stack, rounds=max(5, rounds // 10))


def embeddings(stack: Stack, *, rounds: int) -> None:
    model_id, holders = holders_make(stack, BUYERS)
    model, turns = model_load(model_id, "feature-extraction"), itertools.cycle(holders)
    job = {"model": str(model_id), "inputs": SENTENCE}
    call = {"model": f"wh-{model_id}", "input": SENTENCE}
    with contextlib.closing(http.client.HTTPConnection(urlsplit(stack.site_url).netloc, timeout=60)) as site_open:
        ways: dict[str, Callable[[], object]] = {
            "POST /api/v1/jobs": lambda: sent(site_open, next(turns), "/api/v1/jobs", job, ok=201),
            "POST /v1/embeddings": lambda: sent(site_open, next(turns), "/v1/embeddings", call),
            "in this process": lambda: model.run([SENTENCE], EMBEDDING),
        }
        spent = measured(ways, rounds=rounds)
    plain = spent["in this process"]
    print(f"\n{rounds} rounds {'p50':>28} {'p99':>9}   ms; more than in this process")
    for name, times in spent.items():
        more = [middle(times) - middle(plain), last(times) - last(plain)]
        print(f"{name:<32} {middle(times):9.2f} {last(times):9.2f} {more[0]:+9.2f} {more[1]:+9.2f}")


def completions(stack: Stack, *, rounds: int) -> None:
    model_id, (holder,) = holders_make(stack, 1, task="text-generation")
    model = model_load(model_id, "text-generation")
    session = session_of(holder)
    body = {
        "model": f"wh-{model_id}",
        "prompt": PROMPT,
        "max_tokens": TOKENS,
        "temperature": WRITING["temperature"],
        "seed": WRITING["seed"],
        "stream": True,
    }
    counts = []

    def streamed() -> None:
        counts.append(stream_read(session, f"{stack.site_url}/v1/completions", body))

    spent = measured({"streamed": streamed, "process": lambda: model.run([PROMPT], WRITING)}, rounds=rounds)
    tokens = model.run([PROMPT], WRITING)["output_tokens"]
    whole, plain = middle(spent["streamed"]), middle(spent["process"])
    print(f"\n{tokens} tokens in {statistics.median(counts):.0f} pieces, {rounds} rounds: {whole:.1f} ms streamed,")
    print(f"{plain:.1f} ms in this process; {(whole - plain) / tokens:+.2f} ms for each token, the way there included")


def measured(ways: dict[str, Callable[[], object]], *, rounds: int) -> dict[str, list[float]]:
    """Times in ms of each way, taken in turn."""
    for action in ways.values():
        for _ in range(3):
            action()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, action in ways.items():
            began = time.perf_counter()
            action()
            spent[name].append((time.perf_counter() - began) * 1000)
    return spent


def middle(times: list[float]) -> float:
    return statistics.median(times)


def last(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def session_of(holder: Holder) -> requests.Session:
    session = requests.Session()
    session.headers.update(headers_of(holder))
    return session


def headers_of(holder: Holder) -> dict[str, str]:
    return {"Authorization": f"Bearer {holder.key}", "Prefer": "wait=30"}


def sent(site_open: http.client.HTTPConnection, holder: Holder, path: str, body: Any, *, ok: int = 200) -> None:
    """Over one connection, by the standard library: requests would add a millisecond of its own."""
    site_open.request("POST", path, json.dumps(body), {**headers_of(holder), "Content-Type": "application/json"})
    answer = site_open.getresponse()
    content = answer.read()
    if answer.status != ok:
        raise SystemExit(f"{path}: {answer.status} {content[:300]!r}")


def stream_read(session: requests.Session, url: str, body: dict[str, Any]) -> int:
    """How many pieces came."""
    pieces = 0
    with session.post(url, json=body, stream=True, timeout=60) as answer:
        if not answer.ok:
            raise SystemExit(f"{url}: {answer.status_code} {answer.text[:300]}")
        for line in answer.iter_lines():
            if line.startswith(b"data: {"):
                pieces += bool(json.loads(line[6:])["choices"])
    return pieces


def model_load(model_id: int, task: str) -> Any:
    """The site's own copy of a release, loaded here as a runner loads it."""
    import torch  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415 - the site's settings come before Django

    from models_registry import selectors  # noqa: PLC0415
    from models_registry.runtime.inside import models  # noqa: PLC0415
    from models_registry.storage.cache import release_fetch  # noqa: PLC0415

    if torch.get_num_interop_threads() != 1:
        models.configure(settings.SANDBOX_THREADS)
    path: Path = release_fetch(selectors.release_latest(model_id).root_cid)
    return models.load(str(path), task, "float32")


if __name__ == "__main__":
    main()
