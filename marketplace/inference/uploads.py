"""Reads about uploads of large inputs. A worker alone reads what is in them."""

import base64
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from marketplace.accounts.models import Account
from marketplace.inference.errors import InputUploadNotFoundError
from marketplace.inference.models import InputUpload, Job, UploadKind
from marketplace.inference.upload_files import upload_file_read
from models_registry.runtime.errors import InputError


def input_upload_list(account: Account) -> QuerySet[InputUpload]:
    """The account's uploads, newest first."""
    return InputUpload.objects.filter(account=account, **account.rows_seen)


def input_upload_get(*, account: Account, upload_id: UUID) -> InputUpload:
    """One of the account's uploads. Raises InputUploadNotFoundError, for others' uploads too."""
    upload = input_upload_list(account).filter(pk=upload_id).first()
    if upload is None:
        raise InputUploadNotFoundError("This account has no such upload. Send it again, then name the new id.")
    return upload


def inputs_resolve(job: Job, inputs: list[Any]) -> list[Any]:
    """A job's inputs with the contents of uploads in place of their names: a text, or `{"data": <base64>}`.

    Only uploads of the job's own account are opened, whatever the payload says. Raises InputUploadNotFoundError,
    InputError.
    """
    resolved = []
    for position, value in enumerate(inputs):
        is_name = isinstance(value, dict) and value.keys() == {"upload", "sha256"}
        resolved.append(_content(job, UUID(value["upload"]), position) if is_name else value)
    return resolved


def _content(job: Job, number: UUID, position: int) -> Any:
    upload = input_upload_get(account=job.account, upload_id=number)
    data = upload_file_read(number)
    if upload.kind != UploadKind.TEXT:
        return {"data": base64.b64encode(data).decode()}
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError(
            f"Input {position + 1} is an uploaded text that is not UTF-8. Send it in UTF-8.", position=position
        ) from None
