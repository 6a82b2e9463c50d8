"""Acceptances and receipts as the site issues them, checked by the verifier that knows nothing of the site."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from weighhouse.core import canonical
from weighhouse.core.commitments import salted_hash
from weighhouse.core.statements import Statement
from weighhouse.verify import verify

from chain.development import DEVELOPMENT_ACCOUNTS, OPERATOR_KEY
from chain.signing.errors import SignerMissing, SignerUnavailable
from chain.signing.local import LocalSigner
from marketplace.inference import services
from marketplace.inference.models import Job, LicenceUse, Receipt, WorkerKey
from marketplace.inference.payloads import payload_decrypt
from marketplace.inference.receipts import issuing, selectors
from marketplace.inference.receipts.errors import WorkerKeyError
from marketplace.inference.receipts.issuing import acceptance_issue, receipt_issue, receipts_sweep
from marketplace.inference.receipts.keys import (
    worker_key_active,
    worker_key_create,
    worker_key_ensure,
    worker_key_revoke,
    worker_key_rotate,
)
from models_registry.runtime.errors import InputError, OutputInvalidError
from tests.inference.receipt_steps import document_of, keys_listed, message_of, on_chain
from tests.sdk.support import STRANGER_KEY, delegated, receipt

pytestmark = pytest.mark.django_db


@pytest.fixture
def sold(sell):
    return sell(calls=30)


@pytest.fixture
def create(sold, buyer):
    def make(**extra) -> Job:
        return services.job_create(account=buyer, model_id=sold.model_id, inputs="the house", **extra)[0]

    return make


def test_receipt_of_a_success_holds_on_chain_with_its_opening_and_says_what_the_job_did(
    create, finish, worker_key, sold, buyer
):
    job = finish(create())
    document = document_of(job)
    opening = selectors.receipt_opening(job)
    market = sold.market.book.contract("LicenceMarket").address
    report = on_chain(
        document,
        market=market,
        model_id=sold.model_id,
        licence_id=sold.licence_id,
        release_digest=sold.release.digest,
        operator_key=sold.market.operator_key,
        opening=opening,
        keys=keys_listed(),
    )
    assert report.ok, report.text()
    results = {check.name: check.result.value for check in report.checks}
    named = ("operator", "plan", "checked block", "input", "output", "signature", "revocation")
    assert {name: results[name] for name in named} == dict.fromkeys(named, "ok")
    message = json.loads(document)["message"]
    assert (message["state"], message["calls"], message["errorCode"]) == ("succeeded", "1", "")
    assert opening["input"]["value"]["inputs"] == ["the house"]
    assert opening["output"]["value"] == {"outputs": [[0.5, -1e-7, 1.0]]}


def test_receipt_with_any_signed_field_changed_does_not_hold(create, finish, worker_key):
    document = json.loads(document_of(finish(create())))
    for name, value in document["message"].items():
        changed = value[:-1] + ("1" if value[-1:] != "1" else "2")
        forged = document | {"message": document["message"] | {name: changed}}
        assert not verify(canonical.dumps(forged)).ok, name


def test_acceptance_holds_and_commits_to_the_same_inputs_as_the_receipt(create, finish, worker_key):
    job = create()
    acceptance = acceptance_issue(job=job)
    assert acceptance_issue(job=job) == acceptance, "however often it is asked for"
    report = on_chain(canonical.dumps(acceptance), keys=keys_listed())
    assert report.ok, report.text()
    receipt = message_of(finish(job))
    same = ("jobId", "licenceId", "releaseDigest", "inputHash", "acceptedAt", "operatorId")
    assert {name: acceptance["message"][name] for name in same} == {name: receipt[name] for name in same}


def test_acceptance_is_there_as_soon_as_the_job_is(create, worker_key, monkeypatch):
    job = create()
    stored = Receipt.objects.get(pk=job.pk).acceptance
    monkeypatch.setattr(issuing, "worker_key_sign", None)
    assert acceptance_issue(job=job) == stored
    assert on_chain(canonical.dumps(stored), keys=keys_listed()).ok


def test_acceptance_of_a_job_that_waits_is_signed_when_the_site_gets_a_key_and_of_one_that_began_never(
    create, finish, market, buyer, with_key
):
    waits, runs, done, tried, late = (create() for _ in range(5))
    services.job_claim(job_id=runs.pk)
    finish(done)
    services.job_retry(job=services.job_claim(job_id=tried.pk), error=InputError("Blank.", position=0), counts=True)
    Job.objects.filter(pk=late.pk).update(start_before=timezone.now())
    worker_key_create()
    client = with_key(buyer, "run")
    answers = {job: client.get(f"/api/v1/jobs/{job.pk}/acceptance") for job in (waits, runs, done, tried, late)}
    assert [answer.status_code for answer in answers.values()] == [200, 404, 404, 404, 404]
    assert "signs no acceptance afterwards" in answers[runs].json()["detail"]
    assert on_chain(answers[waits].content).ok
    services.job_claim(job_id=waits.pk)
    assert client.get(f"/api/v1/jobs/{waits.pk}/acceptance").content == answers[waits].content


def test_acceptance_is_not_stored_for_a_job_that_begins_while_it_is_signed(create, market):
    job = create()
    worker_key_create()
    services.job_claim(job_id=job.pk)
    assert acceptance_issue(job=job) is None, "the row that was read before says that it waits"
    assert Receipt.objects.get(pk=job.pk).acceptance is None


def test_salts_differ_between_equal_jobs(create, finish, worker_key):
    one, two = (message_of(finish(create())) for _ in range(2))
    assert one["inputHash"] != two["inputHash"]
    assert one["outputHash"] != two["outputHash"]


@pytest.mark.django_db(transaction=True)
def test_receipt_is_signed_when_the_end_of_a_job_is_stored_and_no_transaction_is_open(
    create, finish, worker_key, monkeypatch, clean_broker
):
    held = []

    def sign(key, digest, real=issuing.worker_key_sign):
        held.append(connection.in_atomic_block)
        return real(key, digest)

    job = create()
    monkeypatch.setattr(issuing, "worker_key_sign", sign)
    finish(job)
    assert held == [False]
    assert Receipt.objects.get(pk=job.pk).digest


@pytest.mark.django_db(transaction=True)
def test_receipt_that_several_processes_sign_at_once_is_one(create, finish, worker_key, clean_broker):
    job = finish(create())
    Receipt.objects.update(document=None, digest="", key=None, issued_at=None)

    def issue(_):
        try:
            receipt_issue(job_id=job.pk)
            return Receipt.objects.get(pk=job.pk).digest
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        digests = set(pool.map(issue, range(4)))
    assert digests == {Receipt.objects.get(pk=job.pk).digest}


def test_job_that_is_open_has_no_receipt(create, worker_key):
    job = create()
    assert not receipt_issue(job_id=job.pk)
    services.job_claim(job_id=job.pk)
    assert (receipt_issue(job_id=job.pk), receipts_sweep()) == (False, 0)


def test_receipt_never_signed_is_signed_by_the_sweep_once(create, finish, worker_key):
    job, other = finish(create()), create()
    assert receipts_sweep() == 1
    document = selectors.receipt_get(job).document
    assert receipts_sweep() == 0
    assert selectors.receipt_get(job).document == document
    assert selectors.receipt_get(other).document is None


def test_receipt_is_not_changed_by_what_happens_to_the_job_later(create, finish, worker_key):
    job = finish(create())
    document = document_of(job)
    Job.objects.filter(pk=job.pk).update(fingerprint={"device": "moon"}, task="text-generation")
    assert document_of(job) == document


def test_site_without_a_key_issues_nothing_and_says_so_until_it_has_one(create, finish, buyer, with_key, market):
    job = finish(create())
    assert acceptance_issue(job=job) is None
    answer = with_key(buyer, "run").get(f"/api/v1/jobs/{job.pk}/receipt")
    assert (answer.status_code, answer.json()["code"]) == (404, "receipt.unavailable")
    worker_key_create()
    assert receipts_sweep() == 1
    assert on_chain(document_of(job)).ok, "it was issued while the delegation holds, if long after the job"


def test_job_older_than_receipts_has_none(create, finish, buyer, with_key, worker_key):
    job = finish(create())
    Receipt.objects.all().delete()
    for path in ("acceptance", "receipt", "receipt/opening"):
        answer = with_key(buyer, "run").get(f"/api/v1/jobs/{job.pk}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "receipt.unavailable")
    assert with_key(buyer, "run").get(f"/api/v1/jobs/{job.pk}").json()["receipt"] is None


def test_worker_key_is_nowhere_in_the_clear(worker_key):
    secret = payload_decrypt(worker_key.address, worker_key.secret)
    stored = str(WorkerKey.objects.values_list().get()) + str(selectors.worker_keys())
    assert secret not in stored + bytes(worker_key.secret).decode()


def test_worker_key_whose_payload_key_is_gone_signs_nothing_and_the_job_goes_on(create, finish, worker_key, settings):
    job = finish(create())
    settings.PAYLOAD_KEY = Fernet.generate_key().decode()
    assert not receipt_issue(job_id=job.pk)
    assert acceptance_issue(job=create()) is None


def test_worker_key_rotated_signs_no_more_and_what_it_signed_holds(create, finish, worker_key):
    before = document_of(finish(create()))
    fresh = worker_key_rotate()
    after = document_of(finish(create()))
    assert json.loads(after)["delegation"]["message"]["workerKey"] == fresh.address != worker_key.address
    assert WorkerKey.objects.get(pk=worker_key.pk).secret is None
    for document in (before, after):
        report = on_chain(document, keys=keys_listed())
        assert report.ok, report.text()


def test_worker_key_revoked_vouches_for_nothing_that_is_not_anchored(create, finish, worker_key):
    document = document_of(finish(create()))
    revoked = worker_key_revoke(address=worker_key.address)
    assert worker_key_revoke(address=worker_key.address).revocation_signature == revoked.revocation_signature
    assert revoked.secret is None
    assert on_chain(document, keys=keys_listed()).failed() == ["revocation"]
    assert not receipt_issue(job_id=finish(create()).pk), "no key signs now"


class SlowSigner(LocalSigner):
    """The operator's signer. While it is asked, workers go on as `meanwhile` says."""

    def __init__(self, meanwhile) -> None:
        super().__init__(OPERATOR_KEY.key)
        self.meanwhile = meanwhile

    def sign_typed_data(self, typed):
        self.meanwhile()
        return super().sign_typed_data(typed)


