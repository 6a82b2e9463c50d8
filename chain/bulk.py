"""Rows of handlers, written many at a time."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.db import models

# Rows per statement. SQLite allows 250,000 parameters in one, Django's own limit for it is lower.
ROWS_PER_STATEMENT = 500


def rows_insert(rows: Iterable[models.Model], *, unique: Sequence[str] = ("event",)) -> None:
    """Insert unsaved rows of any models, in the order of each model's first row.

    A row that is there already, by the fields `unique`, is brought to the given values, so that a handler that sees an
    event again changes nothing. Any other conflict raises `IntegrityError`.
    """
    by_model: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    for model, of_model in by_model.items():
        kept = [field.name for field in model._meta.concrete_fields if not field.primary_key]
        model._default_manager.bulk_create(
            of_model,
            batch_size=ROWS_PER_STATEMENT,
            update_conflicts=True,
            unique_fields=list(unique),
            update_fields=[name for name in kept if name not in unique],
        )
