"""What happened on chain, newest first: per model, per address, and on the whole market."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from chain import activity as chain_activity
from chain.explorer_links import explorer_url
from chain.finality import Finality, finality_of
from chain.models import ChainEvent, Topic
from chain.selectors import chain_status
from chain.subjects import Subjects, subjects_of
from marketplace.licences.selectors.plans import plans_by_id
from marketplace.licences.selectors.sentences import Part, Told, sentence_of
from models_registry import selectors as registry
from models_registry.errors import CursorInvalidError

PAGE_SIZE = 20
_CURSOR_DIGITS = 18

Keys = Callable[..., list[int]]


@dataclass(frozen=True, slots=True)
class Activity:
    """One indexed event as people read it."""

    event: ChainEvent
    topic: Topic
    parts: list[Part]
    about: Subjects
    finality: Finality

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts)

    @property
    def explorer_url(self) -> str:
        """Its transaction at the site's block explorer; empty where the site names none."""
        return explorer_url("tx", self.event.tx_hash)


@dataclass(frozen=True, slots=True)
class ActivityPage:
    """`next_cursor` goes into the next call's `after`; empty at the end."""

    entries: list[Activity]
    next_cursor: str


def activity_of_model(
    model_id: int, *, topic: Topic | None = None, after: str = "", limit: int = PAGE_SIZE
) -> ActivityPage:
    """Events about the model, its plans and its licences. Raises CursorInvalidError."""
    return _page(partial(chain_activity.events_of_model, model_id), topic=topic, after=after, limit=limit)


def activity_of_account(
    address: str, *, topic: Topic | None = None, after: str = "", limit: int = PAGE_SIZE
) -> ActivityPage:
    """Events that name the address. Raises CursorInvalidError."""
    return _page(partial(chain_activity.events_of_account, address), topic=topic, after=after, limit=limit)


def activity_of_market(*, topic: Topic | None = None, after: str = "", limit: int = PAGE_SIZE) -> ActivityPage:
    """Events of the registry and the market. Raises CursorInvalidError."""
    return _page(chain_activity.events_of_market, topic=topic, after=after, limit=limit)


def _page(keys: Keys, *, topic: Topic | None, after: str, limit: int) -> ActivityPage:
    """Keyset pages by the events' keys, which ascend in chain order. The same few queries whatever the page holds."""
    limit = max(1, min(limit, chain_activity.PAGE_LIMIT))
    found = keys(topic=topic, before=_cursor_parse(after), limit=limit + 1)
    events = chain_activity.events_by_key(found[:limit])
    return ActivityPage(_entries(events), str(found[limit - 1]) if len(found) > limit else "")


def _entries(events: list[ChainEvent]) -> list[Activity]:
    abouts = [subjects_of(event.contract, event.name, event.args) for event in events]
    told, status = _told(abouts), chain_status()
    return [
        Activity(
            event=event,
            topic=chain_activity.TOPICS[event.contract, event.name],
            parts=sentence_of(event, told),
            about=about,
            finality=finality_of(event, status=status),
        )
        for event, about in zip(events, abouts, strict=True)
    ]


def _told(abouts: Iterable[Subjects]) -> Told:
    """Names and plans of everything on a page, at once."""
    rows = list(abouts)
    models = registry.model_get_many({model_id for about in rows for model_id in about.model_ids})
    names = {model_id: model.name for model_id, model in models.items() if model.is_listed}
    return Told(names, plans_by_id(about.plan_id for about in rows if about.plan_id is not None))


def _cursor_parse(cursor: str) -> int | None:
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= _CURSOR_DIGITS):
        raise CursorInvalidError("The cursor is not one that this site handed out. Start again without it.")
    return int(cursor)