def test_worker_key_signs_no_more_while_its_revocation_is_made(create, finish, worker_key):
    before, after = document_of(finish(create())), finish(create())
    issued = []
    signer = SlowSigner(lambda: issued.append(receipt_issue(job_id=after.pk)))
    worker_key_revoke(address=worker_key.address, signer=signer)
    assert issued == [False]
    issued_at = int(json.loads(before)["message"]["issuedAt"])
    worker_key.refresh_from_db()
    ahead = worker_key.revoked_at.timestamp() - issued_at
    assert 30 < ahead < 120, "a clock that is ahead of others, or a worker that was slow, leaves no later date"


def test_worker_key_whose_revocation_the_signer_does_not_sign_signs_no_more_and_can_be_revoked_again(
    create, finish, worker_key
):
    def fail() -> None:
        raise SignerUnavailable("It is away.")

    with pytest.raises(SignerUnavailable):
        worker_key_revoke(address=worker_key.address, signer=SlowSigner(fail))
    worker_key.refresh_from_db()
    assert (worker_key.revoked_at, worker_key.secret, worker_key_active()) == (None, None, None)
    assert worker_key.retired_at is not None
    assert worker_key_revoke(address=worker_key.address).revoked_at is not None
    worker_key_create()
    job = finish(create())
    assert on_chain(document_of(job), keys=keys_listed()).ok, "the list of keys is one that verifiers read"


