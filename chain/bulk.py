"""Rows of the index, written many at a time.

Django's `bulk_create` spends most of its time on writing SQL for each row again. These statements are the same for all
rows of a model, and the database driver repeats them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, connections, models, transaction

# What one statement of the ORM is given at most: ids in a condition, rows of a `bulk_create`.
ROWS_PER_STATEMENT = 500
# Rows from which PostgreSQL's `COPY`, and the savepoint that it needs, are faster than a statement each.
COPIED_FROM = 20


def rows_insert(rows: Iterable[models.Model], *, unique: Sequence[str] = ("event",)) -> None:
    """Insert unsaved rows of any models, in the order of each model's first row. Their primary keys stay unset.

    A row that is there already, by the fields `unique`, is brought to the given values, so that a handler that sees an
    event again changes nothing. Any other conflict raises `IntegrityError`. To be called inside a transaction.
    """
    by_model: dict[type[models.Model], list[models.Model]] = defaultdict(list)
    for row in rows:
        by_model[type(row)].append(row)
    for model, of_model in by_model.items():
        _upserted(model, _values(model, of_model, with_key=False), tuple(unique))


def fields_insert(model: type[models.Model], rows: Sequence[Mapping[str, Any]]) -> None:
    """`rows_insert` of rows that are given as values of all their fields by attribute name (`event_id`).

    Making an object of each row costs as much as inserting it. Raises KeyError where a field is missing.
    """
    columns = [(field.attname, field.get_db_prep_save) for field in _fields(model, with_key=False)]
    database = connections[DEFAULT_DB_ALIAS]
    _upserted(model, [[prepare(row[name], database) for name, prepare in columns] for row in rows], ("event",))


def _upserted(model: type[models.Model], values: Sequence[Sequence[Any]], unique: tuple[str, ...]) -> None:
    if len(values) < COPIED_FROM or not _copied(model, values, _columns(model, with_key=False)):
        with connection.cursor() as cursor:
            cursor.executemany(_upsert(model, unique), values)


def rows_insert_keyed(model: type[models.Model], rows: Sequence[models.Model]) -> None:
    """Insert unsaved rows of one model and give them ascending primary keys. Raises `IntegrityError` on any conflict.

    To be called inside a transaction; the keys are never used again, also not after the rows are gone.
    """
    if not rows:
        return
    for row, key in zip(rows, _keys_reserve(model, len(rows)), strict=True):
        row.pk = key
    values = _values(model, rows, with_key=True)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(values) >= COPIED_FROM:
            _copy(cursor, model, values, _columns(model, with_key=True))
        else:
            cursor.executemany(_insert(model, with_key=True), values)


def values_insert(model: type[models.Model], columns: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    """Insert plain values; rows that are there already stay. To be called inside a transaction.

    For tables of which each event fills several rows: making a model's object of each costs more than its insert.
    """
    if len(values) < COPIED_FROM or not _copied(model, values, columns):
        statement = f"{_insert_of(model, columns)} ON CONFLICT DO NOTHING"
        with connection.cursor() as cursor:
            cursor.executemany(statement, values)


def _copied(model: type[models.Model], values: Sequence[Sequence[Any]], columns: Sequence[str]) -> bool:
    """Insert by `COPY`, which knows no conflicts. False where there was one, or where the database has no `COPY`."""
    if connection.vendor != "postgresql":
        return False
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _copy(cursor, model, values, columns)
    except IntegrityError:
        return False
    return True


def _copy(cursor: Any, model: type[models.Model], values: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    quoted = connection.ops.quote_name
    named = ", ".join(map(quoted, columns))
    # Django wraps the driver's errors of a cursor's own methods alone.
    with (
        connection.wrap_database_errors,
        cursor.copy(f"COPY {quoted(model._meta.db_table)} ({named}) FROM STDIN") as copy,
    ):
        for row in values:
            copy.write_row(row)


def _values(model: type[models.Model], rows: Sequence[models.Model], *, with_key: bool) -> list[list[Any]]:
    columns = [(field.attname, field.get_db_prep_save) for field in _fields(model, with_key)]
    database = connections[DEFAULT_DB_ALIAS]
    return [[prepare(getattr(row, name), database) for name, prepare in columns] for row in rows]


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
    return _insert_of(model, _columns(model, with_key=with_key))


def _insert_of(model: type[models.Model], columns: Sequence[str]) -> str:
    quoted = connection.ops.quote_name
    named, places = ", ".join(map(quoted, columns)), ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quoted(model._meta.db_table)} ({named}) VALUES ({places})"  # noqa: S608 - our own tables


@lru_cache(maxsize=128)
def _upsert(model: type[models.Model], unique: tuple[str, ...]) -> str:
    quoted = connection.ops.quote_name
    conflict = [quoted(str(field.column)) for field in _fields(model, with_key=False) if field.name in unique]
    others = [quoted(str(field.column)) for field in _fields(model, with_key=False) if field.name not in unique]
    change = f"UPDATE SET {', '.join(f'{column} = excluded.{column}' for column in others)}" if others else "NOTHING"
    return f"{_insert(model, with_key=False)} ON CONFLICT ({', '.join(conflict)}) DO {change}"


def _columns(model: type[models.Model], *, with_key: bool) -> list[str]:
    return [str(field.column) for field in _fields(model, with_key)]


@lru_cache(maxsize=128)
def _fields(model: type[models.Model], with_key: bool) -> "tuple[models.Field[Any, Any], ...]":
    return tuple(field for field in model._meta.concrete_fields if with_key or not field.primary_key)
