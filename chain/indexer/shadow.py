"""Derived tables built a second time, beside the ones that everybody reads.

Both databases look up a table's name among the connection's temporary tables first (SQLite: "temp" before "main";
PostgreSQL: `pg_temp` before `search_path`). So temporary tables with the names of the derived tables hide those from
one connection, and the indexer and the handlers run there unchanged. Everybody else reads the old rows until `swap`
replaces them in one transaction.

If the connection is lost, the temporary tables are gone with it, and a new connection would see the live ones. Every
commit of the indexer names the cursor and the token of the stream row that it read, which the live row does not have.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from weighhouse.core.faults import fault_point

from chain import handlers
from chain.errors import RebuildOvertaken
from chain.models import BlockHeader, ChainEvent, ParkedLog, Stream

_REFERENCES = re.compile(r' REFERENCES "\w+" \("\w+"\)( DEFERRABLE INITIALLY DEFERRED)?')
_INDEX = re.compile(r'^CREATE (UNIQUE )?INDEX "')
Model = type[models.Model]
# So far above the live keys that no event of the running indexer gets the key of another one of the shadow's.
KEYS_APART = 10**9


@dataclass(frozen=True, slots=True)
class Change:
    """What a swap did to the events: how many there were, how many there are, how many came and went."""

    before: int
    after: int
    added: int
    removed: int


def derived_models() -> list[Model]:
    """Every model whose rows come from the chain alone, parents before children."""
    found: list[Model] = [Stream, BlockHeader, ParkedLog, ChainEvent]
    rest = [model for model in apps.get_models() if model not in found and not model._meta.proxy]
    while more := [model for model in rest if model not in found and _hangs_off(model, found)]:
        found.extend(more)
    return found


def links() -> list[tuple[str, str]]:
    """Table and column of every reference to an event from rows that are not derived.

    Raises TypeError where such a row refers to another derived row: only events can be found again after a rebuild.
    """
    derived, found = derived_models(), []
    for model in apps.get_models():
        for field in model._meta.concrete_fields if model not in derived else ():
            if field.related_model is ChainEvent:
                found.append((model._meta.db_table, str(field.column)))
            elif field.related_model in derived:
                raise TypeError(f"{model._meta.label}.{field.name} refers to a derived row. Refer to its event.")
    return found


@contextmanager
def shadow() -> Iterator[None]:
    """Within it, this connection sees empty derived tables of its own. Keys go on from those of the live rows."""
    derived = derived_models()
    tables, numbered = ([model._meta.db_table for model in these] for these in (derived, filter(_is_numbered, derived)))
    dialect = _dialect()
    with connection.cursor() as cursor, transaction.atomic():
        dialect.create(cursor, tables)
        dialect.keys_continue(cursor, numbered)
    try:
        with handlers.rebuilding():
            yield
    finally:
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f'DROP TABLE IF EXISTS {dialect.hidden}."{table}"')


def swap() -> Change:
    """Put the shadow's rows in the place of the live ones, in one transaction, and end the shadow.

    1. Take the lease away from whoever holds it: its next commit fails, and it stands by until this one is done.
    2. Turn references of other rows to the events of the same place in the chain; one whose event is gone ends.
    3. Delete the live rows, insert the shadow's, and put the cursor where the shadow's stands.
    4. Drop the shadow and run what apps registered to repair what depends on more than the chain.

    Raises `RebuildOvertaken` where the live index is further by now.
    """
    derived = [model for model in derived_models() if model is not Stream]
    dialect = _dialect()
    with transaction.atomic(), connection.cursor() as cursor:
        # The stream's row first, as the indexer does.
        _cursor_take(cursor, dialect)
        read = {model._meta.db_table for model in handlers.models_repaired_from()}
        dialect.writers_hold(cursor, sorted({table for table, _ in links()} | read))
        change = _change(cursor, dialect)
        for table, column in links():
            cursor.execute(_relink(dialect, table, column))
        fault_point("rebuild.relinked")
        for model in reversed(derived):
            cursor.execute(f'DELETE FROM {dialect.live}."{model._meta.db_table}"')  # noqa: S608
        for model in derived:
            _copy(cursor, dialect, model)
        for table in [model._meta.db_table for model in derived_models()]:
            cursor.execute(f'DROP TABLE {dialect.hidden}."{table}"')
        handlers.rebuilt()
        fault_point("rebuild.swapped")
    return change


def _hangs_off(model: Model, derived: list[Model]) -> bool:
    return any(
        field.related_model in derived and field.remote_field.on_delete is models.CASCADE  # type: ignore[union-attr]
        for field in model._meta.concrete_fields
        if field.is_relation
    )


def _cursor_take(cursor: Any, dialect: "_Sqlite | _Postgres") -> None:
    table = Stream._meta.db_table
    cursor.execute(f'UPDATE {dialect.live}."{table}" SET lease_token = lease_token + 1')  # noqa: S608
    cursor.execute(
        f'SELECT COUNT(*) FROM {dialect.live}."{table}" o JOIN {dialect.hidden}."{table}" n'  # noqa: S608
        " ON n.chain_id = o.chain_id WHERE o.next_block > n.next_block AND o.contracts_hash = n.contracts_hash"
    )
    if cursor.fetchone()[0]:
        raise RebuildOvertaken("The running indexer is further than the rebuilt index; it has to catch up first.")
    kept = ("next_block", "last_block", "last_hash", "contracts_hash", "genesis_hash", "head_block", "finalized_block")
    fresh = ", ".join(f"{name} = n.{name}" for name in kept)
    cursor.execute(
        f"UPDATE {dialect.live}.\"{table}\" SET {fresh}, lease_owner = '', lease_until = NULL"  # noqa: S608
        f' FROM {dialect.hidden}."{table}" n WHERE n.chain_id = {dialect.live}."{table}".chain_id'
    )


def _change(cursor: Any, dialect: "_Sqlite | _Postgres") -> Change:
    table = ChainEvent._meta.db_table
    live, fresh = f'{dialect.live}."{table}"', f'{dialect.hidden}."{table}"'
    counts = []
    for these, others in ((live, fresh), (fresh, live)):
        cursor.execute(
            f"SELECT COUNT(*), COUNT(CASE WHEN o.id IS NULL THEN 1 END) FROM {these} t LEFT JOIN {others} o"  # noqa: S608
            " ON o.chain_id = t.chain_id AND o.block_hash = t.block_hash AND o.log_index = t.log_index"
        )
        counts.append(cursor.fetchone())
    (before, removed), (after, added) = counts
    return Change(before=before, after=after, added=added, removed=removed)


def _relink(dialect: "_Sqlite | _Postgres", table: str, column: str) -> str:
    event, target = ChainEvent._meta.db_table, f'{dialect.live}."{table}"'
    return (
        f'UPDATE {target} SET "{column}" = (SELECT n.id FROM {dialect.hidden}."{event}" n'  # noqa: S608
        f' JOIN {dialect.live}."{event}" o ON o.chain_id = n.chain_id AND o.block_hash = n.block_hash'
        f' AND o.log_index = n.log_index WHERE o.id = {target}."{column}") WHERE "{column}" IS NOT NULL'
    )


def _copy(cursor: Any, dialect: "_Sqlite | _Postgres", model: Model) -> None:
    table = model._meta.db_table
    columns = ", ".join(f'"{field.column}"' for field in model._meta.concrete_fields)
    cursor.execute(
        f'INSERT INTO {dialect.live}."{table}" ({columns}) SELECT {columns} FROM {dialect.hidden}."{table}"'  # noqa: S608
    )
    if _is_numbered(model):
        dialect.keys_raise(cursor, table)


def _is_numbered(model: Model) -> bool:
    """Whether the database numbers the rows."""
    return isinstance(model._meta.pk, models.AutoField)


class _Sqlite:
    live, hidden = "main", "temp"

    def create(self, cursor: Any, tables: list[str]) -> None:
        for table in tables:
            cursor.execute("SELECT type, sql FROM main.sqlite_master WHERE tbl_name = %s AND sql <> ''", [table])
            for kind, sql in sorted(cursor.fetchall(), reverse=True):
                # A reference inside "temp" could only be to tables there. The live tables check them at the swap.
                cursor.execute(self._hidden(kind, sql))

    def keys_continue(self, cursor: Any, tables: list[str]) -> None:
        names = ", ".join(["%s"] * len(tables))
        cursor.execute(
            "INSERT INTO temp.sqlite_sequence (name, seq)"  # noqa: S608
            f" SELECT name, seq + %s FROM main.sqlite_sequence WHERE name IN ({names})",
            [KEYS_APART, *tables],
        )

    def _hidden(self, kind: str, sql: str) -> str:
        if kind == "index":
            return _INDEX.sub(r'CREATE \1INDEX temp."', sql)
        return _REFERENCES.sub("", sql).replace("CREATE TABLE ", "CREATE TEMP TABLE ", 1)

    def writers_hold(self, cursor: Any, tables: list[str]) -> None:
        """The transaction holds the write lock of the whole database already."""

    def keys_raise(self, cursor: Any, table: str) -> None:
        """Inserting a key raises the sequence of an AUTOINCREMENT table by itself."""


class _Postgres:
    hidden = "pg_temp"

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            self.live = f'"{cursor.fetchone()[0]}"'

    def create(self, cursor: Any, tables: list[str]) -> None:
        for table in tables:
            cursor.execute(f'CREATE TEMP TABLE "{table}" (LIKE {self.live}."{table}" INCLUDING ALL)')

    def keys_continue(self, cursor: Any, tables: list[str]) -> None:
        for table in tables:
            cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [f'{self.live}."{table}"'])
            newest = cursor.fetchone()[0] + KEYS_APART
            cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [f'pg_temp."{table}"', newest])

    def writers_hold(self, cursor: Any, tables: list[str]) -> None:
        """Let rows that refer to events wait, so that none refers to one that is about to go."""
        for table in tables:
            cursor.execute(f'LOCK TABLE {self.live}."{table}" IN SHARE ROW EXCLUSIVE MODE')

    def keys_raise(self, cursor: Any, table: str) -> None:
        cursor.execute(
            f"SELECT setval(pg_get_serial_sequence(%s, 'id'), GREATEST(MAX(id), 1)) FROM {self.live}.\"{table}\"",  # noqa: S608
            [f'{self.live}."{table}"'],
        )


def _dialect() -> _Sqlite | _Postgres:
    return _Postgres() if connection.vendor == "postgresql" else _Sqlite()
