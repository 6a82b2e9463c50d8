"""What a job or a batch would cost, and whether it would be accepted: all that acceptance does, taken back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from django.db import transaction
from weighhouse.core.errors import WeighhouseError

from chain.gateway.errors import ChainError
from marketplace.accounts.models import Account, ApiKey
from marketplace.inference import ledger
from marketplace.inference.models import Isolation
from marketplace.inference.services.accepting import request_check
from marketplace.inference.services.batching import batch_check, batch_take
from marketplace.inference.services.moves import error_json
from marketplace.inference.services.placing import Offer, Placed, offer_find, offer_take
from marketplace.inference.trials import TrialWish, trial_calls_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """`calls` and `jobs`, into how many it divides, are None where the request itself is wrong.

    What is left is after it, None where it is not limited: `left` are calls of the licence, or of trials today;
    `key_left` those of the API key that asks.
    """

    accepted: bool
    error: dict[str, Any] | None = None
    release: str = ""
    licence_id: int | None = None
    trial: bool = False
    calls: int | None = None
    jobs: int | None = None
    left: int | None = None
    key_left: int | None = None


class _Wanted(NamedTuple):
    """What a request that was checked comes to."""

    release: str
    calls: int
    jobs: int = 1


class _TakeBack(Exception):
    """Ends the transaction of a quote, which is the exception's argument."""


def job_quote(
    *,
    account: Account,
    model_id: int,
    inputs: Any,
    parameters: Any = None,
    licence_id: int | None = None,
    release_digest: str | None = None,
    isolation: str = Isolation.SHARED,
    trial: TrialWish | None = None,
) -> Quote:
    """What `job_create` would answer to the same request now. Changes nothing.

    Raises what the gateway raises: without the chain there is no answer.
    """

    def check() -> _Wanted:
        request, release, _ = request_check(
            account=account, model_id=model_id, release_digest=release_digest, inputs=inputs, parameters=parameters
        )
        return _Wanted(release.digest, ledger.job_calls(request["inputs"], request["parameters"]))

    def find() -> Offer:
        return offer_find(account=account, model_id=model_id, licence_id=licence_id, trial=trial, isolation=isolation)

    def take(offer: Offer, wanted: _Wanted) -> Placed:
        return offer_take(account=account, model_id=model_id, offer=offer, wanted=wanted.calls)

    return _quote(account=account, model_id=model_id, check=check, find=find, take=take)


def batch_quote(
    *,
    account: Account,
    model_id: int,
    inputs: Any,
    parameters: Any = None,
    licence_id: int | None = None,
    release_digest: str | None = None,
) -> Quote:
    """What `batch_create` would answer to the same request now. Changes nothing, and raises as `job_quote` does."""

    def check() -> _Wanted:
        parts, release = batch_check(
            account=account, model_id=model_id, release_digest=release_digest, inputs=inputs, parameters=parameters
        )
        return _Wanted(release.digest, sum(part.calls for part in parts), len(parts))

    def find() -> Offer:
        return offer_find(account=account, model_id=model_id, licence_id=licence_id)

    def take(offer: Offer, wanted: _Wanted) -> Placed:
        return batch_take(account=account, model_id=model_id, offer=offer, wanted=wanted.calls, jobs=wanted.jobs)

    return _quote(account=account, model_id=model_id, check=check, find=find, take=take)


def _quote(
    *,
    account: Account,
    model_id: int,
    check: Callable[[], _Wanted],
    find: Callable[[], Offer],
    take: Callable[[Offer, _Wanted], Placed],
) -> Quote:
    """The steps of acceptance, so that a quote cannot differ from it but by what happens in between.

    1. Check the request and find what it would run under.
    2. Reserve its calls, look at what is left, and roll the transaction back.
    """
    wanted: _Wanted | None = None
    try:
        wanted = check()
        offer = find()
        with transaction.atomic():
            placed = take(offer, wanted)
            raise _TakeBack(
                Quote(
                    accepted=True,
                    release=wanted.release,
                    licence_id=placed.licence.licence_id if placed.licence is not None else None,
                    trial=offer.is_trial,
                    calls=wanted.calls,
                    jobs=wanted.jobs,
                    left=_left(account, model_id, offer, placed),
                    key_left=_key_left(account.acting_key),
                )
            )
    except _TakeBack as taken:
        return cast(Quote, taken.args[0])
    except ChainError:
        raise
    except WeighhouseError as error:
        calls, jobs = (wanted.calls, wanted.jobs) if wanted else (None, None)
        return Quote(accepted=False, error=error_json(error), calls=calls, jobs=jobs)


def _left(account: Account, model_id: int, offer: Offer, placed: Placed) -> int | None:
    """What the reservation left of the licence's calls, or of today's trials."""
    licence = placed.licence
    if licence is None:
        return trial_calls_left(account=account, model_id=model_id)
    return ledger.calls_left(
        licence_id=licence.licence_id,
        purchase=offer.purchases[licence.licence_id],
        calls=ledger.Calls(licence.calls, licence.used),
    )


def _key_left(key: ApiKey | None) -> int | None:
    return None if key is None else ApiKey.objects.get(pk=key.pk).calls_left
