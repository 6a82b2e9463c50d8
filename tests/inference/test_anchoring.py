"""Batches of receipts: anchored once, proven by the real contract, through crashes and re-orgs."""

import shutil
import sys
from pathlib import Path

import pytest
from django.conf import settings as site
from django.db import connection
from weighhouse.core import canonical
from weighhouse.core.statements import Statement
from weighhouse.verify import ChainReader, Expected, verify

from chain.bindings import receipt_anchor
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.models import OutboxTransaction
from chain.outbox.calls import receipts_anchor_enqueue
from chain.signing.local import LocalSigner
from marketplace.inference import services
from marketplace.inference.models import Job, Receipt, ReceiptBatch
from marketplace.inference.receipts import batching, selectors
from marketplace.inference.receipts.issuing import receipt_issue
from marketplace.inference.receipts.keys import worker_key_create, worker_key_revoke, worker_key_rotate
from tests.chain.outbox.conftest import Outbox
from tests.sdk.support import STRANGER_KEY, anchored, delegated, receipt

pytestmark = pytest.mark.django_db


@pytest.fixture
def outbox(market) -> Outbox:
    return Outbox(market)


@pytest.fixture
def sold(sell):
    return sell(calls=30)


@pytest.fixture
def issue(sold, buyer, finish, worker_key):
    """`issue()`: a job that ended, with its receipt."""

    def make() -> Job:
        job = finish(services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")[0])
        assert receipt_issue(job_id=job.pk)
        return job

    return make


def document_of(job: Job) -> bytes:
    return selectors.receipt_statement(selectors.receipt_get(job)).to_bytes()


def on_chain(document: bytes, **expected):
    with ChainReader(site.RPC_URLS[0]) as chain:
        return verify(document, Expected(**expected), chain=chain)


def result(report, name: str) -> str:
    return next(check.result.value for check in report.checks if check.name == name)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_receipts_are_anchored_in_one_batch_and_each_is_proven_by_the_contract(issue, outbox, count):
    jobs = [issue() for _ in range(count)]
    assert result(on_chain(document_of(jobs[0])), "inclusion") == "not checked"
    assert batching.receipts_anchor() == 1
    assert result(on_chain(document_of(jobs[0])), "inclusion") == "not checked", "the contract does not know it yet"
    outbox.work()
    assert batching.receipts_anchor() == 0
    batch = ReceiptBatch.objects.get()
    assert (batch.count, batch.is_final, int(batch.anchored_at.timestamp())) == (count, False, outbox.market.now)
    contract, operator_id = receipt_anchor(), outbox.market.operator_id
    for job in jobs:
        report = on_chain(document_of(job), anchor=contract.address)
        assert report.ok, report.text()
        assert (result(report, "inclusion"), result(report, "anchored")) == ("ok", "ok")
        statement = Statement.from_bytes(document_of(job))
        digest, anchoring = statement.typed.digest(), statement.anchoring
        assert contract.verify(operator_id, anchoring.root, digest, list(anchoring.proof)).read()
        assert not contract.verify(operator_id + 1, anchoring.root, digest, list(anchoring.proof)).read()
    outbox.finalise()
    batching.batches_follow()
    assert ReceiptBatch.objects.get().is_final


def test_receipt_whose_root_another_operator_anchored_is_not_anchored(issue, outbox):
    job = issue()
    batching.receipts_anchor()
    batch = ReceiptBatch.objects.get()
    other = outbox.market.register_operator()
    outbox.market.send("ReceiptAnchor", "anchor", [other, batch.root, 1, batching.NOWHERE], by=outbox.market.outsider)
    batching.batches_follow()
    batch.refresh_from_db()
    assert batch.anchored_at is None
    forged = Statement.from_json(Receipt.objects.get(pk=job.pk).document).json()
    proof = selectors.batch_proof(batch, Receipt.objects.get(pk=job.pk).digest)
    forged["anchor"] = {"root": proof.root, "proof": list(proof.proof)}
    assert on_chain(canonical.dumps(forged)).failed() == ["anchored"]


def test_receipt_that_was_not_in_the_anchored_batch_cannot_borrow_its_proof(issue, outbox):
    inside, outside = issue(), None
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    outside = issue()
    forged = Statement.from_bytes(document_of(outside)).json()
    forged["anchor"] = Statement.from_bytes(document_of(inside)).json()["anchor"]
    assert on_chain(canonical.dumps(forged)).failed() == ["inclusion", "anchored"]


def test_receipts_of_a_revoked_key_count_on_where_they_are_anchored(issue, outbox, worker_key):
    job = issue()
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    worker_key_revoke(address=worker_key.address)
    keys = {"results": selectors.worker_keys()}
    assert on_chain(document_of(job), keys=keys).ok
    assert verify(document_of(job), Expected(keys=keys)).failed() == ["revocation"], "no chain was asked"


@pytest.mark.parametrize("change", ["replaced", "disabled"])
def test_receipts_of_an_operators_older_key_count_on_where_the_reader_knows_the_contract_that_anchored_them(
    issue, outbox, change
):
    market, job = outbox.market, issue()
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    if change == "replaced":
        key = [market.operator_id, market.outsider, market.operator_payee]
        market.send("LicenceMarket", "setOperator", key, by=market.operator_owner)
    else:
        market.send("LicenceMarket", "disableOperator", [market.operator_id], by=market.guardian)
    report = on_chain(document_of(job), anchor=receipt_anchor().address)
    assert report.ok, report.text()
    assert "had" in next(check.meaning for check in report.checks if check.name == "operator")
    assert on_chain(document_of(job)).failed() == ["operator"], "the contract could be the forger's own"


def test_receipt_of_a_job_accepted_under_one_key_of_the_operator_and_signed_under_the_next_counts_under_a_third(
    sold, buyer, finish, worker_key, market
):
    job = services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")[0]
    key = [market.operator_id, market.outsider, market.operator_payee]
    market.send("LicenceMarket", "setOperator", key, by=market.operator_owner)
    market.index()
    finish(job)
    worker_key_rotate(signer=LocalSigner(DEVELOPMENT_ACCOUNTS[3].key))
    assert receipt_issue(job_id=job.pk)
    batch = batching.receipts_batch()
    anchor = [market.operator_id, batch.root, 1, batching.NOWHERE]
    market.send("ReceiptAnchor", "anchor", anchor, by=market.outsider)
    batching.batches_follow()
    market.warp(2)
    market.send("LicenceMarket", "setOperator", [key[0], market.buyer, market.operator_payee], by=market.operator_owner)
    report = on_chain(document_of(job), anchor=receipt_anchor().address)
    assert report.ok, report.text()
    assert "when the receipt was anchored" in next(c.meaning for c in report.checks if c.name == "operator")
    assert on_chain(document_of(job)).failed() == ["operator"], "the contract could be the forger's own"


def test_receipt_by_a_key_that_never_was_the_operators_fails_though_it_is_anchored(issue, outbox, market):
    statement = Statement.from_bytes(document_of(issue()))
    contract = receipt_anchor().address
    delegation = {"receiptAnchor": contract, "validFrom": 0, "validUntil": 2**40}
    delegation["operatorId"] = market.operator_id
    forged = anchored(
        receipt(
            dict(statement.signed.message),
            domain=statement.domain,
            fingerprint=statement.fingerprint,
            delegation=delegated(delegation, key=STRANGER_KEY, domain=statement.domain),
        )
    )
    anchor = [market.operator_id, forged.anchoring.root, 5, batching.NOWHERE]
    market.send("ReceiptAnchor", "anchor", anchor, by=market.operator_key)
    report = on_chain(forged.to_bytes(), anchor=contract)
    assert (report.failed(), result(report, "anchored")) == (["operator"], "ok")


def test_receipt_goes_into_one_batch_and_a_batch_is_sent_once(issue, outbox):
    first, second = issue(), issue()
    batching.receipts_anchor()
    batching.receipts_anchor()
    third = issue()
    batching.receipts_anchor()
    batches = [Receipt.objects.get(pk=job.pk).batch_id for job in (first, second, third)]
    assert batches[0] == batches[1] != batches[2]
    outbox.work()
    outcomes = list(OutboxTransaction.objects.values_list("purpose", "outcome"))
    assert outcomes == [("receipts.anchor", "succeeded")] * 2


def test_batches_have_a_largest_size(issue, settings, outbox):
    settings.RECEIPT_BATCH_MAX = 2
    jobs = [issue() for _ in range(5)]
    assert batching.receipts_anchor() == 3
    outbox.work()
    batching.batches_follow()
    assert [batch.count for batch in ReceiptBatch.objects.order_by("pk")] == [2, 2, 1]
    assert all(on_chain(document_of(job)).ok for job in jobs)


def test_batch_that_another_process_took_receipts_of_is_not_made(issue, monkeypatch):
    issue()

    def overtaken(name, real=batching.fault_point):
        if name == "receipts.before_batch":
            monkeypatch.setattr(batching, "fault_point", real)
            assert batching.receipts_batch() is not None

    monkeypatch.setattr(batching, "fault_point", overtaken)
    assert batching.receipts_batch() is None
    assert (ReceiptBatch.objects.count(), OutboxTransaction.objects.count()) == (1, 1)


def test_anchor_that_a_reorg_removed_is_no_proof_until_the_outbox_has_sent_it_again(issue, outbox):
    market = outbox.market
    market.mine(2)
    job = issue()
    snapshot = market.anvil.rpc("evm_snapshot")
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    assert ReceiptBatch.objects.get().anchored_at is not None
    assert market.anvil.rpc("evm_revert", snapshot)
    batching.batches_follow()
    assert ReceiptBatch.objects.get().anchored_at is None
    assert result(on_chain(document_of(job)), "inclusion") == "not checked"
    market.mine()
    outbox.work()
    batching.batches_follow()
    assert ReceiptBatch.objects.get().anchored_at is not None
    assert on_chain(document_of(job)).ok


def test_node_that_is_away_changes_no_batch(issue, outbox, settings):
    issue()
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    known = ReceiptBatch.objects.get().anchored_at
    settings.RPC_URLS = ["http://127.0.0.1:9"]
    batching.batches_follow()
    assert ReceiptBatch.objects.get().anchored_at == known is not None


def test_proofs_are_made_from_the_leaves_that_were_kept(issue, outbox):
    jobs = [issue() for _ in range(3)]
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    # A job may go with its account; the proofs of the others must not need it.
    Receipt.objects.get(pk=jobs[0].pk).delete()
    assert all(on_chain(document_of(job)).ok for job in jobs[1:])


def test_call_is_the_one_of_the_outbox(issue, market):
    issue()
    batch = batching.receipts_batch()
    row = receipts_anchor_enqueue(batch.root, 1, batching.NOWHERE, operator_id=market.operator_id)
    assert row.pk == OutboxTransaction.objects.get().pk


@pytest.fixture
def acknowledged():
    directory = Path(site.VAR_DIR) / "faults"
    yield lambda point: (directory / point).exists()
    shutil.rmtree(directory, ignore_errors=True)


ANCHOR = "from marketplace.inference.receipts.batching import receipts_anchor; receipts_anchor()"
SWEEP = "from marketplace.inference.receipts.issuing import receipts_sweep; receipts_sweep()"


def run_and_kill(spawn, acknowledged, code: str, point: str) -> None:
    argv = [sys.executable, "-c", f"import django; django.setup(); {code}"]
    environment = {"WEIGHHOUSE_FAULTS": point, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    process = spawn(point, argv, env=environment)
    process.wait_until(lambda: acknowledged(point), what=f"at {point}", timeout_s=60)
    process.kill()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["receipts.before_batch", "receipts.in_batch", "receipts.after_batch"])
def test_process_killed_while_it_makes_a_batch_leaves_one_batch_in_the_end(
    sold, buyer, finish, clean_broker, outbox, spawn, acknowledged, point
):
    worker_key_create()
    jobs = [finish(services.job_create(account=buyer, model_id=sold.model_id, inputs="a")[0]) for _ in range(3)]
    assert all(Receipt.objects.get(pk=job.pk).digest for job in jobs)
    connection.close()
    run_and_kill(spawn, acknowledged, ANCHOR, point)
    made = 1 if point == "receipts.after_batch" else 0
    assert (ReceiptBatch.objects.count(), OutboxTransaction.objects.count()) == (made, made)
    batching.receipts_anchor()
    outbox.work()
    batching.batches_follow()
    assert ReceiptBatch.objects.count() == OutboxTransaction.objects.count() == 1
    assert all(result(on_chain(document_of(job)), "anchored") == "ok" for job in jobs)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["receipts.signed", "receipts.stored"])
def test_process_killed_while_it_signs_leaves_one_receipt_in_the_end(
    sold, buyer, finish, clean_broker, spawn, acknowledged, point
):
    job = finish(services.job_create(account=buyer, model_id=sold.model_id, inputs="a")[0])
    assert not Receipt.objects.get(pk=job.pk).digest, "the site has no key yet"
    worker_key_create()
    connection.close()
    run_and_kill(spawn, acknowledged, SWEEP, point)
    before = Receipt.objects.get(pk=job.pk).digest
    assert bool(before) == (point == "receipts.stored")
    services.jobs_sweep()
    after = Receipt.objects.get(pk=job.pk).digest
    assert after
    assert before in ("", after)
    assert on_chain(document_of(job)).ok
