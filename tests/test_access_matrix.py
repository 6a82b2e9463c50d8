"""Who may call what: every route of the site, with every method it takes, by every kind of caller.

A route without a row fails, and so does a method that a route takes without a row. The callers:

- anonymous: nobody is signed in
- publisher: owns the model of the world below, and the upload and the draft
- buyer: holds a licence of the model, and owns the order, the job and the API key
- outsider: signed in, and owns nothing
- key: an API key of the account that the row is about, made for the other scope (for sessions only: for both)

Statuses: 2xx and 302 to somewhere else than the sign-in page are yes; `in` is a redirect to the sign-in page.
"""

from io import BytesIO
from typing import Any

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from marketplace.accounts.services import BACKEND, api_key_create
from marketplace.inference.models import Job
from models_registry import services as registry
from tests.access_world import World, world_make

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
api-model-isolation GET     200       200       200   200      200
api-model-isolation PUT     401       200       404   404      403
api-job             GET     401       404       200   404      403
api-job-events      GET     401       404       200   404      403
api-job-cancel      POST    401       404       200   404      403
api-job-payload     DELETE  401       404       204   404      403
api-job-retry       POST    401       404       202   404      403
api-batches         GET     401       200       200   200      403
api-batches         POST    401       403       202   403      403
api-batch-quote     POST    401       200       200   200      403
api-batch           GET     401       404       200   404      403
api-batch-results   GET     401       404       200   404      403
api-batch-acceptances GET   401       404       200   404      403
api-batch-cancel    POST    401       404       200   404      403
api-inputs          GET     401       200       200   200      403
api-inputs          POST    401       201       201   201      403
api-input           GET     401       404       200   404      403
api-input           DELETE  401       404       204   404      403
api-webhooks        GET     401       200       200   200      403
api-webhooks        POST    401       201       201   201      403
api-webhook         GET     401       404       200   404      403
api-webhook         PATCH   401       404       200   404      403
api-webhook         DELETE  401       404       204   404      403
api-webhook-secret  POST    401       404       200   404      403
api-webhook-deliveries GET  401       404       200   404      403
api-webhook-resend  POST    401       404       202   404      403
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
openai-models       GET     401       401       401   401      403
openai-model        GET     401       401       401   401      403
openai-embeddings   POST    401       401       401   401      403
openai-completions  POST    401       401       401   401      403
openai-chat-completions POST 401      401       401   401      403
openai-nothing      GET     404       404       404   404      404
openai-nothing      POST    404       404       404   404      404
openai-nothing      PUT     404       404       404   404      404
openai-nothing      PATCH   404       404       404   404      404
openai-nothing      DELETE  404       404       404   404      404
model-list          GET     200       200       200   200      200
model               GET     200       200       200   200      200
run                 POST    in        403       302   403      in
run-quote           POST    in        200       200   200      in
model-trials        POST    in        302       404   404      in
model-isolation     POST    in        302       404   404      in
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
job-retry           POST    in        404       302   404      in
job-payload-delete  POST    in        404       302   404      in
publish             GET     200       200       200   200      200
publish             POST    in        422       422   422      in
release             GET     in        200       404   404      in
release-state       GET     in        200       404   404      in
my-models           GET     in        200       200   200      in
keys                GET     in        200       200   200      in
keys                POST    in        200       200   200      in
key-revoke          POST    in        404       302   404      in
webhooks            GET     in        200       200   200      in
webhooks            POST    in        200       200   200      in
webhook             GET     in        404       200   404      in
webhook-switch      POST    in        404       302   404      in
webhook-secret      POST    in        404       200   404      in
webhook-delete      POST    in        404       302   404      in
webhook-resend      POST    in        404       302   404      in
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
ENDED_JOB = {"api-job-payload", "api-job-receipt", "api-job-retry", "job-payload-delete", "job-retry"}
PUBLISHERS = ("api-upload", "api-release", "release", "api-model-trials", "api-model-isolation")
# Unsafe, and without effect for a session: what it does needs a secret that another site does not have.
NO_SESSION_EFFECT = {"api-nothing", "openai-nothing"}
# For API keys alone: a session is not looked at, and so the table has no yes.
KEYS_ONLY = {"openai-models", "openai-model", "openai-embeddings", "openai-completions", "openai-chat-completions"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(sell, publisher, buyer, outsider) -> World:
    return world_make(sell(), publisher=publisher, buyer=buyer, outsider=outsider)


def client_of(caller: str, route: str, world: World, *, csrf: bool = False) -> Client:
    client = Client(enforce_csrf_checks=csrf)
    if caller == "key":
        account, scopes = (world.buyer, ["publish"]) if owner_of(route) == "buyer" else (world.publisher, ["run"])
        scopes = ["publish", "run"] if route in SESSION_ONLY else scopes
        _, key = api_key_create(account=account, name="wrong", scopes=scopes)
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    elif caller == "its key":
        _, key = api_key_create(account=world.buyer, name="right", scopes=["run"])
        client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    elif caller != "anonymous":
        client.force_login(getattr(world, caller), backend=BACKEND)
    return client


def send(client: Client, method: str, route: str, world: World):
    body, url = world.body(route), world.url(route)
    if method in ("GET", "DELETE"):
        return getattr(client, method.lower())(url)
    if route == "api-inputs":
        return client.generic(method, url, b"x", content_type="text/plain")
    if route == "api-upload-file":
        return client.generic(method, url, b"{}", content_type="application/octet-stream")
    if route.startswith(("api-", "openai-")) or route == "demo-wallet":
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
        response = undone("its key" if route in KEYS_ONLY else owner_of(route), method, route, world)
        if response.status_code != 405:
            allowed[f"{method} {route}"] = response.status_code
    assert allowed == {}


def test_access_to_what_is_for_keys_alone_is_open_to_a_key_of_the_right_scope(world):
    rows = [(row[0], row[1]) for row in ROWS if row[0] in KEYS_ONLY]
    found = {route: outcome(undone("its key", method, route, world)) for route, method in rows}
    # The bodies are empty: what asks for them has let the caller in.
    assert found == {route: "200" if method == "GET" else "400" for route, method in rows}


def test_access_by_a_session_without_csrf_token_is_refused(world):
    let_through = {}
    for route, method, *_ in ROWS:
        if method == "GET" or route in NO_SESSION_EFFECT | KEYS_ONLY:
            continue
        response = undone(owner_of(route), method, route, world, csrf=True)
        if response.status_code != 403 or (route.startswith("api-") and response.json()["code"] != "auth.csrf"):
            let_through[f"{method} {route}"] = response.status_code
    assert let_through == {}


def test_access_to_the_demo_wallet_is_closed_where_there_is_none(world, settings):
    settings.DEMO_WALLET = False
    assert outcome(send(client_of("buyer", "demo-wallet", world), "POST", "demo-wallet", world)) == "404"
