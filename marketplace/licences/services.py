"""May this address run this model? The chain is asked, never the read model."""

import math
import time
from collections.abc import Mapping

from django.conf import settings
from weighhouse.core.errors import WeighhouseError

from chain import entitlements
from chain import selectors as chain
from chain.finality import finality_of
from chain.removals import removal_of_purchase
from chain.selectors import LicenceState
from marketplace.licences import selectors
from marketplace.licences.errors import (
    CallsExhaustedError,
    DeliveryNoneError,
    DeliveryNotFinalError,
    LicenceCancelledError,
    LicenceExpiredError,
    LicenceForeignError,
    LicenceForeignOperatorError,
    LicenceNoneError,
    LicenceNoRunRightError,
    LicencePurchaseUnknownError,
    LicenceReorgedError,
    LicenceSuspendedError,
    LicenceWrongModelError,
)
from marketplace.licences.models import KeyDelivery, Right
from marketplace.licences.selectors import MeteredTerms

# How many of a holder's licences of one model are asked about when the caller names none.
CANDIDATE_LIMIT = 100
# For how long the demo believes that an operator is its own: finding it costs a request for each that there is.
OWN_OPERATOR_FOR_S = 60.0
_own_operators: dict[int, float] = {}


def licence_require(*, holder: str, model_id: int, licence_id: int | None = None) -> LicenceState:
    """The state of a licence under which `holder` may run `model_id` now. See `licences_usable`."""
    return licences_usable(holder=holder, model_id=model_id, licence_id=licence_id)[0]


def licences_usable(*, holder: str, model_id: int, licence_id: int | None = None) -> list[LicenceState]:
    """Licences under which `holder` may run `model_id`, the best first; never an empty list.

    The chain decides (`chain.entitlements`), also about what the index missed.

    1. With `licence_id` only that one counts, whether the index knows it or not.
    2. Without, the index proposes what the holder has. What is valid there is the answer.
    3. Where that is nothing, what the holder once had by the index, and what logs say came to it lately.

    Unmetered before metered, then what ends soonest. Of calls, only those reported on chain count here: the ledger of
    calls knows the others.

    Raises `licence.none`, `licence.reorged`, `licence.expired`, `licence.cancelled`, `licence.suspended`,
    `licence.calls_exhausted`, `licence.foreign`, `licence.wrong_model`, `licence.no_run_right`, and what
    `chain.entitlements` raises.
    """
    indexed_to = chain.index_block()
    if licence_id is not None:
        state = entitlements.licence_states([licence_id], not_before=indexed_to)[licence_id]
        refusal = licence_refusal(state, holder=holder, model_id=model_id)
        if refusal is not None:
            raise refusal
        return [state]
    candidates = selectors.licence_ids_held(holder, model_id=model_id, limit=CANDIDATE_LIMIT)
    states = list(entitlements.licence_states(candidates, not_before=indexed_to).values())
    refusals = [licence_refusal(state, holder=holder, model_id=model_id) for state in states]
    usable = [state for state, refusal in zip(states, refusals, strict=True) if refusal is None]
    if not usable:
        usable, more = _usable_unseen(holder, model_id, seen=set(candidates), indexed_to=indexed_to)
        refusals += more
    if not usable:
        raise next((refusal for refusal in refusals if refusal is not None), None) or _none(holder, model_id)
    return sorted(usable, key=lambda state: (state.calls > 0, state.expires_at or 2**64, state.licence_id))


