"""Endpoints that an account wants to be told at, events, and what became of telling them."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone


class EventKind(models.TextChoices):
    JOB_SUCCEEDED = "job.succeeded", "a job succeeded"
    JOB_FAILED = "job.failed", "a job failed"
    JOB_CANCELLED = "job.cancelled", "a job was cancelled"
    JOB_EXPIRED = "job.expired", "a job expired"
    BATCH_ENDED = "batch.ended", "every job of a batch ended"


class WebhookEndpoint(models.Model):
    """A URL with its secrets, which are encrypted (`secrets`). The old secret signs too until `previous_until`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=2000)
    description = models.CharField(max_length=80, blank=True)
    kinds = models.JSONField()
    secret = models.BinaryField()
    previous_secret = models.BinaryField(null=True)
    previous_until = models.DateTimeField(null=True)
    # Since when every delivery failed; null after one that arrived.
    failing_since = models.DateTimeField(null=True)
    disabled_at = models.DateTimeField(null=True)
    disabled_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"webhook endpoint {self.id}"

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None


class WebhookEvent(models.Model):
    """Something that happened, written in the transaction in which it did. `body` is what is sent, byte for byte."""

    id = models.CharField(primary_key=True, max_length=40, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhook_events")
    kind = models.CharField(max_length=20, choices=EventKind)
    # What it happened to; of each kind once.
    subject = models.CharField(max_length=40)
    body = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["subject", "kind"], name="webhooks_event_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class DeliveryState(models.TextChoices):
    PENDING = "pending", "on its way"
    DELIVERED = "delivered", "delivered"
    FAILED = "failed", "given up"


class WebhookDelivery(models.Model):
    """One event for one endpoint: the outbox, and the log. A conditional UPDATE claims it, with a lease."""

    event = models.ForeignKey(WebhookEvent, on_delete=models.CASCADE, related_name="deliveries")
    # No constraint: it would be checked when the transaction that ends a job commits, and a job's end must not fail
    # because its owner deletes an endpoint meanwhile. The row that such a race leaves is neither sent nor shown, as
    # those queries join the endpoint, and goes with its event.
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_constraint=False
    )
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    # Of the current round: sending again by hand begins another.
    attempts = models.PositiveSmallIntegerField(default=0)
    # Null: at once, whatever the clocks of those who write and send say.
    next_attempt_at = models.DateTimeField(null=True)
    # When a worker was last told of it; null where one should be told at once.
    announced_at = models.DateTimeField(null=True, default=timezone.now)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    # The newest attempts: {"at", "status", "error", "took_ms"}. Nothing of what the receiver said but its status.
    log = models.JSONField(default=list)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-created_at", "-id"]
        verbose_name_plural = "webhook deliveries"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="webhooks_delivery_once"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhooks_delivery_listing"),
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(state="pending"), name="webhooks_delivery_pending"
            ),
        ]

    def __str__(self) -> str:
        return f"delivery of {self.event_id}: {self.state}"
