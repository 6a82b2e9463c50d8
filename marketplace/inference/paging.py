"""Pages of jobs. Many jobs of one batch may be as old as each other, so a cursor names one job and not a moment."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from marketplace.api_parts import KeysetPagination
from models_registry.errors import CursorInvalidError


class Place(NamedTuple):
    """A job in the order of lists, and whether a page lies before it (newer) or behind it (older)."""

    is_before: bool
    created_at: datetime
    id: UUID

    def encode(self) -> str:
        text = f"{'n' if self.is_before else 'o'}|{self.created_at.isoformat()}|{self.id}"
        return base64.urlsafe_b64encode(text.encode()).decode()

    def rows(self, jobs: QuerySet[Any]) -> QuerySet[Any]:
        """The jobs on its side, the nearest first."""
        if self.is_before:
            newer = Q(created_at__gt=self.created_at) | Q(created_at=self.created_at, id__gt=self.id)
            return jobs.filter(newer).order_by("created_at", "id")
        older = Q(created_at__lt=self.created_at) | Q(created_at=self.created_at, id__lt=self.id)
        return jobs.filter(older).order_by("-created_at", "-id")


def place_of(cursor: str) -> Place:
    """Raises CursorInvalidError."""
    try:
        side, moment, number = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii").split("|")
        created_at = datetime.fromisoformat(moment)
        if side not in ("n", "o") or created_at.tzinfo is None:
            raise ValueError(cursor)
        return Place(side == "n", created_at.astimezone(UTC), UUID(number))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise CursorInvalidError("The cursor is none that this site gave. Start from the first page.") from error


def place_behind(job: Any) -> str:
    """The cursor of what follows a job."""
    return Place(False, job.created_at, job.pk).encode()


class JobPagination(KeysetPagination):
    """Newest first, by time and then id. A page stays where it is whatever is added meanwhile."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        """A page. Raises CursorInvalidError where `cursor` is none that this site gave out."""
        self.base_url = request.build_absolute_uri()
        limit = self.get_page_size(request) or self.page_size or 0
        cursor = request.query_params.get(self.cursor_query_param)
        place = place_of(cursor) if cursor else None
        rows = place.rows(queryset) if place else queryset.order_by("-created_at", "-id")
        found = list(rows[: limit + 1])
        has_more, page = len(found) > limit, found[:limit]
        is_before = place is not None and place.is_before
        page = page[::-1] if is_before else page
        self.newer = page[0] if page and (has_more if is_before else place is not None) else None
        self.older = page[-1] if page and (is_before or has_more) else None
        return page

    def get_next_link(self) -> str | None:
        return self._link(self.older, is_before=False)

    def get_previous_link(self) -> str | None:
        return self._link(self.newer, is_before=True)

    def _link(self, job: Any, *, is_before: bool) -> str | None:
        if job is None:
            return None
        cursor = Place(is_before, job.created_at, job.pk).encode()
        return replace_query_param(self.base_url or "", self.cursor_query_param, cursor)