def licence_purchases(states: list[LicenceState]) -> dict[int, str]:
    """By which transaction each licence came to be. The hash tells purchases apart that were given the same id.

    1. The index says it, where its block still is the chain's.
    2. What it does not know (yet, or after a re-org) is looked for in the market's logs.
    Licences that neither has are left out; where none is left, raises `licence.purchase_unknown`, and what the gateway
    raises.
    """
    ids, indexed_to = [state.licence_id for state in states], chain.index_block()
    events = {row.licence_id: row.event for row in selectors.licence_list(ids)}
    block = entitlements.entitlement_block(not_before=indexed_to)
    canonical = entitlements.canonical_hashes((event.block_number for event in events.values()), block)
    found = {
        licence_id: event.tx_hash
        for licence_id, event in events.items()
        if canonical.get(event.block_number) == event.block_hash
    }
    missing = [licence_id for licence_id in ids if licence_id not in found]
    found |= entitlements.purchase_hashes(missing, block=block, indexed_to=indexed_to)
    if not found:
        raise LicencePurchaseUnknownError(
            "The index does not have the purchase of this licence yet. Try again in a moment.",
            licences=[str(licence_id) for licence_id in ids],
        )
    return found


def licences_served_here(states: list[LicenceState], terms: Mapping[int, MeteredTerms]) -> list[LicenceState]:
    """Those of the licences that this site may serve: unmetered ones, and those whose calls its operator attests.

    `terms` are those of their plans that count calls. Only the holder of an operator's key can report what was used,
    and only reports let the publisher be paid for it. So no other site serves a metered plan. Raises
    `licence.foreign_operator` where none is left, and what the gateway raises.
    """
    served = [state for state in states if not state.calls or _is_this_site(terms[state.plan_id].operator_id)]
    if not served:
        state = states[0]
        operator_id = terms[state.plan_id].operator_id
        raise LicenceForeignOperatorError(
            f"Calls of licence {state.licence_id} are counted by operator {operator_id}, which is not this site's. Run "
            "the model on that operator's site, or buy a plan here that relies on this site's operator.",
            licence=str(state.licence_id),
            operator=str(operator_id),
        )
    return served


def _is_this_site(operator_id: int) -> bool:
    """Whether the operator is this site's. Where the demo has to ask the node, it asks once a minute."""
    asked_at = _own_operators.get(operator_id, -math.inf)
    if time.monotonic() - asked_at < OWN_OPERATOR_FOR_S:
        return True
    if operator_id == 0 or operator_id != chain.site_operator_id():
        return False
    if not settings.SITE_OPERATOR_ID:
        _own_operators[operator_id] = time.monotonic()
    return True


def delivery_final_require(licence_id: int) -> KeyDelivery:
    """The holder's newest request for the release key, which is final: only then may the key be handed over.

    A key that is out cannot be called back, so a request that a re-org could still remove is not enough. Raises
    `delivery.none` and `delivery.not_final`.
    """
    delivery = KeyDelivery.objects.filter(licence_id=licence_id).select_related("event").order_by("-event").first()
    if delivery is None:
        raise DeliveryNoneError(
            f"The holder of licence {licence_id} has not asked for the key.", licence=str(licence_id)
        )
    finality = finality_of(delivery.event)
    if not finality.is_final:
        raise DeliveryNotFinalError(
            f"The request for the key of licence {licence_id} is in block {finality.block_number}, {finality.text}. "
            "The key is handed over once that block is final.",
            licence=str(licence_id),
            block_number=finality.block_number,
        )
    return delivery


def licence_refusal(state: LicenceState, *, holder: str, model_id: int) -> WeighhouseError | None:
    """Why the licence does not let `holder` run the model, `None` where it does."""
    name = {"licence": str(state.licence_id)}
    if not state.exists:
        return _absent(state)
    if state.owner.lower() != holder.lower():
        return LicenceForeignError(
            f"Licence {state.licence_id} belongs to another address than {holder}. Use the account that holds it.",
            **name,
        )
    if state.model_id != model_id:
        return LicenceWrongModelError(
            f"Licence {state.licence_id} is for model {state.model_id}, not for model {model_id}.", **name
        )
    if not state.is_valid:
        return _invalid(state)
    if not state.flags & Right.RUN:
        return LicenceNoRunRightError(
            f"Licence {state.licence_id} does not include the right to run the model here. Choose a plan with RUN.",
            **name,
        )
    return None


