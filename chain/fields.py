"""A database field for the EVM's integers."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

UINT256_MAX = 2**256 - 1


class Uint256Field(models.Field):  # type: ignore[type-arg]
    """An unsigned integer of up to 256 bits, an `int` in Python.

    The column holds 64 lower-case hex digits: exact on every database, and text order is number order, so that
    comparisons, ranges and `order_by` work. There is no arithmetic in SQL. Decimal strings are accepted on input
    because JSON carries these numbers that way.
    """

    description = "An unsigned 256-bit integer"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_length"] = 64
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> tuple[str, str, list[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("max_length", None)
        return str(name), path, list(args), kwargs

    def get_internal_type(self) -> str:
        return "CharField"

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> int | None:
        return None if value is None else int(value, 16)

    def to_python(self, value: Any) -> int | None:
        if value is None:
            return None
        if isinstance(value, str) and value.isascii() and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= UINT256_MAX:
            raise ValidationError(f"Expected a whole number from 0 to 2^256 - 1, got {str(value)[:100]!r}.")
        return value

    def get_prep_value(self, value: Any) -> str | None:
        if type(value) is int and 0 <= value <= UINT256_MAX:
            # Nearly always, and a bulk insert does it a hundred thousand times.
            return f"{value:064x}"
        number = self.to_python(super().get_prep_value(value))
        return None if number is None else f"{number:064x}"

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))
