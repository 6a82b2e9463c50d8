"""What somebody said they sent to the chain, followed until the chain says what became of it."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

from chain.fields import Uint256Field
from chain.models import ChainEvent


class OrderKind(models.TextChoices):
    BUY = "buy", "purchase of a licence"
    PUBLISH = "publish", "publication of a model"
    RELEASE = "release", "publication of a release"
    ADD_PLAN = "add_plan", "new plan"
    RETIRE_PLAN = "retire_plan", "retirement of a plan"
    WITHDRAW = "withdraw", "withdrawal of income"
    RENEW = "renew", "renewal of a licence"
    CANCEL = "cancel", "cancellation of a licence"
    SETTLE = "settle", "refund of a licence"
    DELIVER = "deliver", "delivery of a key"
    COLLECT = "collect", "collection of income"
    SPLIT = "split", "split of income"
    WITHDRAW_ACCOUNT = "withdraw_account", "withdrawal of shares"
    REGISTER_OPERATOR = "register_operator", "registration of an operator"
    SET_OPERATOR = "set_operator", "change of an operator"


class OrderState(models.TextChoices):
    # The wallet was about to be asked; no transaction is known.
    INTENT = "intent", "waiting for the wallet"
    ABANDONED = "abandoned", "not sent"
    SENT = "sent", "sent"
    PENDING = "pending", "waiting for a block"
    MINED = "mined", "in a block, not indexed"
    # The index has read its block and found nothing there that fulfils the order.
    UNMATCHED = "unmatched", "in a block, something else"
    SEEN = "seen", "seen on chain"
    REVERTED = "reverted", "reverted"
    REPLACED = "replaced", "replaced by another transaction"
    CANCELLED = "cancelled", "cancelled in the wallet"
    DROPPED = "dropped", "dropped by the node"
    REORGED = "reorged", "removed by a re-org"
    UNKNOWN = "unknown", "unknown to the node"


# No block is expected to hold these any more, though one still may.
CLOSED_STATES = (
    OrderState.ABANDONED,
    OrderState.UNMATCHED,
    OrderState.REVERTED,
    OrderState.REPLACED,
    OrderState.CANCELLED,
)


class Order(models.Model):
    """A transaction that an account is about to send, or says it sent.

    `event` is the log that the indexer found for it; a re-org that removes the log sets it to NULL. The state `seen` is
    never stored: it holds exactly while there is a log.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    kind = models.CharField(max_length=24, choices=OrderKind)
    # NULL until the wallet, or the chain, told it. A speed-up takes the place of what it sped up.
    tx_hash = models.CharField(max_length=66, null=True, db_index=True)
    # What the account said. Empty where the chain told the hash: what the account says goes before it.
    told_hash = models.CharField(max_length=66, blank=True, db_index=True)
    plan_id = Uint256Field(null=True)
    licence_id = Uint256Field(null=True)
    event = models.ForeignKey(ChainEvent, on_delete=models.SET_NULL, null=True, related_name="+")
    # What the node last said about the transaction itself.
    followed_state = models.CharField(max_length=16, choices=OrderState, default=OrderState.SENT)
    error = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When the follower asked last, and when a page did: a page asks less, and must not keep the follower away.
    checked_at = models.DateTimeField(null=True)
    peeked_at = models.DateTimeField(null=True)
    # When blocks were last searched for what used its nonce.
    searched_at = models.DateTimeField(null=True)

    # The nonce that the wallet will use, as the node expects it, until the transaction itself or the account says it.
    nonce = models.PositiveBigIntegerField(null=True)
    is_nonce_certain = models.BooleanField(default=False)
    # How many nonces turned out to be another transaction's since.
    nonces_passed = models.PositiveSmallIntegerField(default=0)
    # The newest block when the order was recorded.
    first_block = models.PositiveBigIntegerField(null=True)
    # What the node told of the transaction: who sent it, a hash of what it does, and when it was last known to a node.
    sender = models.CharField(max_length=42, blank=True)
    call_hash = models.CharField(max_length=66, blank=True)
    known_at = models.DateTimeField(null=True)
    # The block that held it last.
    block_number = models.PositiveBigIntegerField(null=True)
    block_hash = models.CharField(max_length=66, blank=True)
    # The transaction that used its nonce instead.
    replaced_by = models.CharField(max_length=66, blank=True, db_index=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["account", "tx_hash"], name="orders_order_once"),
            models.CheckConstraint(condition=~models.Q(followed_state="seen"), name="orders_seen_is_derived"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["checked_at"], condition=models.Q(event=None), name="orders_open"),
            models.Index(
                fields=["created_at"], condition=models.Q(known_at=None, event__isnull=False), name="orders_unlearned"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {(self.tx_hash or 'not sent')[:10]}"

    @property
    def state(self) -> OrderState:
        return OrderState.SEEN if self.event_id is not None else OrderState(self.followed_state)

    @property
    def is_ours(self) -> bool:
        """Whether the account itself sent the transaction, as far as is known: not a bundler of a smart account."""
        return self.sender in ("", self.account.address)
