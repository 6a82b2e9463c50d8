"""Inputs as a request gives them: values, and names of uploads in place of values."""

from typing import Any
from uuid import UUID

from marketplace.accounts.models import Account
from marketplace.inference.errors import InputUploadNotFoundError
from marketplace.inference.models import UploadKind
from marketplace.inference.payloads import payload_decrypt
from marketplace.inference.uploads import input_upload_list
from models_registry.runtime.errors import InputError
from models_registry.runtime.tasks import TASKS, FileInput, TaskSpec, TextInput

# UTF-8 has up to four bytes for a character.
_BYTES_PER_CHARACTER = 4


def upload_named(value: Any) -> UUID | None:
    """The upload that stands in place of an input, as `{"upload": "<id>"}`, or with `sha256` too."""
    if not isinstance(value, dict) or value.keys() not in ({"upload"}, {"upload", "sha256"}):
        return None
    try:
        return UUID(str(value["upload"]))
    except ValueError:
        return None


def inputs_accept(*, account: Account, spec: TaskSpec, inputs: Any) -> list[Any]:
    """The inputs of one job, one or a list, checked as far as they are here; the worker checks what an upload holds.

    Raises InputError, InputUploadNotFoundError.
    """
    listed = inputs if upload_named(inputs) is None else [inputs]
    if not isinstance(listed, list) or all(upload_named(value) is None for value in listed):
        return spec.validate_inputs(inputs)
    if len(listed) > spec.max_inputs:
        raise InputError(
            f"inputs must hold 1 to {spec.max_inputs} for {spec.name}; {len(listed)} came.", max_inputs=spec.max_inputs
        )
    return inputs_accept_each(account=account, spec=spec, inputs=listed)


def inputs_accept_each(*, account: Account, spec: TaskSpec, inputs: list[Any], offset: int = 0) -> list[Any]:
    """The same of a list whose every entry is one input, whatever it looks like.

    An upload stays a name, with the SHA-256 of what is in it, so that a receipt commits to that too.

    `offset` is how many inputs of the caller's come before, for messages. Raises InputError, InputUploadNotFoundError.
    """
    digests = _uploads_check(account, spec, uploads_of(inputs))
    return [
        spec.kind.check(value, offset + place)
        if (number := upload_named(value)) is None
        else _named(value, {"upload": str(number), "sha256": digests[number]}, offset + place)
        for place, value in enumerate(inputs)
    ]


def uploads_of(inputs: list[Any]) -> set[UUID]:
    """The uploads that inputs name."""
    return {number for value in inputs if (number := upload_named(value)) is not None}


def _named(given: dict[str, Any], upload: dict[str, str], place: int) -> dict[str, str]:
    """The upload as the job keeps it. Raises InputError where the caller expects another content."""
    if given.get("sha256", upload["sha256"]) != upload["sha256"]:
        raise InputError(
            f"Input {place + 1} names an upload whose SHA-256 is {upload['sha256']}, not that. Send it again.",
            position=place,
        )
    return upload


def _uploads_check(account: Account, spec: TaskSpec, numbers: set[UUID]) -> dict[UUID, str]:
    """The SHA-256 of each upload. Raises InputError, InputUploadNotFoundError."""
    if not numbers:
        return {}
    found = input_upload_list(account).filter(pk__in=numbers)
    if len(found) < len(numbers):
        raise InputUploadNotFoundError(
            "An input names an upload that this account does not have (any more). Send it again, then name the new id."
        )
    kind, most = _upload_wanted(spec)
    for upload in found:
        if upload.kind != kind:
            raise InputError(
                f"{spec.name} takes {spec.kind.noun}; the upload {upload.pk} is of the kind {upload.kind}.",
                upload=str(upload.pk),
            )
        if upload.size > most:
            raise InputError(
                f"The upload {upload.pk} has {upload.size} bytes; an input of {spec.name} has at most {most}.",
                upload=str(upload.pk),
                max_bytes=most,
            )
    return {upload.pk: payload_decrypt(upload.pk, upload.digest) for upload in found}


def upload_most_bytes(kind: str) -> int:
    """How large an upload of a kind may be: what the task takes that takes most of it."""
    wanted = [_upload_wanted(spec) for spec in TASKS.values() if isinstance(spec.kind, FileInput | TextInput)]
    return max(most for found, most in wanted if found == kind)


def _upload_wanted(spec: TaskSpec) -> tuple[str, int]:
    """The kind of upload that can be an input of the task, and its most bytes. Raises InputError where none can."""
    kind = spec.kind
    if isinstance(kind, FileInput):
        return kind.accepts[0].partition("/")[0], kind.max_bytes
    if isinstance(kind, TextInput):
        return UploadKind.TEXT, _BYTES_PER_CHARACTER * kind.max_chars
    raise InputError(f"{spec.name} takes {spec.kind.noun}, which cannot be sent ahead. Send them in the request.")
