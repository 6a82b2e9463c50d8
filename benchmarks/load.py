"""Many buyers at once against a whole site: is a job lost, a call counted twice, does memory grow?

`.venv/bin/python -m benchmarks.load [--buyers 200] [--minutes 5]`. It starts the site of `make demo` in a directory of
its own, gives each buyer an account, an API key and a metered licence on the chain, and lets each send one job after
another: mostly embeddings of one to three texts, some by the OpenAI-compatible API. One request in ten is sent twice
with the same Idempotency-Key, as after a broken connection. Overload (429) is waited out.

It exits with 1 unless, when all is over: every job that was accepted has succeeded, each account has the jobs that its
buyer was told of and no more, and each licence has as many calls counted, to the ledger and to `UsageTotal`, as its
buyer got results. Memory is what the processes of each part hold for themselves (PSS), sampled every ten seconds; of
the last half of the run the slope is printed.
"""

import argparse
import os
import platform
import random
import statistics
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from benchmarks.site import ENDED, Holder, MemoryWatch, holders_make, memory_print, settled, site, wait_until
from tests.fixtures.stack import Stack

PATIENCE_S = 180.0
WORDS = ("a", "weigh", "house", "certified", "goods", "before", "they", "were", "traded", "and", "scales", "exact")


@dataclass
class Buyer:
    """A holder, and what it was told."""

    holder: Holder
    jobs: dict[str, int] = field(default_factory=dict)  # id, and how many inputs
    waits: list[float] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    completions: int = 0
    faults: list[str] = field(default_factory=list)


class Caller:
    """Sends a buyer's requests until the time is over."""

    def __init__(self, site_url: str, model_id: int, buyer: Buyer, *, until: float) -> None:
        self._site, self._model, self._buyer, self._until = site_url, str(model_id), buyer, until
        self._random = random.Random(buyer.holder.address)
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {buyer.holder.key}"

    def run(self) -> None:
        while time.monotonic() < self._until:
            try:
                self._embed() if self._random.random() < 0.1 else self._job()
            except (requests.RequestException, KeyError, ValueError) as error:
                self._buyer.faults.append(f"{type(error).__name__}: {str(error)[:200]}")

    def _texts(self) -> list[str]:
        length = self._random.randint(4, 24)
        return [" ".join(self._random.choices(WORDS, k=length)) for _ in range(self._random.randint(1, 3))]

    def _job(self) -> None:
        inputs, key = self._texts(), str(uuid.uuid4())
        body = {"model": self._model, "inputs": inputs, "licence": str(self._buyer.holder.licence_id)}
        began = time.monotonic()
        job = self._send("/api/v1/jobs", body, key)
        if job is None:
            return
        self._buyer.jobs[job["id"]] = len(inputs)
        if self._random.random() < 0.1:
            again = self._send("/api/v1/jobs", body, key)
            if again is not None and again["id"] != job["id"]:
                self._buyer.jobs[again["id"]] = len(inputs)
                self._buyer.faults.append("one Idempotency-Key made two jobs")
        pause = 0.05
        while time.monotonic() - began < PATIENCE_S:
            answer = self._session.get(f"{self._site}/api/v1/jobs/{job['id']}", timeout=60)
            if answer.status_code == 200 and answer.json()["state"] in ENDED:
                self._buyer.waits.append(time.monotonic() - began)
                return
            time.sleep(pause)
            pause = min(1.0, pause * 1.5)

    def _embed(self) -> None:
        texts = self._texts()
        answer = self._send("/v1/embeddings", {"model": f"wh-{self._model}", "input": texts}, "")
        if answer is not None:
            if len(answer["data"]) != len(texts):
                self._buyer.faults.append("an embedding is missing")
            self._buyer.completions += len(texts)

    def _send(self, path: str, body: dict[str, Any], key: str) -> dict[str, Any] | None:
        """The answer, or None where the site was too busy; then the time that it asks for has passed."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self._session.post(self._site + path, json=body, headers=headers, timeout=120)
        if answer.status_code in (429, 503):
            self._buyer.refusals[f"{answer.status_code} {_code(answer)}"] += 1
            time.sleep(min(30.0, float(answer.headers.get("Retry-After", "1"))))
            return None
        if not answer.ok:
            self._buyer.faults.append(f"{path}: {answer.status_code} {answer.text[:200]}")
            return None
        return dict(answer.json())


def _code(answer: requests.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return ""
    return str(problem.get("code") or problem.get("error", {}).get("code", ""))


def verdict(buyers: list[Buyer]) -> list[str]:
    """What is wrong, in sentences, by the site's own database."""
    from django.db.models import Sum  # noqa: PLC0415

    from marketplace.inference.models import CallEntry, CallState, Job  # noqa: PLC0415

    wrong = []
    for buyer in buyers:
        wrong += [f"{buyer.holder.address}: {fault}" for fault in buyer.faults]
        jobs = {str(job.pk): job for job in Job.objects.filter(account__address=buyer.holder.address)}
        lost = buyer.jobs.keys() - jobs.keys()
        wrong += [f"job {job} is lost" for job in lost]
        wrong += [f"job {job.pk} {job.state}: {job.error}" for job in jobs.values() if job.state != "succeeded"]
        own = sum(buyer.jobs.values()) + buyer.completions
        entries = CallEntry.objects.filter(licence_id=buyer.holder.licence_id)
        counted = entries.filter(state=CallState.SETTLED).aggregate(calls=Sum("calls"))["calls"] or 0
        if counted != own:
            wrong.append(f"licence {buyer.holder.licence_id}: {counted} calls are counted, {own} were answered")
        if entries.count() != len(jobs) or entries.exclude(state=CallState.SETTLED).exists():
            wrong.append(f"licence {buyer.holder.licence_id}: {entries.count()} ledger entries of {len(jobs)} jobs")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buyers", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5.0)
    options = parser.parse_args()
    with site() as stack:
        return load(stack, buyers=options.buyers, minutes=options.minutes)


def load(stack: Stack, *, buyers: int, minutes: float) -> int:
    model_id, holders = holders_make(stack, buyers)
    people = [Buyer(holder) for holder in holders]
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; {buyers} buyers for {minutes:g} minutes")
    began = time.monotonic()
    with MemoryWatch(stack) as memory:
        with ThreadPoolExecutor(buyers) as threads:
            callers = [Caller(stack.site_url, model_id, buyer, until=began + minutes * 60) for buyer in people]
            list(threads.map(Caller.run, callers))
        wait_until(settled, within_s=PATIENCE_S)
    spent = time.monotonic() - began
    jobs = sum(len(buyer.jobs) for buyer in people)
    waits = sorted(wait for buyer in people for wait in buyer.waits)
    results = sum(sum(buyer.jobs.values()) + buyer.completions for buyer in people)
    print(f"{jobs} jobs and {sum(buyer.completions > 0 for buyer in people)} buyers of embeddings in {spent:.0f} s")
    print(f"{results} results, {results / spent:.1f} a second")
    if len(waits) > 1:
        cuts = statistics.quantiles(waits, n=100)
        print(f"from asking to a result that was read: p50 {cuts[49]:.2f} s, p99 {cuts[98]:.2f} s")
    refusals = sum((buyer.refusals for buyer in people), Counter[str]())
    print("refused as overload: " + (", ".join(f"{count} of {what}" for what, count in refusals.items()) or "none"))
    served = [len(buyer.waits) for buyer in people]
    print(f"jobs of a buyer: {min(served)} to {max(served)}, median {statistics.median(served):.0f}")
    memory_print(memory)
    wrong = verdict(people)
    print(*wrong[:40], sep="\n")
    print(f"{len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
