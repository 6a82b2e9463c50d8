"""The description of the API is complete, valid, and says nothing that the documentation does not."""

import re
from pathlib import Path

import pytest
from django.urls import get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)


def operations(schema: dict) -> dict[str, dict]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_schema_is_valid_openapi_31(schema):
    assert schema["openapi"].startswith("3.1")
    validate_schema(schema)


def test_schema_is_generated_without_a_warning():
    GENERATOR_STATS.reset()
    SchemaGenerator().get_schema(request=None, public=True)
    assert not GENERATOR_STATS, {**GENERATOR_STATS._warn_cache, **GENERATOR_STATS._error_cache}


def test_schema_is_served_to_anybody(client, db):
    response = client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    assert response.json()["info"]["title"] == "Weighhouse API"


def test_schema_is_made_once_however_often_it_is_asked_for(client, db, monkeypatch):
    first = client.get("/api/v1/openapi.json").content
    monkeypatch.setattr(SchemaGenerator, "get_schema", None)
    assert client.get("/api/v1/openapi.json").content == first


def test_schema_has_every_route_of_the_api(schema):
    names = {name for name in get_resolver().reverse_dict if isinstance(name, str) and name.startswith("api-")}
    names -= {"api-page", "api-nothing", "api-openapi"}
    assert len(schema["paths"]) == len(names)


def test_schema_operations_are_described_and_may_answer_with_a_problem(schema):
    for name, operation in operations(schema).items():
        assert operation.get("description"), name
        assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}, name


def test_documentation_names_every_operation_and_no_other(schema):
    documented = set(re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) [^`]+)` \|", DOCUMENT.read_text(), re.MULTILINE))
    assert documented == set(operations(schema))
