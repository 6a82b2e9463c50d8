"""Ten thousand queued jobs: do they all end, and does memory stay?

`.venv/bin/python -m benchmarks.drain [--batches 80]`. It starts the site of `make demo`, stops its worker, lets one
buyer after another send a batch of 1,000 prompts (125 jobs of 8, of one token each), lets the worker go on, and waits
until nothing is open. Memory of each part is sampled every ten seconds; of the last half the slope is printed. It exits
with 1 where a job did not succeed.
"""

import argparse
import os
import platform
import signal
import sys
import time
import uuid

import requests

from benchmarks.site import MemoryWatch, holders_make, memory_print, settled, site, wait_until
from tests.fixtures.stack import Stack

PROMPTS = 1000
PATIENCE_S = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=80)
    batches = parser.parse_args().batches
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    with site() as stack:
        return drain(stack, batches=batches)


def drain(stack: Stack, *, batches: int) -> int:
    from django.db.models import Count  # noqa: PLC0415 - the site's settings come before Django

    from marketplace.inference.models import Job  # noqa: PLC0415

    model_id, holders = holders_make(stack, batches, task="text-generation")
    worker = stack.pid_of("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        for number, holder in enumerate(holders):
            batch_send(stack.site_url, model_id, holder.key, number)
    finally:
        os.kill(worker, signal.SIGCONT)
    queued = Job.objects.count()
    began = time.monotonic()
    with MemoryWatch(stack) as memory:
        wait_until(settled, within_s=PATIENCE_S)
    spent = time.monotonic() - began
    ends = dict(Job.objects.values_list("state").annotate(Count("pk")))
    print(f"{queued} jobs of 8 inputs in {spent:.0f} s, {queued / spent:.1f} a second; {ends}")
    memory_print(memory)
    return 0 if ends == {"succeeded": queued} else 1


def batch_send(site_url: str, model_id: int, key: str, number: int) -> None:
    body = {
        "model": str(model_id),
        "inputs": [f"Once upon a time, {number} and {place}" for place in range(PROMPTS)],
        "parameters": {"max_new_tokens": 1},
    }
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(uuid.uuid4())}
    answer = requests.post(f"{site_url}/api/v1/batches", json=body, headers=headers, timeout=120)
    if answer.status_code != 202:
        raise SystemExit(f"{answer.status_code} {answer.text[:300]}")


if __name__ == "__main__":
    sys.exit(main())