def test_worker_key_that_two_revoke_at_once_has_one_revocation(worker_key):
    first = []
    signer = SlowSigner(lambda: first.append(worker_key_revoke(address=worker_key.address)))
    second = worker_key_revoke(address=worker_key.address, signer=signer)
    assert second.revocation_signature == first[0].revocation_signature


def test_worker_key_over_its_term_signs_nothing(create, finish, worker_key):
    WorkerKey.objects.update(valid_until=timezone.now())
    assert not receipt_issue(job_id=finish(create()).pk)


def test_worker_key_is_not_delegated_to_by_another_than_the_operators_key(market, db):
    stranger = LocalSigner(DEVELOPMENT_ACCOUNTS[3].key)
    with pytest.raises(WorkerKeyError, match="the signer is"):
        worker_key_create(signer=stranger)
    key = worker_key_create()
    with pytest.raises(WorkerKeyError, match="alone can revoke"):
        worker_key_revoke(address=key.address, signer=stranger)
    with pytest.raises(WorkerKeyError, match="no worker key"):
        worker_key_revoke(address=stranger.address)


def test_site_that_is_no_operator_gets_no_key(market, db, settings):
    settings.DEMO = False
    with pytest.raises(SignerMissing):
        worker_key_create()
    with pytest.raises(WorkerKeyError, match="no operator"):
        worker_key_create(signer=LocalSigner(DEVELOPMENT_ACCOUNTS[3].key))


