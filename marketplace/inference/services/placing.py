"""Under what a job runs, a licence or a trial, and whether there is room for it now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from weighhouse.core.errors import WeighhouseError

from chain.prepared import Prepared
from chain.selectors import LicenceState
from marketplace.accounts.errors import ApiKeyOtherLicenceError
from marketplace.accounts.key_calls import key_calls_reserve
from marketplace.accounts.models import Account, ApiKey, today
from marketplace.inference import ledger
from marketplace.inference.errors import (
    BatchTooValuableError,
    JobQueueFullError,
    JobTooManyOpenError,
    LicenceRateError,
    TrialUnavailableError,
)
from marketplace.inference.isolation import is_always_dedicated
from marketplace.inference.models import OPEN_STATES, Batch, Isolation, Job, JobState, LicenceUse
from marketplace.inference.rates import bucket_state, licence_rate, rate_take
from marketplace.inference.services.moves import account_lock
from marketplace.inference.trials import TrialWish, trial_check, trial_take, trials_are_offered
from marketplace.licences.errors import CallsExhaustedError, LicenceNoneError, LicenceUsageUnreportedError
from marketplace.licences.selectors import MeteredTerms, licence_limits, metered_terms
from marketplace.licences.services import licence_purchases, licences_served_here, licences_usable

# Trials wait only where the queue is shorter than this part of what it may hold.
TRIAL_QUEUE_PART = 10
# Of the queue, what batches leave to single jobs.
SINGLES_QUEUE_PART = 5
QUEUE_FULL_RETRY_S = 10


@dataclass(frozen=True, slots=True)
class Offer:
    """What a job can run under: licences, best first, with their purchases and terms; or a trial by `client`."""

    block_number: int
    block_hash: str
    states: list[LicenceState] = field(default_factory=list)
    purchases: dict[int, str] = field(default_factory=dict)
    terms: dict[int, MeteredTerms] = field(default_factory=dict)
    client: str = ""

    @property
    def is_trial(self) -> bool:
        return not self.states


@dataclass(frozen=True, slots=True)
class Placed:
    """What was reserved: the fields of the ledger's entries but for their calls, and of a licence its state."""

    entry: dict[str, Any]
    licence: LicenceState | None = None


def offer_find(
    *,
    account: Account,
    model_id: int,
    licence_id: int | None,
    trial: TrialWish | None = None,
    isolation: str = Isolation.SHARED,
) -> Offer:
    """Ask the chain under what the account may run the model now. Nothing is written.

    1. A key that is bound to a licence names that one.
    2. A trial that is asked for is one. Left open, it is one where the account holds no licence of the model. It gets
       no runner of its own for the asking: each would take the room of one that serves who paid.
    3. Licences are usable, of this site where they count calls, and have a purchase.

    Raises `key.other_licence`, `licence.*`, `trial.unavailable`, `chain.*`.
    """
    is_asked = trial is not None and trial.asked is True
    licence_id = _licence_of_key(account.acting_key, licence_id, trial=is_asked)
    if trial is not None and is_asked:
        if licence_id is not None:
            raise TrialUnavailableError("A trial runs under no licence. Leave out `licence` or `trial`.")
        return _trial_offer(model_id, trial, isolation)
    try:
        usable = licences_usable(holder=account.address, model_id=model_id, licence_id=licence_id)
    except LicenceNoneError:
        is_open = trial is not None and trial.asked is None and licence_id is None
        if trial is not None and is_open and trials_are_offered(model_id):
            return _trial_offer(model_id, trial, isolation)
        raise
    terms = metered_terms(state.plan_id for state in usable if state.calls)
    usable = licences_served_here(usable, terms)
    purchases = licence_purchases(usable)
    states = [state for state in usable if state.licence_id in purchases]
    return Offer(states[0].block_number, states[0].block_hash, states, purchases, terms)


