"""An endpoint of the buyer at a real receiver on this machine."""

import uuid
from collections.abc import Callable

import pytest
from django.db import transaction

from marketplace.accounts.models import Account
from marketplace.webhooks import services
from marketplace.webhooks.models import EventKind, WebhookDelivery
from tests.fixtures.receivers import Receiver


@pytest.fixture
def allow(settings) -> Callable[[Receiver], Receiver]:
    """Put a receiver on the operator's list, as its address is private."""

    def put(there: Receiver) -> Receiver:
        settings.OUTGOING_ALLOW = [*settings.OUTGOING_ALLOW, there.place]
        return there

    return put


@pytest.fixture
def happen() -> Callable[..., WebhookDelivery]:
    """`happen(account, kind=...)`: write an event; its only delivery."""

    def record(account: Account, kind: EventKind = EventKind.JOB_SUCCEEDED) -> WebhookDelivery:
        subject = uuid.uuid4()
        with transaction.atomic():
            services.event_record(account_id=account.pk, kind=kind, subject=subject, data={"job": str(subject)})
        return WebhookDelivery.objects.get(event__subject=str(subject))

    return record
