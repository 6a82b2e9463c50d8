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
    SENT = "sent", "sent"
    SEEN = "seen", "seen on chain"
    REVERTED = "reverted", "reverted"
    UNKNOWN = "unknown", "unknown to the node"


class Order(models.Model):
    """A transaction that an account says it sent.

    `event` is the log that the indexer found for it; a re-org that removes the log sets it to NULL. The state `seen` is
    never stored: it holds exactly while there is a log.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    kind = models.CharField(max_length=24, choices=OrderKind)
    tx_hash = models.CharField(max_length=66, db_index=True)
    plan_id = Uint256Field(null=True)
    licence_id = Uint256Field(null=True)
    event = models.ForeignKey(ChainEvent, on_delete=models.SET_NULL, null=True, related_name="+")
    # sent, reverted or unknown: what the node last said about the transaction itself.
    followed_state = models.CharField(max_length=16, choices=OrderState, default=OrderState.SENT)
    error = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    checked_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["account", "tx_hash"], name="orders_order_once"),
            models.CheckConstraint(condition=~models.Q(followed_state="seen"), name="orders_seen_is_derived"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["checked_at"], condition=models.Q(event=None), name="orders_open")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.tx_hash[:10]}"

    @property
    def state(self) -> OrderState:
        return OrderState.SEEN if self.event_id is not None else OrderState(self.followed_state)
