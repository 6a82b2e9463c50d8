"""What tests of receipts share: a worker key by the operator's key, and the job's end."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone

from marketplace.inference import services
from marketplace.inference.models import Job, WorkerKey
from marketplace.inference.receipts.keys import worker_key_create
from models_registry.runtime.specs import RunResult

RESULT = RunResult(
    outputs=[[0.5, -1e-7, 1.0]],
    fingerprint={"device": "cpu", "dtype": "float32", "batches": [[1, 4]]},
    timings={"run_s": 0.1},
    usage={"input_tokens": 4},
)


@pytest.fixture
def worker_key(market, db) -> WorkerKey:
    return worker_key_create()


@pytest.fixture
def finish():
    """`finish(job)`: a worker claims the job and stores a result."""

    def end(job: Job, result: RunResult = RESULT) -> Job:
        claimed = services.job_claim(job_id=job.pk)
        licence = type("Checked", (), {"block_number": job.checked_block_number, "block_hash": job.checked_block_hash})
        assert services.job_succeed(job=claimed, result=result, licence=licence)
        job.refresh_from_db()
        return job

    return end


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """`clock.ahead_s = 3600`: this machine's clock is an hour ahead, until it is set back."""
    told, real = SimpleNamespace(ahead_s=0), timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(seconds=told.ahead_s))
    return told
