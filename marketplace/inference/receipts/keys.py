"""Worker keys: made, delegated to by the operator's key, rotated, revoked.

The operator's key signs only here, where an administrator works; workers and web processes need the worker key alone.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from weighhouse.core import statements
from weighhouse.core.eip712 import TypedData
from weighhouse.core.errors import WeighhouseError
from weighhouse.core.signatures import key_address, sign

from chain import selectors as chain
from chain.prepared import Prepared
from chain.signing import get_signer
from chain.signing.protocol import Signer
from marketplace.inference.payloads import payload_decrypt, payload_encrypt
from marketplace.inference.receipts.errors import WorkerKeyError
from marketplace.inference.receipts.models import WorkerKey
from marketplace.licences.selectors import operator_key_indexed

DEFAULT_TERM = timedelta(days=365)
# A revocation is dated so much later than it is made: workers' clocks differ, and one of them may have read the key
# just before it went. A thief gains nothing by that: what is issued before the date must be anchored besides.
REVOCATION_MARGIN = timedelta(minutes=1)


def worker_key_active() -> WorkerKey | None:
    """The key that signs now: the newest of this site's market that is neither over, retired, revoked nor stale.

    What a stale key signed no verifier would take. So nothing is signed until `worker_keys rotate`, and the sweep then
    signs the receipts that are missing.
    """
    return next((key for key in _valid_now() if not worker_key_is_stale(key)), None)


def worker_key_is_stale(key: WorkerKey) -> bool:
    """Whether the operator has another key by now than the one that delegated, as far as the index has read."""
    return operator_key_indexed(key.operator_id) not in (None, key.operator_key)


def _valid_now() -> list[WorkerKey]:
    """Keys of this site's market that can sign, newest first."""
    try:
        market = chain.contract_address("LicenceMarket")
    except WeighhouseError:
        return []
    return _valid.rows(chain_id=settings.CHAIN_ID, market=market, now=timezone.now())


@Prepared
def _valid(chain_id: Any, market: Any, now: Any) -> QuerySet[WorkerKey]:
    keys = WorkerKey.objects.filter(
        chain_id=chain_id, market=market, retired_at=None, revoked_at=None, secret__isnull=False
    )
    return keys.filter(valid_from__lte=now, valid_until__gt=now).order_by("-pk")


def worker_key_sign(key: WorkerKey, digest: bytes) -> str:
    """Sign with a worker key. Raises WorkerKeyError."""
    if key.secret is None:
        raise WorkerKeyError(f"The worker key {key.address} was retired or revoked.")
    try:
        secret = payload_decrypt(key.address, key.secret)
    except WeighhouseError:
        message = f"The worker key {key.address} cannot be read: the payload key that encrypted it is gone."
        raise WorkerKeyError(message) from None
    return sign(digest, bytes.fromhex(secret))


def worker_key_create(*, term: timedelta = DEFAULT_TERM, signer: Signer | None = None) -> WorkerKey:
    """Make a key and have the operator's key delegate to it, from now for `term`.

    Raises WorkerKeyError where this site is no operator or holds another key than the market has, and what
    `chain.signing` and the gateway raise.
    """
    signer = signer or get_signer()
    operator_id = _operator_check(signer)
    secret = secrets.token_bytes(32)
    valid_from = timezone.now().replace(microsecond=0)
    key = WorkerKey(
        address=key_address(secret),
        chain_id=settings.CHAIN_ID,
        market=chain.contract_address("LicenceMarket"),
        receipt_anchor=chain.contract_address("ReceiptAnchor"),
        operator_id=operator_id,
        operator_key=signer.address,
        valid_from=valid_from,
        valid_until=valid_from + term,
    )
    key.secret = payload_encrypt(key.address, secret.hex())
    key.delegation_signature = signer.sign_typed_data(delegation_of(key))
    key.save(force_insert=True)
    return key


