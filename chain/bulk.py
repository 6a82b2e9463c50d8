"""Rows of the index, written many at a time.

Django's `bulk_create` spends most of its time on writing SQL for each row again. These statements are the same for all
rows of a model, and the database driver repeats them.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections, models

# What one statement of the ORM is given at most: ids in a condition, rows of a `bulk_create`.
ROWS_PER_STATEMENT = 500


def rows_insert(rows: Iterable[models.Model], *, unique: Sequence[str] = ("event",)) -> None:
    """Insert unsaved rows of any models, in the order of each model's first row. Their primary keys stay unset.

    A row that is there already, by the fields `unique`, is brought to the given values, so that a handler that sees an
    event again changes nothing. Any other conflict raises `IntegrityError`. To be called inside a transaction.
    """
    by_model: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    for model, of_model in by_model.items():
        _execute(model, _upsert(model, tuple(unique)), of_model, with_key=False)


def rows_insert_keyed(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert unsaved rows of one model and give them ascending primary keys. Raises `IntegrityError` on any conflict.

    To be called inside a transaction; the keys are never used again, also not after the rows are gone.
    """
    if not rows:
        return
    for row, key in zip(rows, _keys_reserve(model, len(rows)), strict=True):
        row.pk = key
    _execute(model, _insert(model, with_key=True), rows, with_key=True)


def _execute(model: type[models.Model], statement: str, rows: Sequence[models.Model], *, with_key: bool) -> None:
    columns = [(field.attname, field.get_db_prep_save) for field in _fields(model, with_key)]
    database = connections[DEFAULT_DB_ALIAS]
    values = [[prepare(getattr(row, name), database) for name, prepare in columns] for row in rows]
    with database.cursor() as cursor:
        cursor.executemany(statement, values)


def _keys_reserve(model: type[models.Model], count: int) -> Sequence[int]:
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            sequence = "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)"
            cursor.execute(sequence, [connection.ops.quote_name(table), model._meta.pk.column, count])
            return sorted(key for (key,) in cursor.fetchall())
        # SQLite keeps the largest key that each AUTOINCREMENT table ever had; the transaction holds the write lock.
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        newest = cursor.fetchone()
        return range((newest[0] if newest else 0) + 1, (newest[0] if newest else 0) + 1 + count)


@lru_cache(maxsize=128)
def _insert(model: type[models.Model], *, with_key: bool) -> str:
    columns = [connection.ops.quote_name(str(field.column)) for field in _fields(model, with_key)]
    table, places = connection.ops.quote_name(model._meta.db_table), ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608 - names of our own tables


@lru_cache(maxsize=128)
def _upsert(model: type[models.Model], unique: tuple[str, ...]) -> str:
    quoted = connection.ops.quote_name
    conflict = [quoted(str(field.column)) for field in _fields(model, with_key=False) if field.name in unique]
    others = [quoted(str(field.column)) for field in _fields(model, with_key=False) if field.name not in unique]
    change = f"UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in others)}" if others else "NOTHING"
    return f"{_insert(model, with_key=False)} ON CONFLICT ({', '.join(conflict)}) DO {change}"


@lru_cache(maxsize=128)
def _fields(model: type[models.Model], with_key: bool) -> "tuple[models.Field[Any, Any], ...]":
    return tuple(field for field in model._meta.concrete_fields if with_key or not field.primary_key)
