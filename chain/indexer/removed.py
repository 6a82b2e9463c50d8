"""What a re-org removed, remembered so that a page can say why something is gone.

Only a re-org writes here. Starting again (another deployment, another chain, `reindex` by reset) forgets all of it:
what those rows spoke of may never come back.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.forms.models import model_to_dict
from django.utils import timezone

from chain.models import ChainEvent, LogPlace, RemovedEvent
from chain.subjects import subjects_of

# Hashes in one query: SQLite takes that many parameters everywhere.
_AT_ONCE = 500
_PLACE = [field.name for field in LogPlace._meta.get_fields()]


def events_bury(chain_id: int, *, ancestor: int) -> int:
    """Remember every event above block `ancestor`, which a re-org is about to remove. Returns how many.

    Runs in the transaction that deletes them. A transaction that was removed before is remembered once, by its newest
    removal; rows past their time are dropped here, since nothing else adds any.
    """
    now = timezone.now()
    RemovedEvent.objects.filter(removed_at__lt=now - timedelta(seconds=settings.REMOVED_EVENT_RETENTION_S)).delete()
    events = list(ChainEvent.objects.filter(chain_id=chain_id, block_number__gt=ancestor).order_by("id"))
    for hashes in _parts(event.tx_hash for event in events):
        RemovedEvent.objects.filter(chain_id=chain_id, tx_hash__in=hashes).delete()
    rows = [_row(event, ancestor_block=ancestor, removed_at=now) for event in events]
    # The same block may be removed, come back and be removed again.
    RemovedEvent.objects.bulk_create(rows, batch_size=_AT_ONCE, ignore_conflicts=True)
    return len(rows)


def events_return(chain_id: int, tx_hashes: Iterable[str]) -> int:
    """Forget what these transactions, mined again and just indexed, brought back. Returns how many events that were.

    An event is back when its transaction emitted one of its name about the same subjects. A transaction that did
    something else the second time (its licence has another number, say) leaves the row: that licence stays gone.
    """
    if not RemovedEvent.objects.filter(chain_id=chain_id).exists():
        return 0
    count = 0
    for hashes in _parts(tx_hashes):
        removed = list(RemovedEvent.objects.filter(chain_id=chain_id, tx_hash__in=hashes))
        mined_again = {event.tx_hash for event in removed}
        present = {_key(event) for event in ChainEvent.objects.filter(chain_id=chain_id, tx_hash__in=mined_again)}
        back = [event.pk for event in removed if _key(event) in present]
        count += len(back)
        RemovedEvent.objects.filter(pk__in=back).delete()
    return count


def events_forget(chain_id: int) -> None:
    """Forget every removed event of the chain."""
    RemovedEvent.objects.filter(chain_id=chain_id).delete()


def _row(event: ChainEvent, **when: Any) -> RemovedEvent:
    about = subjects_of(event.contract, event.name, event.args)
    return RemovedEvent(
        **model_to_dict(event, fields=_PLACE),
        name=event.name,
        args=event.args,
        model_id=about.model_id,
        plan_id=about.plan_id,
        licence_id=about.licence_id,
        **when,
    )


def _key(event: ChainEvent | RemovedEvent) -> tuple[Any, ...]:
    about = subjects_of(event.contract, event.name, event.args)
    return (event.tx_hash, event.contract, event.name, about.model_id, about.plan_id, about.licence_id)


def _parts(hashes: Iterable[str]) -> list[list[str]]:
    """The different hashes, in lists that one query takes."""
    unique = list(dict.fromkeys(hashes))
    return [unique[start : start + _AT_ONCE] for start in range(0, len(unique), _AT_ONCE)]
