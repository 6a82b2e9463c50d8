"""What the registry raises. Messages name no path of the server."""

from typing import Any

from weighhouse.core.errors import WeighhouseError


class UploadNotFoundError(WeighhouseError):
    """No upload of this id belongs to this publisher."""

    code = "upload.not_found"


class UploadFileNotFoundError(WeighhouseError):
    code = "upload.file_not_found"


class UploadInvalidError(WeighhouseError):
    """The metadata breaks a rule. `data["field"]` says which."""

    code = "upload.invalid"


class UploadLimitError(WeighhouseError):
    """The upload would hold more files or bytes than this site accepts, or the publisher has too many open."""

    code = "upload.too_large"


class UploadTruncatedError(WeighhouseError):
    """The body ended before the announced length. Nothing of it was kept."""

    code = "upload.truncated"
    retryable = True


class UploadLengthRequiredError(WeighhouseError):
    code = "upload.length_required"


class UploadChecksumError(WeighhouseError):
    """The bytes that came do not have the sha256 that the caller announced. Nothing of them was kept."""

    code = "upload.checksum_mismatch"
    retryable = True


class UploadStorageFullError(WeighhouseError):
    """The disk of the site is full. Nothing of the file was kept."""

    code = "upload.storage_full"
    retryable = True


class FileRefusedError(WeighhouseError):
    """A file that no release may hold. `data["refusals"]` has one entry `{path, code, found, remedy}`."""

    code = "upload.refused"

    def __init__(self, message: str, *, refusal: dict[str, str]) -> None:
        super().__init__(message, refusals=[refusal])


class ReleaseNotFoundError(WeighhouseError):
    code = "release.not_found"


class ReleaseCidMismatchError(WeighhouseError):
    """The files that arrived are not the files that the caller meant. `data` has `expected` and `computed`."""

    code = "release.cid_mismatch"


class ReleaseEmptyError(WeighhouseError):
    code = "release.empty"


class ReleaseTooManyChecksError(WeighhouseError):
    """The publisher has as many releases being checked as this site checks at once for one publisher."""

    code = "release.too_many_checks"
    retryable = True


class ModelNotFoundError(WeighhouseError):
    code = "model.not_found"


class ModelReorgedError(ModelNotFoundError):
    """A re-org removed the model's publication. It returns if its transaction is mined again."""

    code = "model.reorged"


class CursorInvalidError(WeighhouseError):
    code = "cursor.invalid"


class StoreUnavailableError(WeighhouseError):
    """The store, or the node behind it, does not answer."""

    code = "store.unavailable"
    retryable = True


class BlockMissingError(WeighhouseError):
    """The store has no such block, or could not find it in time."""

    code = "store.block_missing"
    retryable = True

    def __init__(self, cid: object) -> None:
        super().__init__(f"The block {cid} could not be found in the store.", cid=str(cid))


class BlockCorruptError(WeighhouseError):
    """What the store returned does not hash to the CID that was asked for. Nothing of it was kept."""

    code = "store.block_corrupt"

    def __init__(self, cid: object) -> None:
        super().__init__(f"The store returned bytes that do not match {cid}. Nothing of them was kept.", cid=str(cid))


class StoreRootMismatchError(WeighhouseError):
    """A node computed another root for the same directory."""

    code = "store.root_mismatch"


class ReleaseTooLargeError(WeighhouseError):
    """A release on IPFS is larger than this site accepts."""

    code = "release.too_large"


def refusal(path: str, code: str, found: str, remedy: str) -> dict[str, Any]:
    """One entry of a list of refusals: which file, what was found, what to do."""
    return {"path": path, "code": code, "found": found, "remedy": remedy}
