"""The index of the activity feeds: which indexed events are about a model or an address, and their pages.

Arguments of events are JSON, which no index reads. So each event leaves one row per model and address that it is about,
with its topic beside it, and a feed is a walk down an index. The feed of the whole market walks the events themselves.
"""

from collections.abc import Iterable, Sequence
from heapq import nlargest

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from chain.bulk import values_insert
from chain.handlers import DecodedEvent, IndexedEvent, register
from chain.models import ChainEvent, EventSubject, Topic
from chain.subjects import ZERO_ADDRESS, subjects_of

PAGE_LIMIT = 100
# The key of an event, a subject of it, its topic.
SubjectRow = tuple[int, str, int]

_REGISTRY, _MARKET = "ModelRegistry", "LicenceMarket"
_NAMES: dict[Topic, tuple[str, str]] = {
    Topic.MODEL: (_REGISTRY, "ModelPublished ReleasePublished Transfer DerivativeBpsSet"),
    Topic.PLAN: (_MARKET, "PlanAdded PlanRetired"),
    Topic.PURCHASE: (_MARKET, "LicenceBought LicenceRenewed"),
    Topic.LICENCE: (_MARKET, "LicenceCancelled LicenceSettled Transfer KeyDelivered"),
    Topic.USE: (_MARKET, "UsageReported UsageSkipped"),
    Topic.INCOME: (_MARKET, "IncomeVested IncomeSplit AncestorCredited IncomeWithdrawn AccountWithdrawn"),
    Topic.OPERATOR: (_MARKET, "OperatorRegistered OperatorChanged OperatorDisabled"),
    Topic.SUSPENSION: (_MARKET, "ModelSuspended SuspensionConfirmed ModelResumed"),
    Topic.MARKET: (_MARKET, "FeeSet TreasurySet GuardianSet PauserSet PausedSet TokenAllowed"),
}
# Which events a feed shows, and under which topic. Approvals and metadata notices of tokens are left out.
TOPICS = {(contract, name): topic for topic, (contract, names) in _NAMES.items() for name in names.split()}
_SHOWN_NAMES = sorted({name for _, name in TOPICS})


def subject_rows(event: DecodedEvent, row: ChainEvent) -> list[SubjectRow]:
    """What the index of feeds gets for one event: key, subject, topic; nothing for what no feed shows.

    Minting and burning a token are said by the event that causes them.
    """
    topic = TOPICS.get((event.contract, event.name))
    args = event.args
    if topic is None or (event.name == "Transfer" and ZERO_ADDRESS in (args["from"], args["to"])):
        return []
    about = subjects_of(event.contract, event.name, args)
    return [(row.pk, value, topic.value) for value in (*map(str, about.model_ids), *about.accounts)]


def event_subjects_store(events: Sequence[IndexedEvent]) -> None:
    rows = [row for item in events for row in subject_rows(item.event, item.row)]
    values_insert(EventSubject, ("event_id", "value", "topic"), rows)


def register_all() -> None:
    """Register the handler; called once the apps are loaded."""
    for contract, name in TOPICS:
        register(contract, name)(event_subjects_store)


def events_of_model(model_id: int, *, topic: Topic | None = None, before: int | None = None, limit: int) -> list[int]:
    """Keys of the events about a model, newest first, `limit` of them older than the key `before`."""
    return _newest(str(model_id), topic=topic, before=before, limit=limit)


def events_of_account(address: str, *, topic: Topic | None = None, before: int | None = None, limit: int) -> list[int]:
    """Keys of the events that name an address, newest first. `address` carries its checksum."""
    return _newest(address, topic=topic, before=before, limit=limit)


def events_of_market(*, topic: Topic | None = None, before: int | None = None, limit: int) -> list[int]:
    """Keys of all events that feeds show, newest first.

    Without a topic this walks the events by their keys. With one it takes the newest of each of the topic's few names
    from the index by name and merges them, so that a rare topic costs no more than a common one.
    """
    events = ChainEvent.objects.filter(chain_id=settings.CHAIN_ID)
    if before is not None:
        events = events.filter(pk__lt=before)
    if topic is None:
        return _keys(_without_mints(events.filter(name__in=_SHOWN_NAMES)), limit)
    named = [pair for pair, its_topic in TOPICS.items() if its_topic is topic]
    parts = (_keys(_without_mints(events.filter(contract=contract, name=name)), limit) for contract, name in named)
    return nlargest(limit, (key for part in parts for key in part))


def events_by_key(keys: Iterable[int]) -> list[ChainEvent]:
    """The events in the order of their keys here; one that a re-org removed meanwhile is left out."""
    wanted = list(keys)
    found = ChainEvent.objects.in_bulk(wanted)
    return [found[key] for key in wanted if key in found]


def _newest(value: str, *, topic: Topic | None, before: int | None, limit: int) -> list[int]:
    rows = EventSubject.objects.filter(value=value)
    if topic is not None:
        rows = rows.filter(topic=topic)
    if before is not None:
        rows = rows.filter(event_id__lt=before)
    return list(rows.order_by("-event_id").values_list("event_id", flat=True)[:limit])


def _without_mints(events: QuerySet[ChainEvent]) -> QuerySet[ChainEvent]:
    """Transfers from and to nobody have no subjects here."""
    return events.filter(~Q(name="Transfer") | Exists(EventSubject.objects.filter(event=OuterRef("pk"))))


def _keys(events: QuerySet[ChainEvent], limit: int) -> list[int]:
    return list(events.order_by("-pk").values_list("pk", flat=True)[:limit])