def _absent(state: LicenceState) -> WeighhouseError:
    """Why the chain has no such licence at this block: a re-org, a settlement that is not indexed yet, or none ever."""
    known = selectors.licence_get(state.licence_id)
    name = {"licence": str(state.licence_id)}
    if known is None:
        missing = selectors.licence_missing(state.licence_id)
        if isinstance(missing, LicenceReorgedError):
            return missing
    elif known.settlement is None:
        return LicenceNoneError(
            f"Block {state.block_number} of the chain has no licence {state.licence_id}, although its purchase was "
            f"seen in block {known.licence.event.block_number}: a re-organisation of the chain took it away, or it was "
            "settled just now. Its page will say which in a moment.",
            **name,
        )
    return LicenceNoneError(f"There is no licence {state.licence_id}. Check its id, or buy a licence.", **name)


def _usable_unseen(
    holder: str, model_id: int, *, seen: set[int], indexed_to: int
) -> tuple[list[LicenceState], list[WeighhouseError]]:
    """Licences that `holder` has though the index does not say so: those that it may use, and why not the others.

    The index missed a purchase, or a transfer to the holder. What the holder has not got on chain is left out.
    """
    block = entitlements.entitlement_block(not_before=indexed_to)
    once = selectors.licences_once_held(holder, model_id=model_id).exclude(licence_id__in=seen)
    received = entitlements.licences_received(holder, block=block, indexed_to=indexed_to)
    # An id begins with its plan's, which begins with the model's.
    recent = [number for number in received if number >> 64 == model_id and number not in seen]
    # Each has a limit of its own, so that neither crowds out the other.
    ids = [*recent[:CANDIDATE_LIMIT], *once.values_list("licence_id", flat=True)[:CANDIDATE_LIMIT]]
    states = entitlements.licence_states(ids, not_before=indexed_to).values()
    held = [state for state in states if state.exists and state.owner.lower() == holder.lower()]
    refusals = [licence_refusal(state, holder=holder, model_id=model_id) for state in held]
    usable = [state for state, refusal in zip(held, refusals, strict=True) if refusal is None]
    return usable, [refusal for refusal in refusals if refusal is not None]


def _invalid(state: LicenceState) -> WeighhouseError:
    """Which of the market's conditions an existing licence does not meet. What may pass is named last."""
    name = {"licence": str(state.licence_id)}
    if state.settle_at:
        return LicenceCancelledError(
            f"Licence {state.licence_id} was cancelled by its holder. Buy a new one on the model's page.", **name
        )
    if state.calls and state.used >= state.calls:
        return CallsExhaustedError(
            f"All {state.calls} calls of licence {state.licence_id} are used. Renew it where its plan allows, or buy "
            "a new one.",
            licences=[str(state.licence_id)],
        )
    if state.is_suspended:
        return LicenceSuspendedError(
            f"Model {state.model_id} is suspended, so that licence {state.licence_id} cannot be used now. Its time "
            "stands still meanwhile. Its holder may cancel it all the same.",
            **name,
        )
    return LicenceExpiredError(
        f"Licence {state.licence_id} has expired. Renew it where its plan allows, or buy a new one.",
        expired_at=state.expires_at,
        **name,
    )


def _none(holder: str, model_id: int) -> WeighhouseError:
    """The account holds no licence of the model, or did until a re-org."""
    removal = removal_of_purchase(model_id=model_id, holder=holder)
    if removal is not None:
        licence = str(removal.event.licence_id)
        return LicenceReorgedError(removal.text("purchase"), licence=licence, model=str(model_id), **removal.data)
    return LicenceNoneError(
        f"This account holds no licence of model {model_id}. Buy one on the model's page; one that this site does not "
        "know of can be named by its id.",
        model=str(model_id),
    )
