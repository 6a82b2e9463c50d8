"""What a job would cost, and whether it would be accepted: everything that acceptance does, taken back."""

from dataclasses import dataclass
from typing import Any, cast

from django.db import transaction
from weighhouse.core.errors import WeighhouseError

from chain.gateway.errors import ChainError
from marketplace.accounts.models import Account, ApiKey
from marketplace.inference import ledger
from marketplace.inference.services.accepting import request_check
from marketplace.inference.services.moves import error_json
from marketplace.inference.services.placing import Offer, Placed, offer_find, offer_take
from marketplace.inference.trials import TrialWish, trial_calls_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """`calls` is None where the request itself is wrong. What is left is after the job, None where it is not limited.

    `left` are calls of the licence, or of trials today; `key_left` those of the API key that asks.
    """

    accepted: bool
    error: dict[str, Any] | None = None
    release: str = ""
    licence_id: int | None = None
    trial: bool = False
    calls: int | None = None
    left: int | None = None
    key_left: int | None = None


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
    trial: TrialWish | None = None,
) -> Quote:
    """What `job_create` would answer to the same request now. Changes nothing.

    1. Check the request and find what it would run under, as for a job.
    2. Reserve its calls, look at what is left, and roll the transaction back.
    So that a quote cannot differ from acceptance but by what happens in between.

    Raises what the gateway raises: without the chain there is no answer.
    """
    calls: int | None = None
    try:
        request, release, _ = request_check(
            account=account, model_id=model_id, release_digest=release_digest, inputs=inputs, parameters=parameters
        )
        calls = ledger.job_calls(request["inputs"], request["parameters"])
        offer = offer_find(account=account, model_id=model_id, licence_id=licence_id, trial=trial)
        with transaction.atomic():
            placed = offer_take(account=account, model_id=model_id, offer=offer, wanted=calls)
            left = _left(account, model_id, offer, placed)
            licence_id = placed.licence.licence_id if placed.licence is not None else None
            raise _TakeBack(
                Quote(
                    accepted=True,
                    release=release.digest,
                    licence_id=licence_id,
                    trial=offer.is_trial,
                    calls=calls,
                    left=left,
                    key_left=_key_left(account.acting_key),
                )
            )
    except _TakeBack as taken:
        return cast(Quote, taken.args[0])
    except ChainError:
        raise
    except WeighhouseError as error:
        return Quote(accepted=False, error=error_json(error), calls=calls)


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
