"""What a page does when the layers below refuse or fail."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.http import HttpRequest
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from marketplace.storefront import middleware


@pytest.mark.parametrize("failure", [OperationalError("database is locked"), RedisConnectionError("refused")])
def test_page_while_a_store_is_away_asks_to_try_again(anonymous, listed, read, monkeypatch, failure):
    def broken(**_wanted: object) -> None:
        raise failure

    monkeypatch.setattr("marketplace.storefront.views.models.registry.model_list", broken)
    response = anonymous.get("/")
    assert response.status_code == 503
    assert response.headers["Retry-After"]
    assert "try again" in read(response).text
    assert str(failure) not in response.content.decode()


def test_form_of_anonymous_with_large_files_is_refused_unread(anonymous, db):
    large = SimpleUploadedFile("model.safetensors", b"\0" * (middleware.FORM_WITHOUT_FILES_MAX_BYTES + 1))
    response = anonymous.post("/publish/", {"files": [large]})
    assert response.status_code == 413


def test_form_beyond_the_limit_is_refused_unread(signed_in, publisher, monkeypatch):
    monkeypatch.setattr(middleware, "FORM_MAX_BYTES", 1000)
    large = SimpleUploadedFile("model.safetensors", b"\0" * 2000)
    response = signed_in(publisher).post("/publish/", {"files": [large]})
    assert response.status_code == 413
    assert "one by one" in response.content.decode()


@pytest.fixture
def spooled(monkeypatch) -> list[str]:
    """The forms whose files Django began to read."""
    started: list[str] = []
    parse = HttpRequest.parse_file_upload

    def recorded(self: HttpRequest, *arguments: object) -> object:
        started.append(self.path)
        return parse(self, *arguments)

    monkeypatch.setattr(HttpRequest, "parse_file_upload", recorded)
    return started


@pytest.mark.parametrize("path", ["/", "/keys/", "/api/v1/orders", "/there/is/nothing/"])
def test_form_with_files_at_another_address_is_refused_unread(publisher, spooled, path):
    client = Client(enforce_csrf_checks=True)
    client.force_login(publisher)
    large = SimpleUploadedFile("model.safetensors", b"\0" * (middleware.FORM_WITHOUT_FILES_MAX_BYTES + 1))
    response = client.post(path, {"files": [large]})
    assert (response.status_code, spooled) == (413, [])
    if path.startswith("/api/"):
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["code"] == "request.too_large"


@pytest.mark.parametrize("length", ["+100000000", "100_000_000", " 100000000 "])
def test_form_whose_length_is_written_in_a_strange_way_is_refused_unread(anonymous, db, spooled, length):
    files = {"files": [SimpleUploadedFile("model.safetensors", b"\0" * 100)]}
    assert anonymous.post("/publish/", files, CONTENT_LENGTH=length).status_code == 413
    assert spooled == []


@pytest.mark.parametrize("length", ["", "-1", "many"])
def test_form_without_a_usable_length_is_empty(anonymous, db, length):
    files = {"files": [SimpleUploadedFile("model.safetensors", b"\0" * 100)]}
    assert anonymous.post("/publish/", files, CONTENT_LENGTH=length).status_code in {302, 400}


@pytest.mark.parametrize("before", ["x", "2026-13-45T00:00", "2026-01-01", "٢", "2026-01-01T00:00:00+00:00", "\x00"])
def test_jobs_page_with_a_strange_cursor_shows_jobs(signed_in, buyer, before):
    assert signed_in(buyer).get("/jobs/", {"before": before}).status_code == 200
