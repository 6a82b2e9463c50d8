"""One of everything that a route of the site can be about, for `test_access_matrix`."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from django.urls import reverse

from marketplace.accounts.models import Account, ApiKey
from marketplace.accounts.services import api_key_create
from marketplace.inference import services as inference
from marketplace.inference.models import Batch, InputUpload, Job
from marketplace.inference.receipts.keys import worker_key_create
from marketplace.orders import services as orders
from marketplace.webhooks import services as webhooks
from marketplace.webhooks.models import EventKind, WebhookDelivery
from models_registry import services as registry
from models_registry.models import Release, ReleaseState, Upload
from tests.fixtures.people import Sold


@dataclass
class World:
    sold: Sold
    publisher: Account
    buyer: Account
    outsider: Account
    upload: Upload
    draft: Release
    order_id: Any
    job: Job
    key: ApiKey
    webhook: WebhookDelivery
    batch: Batch
    input: InputUpload

    def url(self, route: str) -> str:
        if route == "api-nothing":
            return "/api/v1/nothing/here"
        if route == "openai-nothing":
            return "/v1/nothing/here"
        me = self.buyer.address
        queries = {
            "api-plan-purchase": f"?recipient={me}",
            "api-licence-cancellation": f"?to={me}",
            "api-licence-settlement": f"?to={me}",
            "api-model-withdrawal": f"?token={me}&to={me}",
            "api-account-withdrawal": f"?token={me}&to={me}",
            "api-operators": f"?owner={me}",
            "api-operator-registration": f"?key={me}&payee={me}",
            "api-operator-change": f"?key={me}&payee={me}",
        }
        return reverse(route, kwargs=self._kwargs(route)) + queries.get(route, "")

    def _kwargs(self, route: str) -> dict[str, Any]:
        return {
            "api-key": {"prefix": self.key.prefix},
            "api-model-plans": {"model_id": self.sold.model_id},
            "api-model-income": {"model_id": self.sold.model_id},
            "api-model-withdrawal": {"model_id": self.sold.model_id},
            **{f"api-plan-{name}": {"plan_id": self.sold.plan_id} for name in ("purchase", "retirement", "collection")},
            "api-licence": {"licence_id": self.sold.licence_id},
            "api-licence-renewal": {"licence_id": self.sold.licence_id},
            "api-licence-cancellation": {"licence_id": self.sold.licence_id},
            "api-licence-settlement": {"licence_id": self.sold.licence_id},
            "api-account-income": {"address": self.buyer.address},
            "api-account-withdrawal": {"address": self.buyer.address},
            "api-operator": {"operator_id": self.sold.market.operator_id},
            "api-operator-change": {"operator_id": self.sold.market.operator_id},
            "api-order": {"order_id": self.order_id},
            "api-job": {"job_id": self.job.pk},
            "api-job-events": {"job_id": self.job.pk},
            "openai-model": {"name": f"wh-{self.sold.model_id}"},
            "api-job-cancel": {"job_id": self.job.pk},
            "api-job-payload": {"job_id": self.job.pk},
            "api-job-retry": {"job_id": self.job.pk},
            **{f"api-job-{name}": {"job_id": self.job.pk} for name in ("acceptance", "receipt", "receipt-opening")},
            **{f"api-batch{name}": {"batch_id": self.batch.pk} for name in ("", "-results", "-acceptances", "-cancel")},
            "api-input": {"upload_id": self.input.pk},
            **{
                f"api-webhook{name}": {"endpoint_id": self.webhook.endpoint_id}
                for name in ("", "-secret", "-deliveries")
            },
            **{
                f"webhook{name}": {"endpoint_id": self.webhook.endpoint_id}
                for name in ("", "-switch", "-secret", "-delete")
            },
            "webhook-resend": {"endpoint_id": self.webhook.endpoint_id, "event_id": self.webhook.event_id},
            "api-webhook-resend": {"endpoint_id": self.webhook.endpoint_id, "event_id": self.webhook.event_id},
            "api-upload": {"upload_id": self.upload.pk},
            "api-upload-file": {"upload_id": self.upload.pk, "path": "config.json"},
            "api-release": {"reference": self.draft.digest},
            "api-model": {"model_id": self.sold.model_id},
            "api-model-activity": {"model_id": self.sold.model_id},
            "api-account-activity": {"address": self.buyer.address},
            "model-activity": {"model_id": self.sold.model_id},
            "account": {"address": self.buyer.address},
            "model": {"model_id": self.sold.model_id},
            "run": {"model_id": self.sold.model_id},
            "run-quote": {"model_id": self.sold.model_id},
            "model-trials": {"model_id": self.sold.model_id},
            "model-isolation": {"model_id": self.sold.model_id},
            "api-model-trials": {"model_id": self.sold.model_id},
            "api-model-isolation": {"model_id": self.sold.model_id},
            "licence": {"licence_id": self.sold.licence_id},
            "licence-refund": {"licence_id": self.sold.licence_id},
            "licence-cancel": {"licence_id": self.sold.licence_id},
            "operator": {"operator_id": self.sold.market.operator_id},
            "order-state": {"order_id": self.order_id},
            "job": {"job_id": self.job.pk},
            "job-state": {"job_id": self.job.pk},
            "job-cancel": {"job_id": self.job.pk},
            "job-payload-delete": {"job_id": self.job.pk},
            "job-retry": {"job_id": self.job.pk},
            "release": {"digest": self.draft.digest},
            "release-state": {"digest": self.draft.digest},
            "key-revoke": {"prefix": self.key.prefix},
        }.get(route, {})

    def body(self, route: str) -> dict[str, Any]:
        return {
            "api-session": {"message": "x", "signature": "0x12"},
            "api-keys": {"name": "a script", "scopes": ["run"]},
            "api-model-plans": {"price": "1", "supply": 1, "flags": 1},
            "api-orders": {"tx_hash": "0x" + "cd" * 32, "plan": str(self.sold.plan_id)},
            "api-order": {"tx_hash": "0x" + "ab" * 32},
            "api-jobs": {"model": str(self.sold.model_id), "inputs": ["the house"]},
            "api-batches": {"model": str(self.sold.model_id), "inputs": ["the house"]},
            "api-webhooks": {"url": "https://hook.example/"},
            "api-webhook": {"description": "mine"},
            "api-uploads": {"name": "New", "task": "text-classification", "licence": "MIT"},
            "api-releases": {"upload": str(self.upload.pk)},
            "api-job-quote": {"model": str(self.sold.model_id), "inputs": ["the house"]},
            "api-batch-quote": {"model": str(self.sold.model_id), "inputs": ["the house"]},
            "api-model-trials": {"allowed": False},
            "api-model-isolation": {"dedicated": True},
            "run": {"inputs": "the house", "text": "the house"},
            "run-quote": {"inputs": "the house"},
            "model-trials": {"allowed": "0"},
            "model-isolation": {"dedicated": "1"},
            "webhooks": {"url": "https://hook.example/"},
            "keys": {"name": "a script", "scopes": ["run"]},
            "demo-wallet": {"method": "eth_chainId", "params": []},
        }.get(route, {})


def world_make(sold: Sold, *, publisher: Account, buyer: Account, outsider: Account) -> World:
    """The world, in the database."""
    upload = registry.upload_create(
        publisher=publisher.address, metadata={"name": "Draft", "task": "feature-extraction", "licence": "MIT"}
    )
    draft = Release.objects.create(
        digest="0x" + "ee" * 32, state=ReleaseState.CHECKING, publisher=publisher.address, name="Draft"
    )
    order, _ = orders.order_record(account=buyer, tx_hash="0x" + "ab" * 32, kind="buy", plan_id=sold.plan_id)
    job, _ = inference.job_create(account=buyer, model_id=sold.model_id, inputs=["the house"])
    key, _ = api_key_create(account=buyer, name="mine", scopes=["run"])
    worker_key_create()
    webhooks.endpoint_create(account=buyer, url="https://hook.example/")
    webhooks.event_record(account_id=buyer.pk, kind=EventKind.JOB_FAILED, subject=job.pk, data={})
    delivery = WebhookDelivery.objects.get()
    batch, _ = inference.batch_create(account=buyer, model_id=sold.model_id, inputs=["the house"])
    sent = inference.input_upload_receive(account=buyer, media_type="text/plain", size=1, stream=BytesIO(b"x"))
    return World(sold, publisher, buyer, outsider, upload, draft, order.pk, job, key, delivery, batch, sent)
