"""Misconfiguration of what signs and anchors receipts. No check talks to a node, a signer or the database."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register("inference")
def operator_key_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    """Jobs run without receipts where nobody can delegate to a worker key; that must not go unnoticed."""
    demo = settings.DEMO and settings.CHAIN_ID in settings.DEVELOPMENT_CHAIN_IDS
    if demo or settings.OPERATOR_KEY or settings.OPERATOR_SIGNER_URL:
        return []
    hint = (
        "Set WEIGHHOUSE_OPERATOR_KEY_FILE, or WEIGHHOUSE_OPERATOR_SIGNER_URL and WEIGHHOUSE_OPERATOR_ADDRESS, and"
        " WEIGHHOUSE_SITE_OPERATOR_ID, then run `manage.py worker_keys create`. Where another machine of this site did"
        " that, this one needs no key; see docs/receipts.md."
    )
    message = "There is no operator's key here. A site without one issues no receipts."
    return [Warning(message, hint=hint, id="inference.W001")]


@register("inference")
def batch_check(app_configs: Any, **kwargs: Any) -> Sequence[CheckMessage]:
    found: list[CheckMessage] = []
    if not 1 <= settings.RECEIPT_BATCH_MAX <= 10_000:
        hint = "Set WEIGHHOUSE_RECEIPT_BATCH_MAX to 1 to 10000."
        found.append(Error("A batch of receipts has a size that is none.", hint=hint, id="inference.E001"))
    if settings.RECEIPT_ANCHOR_INTERVAL_S < 1:
        hint = "Set WEIGHHOUSE_RECEIPT_ANCHOR_INTERVAL_S to 1 or more."
        found.append(Error("Receipts would be anchored without a pause.", hint=hint, id="inference.E002"))
    return found
