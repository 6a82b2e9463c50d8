"""Inputs as a request gives them: values, and names of uploads in place of values."""

from typing import Any
from uuid import UUID

from marketplace.accounts.models import Account
from marketplace.inference.errors import InputUploadNotFoundError
from marketplace.inference.models import InputUpload
from models_registry.runtime.errors import InputError
from models_registry.runtime.tasks import TaskSpec

# UTF-8 has up to four bytes for a character.
_BYTES_PER_CHARACTER = 4


def upload_named(value: Any) -> UUID | None:
    """The upload that stands in place of an input, as `{"upload": "<id>"}`."""
    if not isinstance(value, dict) or value.keys() != {"upload"}:
        return None
    try:
        return UUID(str(value["upload"]))
    except ValueError:
        return None


def inputs_accept(*, account: Account, spec: TaskSpec, inputs: Any, offset: int = 0) -> list[Any]:
    """The inputs of one job, checked as far as they are here; what an upload holds is checked by the worker.

    `offset` is how many inputs of the caller's come before, for messages. Raises InputError, InputUploadNotFoundError.
    """
    listed = inputs if isinstance(inputs, list) else [inputs]
    places = {place: number for place, value in enumerate(listed) if (number := upload_named(value)) is not None}
    if not places:
        return _checked(spec, inputs, offset)
    if len(listed) > spec.max_inputs:
        raise InputError(f"inputs must hold 1 to {spec.max_inputs} for {spec.name}; {len(listed)} came.")
    _uploads_check(account, spec, set(places.values()))
    accepted: list[Any] = []
    for place, value in enumerate(listed):
        if place in places:
            accepted.append({"upload": str(places[place])})
        else:
            accepted += _checked(spec, [value], offset + place)
    return accepted


def uploads_of(inputs: list[Any]) -> set[UUID]:
    """The uploads that accepted inputs name."""
    return {number for value in inputs if (number := upload_named(value)) is not None}


def _checked(spec: TaskSpec, inputs: Any, offset: int) -> list[Any]:
    try:
        return list(spec.validate_inputs(inputs))
    except InputError as error:
        position = error.data.get("position")
        if offset == 0 or position is None:
            raise
        message = error.message.replace(f"Input {position + 1} ", f"Input {position + offset + 1} ", 1)
        raise InputError(message, **{**error.data, "position": position + offset}) from None


def _uploads_check(account: Account, spec: TaskSpec, numbers: set[UUID]) -> None:
    found = InputUpload.objects.filter(account=account, pk__in=numbers)
    if len(found) < len(numbers):
        raise InputUploadNotFoundError(
            "An input names an upload that this account does not have (any more). Send it again, then name the new id."
        )
    for upload in found:
        if upload.kind == "text" and upload.size > _BYTES_PER_CHARACTER * spec.max_input_chars:
            raise InputError(
                f"An uploaded text has {upload.size} bytes; at most {spec.max_input_chars} characters are accepted.",
                max_input_chars=spec.max_input_chars,
            )