def worker_key_ensure(*, term: timedelta = DEFAULT_TERM, signer: Signer | None = None) -> WorkerKey:
    """The newest key by the operator's key as the market has it now, made where there is none. Raises as create.

    The market is asked, because the index may not have read yet that the operator's key changed.
    """
    for key in _valid_now():
        operator = chain.operator_get(key.operator_id)
        if operator is not None and not operator.is_disabled and operator.key == key.operator_key:
            return key
    return worker_key_create(term=term, signer=signer)


def worker_key_rotate(*, term: timedelta = DEFAULT_TERM, signer: Signer | None = None) -> WorkerKey:
    """A new key takes over, and the older ones sign no more; what they signed stays good. Raises as create."""
    key = worker_key_create(term=term, signer=signer)
    older = WorkerKey.objects.filter(retired_at=None, pk__lt=key.pk)
    older.update(retired_at=timezone.now(), secret=None)
    return key


def worker_key_revoke(*, address: str, signer: Signer | None = None) -> WorkerKey:
    """Take a key back, from now on and for good: the operator's key signs that. Again changes nothing.

    1. Retire the key and delete its private half, so that nobody signs with it while the signer is asked, which may
       take long. Should the signer fail, it stays at that, and doing it again goes on here.
    2. Have the moment signed from which on it was taken back. Of two that do this at once, one is kept.

    What it signed before counts on only where it is anchored. Raises WorkerKeyError, and what `chain.signing` raises.
    """
    key = WorkerKey.objects.filter(address__iexact=address).first()
    if key is None:
        raise WorkerKeyError(f"This site has no worker key {address[:80]}. `worker_keys list` shows them.")
    if key.revoked_at is not None:
        return key
    signer = signer or get_signer()
    if signer.address != key.operator_key:
        message = f"{key.operator_key} delegated to this key and alone can revoke it; the signer is {signer.address}."
        raise WorkerKeyError(message)
    row = WorkerKey.objects.filter(pk=key.pk)
    with transaction.atomic(durable=True):
        row.update(retired_at=Coalesce("retired_at", timezone.now()), secret=None)
    key.revoked_at = timezone.now().replace(microsecond=0) + REVOCATION_MARGIN
    signature = signer.sign_typed_data(revocation_of(key))
    row.filter(revoked_at=None).update(revoked_at=key.revoked_at, revocation_signature=signature)
    key.refresh_from_db()
    return key


def delegation_of(key: WorkerKey) -> TypedData:
    """What the operator's key signed."""
    return statements.delegation_typed(
        statements.statement_domain(key.chain_id, key.market),
        {
            "operatorId": key.operator_id,
            "operatorKey": key.operator_key,
            "workerKey": key.address,
            "receiptAnchor": key.receipt_anchor,
            "validFrom": unix_s(key.valid_from),
            "validUntil": unix_s(key.valid_until),
        },
    )


def revocation_of(key: WorkerKey) -> TypedData:
    """What the operator's key signs to take a key back. Only of one that has `revoked_at`."""
    return statements.revocation_typed(
        statements.statement_domain(key.chain_id, key.market),
        {
            "operatorId": key.operator_id,
            "workerKey": key.address,
            "revokedAt": unix_s(key.revoked_at),
        },
    )


def unix_s(moment: datetime | None) -> int:
    """A moment in unix seconds; 0 for none."""
    return 0 if moment is None else int(moment.timestamp())


def _operator_check(signer: Signer) -> int:
    """The site's operator, whose key at the market is the signer's."""
    operator_id = chain.site_operator_id()
    if not operator_id:
        raise WorkerKeyError("This site is no operator. Set WEIGHHOUSE_SITE_OPERATOR_ID to the one that it is.")
    operator = chain.operator_get(operator_id)
    if operator is None or operator.is_disabled:
        raise WorkerKeyError(f"The market has no operator {operator_id}, or has disabled it.")
    if operator.key != signer.address:
        raise WorkerKeyError(
            f"The market has {operator.key} as the key of operator {operator_id}; the signer is {signer.address}."
        )
    return operator_id
