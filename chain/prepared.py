"""Statements that are written once: afterwards only their values are filled in.

Django writes the SQL of a query anew each time, which takes several times as long as the database takes to answer one
that finds a row by its key. What runs at every request is prepared here instead. The result is what the same query
gives: the same SQL, the same instances, either database.

The function that makes a query runs once, with a `Param` for each value. So it must read nothing that may change, as
the clock or a setting: that is a value too.
"""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Generic, NamedTuple, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, QuerySet, Subquery
from django.db.models.lookups import In, Lookup
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.query import Query
from django.db.models.sql.subqueries import UpdateQuery
from django.db.models.sql.where import WhereNode
from django.db.transaction import TransactionManagementError

RowT = TypeVar("RowT")
# Rows, and what is written to their fields.
Changes = tuple[QuerySet[Any], Mapping[str, Any]]


class Param(Expression):
    """The place of a value. Compared with a column, or written to one, the value is what the column's field takes.

    With `__in`, which is not to be negated, it is a list. Anywhere else, as in arithmetic, `Case` and `order_by`, it
    goes as it is: an `int` or a date, for columns that hold such. It is never `None` in a comparison, which SQL would
    not find.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._field: models.Field[Any, Any] | None = None
        self._is_list = self._is_written = False

    def compare(self, field: "models.Field[Any, Any]", *, with_list: bool) -> None:
        """The value is compared with what the field holds."""
        self._field, self._is_list = field, with_list

    def write(self, field: "models.Field[Any, Any]") -> None:
        """The value is written to the field."""
        self._field, self._is_written = field, True

    def as_sql(self, _compiler: Any, _connection: Any) -> tuple[str, tuple[Any, ...]]:
        return (f"({self._places})" if self._is_list else "%s"), (self,)

    def fill(self, sql: str, values: Mapping[str, Any], database: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """The SQL with as many places as there are values, and those as the database takes them."""
        value = values[self.name]
        if not self._is_list:
            return sql, [self._converted(value, database)]
        # What is in no list is found nowhere: NULL equals nothing.
        places = ", ".join(["%s"] * len(value)) or "NULL"
        return sql.replace(self._places, places, 1), [self._converted(one, database) for one in value]

    @property
    def _places(self) -> str:
        return f"/* {self.name} */ %s"

    def _converted(self, value: Any, database: BaseDatabaseWrapper) -> Any:
        if self._field is None:
            if type(value) is date:
                return database.ops.adapt_datefield_value(value)
            if type(value) is not int:
                raise TypeError(f"{self.name} is part of an expression, which takes a whole number or a date.")
            return value
        convert = self._field.get_db_prep_save if self._is_written else self._field.get_db_prep_value
        return convert(value, database)


class _Query(NamedTuple, Generic[RowT]):
    """A query with its SQL, and what reads the rows that come back."""

    template: QuerySet[Any, RowT]
    compiler: SQLCompiler
    sql: str
    places: Sequence[Any]


class Prepared(Generic[RowT]):
    """A query without its values. Safe to share between threads."""

    def __init__(self, make: Callable[..., QuerySet[Any, RowT]]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        self._written: dict[str, _Query[RowT]] = {}

    def rows(self, most: int | None = None, /, **values: Any) -> list[RowT]:
        """What the query finds; of one that has no bound the first `most`."""
        database = connections[DEFAULT_DB_ALIAS]
        written = self._query(database)
        if written.template.query.select_for_update and not database.in_atomic_block:
            raise TransactionManagementError("select_for_update cannot be used outside of a transaction.")
        statement = _filled(database, written.sql, written.places, values, most=most)
        # Django asks the compiler of a query for its SQL, and reads the rows by what else that knows.
        compiler = copy.copy(written.compiler)
        compiler.connection = database
        converters = self._converters(database, compiler)
        vars(compiler).update(as_sql=lambda *_, **__: statement, get_converters=lambda _: converters)
        queryset = written.template.all()
        vars(queryset.query)["get_compiler"] = lambda *_, **__: compiler
        return list(queryset)

    def first(self, **values: Any) -> RowT | None:
        """The row of a query that finds one at most, by a unique key or a slice; `None` where there is none."""
        return next(iter(self.rows(**values)), None)

    def count(self, most: int | None = None, /, **values: Any) -> int:
        """How many rows it finds; it looks for `most` at most."""
        database = connections[DEFAULT_DB_ALIAS]
        written = self._query(database)
        sql, params = _filled(database, written.sql, written.places, values, most=most)
        with database.cursor() as cursor:
            cursor.execute(f"SELECT COUNT(*) FROM ({sql}) found", params)  # noqa: S608  Django's SQL
            return int(cursor.fetchone()[0])

    def _query(self, database: BaseDatabaseWrapper) -> _Query[RowT]:
        known = self._written.get(database.vendor)
        if known is None:
            queryset = _made(self._make)
            _conditions_bind(queryset.query)
            compiler = queryset.query.get_compiler(connection=database)
            sql, places = compiler.as_sql()
            # Other threads have connections of their own, and this one's may end.
            compiler.connection = None
            known = self._written[database.vendor] = _Query(queryset, compiler, sql, places)
        return known

    def _converters(self, database: BaseDatabaseWrapper, compiler: SQLCompiler) -> dict[int, Any]:
        """What turns columns into values on this connection, which keeps it."""
        known: dict[Any, dict[int, Any]] = vars(database).setdefault("prepared_converters", {})
        if self not in known:
            known[self] = compiler.get_converters([column for column, _, _ in compiler.select])
        return known[self]


class PreparedUpdate:
    """An UPDATE without its values: rows, and what becomes of them. Safe to share between threads."""

    def __init__(self, make: Callable[..., Changes]) -> None:
        self._make = make
        self.__doc__ = make.__doc__
        self._written: dict[str, tuple[str, Sequence[Any]]] = {}

    def __call__(self, **values: Any) -> int:
        """Change the rows. Returns how many they were."""
        database = connections[DEFAULT_DB_ALIAS]
        sql, places = self._statement(database)
        with transaction.mark_for_rollback_on_error(using=database.alias), database.cursor() as cursor:
            cursor.execute(*_filled(database, sql, places, values))
            return int(cursor.rowcount)

    def _statement(self, database: BaseDatabaseWrapper) -> tuple[str, Sequence[Any]]:
        known = self._written.get(database.vendor)
        if known is None:
            queryset, changes = _made(self._make)
            query = queryset.query.chain(UpdateQuery)
            # As `update` does: what they stand for is in the conditions by now.
            query.annotations = {}
            query.add_update_values(dict(changes))
            for field, _, value in query.values:
                if isinstance(value, Param):
                    value.write(field)
            _conditions_bind(query)
            known = self._written[database.vendor] = query.get_compiler(connection=database).as_sql()
        return known


class PreparedInsert(Generic[RowT]):
    """The INSERT of a model. Safe to share between threads. A key that the database gives stays unknown to the row."""

    def __init__(self, model: type[RowT]) -> None:
        self._model: Any = model
        self._written: dict[str, str] = {}

    def __call__(self, *rows: RowT) -> None:
        """Write the rows. Raises IntegrityError. In a transaction it is all of them or none."""
        database = connections[DEFAULT_DB_ALIAS]
        sql = self._written.get(database.vendor)
        if sql is None:
            sql = self._written[database.vendor] = self._statement(database)
        models_of_rows = [cast(models.Model, row) for row in rows]
        with transaction.mark_for_rollback_on_error(using=database.alias), database.cursor() as cursor:
            cursor.executemany(sql, [self._values(row, database) for row in models_of_rows])
        for row in models_of_rows:
            row._state.adding = False
            row._state.db = database.alias

    def _values(self, row: models.Model, database: BaseDatabaseWrapper) -> list[Any]:
        return [field.get_db_prep_save(field.pre_save(row, True), database) for field in self._fields]

    @functools.cached_property
    def _fields(self) -> "list[models.Field[Any, Any]]":
        return [field for field in self._model._meta.concrete_fields if not isinstance(field, models.AutoField)]

    def _statement(self, database: BaseDatabaseWrapper) -> str:
        quote = database.ops.quote_name
        columns = [quote(str(field.column)) for field in self._fields]
        places = ", ".join(["%s"] * len(columns))
        return f"INSERT INTO {quote(self._model._meta.db_table)} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608  names of the model's


def _made(make: Callable[..., Any]) -> Any:
    return make(**{name: Param(name) for name in inspect.signature(make).parameters})


def _filled(
    database: BaseDatabaseWrapper,
    sql: str,
    places: Sequence[Any],
    values: Mapping[str, Any],
    *,
    most: int | None = None,
) -> tuple[str, tuple[Any, ...]]:
    params: list[Any] = []
    for place in places:
        if isinstance(place, Param):
            sql, filled = place.fill(sql, values, database)
            params += filled
        else:
            params.append(place)
    return (sql, tuple(params)) if most is None else (f"{sql} LIMIT %s", (*params, most))


def _conditions_bind(query: Query) -> None:
    """Let each value that is compared with a column be what the column's field takes, in queries within too."""
    waiting: list[Any] = [query]
    while waiting:
        node = waiting.pop()
        if isinstance(node, WhereNode):
            if node.negated and any(isinstance(child, In) and isinstance(child.rhs, Param) for child in node.children):
                raise ValueError("A prepared query cannot ask for what is in no list.")
            waiting += node.children
        elif isinstance(node, Query):
            waiting += [node.where, *node.annotations.values()]
        elif isinstance(node, Subquery):
            waiting.append(node.query)
        elif isinstance(node, Expression | Lookup):
            waiting += node.get_source_expressions()
            if isinstance(node, Lookup) and isinstance(node.rhs, Param):
                node.rhs.compare(node.lhs.output_field, with_list=isinstance(node, In))
