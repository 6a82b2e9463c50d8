"""Large inputs that are sent ahead of the job that needs them."""

import hashlib
import uuid
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.utils import timezone
from weighhouse.core.faults import fault_point

from marketplace.accounts.models import Account
from marketplace.inference.errors import InputUploadInUseError, InputUploadKindError, InputUploadQuotaError
from marketplace.inference.models import OPEN_STATES, InputUpload, UploadKind
from marketplace.inference.payloads import payload_encrypt
from marketplace.inference.services.inputs import upload_most_bytes
from marketplace.inference.services.moves import account_lock
from marketplace.inference.upload_files import UploadWriter, upload_file_delete, upload_path
from marketplace.inference.uploads import input_upload_get, input_upload_list
from models_registry.errors import UploadLimitError, UploadStorageFullError, UploadTruncatedError
from models_registry.intake.receive import room_check

_PIECE_BYTES = 256 * 1024
# A file without a row is the rest of an upload that broke off; none takes longer to arrive.
_ORPHAN_AFTER = timedelta(hours=2)
# What a key that is bound to a licence may keep of its account's quota.
_BOUND_KEY_PART = 10


class Readable(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def kind_of(media_type: str) -> UploadKind:
    """What an upload is, by its media type. Raises InputUploadKindError."""
    kind = media_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return UploadKind.TEXT
    if kind.startswith("image/"):
        return UploadKind.IMAGE
    if kind.startswith("audio/"):
        return UploadKind.AUDIO
    raise InputUploadKindError("Send the input with a Content-Type: text/plain, or one of image/ or audio/.")


def input_upload_receive(*, account: Account, media_type: str, size: int, stream: Readable) -> InputUpload:
    """Receive an input of exactly `size` bytes into an encrypted file.

    1. Refuse what kind, size and quota alone rule out, before a byte is read.
    2. Write the file, encrypted as it comes, a piece at a time.
    3. Under the account's lock: look at the quota again, write the row. A process that dies before leaves a file that
       nobody can name, and `upload_files_tidy` deletes it.

    Raises InputUploadKindError, InputUploadQuotaError, UploadLimitError, UploadTruncatedError, UploadStorageFullError.
    """
    kind = kind_of(media_type)
    most = upload_most_bytes(kind)
    if not 1 <= size <= most:
        raise UploadLimitError(f"An input of this kind has 1 to {most} bytes; {size} were announced.", limit=most)
    _quota_check(account, size)
    number = uuid.uuid4()
    try:
        sha256 = _file_write(number, stream, size)
        fault_point("input_upload.received")
        with transaction.atomic():
            account_lock(account.pk)
            _quota_check(account, size)
            delete_at = timezone.now() + timedelta(seconds=settings.INPUT_UPLOAD_RETENTION_S)
            return InputUpload.objects.create(
                id=number,
                account=account,
                api_key=account.acting_key,
                kind=kind,
                size=size,
                digest=payload_encrypt(number, sha256),
                delete_at=delete_at,
            )
    except BaseException:
        upload_file_delete(number)
        raise


def input_upload_delete(*, account: Account, upload_id: UUID) -> None:
    """Delete an upload now. Raises InputUploadNotFoundError, InputUploadInUseError."""
    with transaction.atomic():
        account_lock(account.pk)
        upload = input_upload_get(account=account, upload_id=upload_id)
        if upload.payloads.filter(job__state__in=OPEN_STATES).exists():
            raise InputUploadInUseError("A job that has not ended needs this upload. Cancel the job first.")
        upload.delete()
        transaction.on_commit(lambda: upload_file_delete(upload_id))


def upload_files_tidy() -> int:
    """Delete files that no row names any more, or never did. Returns how many."""
    before = (timezone.now() - _ORPHAN_AFTER).timestamp()
    directory = upload_path(uuid.UUID(int=0)).parent
    old = {path.name: path for path in directory.glob("*-*") if path.stat().st_mtime < before}
    known = {str(pk) for pk in InputUpload.objects.filter(pk__in=list(old)).values_list("pk", flat=True)}
    for name in old.keys() - known:
        old[name].unlink(missing_ok=True)
    return len(old.keys() - known)


def _quota_check(account: Account, size: int) -> None:
    """Raises InputUploadQuotaError. A key that is bound to a licence has a part of the quota and hears of no more."""
    kept, most = _kept(InputUpload.objects.filter(account=account)), settings.INPUT_UPLOAD_QUOTA_BYTES
    if account.rows_seen:
        own, part = _kept(input_upload_list(account)), most // _BOUND_KEY_PART
        if own + size > part or kept + size > most:
            raise InputUploadQuotaError(
                f"This key keeps {own} bytes in uploads; with this one it would be more than {part}, or more than its "
                "account may keep. Delete some.",
                limit=part,
                kept=own,
            )
    elif kept + size > most:
        raise InputUploadQuotaError(
            f"This account keeps {kept} bytes in uploads; with this one it would be more than {most}. Delete some.",
            limit=most,
            kept=kept,
        )


def _kept(rows: QuerySet[InputUpload]) -> int:
    return rows.aggregate(total=Sum("size"))["total"] or 0


def _file_write(number: UUID, stream: Readable, size: int) -> str:
    """The SHA-256 of what was written, in hex."""
    path, left, sha256 = upload_path(number), size, hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        room_check(path.parent, size)
        with path.open("xb") as file:
            writer = UploadWriter(number, file)
            while left:
                piece = stream.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise UploadTruncatedError(
                        f"The body ended {left} bytes before its announced length. Send it again."
                    )
                writer.write(piece)
                sha256.update(piece)
                left -= len(piece)
            writer.finish()
    except OSError as error:
        raise UploadStorageFullError("The site cannot keep the upload at the moment. Try again later.") from error
    return sha256.hexdigest()
