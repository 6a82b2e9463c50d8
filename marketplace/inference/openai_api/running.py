"""A request's job: made, followed to its end, read."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from weighhouse.core.errors import WeighhouseError

from marketplace.accounts.models import Account
from marketplace.inference import events, selectors, services, streams
from marketplace.inference.errors import JobPayloadDeletedError, JobTaskUnsupportedError
from marketplace.inference.models import Job, JobState
from marketplace.inference.openai_api.errors import JobFailedError, JobNotInTimeError, JobTextDiffersError
from marketplace.inference.openai_api.reading import Call
from models_registry import selectors as registry

_CALLS = {
    "feature-extraction": "/v1/embeddings",
    "text-generation": "/v1/completions, and /v1/chat/completions where it has a chat template",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """The next piece of the text of the input at `position`."""

    position: int
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a job returned, one output per input; its tokens, and the calls of the licence that it cost."""

    outputs: list[Any]
    usage: dict[str, Any]
    calls: int


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing came for a beat."""


Item = Piece | Result | Silence


def job_of_call(call: Call, *, account: Account, idempotency_key: str | None) -> Job:
    """Accept the call as a job. Raises JobTaskUnsupportedError, and what `services.job_create` raises."""
    _task_require(call)
    job, _ = services.job_create(
        account=account,
        model_id=call.model.model_id,
        inputs=call.inputs,
        parameters=call.parameters,
        licence_id=call.licence_id,
        release_digest=call.model.release,
        idempotency_key=idempotency_key,
        store=call.is_stored,
        isolation=call.isolation,
    )
    return job


def job_result(job: Job, *, peer: streams.Peer) -> Result:
    """Wait for the job's result. Raises JobFailedError, JobNotInTimeError, JobPayloadDeletedError.

    A job whose caller left, or waited too long, is cancelled if it may be: nobody would see its result. One with an
    Idempotency-Key goes on, since its caller may ask again.
    """
    until = time.monotonic() + streams.LONGEST_S
    while not (has_ended := events.job_ended_wait(job.pk, events.BEAT_S)):
        if peer.is_gone() or time.monotonic() >= until:
            break
    if not has_ended:
        _give_up(job)
    return _result(job)


def job_follow(job: Job, *, peer: streams.Peer) -> Iterator[Item]:
    """Pieces of text as they come, then the result. Raises as `job_result`, and JobTextDiffersError.

    1. A piece is told with its place. What was sent is not sent again; a piece beyond a gap waits for the result.
    2. At the end the result is read, and what of its text was not sent yet is sent.
    3. Where what was sent is not how the result begins, the job ran twice and wrote two texts. That is an error, not
       an answer.
    A caller who leaves once text was on its way does not cancel: part of the answer was delivered. The job runs to its
    end and is counted. One who leaves before got nothing, and the job is given up as by `job_result`.
    """
    sent: dict[int, str] = {}
    has_ended = False
    try:
        for item in _followed(job, peer, sent):
            has_ended = isinstance(item, Result)
            yield item
    finally:
        # Also where the server closes this, since its write to the caller failed.
        if not sent and not has_ended:
            _give_up(job)


def _followed(job: Job, peer: streams.Peer, sent: dict[int, str]) -> Iterator[Item]:
    until = time.monotonic() + streams.LONGEST_S
    for found in events.job_events_follow(job.pk, beat_s=events.BEAT_S, until=until):
        if peer.is_gone():
            return
        if not found:
            yield Silence()
        for event in found:
            if event.kind == events.TEXT:
                yield from _piece(event.data, sent)
            elif event.kind == events.END:
                result = _result(job)
                yield from _rest(job, result, sent)
                yield result
                return
    _give_up(job)
    _result(job)


def opened(items: Iterator[Item], *, within_s: float = 10.0) -> Iterator[Item]:
    """The same items, once the first has come: what fails before that can still be answered with a status."""
    until = time.monotonic() + within_s
    first = next(items, None)
    while isinstance(first, Silence) and time.monotonic() < until:
        first = next(items, None)
    return _chained(first, items)


def _chained(first: Item | None, items: Iterator[Item]) -> Iterator[Item]:
    if first is not None:
        yield first
    yield from items


def _piece(data: dict[str, Any], sent: dict[int, str]) -> Iterator[Piece]:
    position, at, text = data["position"], data["at"], data["text"]
    before = sent.get(position, "")
    new = text[len(before) - at :] if at <= len(before) else ""
    if new:
        sent[position] = before + new
        yield Piece(position, new)


def _rest(job: Job, result: Result, sent: dict[int, str]) -> Iterator[Piece]:
    for position, output in enumerate(result.outputs):
        before = sent.get(position, "")
        if not output["text"].startswith(before):
            where = f"GET /api/v1/jobs/{job.pk} has the text that counts." if job.store else "Send the call again."
            raise JobTextDiffersError(
                f"The model ran twice, because its worker was lost, and wrote another text the second time. {where}",
                job=str(job.pk),
            )
        if len(output["text"]) > len(before):
            yield Piece(position, output["text"][len(before) :])


def _result(job: Job) -> Result:
    job = selectors.job_get(account=job.account, job_id=job.pk)
    if job.is_open:
        raise JobNotInTimeError(
            f"The job did not end within {streams.LONGEST_S:.0f} s. GET /api/v1/jobs/{job.pk} says what became of it.",
            job=str(job.pk),
        )
    if job.state != JobState.SUCCEEDED:
        raise JobFailedError(job.error)
    found = services.job_hand_out(job)
    if found is None:
        raise JobPayloadDeletedError("The result of this call is not kept any more. Take a new Idempotency-Key.")
    return Result(found.outputs, found.usage, job.call.calls)


def _give_up(job: Job) -> None:
    if job.idempotency_key is None:
        # It may have ended meanwhile, or its account cancelled too many.
        with contextlib.suppress(WeighhouseError):
            services.job_cancel(account=job.account, job_id=job.pk)


def _task_require(call: Call) -> None:
    """Raises JobTaskUnsupportedError where the model does another task than the call is for."""
    model_id, digest = call.model.model_id, call.model.release
    registry.model_owner(model_id)
    release = registry.release_of_model(model_id, digest.lower()) if digest else registry.release_latest(model_id)
    if release.task != call.task:
        served = _CALLS.get(release.task, "POST /api/v1/jobs of the native API")
        raise JobTaskUnsupportedError(
            f"{call.model.given} does {release.task}, which this call does not serve. Use {served}.", task=release.task
        )