def test_statements_of_an_operator_whose_key_changed_fail_where_nothing_is_anchored(create, finish, worker_key, market):
    job = create()
    documents = [canonical.dumps(acceptance_issue(job=job)), document_of(finish(job))]
    assert all(on_chain(document).ok for document in documents)
    market.send(
        "LicenceMarket",
        "setOperator",
        [market.operator_id, market.outsider, market.operator_payee],
        by=market.operator_owner,
    )
    for document in documents:
        report = on_chain(document, anchor=market.book.contract("ReceiptAnchor").address)
        assert report.failed() == ["operator"]
        why = next(check.meaning for check in report.checks if check.name == "operator")
        assert "an older key counts only where the receipt is anchored" in why


@pytest.fixture
def change_key(market):
    """The operator's owner names the outsider's key; returns what signs with it."""

    def change() -> LocalSigner:
        key = [market.operator_id, market.outsider, market.operator_payee]
        market.send("LicenceMarket", "setOperator", key, by=market.operator_owner)
        return LocalSigner(DEVELOPMENT_ACCOUNTS[3].key)

    return change


def test_worker_key_signs_no_more_when_the_operators_key_has_changed_and_the_sweep_signs_once_it_has_rotated(
    create, finish, worker_key, market, change_key
):
    accepted_before, signer = create(), change_key()
    market.index()
    accepted_after = create()
    assert (worker_key_active(), acceptance_issue(job=accepted_after)) == (None, None)
    jobs = [finish(accepted_before), finish(accepted_after)]
    assert [receipt_issue(job_id=job.pk) for job in jobs] == [False, False]
    assert receipts_sweep() == 0
    fresh = worker_key_rotate(signer=signer)
    assert worker_key_active() == fresh
    assert (receipts_sweep(), receipts_sweep()) == (2, 0)
    for job in jobs:
        report = on_chain(document_of(job), keys=keys_listed())
        assert report.ok, report.text()
    assert LicenceUse.objects.get().used == 2


def test_worker_key_of_an_operator_that_the_index_has_not_read_signs(worker_key):
    assert worker_key_active() == worker_key


def test_worker_key_whose_operator_has_another_key_by_now_is_missing_also_before_the_index_has_read_that(
    worker_key, market, change_key, capsys
):
    market.index()
    assert worker_key_ensure() == worker_key
    signer = change_key()
    fresh = worker_key_ensure(signer=signer)
    assert fresh.operator_key == signer.address
    assert worker_key_ensure(signer=signer) == fresh
    market.index()
    assert worker_key_active() == fresh
    call_command("worker_keys", "list")
    told = capsys.readouterr().out.splitlines()
    assert ["  signs  " in told[0], "stale: the operator has another key" in told[1]] == [True, True]


def test_receipt_of_a_stranger_who_claims_to_be_the_operator_fails_on_chain_alone(create, finish, worker_key):
    statement = Statement.from_bytes(document_of(finish(create())))
    message = dict(statement.signed.message)
    delegation = {name: statement.delegation.message[name] for name in ("operatorId", "receiptAnchor")}
    delegation |= {"validFrom": 0, "validUntil": 2**40}
    forged = receipt(
        message,
        domain=statement.domain,
        fingerprint=statement.fingerprint,
        delegation=delegated(delegation, key=STRANGER_KEY, domain=statement.domain),
    ).to_bytes()
    assert verify(forged).ok, "alone it looks as good as any"
    assert on_chain(forged).failed() == ["operator"]


def test_commands_make_list_rotate_and_revoke_keys(market, db, capsys):
    call_command("worker_keys", "list")
    call_command("worker_keys", "create", "--days", "30")
    call_command("worker_keys", "create", "--if-missing")
    assert WorkerKey.objects.count() == 1
    call_command("worker_keys", "rotate")
    call_command("worker_keys", "revoke", WorkerKey.objects.first().address)
    call_command("worker_keys", "list")
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("No key signs now")
    assert [line.split("  ")[2] for line in told[-3:-1]] == ["revoked", "retired"]
    with pytest.raises(CommandError, match="--days"):
        call_command("worker_keys", "create", "--days", "0")


