"""Running a job again in a real sandbox: what holds, what does not, and what is never taken for proof."""

import math

import pytest
from django.core.management import CommandError, call_command

from marketplace.inference import services
from marketplace.inference.models import Job, JobPayload, Receipt
from marketplace.inference.payloads import payload_decrypt, payload_encrypt
from marketplace.inference.receipts import recheck
from marketplace.inference.receipts.errors import RecheckError
from marketplace.inference.receipts.issuing import output_commit, receipt_output
from marketplace.inference.receipts.recheck import job_recheck, outputs_distance
from models_registry import selectors as registry
from models_registry.runners import runner_pool, runner_pool_close
from models_registry.runtime import clearance
from models_registry.runtime.errors import SandboxUnavailable
from models_registry.runtime.specs import RunnerSpec
from models_registry.storage.cache import release_fetch

pytestmark = pytest.mark.django_db


@pytest.fixture
def ran(sell, buyer):
    """A job whose result a real sandbox computed."""
    sold = sell()
    job, _ = services.job_create(account=buyer, model_id=sold.model_id, inputs=["the weigh house", "a scale"])
    claimed = services.job_claim(job_id=job.pk)
    release = registry.release_of_model(job.model_id, job.release_digest)
    spec = RunnerSpec(release_path=release_fetch(release.root_cid), digest=release.digest, task=job.task)
    request = payload_decrypt(job.pk, JobPayload.objects.get(pk=job.pk).request)
    result = runner_pool().run(spec, request["inputs"], request["parameters"], 60)
    checked = type("Checked", (), {"block_number": 1, "block_hash": "0x"})
    assert services.job_succeed(job=claimed, result=result, licence=checked)
    yield Job.objects.get(pk=job.pk)
    runner_pool_close()


def outputs_replace(job: Job, change) -> None:
    """What the job returned becomes something else, in the receipt too: as if another model had run."""
    payload = JobPayload.objects.get(pk=job.pk)
    value = payload_decrypt(job.pk, payload.outputs)
    value["outputs"] = change(value["outputs"])
    JobPayload.objects.filter(pk=job.pk).update(outputs=payload_encrypt(job.pk, value))
    receipt_output(job=job, commitment=output_commit(value["outputs"]))


def nudged(by: float):
    return lambda outputs: [[number + by for number in vector] for vector in outputs]


def test_result_that_is_computed_again_is_the_same_to_the_bit(ran, capsys):
    call_command("recheck_job", str(ran.pk))
    assert capsys.readouterr().out.startswith("exact: ")


def test_result_is_not_computed_again_in_a_sandbox_that_does_not_hold(ran, monkeypatch):
    def loose(*_, **__):
        raise SandboxUnavailable("The sandbox does not hold on this machine.")

    monkeypatch.setattr(clearance, "require_held", loose)
    with pytest.raises(CommandError, match="does not hold"):
        call_command("recheck_job", str(ran.pk))


def test_result_checked_again_needs_no_outputs_where_the_salt_is_kept(ran):
    JobPayload.objects.filter(pk=ran.pk).update(outputs=None)
    assert job_recheck(job_id=ran.pk).verdict == "exact"


def test_result_checked_again_needs_no_salt_where_the_outputs_are_kept(ran):
    Receipt.objects.filter(pk=ran.pk).update(output_salt=None)
    assert job_recheck(job_id=ran.pk).verdict == "exact"
    JobPayload.objects.filter(pk=ran.pk).update(outputs=None)
    with pytest.raises(RecheckError, match="nothing can be compared"):
        job_recheck(job_id=ran.pk)


def test_result_that_another_machine_rounded_holds_within_the_tolerance_and_not_beyond(ran, capsys):
    outputs_replace(ran, nudged(5e-6))
    found = job_recheck(job_id=ran.pk)
    assert (found.verdict, found.tolerance) == ("tolerance", 1e-5)
    assert found.max_abs == pytest.approx(5e-6, rel=0.1)
    outputs_replace(ran, nudged(1e-5))
    with pytest.raises(SystemExit) as ended:
        call_command("recheck_job", str(ran.pk))
    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith("differs: ")


def test_result_in_bfloat16_has_no_tolerance(ran):
    outputs_replace(ran, nudged(1e-7))
    Job.objects.filter(pk=ran.pk).update(fingerprint={**ran.fingerprint, "dtype": "bfloat16"})
    found = job_recheck(job_id=ran.pk)
    assert (found.verdict, found.tolerance) == ("differs", None)
    assert "bfloat16" in found.meaning


def test_outputs_that_were_changed_after_they_were_signed_do_not_hold(ran):
    receipt = Receipt.objects.values("output_hash", "output_salt").get(pk=ran.pk)
    outputs_replace(ran, nudged(1e-6))
    changed = output_commit([[0.0]])
    Receipt.objects.filter(pk=ran.pk).update(output_hash=changed.hash, output_salt=receipt["output_salt"])
    found = job_recheck(job_id=ran.pk)
    assert (found.verdict, found.max_abs) == ("differs", None)
    assert "not those that the receipt" in found.meaning


def test_versions_that_differ_are_named(ran):
    Job.objects.filter(pk=ran.pk).update(fingerprint={**ran.fingerprint, "python": "2.7"})
    (difference,) = job_recheck(job_id=ran.pk).differences
    assert difference.startswith("python: 2.7 then, ")


def test_job_without_a_result_or_a_payload_cannot_be_checked_again(ran, capsys):
    JobPayload.objects.filter(pk=ran.pk).delete()
    with pytest.raises(RecheckError):
        job_recheck(job_id=ran.pk)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ([[1.0, 2.0]], [[1.0, 2.5]], 0.5),
        ([[1.0]], [[1.0, 2.0]], math.inf),
        (
            [{"label": "A", "score": 0.5}, {"label": "B", "score": 0.4}],
            [{"label": "B", "score": 0.5}, {"label": "A", "score": 0.5}],
            0.1,
        ),
        ([{"label": "A", "score": 0.5}], [{"label": "B", "score": 0.5}], math.inf),
        ([{"text": "a"}], [{"text": "b"}], math.inf),
        ([{"text": "a", "n": 1}], [{"text": "a", "n": 1}], 0.0),
        ([1], [1.0], math.inf),
        ([True], [1], math.inf),
        ([float("inf")], [1.0], math.inf),
        ([None], [None], 0.0),
        ({"a": 1.0}, {"b": 1.0}, math.inf),
        ([], [], 0.0),
    ],
)
def test_distance_is_of_numbers_alone(one, other, distance):
    assert outputs_distance(one, other) == pytest.approx(distance)


def test_texts_have_no_tolerance():
    assert "text-generation" not in recheck.TOLERANCES
    assert set(recheck.TOLERANCES.values()) == {1e-5}
