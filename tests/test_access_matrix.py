"""Who may call what: every route of the site, with every method it takes, by every kind of caller.

A route without a row fails, and so does a method that a route takes without a row. The callers:

- anonymous: nobody is signed in
- publisher: owns the model of the world below, and the upload and the draft
- buyer: holds a licence of the model, and owns the order, the job and the API key
- outsider: signed in, and owns nothing
- key: an API key of the account that the row is about, made for the other scope (for sessions only: for both)

Statuses: 2xx and 302 to somewhere else than the sign-in page are yes; `in` is a redirect to the sign-in page.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from marketplace.accounts.models import Account, ApiKey
from marketplace.accounts.services import BACKEND, api_key_create
from marketplace.inference import services as inference
from marketplace.inference.models import Job
from marketplace.inference.receipts.keys import worker_key_create
from marketplace.orders import services as orders
from models_registry import services as registry
from models_registry.models import Release, ReleaseState, Upload
from tests.fixtures.people import Sold

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

TABLE = """
route               method  anonymous publisher buyer outsider key
api-openapi         GET     200       200       200   200      200
api-session-nonce   GET     200       200       200   200      200
api-session         GET     200       200       200   200      200
api-session         POST    400       400       400   400      400
api-session         DELETE  204       204       204   204      204
api-keys            GET     401       200       200   200      403
api-keys            POST    401       201       201   201      403
api-key             DELETE  401       404       200   404      403
api-model-plans     GET     200       200       200   200      200
api-model-plans     POST    200       200       200   200      200
api-model-income    GET     200       200       200   200      200
api-model-withdrawal GET    200       200       200   200      200
api-plan-purchase   GET     200       200       200   200      200
api-plan-retirement GET     200       200       200   200      200
api-plan-collection GET     200       200       200   200      200
api-licence         GET     200       200       200   200      200
api-licence-renewal GET     200       200       200   200      200
api-licence-cancellation GET 200      200       200   200      200
api-licence-settlement GET  200       200       200   200      200
api-account-income  GET     200       200       200   200      200
api-account-withdrawal GET  409       409       409   409      409
api-operators       GET     200       200       200   200      200
api-operator        GET     200       200       200   200      200
api-operator-registration GET 200     200       200   200      200
api-operator-change GET     200       200       200   200      200
api-activity        GET     200       200       200   200      200
api-model-activity  GET     200       200       200   200      200
api-account-activity GET    200       200       200   200      200
api-status          GET     200       200       200   200      200
api-licences        GET     401       200       200   200      403
api-orders          GET     401       200       200   200      403
api-orders          POST    401       201       201   201      403
api-order           GET     401       404       200   404      403
api-order           PATCH   401       404       200   404      403
api-jobs            GET     401       200       200   200      403
api-jobs            POST    401       403       202   403      403
api-job-quote       POST    401       200       200   200      403
api-model-trials    GET     200       200       200   200      200
api-model-trials    PUT     401       200       404   404      403
api-job             GET     401       404       200   404      403
api-job-cancel      POST    401       404       200   404      403
api-job-payload     DELETE  401       404       204   404      403
api-job-acceptance  GET     401       404       200   404      403
api-job-receipt     GET     401       404       200   404      403
api-job-receipt-opening GET 401       404       200   404      403
api-worker-keys     GET     200       200       200   200      200
api-uploads         GET     401       200       200   200      403
api-uploads         POST    401       201       201   201      403
api-upload          GET     401       200       404   404      403
api-upload          DELETE  401       204       404   404      403
api-upload-file     PUT     401       200       404   404      403
api-upload-file     DELETE  401       204       404   404      403
api-releases        GET     401       200       200   200      403
api-releases        POST    401       202       404   404      403
api-release         GET     404       200       404   404      403
api-models          GET     200       200       200   200      200
api-model           GET     200       200       200   200      200
api-nothing         GET     404       404       404   404      404
api-nothing         POST    404       404       404   404      404
api-nothing         PUT     404       404       404   404      404
api-nothing         PATCH   404       404       404   404      404
api-nothing         DELETE  404       404       404   404      404
model-list          GET     200       200       200   200      200
model               GET     200       200       200   200      200
run                 POST    in        403       302   403      in
run-quote           POST    in        200       200   200      in
model-trials        POST    in        302       404   404      in
model-activity      GET     200       200       200   200      200
activity            GET     200       200       200   200      200
account             GET     200       200       200   200      200
licences            GET     in        200       200   200      in
licence             GET     200       200       200   200      200
licence-refund      GET     200       200       200   200      200
licence-cancel      GET     in        302       200   302      in
operators           GET     in        200       200   200      in
operator            GET     200       200       200   200      200
order-state         GET     in        404       200   404      in
jobs                GET     in        200       200   200      in
job                 GET     in        404       200   404      in
job-state           GET     in        404       200   404      in
job-cancel          POST    in        404       302   404      in
job-payload-delete  POST    in        404       302   404      in
publish             GET     200       200       200   200      200
publish             POST    in        422       422   422      in
release             GET     in        200       404   404      in
release-state       GET     in        200       404   404      in
my-models           GET     in        200       200   200      in
keys                GET     in        200       200   200      in
keys                POST    in        200       200   200      in
key-revoke          POST    in        404       302   404      in
sign-in             GET     200       302       302   302      200
sign-out            POST    302       302       302   302      302
chain-status        GET     200       200       200   200      200
chain-status-slash  GET     200       200       200   200      200
api-page            GET     200       200       200   200      200
demo-wallet         POST    200       200       200   200      200
"""

CALLERS = TABLE.split("\n")[1].split()[2:]
ROWS = [line.split() for line in TABLE.strip().split("\n")[1:]]
SESSION_ONLY = {"api-keys", "api-key"}
ENDED_JOB = {"api-job-payload", "api-job-receipt", "job-payload-delete"}
PUBLISHERS = ("api-upload", "api-release", "release", "api-model-trials")
# Unsafe, and without effect for a session: what it does needs a secret that another site does not have.
NO_SESSION_EFFECT = {"api-nothing"}

pytestmark = pytest.mark.django_db


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

    def url(self, route: str) -> str:
        if route == "api-nothing":
            return "/api/v1/nothing/here"
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
            "api-job-cancel": {"job_id": self.job.pk},
            "api-job-payload": {"job_id": self.job.pk},
            "api-job-acceptance": {"job_id": self.job.pk},
            "api-job-receipt": {"job_id": self.job.pk},
            "api-job-receipt-opening": {"job_id": self.job.pk},
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
            "api-model-trials": {"model_id": self.sold.model_id},
            "licence": {"licence_id": self.sold.licence_id},
            "licence-refund": {"licence_id": self.sold.licence_id},
            "licence-cancel": {"licence_id": self.sold.licence_id},
            "operator": {"operator_id": self.sold.market.operator_id},
            "order-state": {"order_id": self.order_id},
            "job": {"job_id": self.job.pk},
            "job-state": {"job_id": self.job.pk},
            "job-cancel": {"job_id": self.job.pk},
            "job-payload-delete": {"job_id": self.job.pk},
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
            "api-uploads": {"name": "New", "task": "text-classification", "licence": "MIT"},
            "api-releases": {"upload": str(self.upload.pk)},
            "api-job-quote": {"model": str(self.sold.model_id), "inputs": ["the house"]},
            "api-model-trials": {"allowed": False},
            "run": {"inputs": "the house", "text": "the house"},
            "run-quote": {"inputs": "the house"},
            "model-trials": {"allowed": "0"},
            "keys": {"name": "a script", "scopes": ["run"]},
            "demo-wallet": {"method": "eth_chainId", "params": []},
        }.get(route, {})


@pytest.fixture
def world(sell, publisher, buyer, outsider) -> World:
    sold = sell()
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
    return World(sold, publisher, buyer, outsider, upload, draft, order.pk, job, key)


def client_of(caller: str, route: str, world: World, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    if caller == "key":
        account, scopes = (world.buyer, ["publish"]) if owner_of(route) == "buyer" else (world.publisher, ["run"])
        scopes = ["publish", "run"] if route in SESSION_ONLY else scopes
        _, key = api_key_create(account=account, name="wrong", scopes=scopes)
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    elif caller != "anonymous":
        client.force_login(getattr(world, caller), backend=BACKEND)
    return client


def send(client: Client, method: str, route: str, world: World):
    body, url = world.body(route), world.url(route)
    if method in ("GET", "DELETE"):
        return getattr(client, method.lower())(url)
    if route == "api-upload-file":
        return client.generic(method, url, b"{}", content_type="application/octet-stream")
    if route.startswith("api-") or route == "demo-wallet":
        return getattr(client, method.lower())(url, body, content_type="application/json")
    return getattr(client, method.lower())(url, body)


def undone(caller: str, method: str, route: str, world: World, *, csrf: bool = False):
    """The answer to one request, whose effects on the database are rolled back."""
    cache.clear()
    with transaction.atomic():
        if route in ENDED_JOB:
            Job.objects.update(state="failed", finished_at=timezone.now())
        if route.startswith(("api-upload", "api-releases")):
            # Here and not in the world: what an earlier request did to the disk is not rolled back.
            registry.upload_file_put(upload=world.upload, path="config.json", stream=BytesIO(b"{}"), size=2)
        response = send(client_of(caller, route, world, csrf=csrf), method, route, world)
        transaction.set_rollback(True)
    return response


def owner_of(route: str) -> str:
    return "publisher" if route.startswith(PUBLISHERS) else "buyer"


def row_name(row: list[str]) -> str:
    return f"{row[1]} {row[0]}"


def outcomes(row: list[str], world: World) -> list[str]:
    return [outcome(undone(caller, row[1], row[0], world)) for caller in CALLERS]


def outcome(response) -> str:
    if response.status_code == 302 and response.url.startswith("/sign-in/"):
        return "in"
    return str(response.status_code)


def routes() -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(patterns: list[Any], prefix: str) -> None:
        for pattern in patterns:
            where = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                walk(pattern.url_patterns, where)
            else:
                assert isinstance(pattern, URLPattern)
                assert pattern.name, f"{where} has no name"
                assert pattern.name not in found, f"{pattern.name} names two routes"
                found[pattern.name] = where

    walk(get_resolver().url_patterns, "")
    return found


def test_access_table_has_a_row_for_every_route_and_none_besides():
    assert set(routes()) == {row[0] for row in ROWS}
    assert len({(row[0], row[1]) for row in ROWS}) == len(ROWS)


def test_access_is_as_the_table_says(world):
    assert {row_name(row): outcomes(row, world) for row in ROWS} == {row_name(row): row[2:] for row in ROWS}


def test_access_with_a_method_that_has_no_row_is_refused(world):
    listed = {(row[0], row[1]) for row in ROWS}
    unlisted = [(route, method) for route, _ in listed for method in METHODS if (route, method) not in listed]
    allowed = {}
    for route, method in unlisted:
        response = undone(owner_of(route), method, route, world)
        if response.status_code != 405:
            allowed[f"{method} {route}"] = response.status_code
    assert allowed == {}


def test_access_by_a_session_without_csrf_token_is_refused(world):
    let_through = {}
    for route, method, *_ in ROWS:
        if method == "GET" or route in NO_SESSION_EFFECT:
            continue
        response = undone(owner_of(route), method, route, world, csrf=True)
        if response.status_code != 403 or (route.startswith("api-") and response.json()["code"] != "auth.csrf"):
            let_through[f"{method} {route}"] = response.status_code
    assert let_through == {}


def test_access_to_the_demo_wallet_is_closed_where_there_is_none(world, settings):
    settings.DEMO_WALLET = False
    assert outcome(send(client_of("buyer", "demo-wallet", world), "POST", "demo-wallet", world)) == "404"
