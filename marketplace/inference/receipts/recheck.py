"""Running a job again and comparing: the only check here that is about the computation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from weighhouse.core.commitments import output_value, plain_hash, salted_hash

from marketplace.inference import selectors as jobs
from marketplace.inference.errors import JobNotFoundError
from marketplace.inference.isolation import runner_owner
from marketplace.inference.models import Job, JobState
from marketplace.inference.receipts import selectors
from marketplace.inference.receipts.errors import RecheckError
from marketplace.inference.uploads import inputs_resolve
from models_registry import selectors as registry
from models_registry.runners import runner_pool, sandbox_require
from models_registry.runtime.specs import RunnerSpec, RunResult
from models_registry.storage.cache import release_fetch

# The greatest absolute difference of fp32 numbers by which two machines of pinned versions may differ: padding and
# instruction sets make 3e-8 to 7e-8, another dtype 7e-4 and more. Tasks that are not here return texts, which are equal
# or not. Cosine is never used: int8 weights pass it at 0.99995.
MAX_ABS = 1e-5
TOLERANCES: Mapping[str, float] = {
    "feature-extraction": MAX_ABS,
    "text-classification": MAX_ABS,
    "token-classification": MAX_ABS,
    "fill-mask": MAX_ABS,
    "question-answering": MAX_ABS,
    "zero-shot-classification": MAX_ABS,
    "image-classification": MAX_ABS,
}
_COMPARED = ("python", "packages", "dtype", "device", "accelerator", "cpu_capability", "threads", "seed", "batches")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """What held. `verdict` is `exact`, `tolerance` or `differs`; `differences` names what ran differently."""

    verdict: str
    meaning: str
    max_abs: float | None = None
    tolerance: float | None = None
    differences: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return self.verdict != "differs"


def job_recheck(*, job_id: UUID) -> Recheck:
    """Run a succeeded job again on the release that it ran, in this process's own sandbox, and compare.

    1. Take the inputs from the kept payload. Nothing is counted and nothing stored.
    2. Run them where a sandbox holds that was attacked as a worker attacks its own before it takes anything.
    3. The output hash, by the receipt's salt, or the kept outputs where the salt is gone: equal bits are `exact`.
    4. Else, of fp32 numbers alone, the task's tolerance. Texts and other dtypes have none.

    Raises JobNotFoundError, RecheckError, SandboxUnavailable, and what fetching and running raise.
    """
    job = Job.objects.filter(pk=job_id).first()
    if job is None:
        raise JobNotFoundError("This site has no such job.")
    request, kept = jobs.job_request(job), jobs.job_outputs(job)
    if job.state != JobState.SUCCEEDED or request is None:
        raise RecheckError("Only a job that succeeded and whose inputs are kept can be run again.", state=job.state)
    result = _run_again(job, request)
    differences = _differences(job.fingerprint or {}, result.fingerprint)
    if _is_exact(job, result, kept):
        return Recheck(verdict="exact", meaning=_exact_meaning(job), differences=differences)
    return _near(job, result, kept, differences)


def outputs_distance(one: Any, other: Any) -> float:
    """The greatest absolute difference of two outputs' numbers; infinite where anything else differs.

    Lists of labels with scores are compared by label: near scores may change places.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return math.inf
        return max((outputs_distance(one[name], other[name]) for name in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return math.inf
        pairs = zip(_by_label(one), _by_label(other), strict=True)
        return max((outputs_distance(left, right) for left, right in pairs), default=0.0)
    if isinstance(one, float) and isinstance(other, float) and math.isfinite(one - other):
        return abs(one - other)
    return 0.0 if type(one) is type(other) and one == other else math.inf


def _run_again(job: Job, request: dict[str, Any]) -> RunResult:
    sandbox_require()
    release = registry.release_of_model(job.model_id, job.release_digest)
    dtype = (job.fingerprint or {}).get("dtype") or release.manifest.get("runtime", {}).get("dtype", "float32")
    path = release_fetch(release.root_cid)
    # What was promised of the job's inputs holds for them now too.
    spec = RunnerSpec(
        release_path=path, digest=release.digest, task=job.task, dtype=dtype, dedicated_to=runner_owner(job)
    )
    inputs = inputs_resolve(job, request["inputs"])
    return runner_pool().run(spec, inputs, request["parameters"], settings.JOB_DEADLINE_S)


def _is_exact(job: Job, result: RunResult, kept: jobs.JobOutputs | None) -> bool:
    same = _commits_to(job, result.outputs)
    if same is not None:
        return same
    if kept is None:
        raise RecheckError("Neither the salt of the output hash nor the outputs are kept: nothing can be compared.")
    return plain_hash(kept.outputs) == plain_hash(result.outputs)


def _commits_to(job: Job, outputs: list[Any]) -> bool | None:
    """Whether the receipt's output hash is that of these outputs; `None` where its salt is gone."""
    receipt = selectors.receipt_get(job)
    salt = "" if receipt is None else selectors.salt_read(job, receipt.output_salt)
    if receipt is None or not receipt.output_hash or not salt:
        return None
    return salted_hash(bytes.fromhex(salt[2:]), output_value(outputs)) == receipt.output_hash


def _near(job: Job, result: RunResult, kept: jobs.JobOutputs | None, differences: list[str]) -> Recheck:
    tolerance = TOLERANCES.get(job.task)
    dtype = (job.fingerprint or {}).get("dtype")
    if tolerance is None or dtype != "float32":
        why = f"noise in {dtype} hides a change of weights" if tolerance else "a text is equal or not"
        meaning = f"The output hash is another one, and there is no tolerance: {why}."
        return Recheck(verdict="differs", meaning=meaning, differences=differences)
    if kept is None:
        raise RecheckError("The output hash is another one, and the outputs are not kept, so how far is not known.")
    if _commits_to(job, kept.outputs) is False:
        meaning = "The outputs that are kept are not those that the receipt was signed over."
        return Recheck(verdict="differs", meaning=meaning, differences=differences)
    distance = outputs_distance(kept.outputs, result.outputs)
    holds = distance <= tolerance
    return Recheck(
        verdict="tolerance" if holds else "differs",
        meaning="The bits differ, and every number lies within the tolerance of the task."
        if holds
        else "The outputs differ by more than machines of these versions do.",
        max_abs=distance,
        tolerance=tolerance,
        differences=differences,
    )


def _exact_meaning(job: Job) -> str:
    if job.task in TOLERANCES:
        return "The output hash is the same: the same bits."
    return "The output hash is the same: the same texts. That is no proof of the weights; others may write them too."


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [
        f"{name}: {then.get(name)} then, {now.get(name)} now" for name in _COMPARED if then.get(name) != now.get(name)
    ]


def _by_label(items: list[Any]) -> list[Any]:
    if all(isinstance(item, dict) and item.keys() == {"label", "score"} for item in items):
        return sorted(items, key=lambda item: str(item["label"]))
    return items