def offer_take(*, account: Account, model_id: int, offer: Offer, wanted: int, jobs: int = 1) -> Placed:
    """Reserve `wanted` calls, inside the caller's transaction, which has to be rolled back on an error.

    They are for one job, or for a batch of so many `jobs`: one open job to the caps, and as many in the queue.
    Rows are locked in the order account, licence, key, budgets, here and where a job ends. Raises
    `licence.calls_exhausted`, `licence.rate_exceeded`, `licence.usage_unreported`, `batch.too_valuable`,
    `job.too_many_open`, `job.queue_full`, `key.calls_exhausted`, `trial.exhausted`.
    """
    account_lock(account.pk)
    licence = None if offer.is_trial else _licence_take(offer, wanted, jobs)
    key, day = account.acting_key, today()
    if key is not None:
        day = key_calls_reserve(key=key, calls=wanted)
    entry: dict[str, Any] = {"purchase": "", "limit": 0, "counted_on": day}
    if licence is not None:
        entry |= {"purchase": offer.purchases[licence.licence_id], "limit": licence.calls}
    else:
        client = trial_take(account_id=account.pk, model_id=model_id, client=offer.client, calls=wanted, day=day)
        entry["trial_client"] = client
    _account_room(account.pk)
    _queue_room(is_trial=offer.is_trial, jobs=jobs)
    return Placed(entry, licence)


def _licence_of_key(key: ApiKey | None, licence_id: int | None, *, trial: bool) -> int | None:
    if key is None or key.licence_id is None:
        return licence_id
    if trial or licence_id not in (None, key.licence_id):
        raise ApiKeyOtherLicenceError(
            f"This API key is bound to licence {key.licence_id} and runs nothing else. Use another key.",
            licence=str(key.licence_id),
        )
    return int(key.licence_id)


def _trial_offer(model_id: int, trial: TrialWish, isolation: str) -> Offer:
    block = trial_check(model_id)
    if isolation == Isolation.DEDICATED and not is_always_dedicated(model_id):
        raise TrialUnavailableError(
            "A trial gets no runner of its own. Leave out `isolation`, or load the page again; or buy a licence."
        )
    return Offer(block.number, block.hash, client=trial.client)


def _licence_take(offer: Offer, wanted: int, jobs: int) -> LicenceState:
    """The first of the licences, best first, that has the calls and may use them now."""
    refusals: list[WeighhouseError] = []
    for state in offer.states:
        try:
            # A refusal takes back what was reserved of this licence.
            with transaction.atomic():
                _licence_reserve(state, offer.purchases[state.licence_id], wanted)
                _reported_require(state, offer, wanted, jobs)
        except WeighhouseError as error:
            refusals.append(error)
        else:
            return state
    passing = [error for error in refusals if error.retryable]
    lasting = [error for error in refusals if not isinstance(error, CallsExhaustedError)]
    raise next(iter(passing + lasting), None) or _exhausted(refusals, offer.states, wanted)


def _licence_reserve(state: LicenceState, purchase: str, wanted: int) -> None:
    names: dict[str, Any] = {"licence_id": state.licence_id, "purchase": purchase}
    calls, limits = ledger.Calls(state.calls, state.used), licence_limits(state.plan_id)
    if not ledger.call_room(**names, calls=calls, most_open=limits.jobs_at_once, wanted=wanted):
        left = ledger.calls_left(**names, calls=calls)
        if left is not None and left < wanted:
            raise CallsExhaustedError("", left=left)
        raise JobTooManyOpenError(
            f"This licence has {limits.jobs_at_once} jobs that have not ended, the most at once. Wait for one, then "
            "try again.",
            limit=limits.jobs_at_once,
        )
    rate = licence_rate(state.plan_id)
    wait_s = rate_take(**names, rate=rate, wanted=wanted)
    if wait_s:
        raise LicenceRateError(
            f"This licence may use {limits.rate_calls} calls in {limits.rate_window_s} s, all its keys together. Try "
            f"again in {wait_s:.0f} s.",
            licence=str(state.licence_id),
            retry_after=wait_s,
            rate_limit=bucket_state(LicenceUse.objects.get(**names), rate),
        )


