"""Fields that the APIs of the registry and of the marketplace share."""

from typing import Any

from rest_framework import serializers


class BoundedListField(serializers.ListField):
    """A list that is refused by its length before its entries are looked at: each wrong one costs an error."""

    def __init__(self, *, max_length: int, **options: Any) -> None:
        super().__init__(max_length=max_length, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, list):
            self.length_check(data)
        return list(super().to_internal_value(data))

    def length_check(self, data: list[Any]) -> None:
        """Raises ValidationError, or the error that a call has for this."""
        if self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
