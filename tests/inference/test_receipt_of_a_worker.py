"""A real worker, a real site, a real chain, and the command `weighhouse verify` as a process of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.conf import settings as site
from weighhouse.client import Client

from chain.development import OPERATOR_KEY
from marketplace.accounts.services import api_key_create
from marketplace.inference.models import Job, Receipt
from marketplace.inference.receipts import batching
from marketplace.inference.receipts.keys import worker_key_create
from tests.chain.outbox.conftest import Outbox

pytestmark = pytest.mark.django_db(transaction=True)
SDK = Path(__file__).resolve().parents[2] / "sdk"


@pytest.fixture
def client(live_server, buyer):
    _, key = api_key_create(account=buyer, name="a script", scopes=["run"])
    with Client(live_server.url, key) as client:
        yield client


def weighhouse(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command without anything of the server: no settings, and only the package's own directory."""
    argv = [sys.executable, "-m", "weighhouse", *map(str, arguments)]
    return subprocess.run(
        argv, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, cwd=SDK, timeout=60, check=False
    )


def test_job_that_a_worker_ran_has_a_receipt_that_anybody_can_check_and_nobody_can_change(
    sell, celery_worker, client, market, tmp_path
):
    worker_key_create()
    sold = sell(calls=3)
    celery_worker(queues="inference")
    job = client.job_run(sold.model_id, ["the weigh house"])
    assert job["state"] == "succeeded"
    deadline = time.monotonic() + 20
    while not Receipt.objects.get(pk=job["id"]).digest:
        assert time.monotonic() < deadline, "the worker signs when it has stored the result"
        time.sleep(0.05)
    batching.receipts_anchor()
    Outbox(market).work()
    batching.batches_follow()
    files = {name: tmp_path / f"{name}.json" for name in ("receipt", "acceptance", "opening", "keys")}
    files["receipt"].write_bytes(client.job_receipt(job["id"]))
    files["acceptance"].write_bytes(client.job_acceptance(job["id"]))
    files["opening"].write_text(json.dumps(client.job_opening(job["id"])))
    files["keys"].write_text(json.dumps(client.worker_keys()))
    trusted = ("--rpc", site.RPC_URLS[0], "--market", market.book.contract("LicenceMarket").address)
    trusted += ("--anchor", market.book.contract("ReceiptAnchor").address, "--operator-key", OPERATOR_KEY.address)
    given = ("--opening", files["opening"], "--keys", files["keys"], "--release", sold.release.digest)
    done = weighhouse("verify", files["receipt"], *trusted, *given)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked" not in done.stdout
    assert weighhouse("verify", files["acceptance"], *trusted).returncode == 0
    content = bytearray(files["receipt"].read_bytes())
    content[content.index(b'"calls":"1"') + 9] ^= 2
    files["receipt"].write_bytes(content)
    done = weighhouse("verify", files["receipt"], *trusted, *given)
    assert done.returncode == 1
    assert "FAILED       signature" in done.stdout
    fingerprint = Job.objects.get(pk=job["id"]).fingerprint
    assert {"packages", "dtype", "device", "seed", "isolation", "batches"} <= set(fingerprint)


def test_job_that_fails_in_a_worker_has_a_receipt_that_counts_nothing(
    list_model, market, celery_worker, client, tiny_embedder, tmp_path
):
    worker_key_create()
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tiny_embedder.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:-1000] if file.suffix == ".safetensors" else content)
    model_id, _ = list_model(broken)
    market.buy(market.add_plan(model_id))
    market.index()
    celery_worker(queues="inference")
    job = client.job_run(model_id, ["the weigh house"])
    message = json.loads(client.job_receipt(job["id"]))["message"]
    assert (message["state"], message["errorCode"], message["calls"]) == ("failed", "model.unloadable", "0")
