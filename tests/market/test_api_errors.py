"""Everything that goes wrong is a problem with a code that has a status, and says nothing of the server."""

import importlib
import pkgutil

import pytest
import weighhouse
from django.db import OperationalError
from django.http import UnreadablePostError
from rest_framework import exceptions
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from weighhouse.core.errors import WeighhouseError

import chain
import marketplace
import models_registry
from marketplace import api_errors

# They import what only a runner or a command line has.
NOT_IMPORTED = ("models_registry.runtime.inside", "marketplace.wsgi", "weighhouse.client", "weighhouse.__main__")
# Whose errors the site answers with: not the client's own, and not those that a test defines.
OF_THE_SITE = ("marketplace.", "models_registry.", "chain.", "weighhouse.core.")


def import_everything() -> None:
    for package in (marketplace, models_registry, chain, weighhouse):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NOT_IMPORTED):
                importlib.import_module(module.name)


def error_classes(base: type[WeighhouseError] = WeighhouseError) -> list[type[WeighhouseError]]:
    """`base` and what derives from it in the site's own packages, whatever else the process has imported."""
    below = [found for child in base.__subclasses__() for found in error_classes(child)]
    return [base, *below] if base.__module__.startswith(OF_THE_SITE) else below


def family(code: str) -> str:
    """Errors of contracts share one entry of the map."""
    return "chain.reverted" if code.startswith("chain.reverted.") else code


def answer_to(error: Exception, method: str = "get"):
    class View(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request):
            raise error

    return View.as_view()(getattr(APIRequestFactory(), method)("/"))


def test_error_codes_all_have_a_status():
    import_everything()
    missing = {kind.code: kind.__name__ for kind in error_classes() if family(kind.code) not in api_errors.STATUS}
    assert missing == {}


def test_error_of_a_contract_has_its_own_code_and_the_status_of_a_refusal():
    import_everything()
    refusals = [kind for kind in error_classes() if kind.code.startswith("chain.reverted.")]
    assert len(refusals) > 50
    assert len({kind.code for kind in refusals}) == len(refusals)
    assert {api_errors.status_of(kind.code) for kind in refusals} == {409}


def test_error_statuses_all_belong_to_a_code_in_use():
    import_everything()
    used = {kind.code for kind in error_classes()}
    own = {code for code in api_errors.STATUS if code.startswith(("request.", "auth.", "site."))}
    assert set(api_errors.STATUS) - used - own == set()


def test_error_retryable_is_never_answered_as_final():
    import_everything()
    final = {400, 401, 403, 404, 405, 410, 422}
    wrong = {kind.code for kind in error_classes() if kind.retryable and api_errors.STATUS[kind.code] in final}
    # The body was cut off or changed under way: the same request, sent again, may arrive whole.
    assert wrong <= {"upload.truncated"}


def test_error_of_ours_becomes_its_problem():
    class TooHeavyError(WeighhouseError):
        code = "licence.expired"

    response = answer_to(TooHeavyError("It expired. Buy another.", licence="7", status="evil"))
    assert response.status_code == 403
    assert response.data == {
        "type": "https://weighhouse.example/problems/licence.expired",
        "title": "Licence: expired",
        "status": 403,
        "detail": "It expired. Buy another.",
        "code": "licence.expired",
        "retryable": False,
        "licence": "7",
    }
    assert response.content_type == "application/problem+json"


def test_error_unknown_says_nothing_and_is_logged(caplog):
    response = answer_to(RuntimeError("secret /srv/path"))
    assert response.status_code == 500
    assert "secret" not in str(response.data)
    assert "secret /srv/path" in caplog.text


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (exceptions.NotFound(), 404, "request.not_found"),
        (exceptions.ParseError(), 400, "request.malformed"),
        (exceptions.UnsupportedMediaType("x/y"), 415, "request.media_type"),
        (exceptions.Throttled(wait=7.2), 429, "request.throttled"),
        (exceptions.PermissionDenied("CSRF Failed: x"), 403, "auth.csrf"),
        (OperationalError("database is locked"), 503, "site.busy"),
        (UnreadablePostError("gone"), 400, "request.interrupted"),
    ],
)
def test_error_of_the_framework_becomes_a_problem(error, status, code):
    response = answer_to(error)
    assert (response.status_code, response.data["code"]) == (status, code)


def test_error_throttled_says_when_to_come_back():
    assert answer_to(exceptions.Throttled(wait=7.2)).headers["Retry-After"] == "8"


def test_error_method_unknown_is_a_problem():
    assert answer_to(RuntimeError(), "delete").data["code"] == "request.method"


def test_error_of_validation_names_every_field():
    detail = {"inputs": ["too long"], "plan": {"price": ["not a number"]}, "non_field_errors": ["together wrong"]}
    response = answer_to(exceptions.ValidationError(detail))
    fields = {(entry["field"], entry["message"]) for entry in response.data["errors"]}
    assert fields == {("inputs", "too long"), ("plan.price", "not a number"), ("", "together wrong")}


def test_error_of_validation_names_fifty_fields_at_most():
    response = answer_to(exceptions.ValidationError({"inputs": {place: ["is blank"] for place in range(1000)}}))
    assert [entry["field"] for entry in response.data["errors"]] == [f"inputs.{place}" for place in range(50)]
    assert response.data["detail"].count("is blank") == 50


def test_api_address_that_is_none_is_a_problem_for_every_method(client):
    for method in ("get", "post", "put", "delete", "patch", "options"):
        response = getattr(client, method)("/api/v1/nothing/here")
        assert (response.status_code, response.json()["code"]) == (404, "request.not_found")


@pytest.mark.django_db
@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b'{"a": NaN}', b'"\\ud800"', b"\xff\xfe", b"", b'{"tx_hash": 1e999}', b"[]", b"null"]
)
def test_api_body_that_is_no_json_object_is_refused(with_key, buyer, body):
    response = with_key(buyer).post("/api/v1/orders", body, content_type="application/json")
    assert response.status_code == 400, response.content
    assert response.json()["code"] in ("request.malformed", "request.invalid")


@pytest.mark.django_db
def test_api_body_too_large_is_refused_before_it_is_read_whole(with_key, buyer, settings):
    settings.API_MAX_BODY_BYTES = 1000
    response = with_key(buyer).post("/api/v1/jobs", b" " * 1001, content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (413, "request.too_large")
