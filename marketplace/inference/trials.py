"""Trials: a few calls a day of each model, for accounts without a licence of it.

All who try a model share one daily budget, so that many wallets win nothing. Each account, and the clients of each
address, have one over all models. Days are UTC's. What a worker began counts however it ended, because it took the
time, and so does what its owner cancelled, since each job costs a row, a receipt and its anchoring; what else no worker
began is given back.
"""

import ipaddress
from dataclasses import dataclass
from datetime import date, timedelta

from django.conf import settings
from django.db.models import F
from django.utils import timezone

from chain import entitlements
from chain import selectors as chain
from chain.gateway.protocol import Header
from marketplace.accounts.models import Account, today
from marketplace.inference.errors import TrialExhaustedError, TrialUnavailableError
from marketplace.inference.models import CallEntry, Job, TrialBudget, TrialRefusal
from marketplace.inference.payloads import request_mac
from models_registry import selectors as registry
from models_registry.errors import ModelNotFoundError

# An IPv6 client has a whole network of this length to choose addresses from.
IPV6_PREFIX = 64
KEEP_BUDGETS = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class TrialWish:
    """Whether a request asks for a trial: true, false, or open (None). `client` is the address that it came from."""

    client: str
    asked: bool | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Whose calls of a day are limited, and to how many. `whose` ends the sentence of the refusal."""

    subject: str
    cap: int
    whose: str


def site_has_trials() -> bool:
    caps = (
        settings.TRIAL_CALLS_PER_MODEL_PER_DAY,
        settings.TRIAL_CALLS_PER_ACCOUNT_PER_DAY,
        settings.TRIAL_CALLS_PER_ADDRESS_PER_DAY,
    )
    return min(caps) > 0


def trials_are_offered(model_id: int) -> bool:
    """Whether the site offers trials of the model, and its owner does not refuse them."""
    return site_has_trials() and not TrialRefusal.objects.filter(model_id=model_id).exists()


def trial_calls_left(*, account: Account, model_id: int) -> int:
    """Trial calls that the account has of the model today, those of its address aside."""
    if not trials_are_offered(model_id):
        return 0
    budgets = _budgets(model_id, account.pk, "")
    taken = TrialBudget.objects.filter(day=today(), subject__in=[budget.subject for budget in budgets])
    used = {row.subject: row.calls for row in taken}
    return max(min(budget.cap - used.get(budget.subject, 0) for budget in budgets), 0)


def trial_check(model_id: int) -> Header:
    """The block at which the model was found not suspended. Raises TrialUnavailableError, and what the gateway does."""
    if not trials_are_offered(model_id):
        raise TrialUnavailableError(
            f"Model {model_id} cannot be tried without a licence. Buy one on its page.", model=str(model_id)
        )
    block, clocks = entitlements.model_clocks_now([model_id], not_before=chain.index_block())
    if clocks[model_id].suspended_at:
        raise TrialUnavailableError(
            f"Model {model_id} is suspended, so that it cannot be tried now. Try again when it is not.",
            model=str(model_id),
        )
    return block


def cost_words(job: Job, *, is_cancelled: bool = False) -> str:
    """What a job has cost that ends without a result, as a sentence."""
    if job.is_trial and (is_cancelled or job.attempts):
        return "Its trial calls are used up all the same."
    return "No call was counted."


def client_subject(address: str, day: date) -> str:
    """Under which name the clients of an address have a budget that day. It cannot be linked to another day's."""
    try:
        parsed = ipaddress.ip_address(address)
        mapped = getattr(parsed, "ipv4_mapped", None)
        parsed = mapped or parsed
        network = str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False)) if parsed.version == 6 else str(parsed)
    except ValueError:
        network = address[:200]
    return "address:" + request_mac({"trials of": network, "day": day.isoformat()})


def trial_take(*, account_id: int, model_id: int, client: str, calls: int, day: date) -> str:
    """Take the calls out of every budget, or none. Returns the client's. Raises TrialExhaustedError.

    Comes in a transaction that a refusal rolls back. Rows are written in one order everywhere.
    """
    subject = client_subject(client, day)
    for budget in _budgets(model_id, account_id, subject):
        TrialBudget.objects.get_or_create(subject=budget.subject, day=day)
        row = TrialBudget.objects.filter(subject=budget.subject, day=day)
        if row.filter(calls__lte=budget.cap - calls).update(calls=F("calls") + calls) != 1:
            raise _exhausted(budget, calls, left=max(budget.cap - row.values_list("calls", flat=True).get(), 0))
    return subject


def trial_release(*, job: Job, entry: CallEntry) -> None:
    """Give a trial's calls back whose job no worker began. Comes after the entry was closed, which happens once."""
    if not job.is_trial or entry.counted_on is None or Job.objects.filter(pk=job.pk, attempts__gt=0).exists():
        return
    for budget in _budgets(job.model_id, job.account_id, entry.trial_client):
        row = TrialBudget.objects.filter(subject=budget.subject, day=entry.counted_on)
        row.update(calls=F("calls") - entry.calls)


def trials_allow(*, account: Account, model_id: int, allowed: bool) -> None:
    """Say whether a model may be tried, as its owner. Raises ModelNotFoundError, to others too."""
    if registry.model_owner(model_id).lower() != account.address.lower():
        raise ModelNotFoundError(f"This account owns no model {model_id}.")
    if allowed:
        TrialRefusal.objects.filter(model_id=model_id).delete()
    else:
        TrialRefusal.objects.get_or_create(model_id=model_id)


def trial_budgets_purge() -> int:
    """Delete budgets of days that are over. Returns how many."""
    deleted, _ = TrialBudget.objects.filter(day__lt=today() - KEEP_BUDGETS).delete()
    return deleted


def _budgets(model_id: int, account_id: int, client: str) -> list[Budget]:
    """What limits a trial, in the order in which rows are written. `client` is a subject, or empty."""
    budgets = [
        Budget(f"account:{account_id}", settings.TRIAL_CALLS_PER_ACCOUNT_PER_DAY, "this account"),
        Budget(f"model:{model_id}", settings.TRIAL_CALLS_PER_MODEL_PER_DAY, f"model {model_id}, which all share"),
    ]
    if client:
        budgets.append(Budget(client, settings.TRIAL_CALLS_PER_ADDRESS_PER_DAY, "your network address"))
    return budgets


def _exhausted(budget: Budget, wanted: int, *, left: int) -> TrialExhaustedError:
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return TrialExhaustedError(
        f"There are {budget.cap} trial calls a day for {budget.whose}; {left} are left today and this job costs "
        f"{wanted}. Try again after midnight UTC, or buy a licence.",
        cap=budget.cap,
        left=left,
        wanted=wanted,
        retry_after=(midnight - now).total_seconds(),
    )