def test_payload_deleted_leaves_the_receipt_and_takes_the_salts_unless_they_are_to_be_kept(
    create, finish, buyer, worker_key, with_key
):
    client, kept, gone = with_key(buyer, "run"), finish(create()), finish(create())
    documents = {job.pk: document_of(job) for job in (kept, gone)}
    assert client.delete(f"/api/v1/jobs/{kept.pk}/payload?salts=keep").status_code == 204
    assert client.delete(f"/api/v1/jobs/{gone.pk}/payload").status_code == 204
    assert {job.pk: document_of(job) for job in (kept, gone)} == documents
    opening = client.get(f"/api/v1/jobs/{kept.pk}/receipt/opening").json()
    assert opening["output"]["value"] is None
    salt = bytes.fromhex(opening["output"]["salt"][2:])
    assert salted_hash(salt, {"outputs": [[0.5, -1e-7, 1.0]]}) == message_of(kept)["outputHash"]
    assert client.get(f"/api/v1/jobs/{gone.pk}/receipt/opening").json() == {"input": None, "output": None}


def test_payload_whose_time_is_over_leaves_the_salts(create, finish, worker_key):
    job = finish(create())
    job.payload.delete_at = timezone.now()
    job.payload.save()
    services.payloads_purge()
    assert selectors.receipt_opening(job)["input"]["value"] is None
    assert selectors.receipt_opening(job)["input"]["salt"]


def test_api_answers_202_with_a_signed_acceptance_and_the_salt_that_opens_it(sold, buyer, with_key, worker_key):
    body = {"model": str(sold.model_id), "inputs": ["the house"]}
    headers = {"Idempotency-Key": "once"}
    client = with_key(buyer, "run")
    answer = client.post("/api/v1/jobs", body, format="json", headers=headers)
    assert answer.status_code == 202
    accepted = answer.json()
    report = on_chain(canonical.dumps(accepted["acceptance"]), model_id=sold.model_id)
    assert report.ok, report.text()
    opening = client.get(accepted["receipt"]["opening_url"]).json()
    assert opening["input"]["salt"] == accepted["input_salt"]
    value = {"inputs": ["the house"], "parameters": opening["input"]["value"]["parameters"]}
    committed = accepted["acceptance"]["message"]["inputHash"]
    assert salted_hash(bytes.fromhex(accepted["input_salt"][2:]), value) == committed
    file = client.get(f"/api/v1/jobs/{accepted['id']}/acceptance")
    assert file.content == canonical.dumps(accepted["acceptance"])
    again = client.post("/api/v1/jobs", body, format="json", headers=headers).json()
    assert again["acceptance"] == accepted["acceptance"]


def test_api_receipt_is_a_file_for_its_owner_alone(create, finish, buyer, outsider, with_key, worker_key):
    job = create()
    client, url = with_key(buyer, "run"), f"/api/v1/jobs/{job.pk}/receipt"
    early = client.get(url)
    assert (early.status_code, early.json()["code"]) == (409, "job.not_finished")
    finish(job)
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer.headers["Content-Disposition"] == f'attachment; filename="receipt-{job.pk}.json"'
    assert verify(answer.content).ok
    assert client.get(f"/api/v1/jobs/{job.pk}").json()["receipt"]["issued_at"]
    for path in (url, f"{url}/opening"):
        refused = with_key(outsider, "run").get(path)
        assert (refused.status_code, refused.json()["code"]) == (404, "job.not_found")


def test_api_lists_worker_keys_to_anybody(client, worker_key):
    (listed,) = client.get("/api/v1/worker-keys").json()["results"]
    assert (listed["worker_key"], listed["revocation"], listed["retired"]) == (worker_key.address, None, False)


def test_value_without_one_form_is_refused_and_not_repeated():
    secret = 2**60 + 12345
    for commit, value, error in (
        (issuing.input_commit, {"inputs": [secret], "parameters": {}}, InputError),
        (issuing.output_commit, [secret], OutputInvalidError),
    ):
        with pytest.raises(error) as caught:
            commit(value)
        assert str(secret) not in str(caught.value)
        assert caught.value.__cause__ is None


def test_job_created_and_rolled_back_leaves_no_receipt(create):
    with transaction.atomic():
        create()
        transaction.set_rollback(True)
    assert not Receipt.objects.exists()