def _reported_require(state: LicenceState, offer: Offer, wanted: int, jobs: int) -> None:
    """Refuse where the calls that are served or under way, and not on chain, are worth too much already.

    `wanted` are reserved by now. One job may begin below the bound and end above it; a batch may so with its last call.
    """
    terms = offer.terms.get(state.plan_id)
    if terms is None:
        return
    names: dict[str, Any] = {"licence_id": state.licence_id, "purchase": offer.purchases[state.licence_id]}
    row = cast(LicenceUse, ledger.use_of_purchase(**names))
    unreported = max(row.used + row.reserved - wanted - state.used, 0)
    if jobs > 1 and terms.is_too_much(unreported + wanted - 1):
        most = terms.most_at_once()
        if wanted > most or not terms.is_worth_a_report(unreported):
            # Too many at any time, or no report is on its way that would make room.
            most -= 0 if wanted > most else unreported
            raise BatchTooValuableError(
                f"These {wanted} calls are worth more than this site runs before it reports them on chain. Send at "
                f"most {most} at once.",
                licence=str(state.licence_id),
                most=most,
            )
        raise LicenceUsageUnreportedError(
            f"With {unreported} calls of licence {state.licence_id} that are not reported on chain yet, these {wanted} "
            "would be more than this site lets be outstanding. Send fewer inputs at once, or wait for the report.",
            licence=str(state.licence_id),
            unreported=unreported,
            retry_after=60,
        )
    if terms.is_too_much(unreported):
        raise LicenceUsageUnreportedError(
            f"{unreported} calls of licence {state.licence_id} are not reported on chain yet, which is as much as this "
            "site lets be outstanding. They are being reported; try again in a few minutes.",
            licence=str(state.licence_id),
            unreported=unreported,
            retry_after=60,
        )


def _exhausted(refusals: Sequence[WeighhouseError], states: Sequence[LicenceState], wanted: int) -> CallsExhaustedError:
    left = max(int(error.data["left"]) for error in refusals)
    if left:
        text = f"This costs {wanted} calls and {left} are left. Send fewer inputs at once, or buy a licence."
    else:
        text = (
            "Every call of this licence is used, or reserved by jobs that have not ended. Wait for them, or buy a "
            "licence."
        )
    ids = [str(state.licence_id) for state in states]
    return CallsExhaustedError(text, licences=ids, left=left, wanted=wanted)


def _account_room(account_id: Any) -> None:
    """Raises JobTooManyOpenError. Comes after the reservation, whose write is what SQLite locks by."""
    most = settings.JOB_MAX_OPEN_PER_ACCOUNT
    # The jobs of one batch count as one.
    if _open_singles.count(most, account_id=account_id) + _open_batches.count(most, account_id=account_id) >= most:
        raise JobTooManyOpenError(
            f"This account has {most} jobs that have not ended, the most at once. Wait for one, then try again.",
            limit=most,
        )


def _queue_room(*, is_trial: bool, jobs: int) -> None:
    """Raises JobQueueFullError where not all of the jobs may wait too.

    Trials do not count against paid jobs, and wait only where few wait at all. Whoever is counted at the same moment on
    PostgreSQL is not seen: the bound may be passed by what is accepted at once.
    """
    most, waiting = settings.JOB_MAX_QUEUED, _waiting_paid
    if is_trial:
        most, waiting = max(most // TRIAL_QUEUE_PART, 1), _waiting
    if jobs > 1:
        # Batches may wait for a day: what they leave free is for jobs that somebody waits for.
        most -= most // SINGLES_QUEUE_PART
    room_until = most - jobs
    if room_until < 0 or waiting.count(room_until + 1) > room_until:
        raise JobQueueFullError(
            f"At most {most} jobs may wait on this site, which is too few now. Nothing was accepted. Try again in a "
            "moment.",
            limit=most,
            retry_after=QUEUE_FULL_RETRY_S,
        )


@Prepared
def _open_singles(account_id: Any) -> QuerySet[Job, tuple[UUID]]:
    return Job.objects.filter(account_id=account_id, state__in=OPEN_STATES, batch=None).order_by().values_list("pk")


@Prepared
def _open_batches(account_id: Any) -> QuerySet[Batch, tuple[UUID]]:
    return Batch.objects.filter(account_id=account_id, ended_at=None).order_by().values_list("pk")


@Prepared
def _waiting() -> QuerySet[Job, tuple[UUID]]:
    return Job.objects.filter(state=JobState.QUEUED).order_by().values_list("pk")


@Prepared
def _waiting_paid() -> QuerySet[Job, tuple[UUID]]:
    return Job.objects.filter(state=JobState.QUEUED, is_trial=False).order_by().values_list("pk")
