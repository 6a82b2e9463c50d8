"""Uploads over HTTP: the owner's alone, whole or not at all, refused with reasons."""

import base64
import hashlib
import pickle
import shutil

import pytest

from models_registry.intake.content import file_refusals
from models_registry.intake.receive import FREE_FLOOR_BYTES
from models_registry.models import Upload, UploadedFile

METADATA = {"name": "A tiny embedder", "task": "feature-extraction", "licence": "Apache-2.0"}
BODY = b"# A card\n"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def api(publisher, with_key):
    return with_key(publisher, "publish")


@pytest.fixture
def upload(api):
    return api.post("/api/v1/uploads", METADATA, format="json").json()


def url(upload, path=""):
    return f"/api/v1/uploads/{upload['id']}" + (f"/files/{path}" if path else "")


def send(api, upload, path, body=BODY, **headers):
    return api.put(url(upload, path), body, content_type="application/octet-stream", headers=headers)


def problem(response):
    return response.status_code, response.json()["code"]


def test_create_answers_201_with_the_location(api):
    response = api.post("/api/v1/uploads", METADATA, format="json")
    assert response.status_code == 201
    assert response["Location"] == url(response.json())
    assert response.json()["files"] == []


def test_create_for_a_new_release_of_a_model_keeps_its_id(api):
    response = api.post("/api/v1/uploads", {**METADATA, "model": str(2**200)}, format="json")
    assert (response.status_code, response.json()["model"]) == (201, str(2**200))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": ""}, "request.invalid"),
        ({"task": "mind-reading"}, "request.invalid"),
        ({"licence": "do what you want"}, "upload.invalid"),
        ({"name": "a\u202eb"}, "upload.invalid"),
        ({"model": "-1"}, "request.invalid"),
        ({"model": str(2**256)}, "request.invalid"),
        ({"base_models": ["0x12"]}, "request.invalid"),
    ],
)
def test_create_of_broken_metadata_is_refused_and_creates_nothing(api, changes, code):
    response = api.post("/api/v1/uploads", {**METADATA, **changes}, format="json")
    assert response.json()["code"] == code
    assert response.status_code in (400, 422)
    assert Upload.objects.count() == 0


def test_create_from_more_base_models_than_may_be_is_refused_by_their_number_alone(api):
    response = api.post("/api/v1/uploads", {**METADATA, "base_models": ["0x12"] * 10_000}, format="json")
    assert (response.status_code, len(response.json()["errors"])) == (400, 1)


def test_put_returns_the_sha256_and_lists_the_file(api, upload):
    response = send(api, upload, "README.md")
    assert (response.status_code, response.json()) == (200, {"path": "README.md", "size": len(BODY), "sha256": SHA256})
    assert api.get(url(upload)).json()["files"] == [response.json()]


def test_put_twice_keeps_one_file(api, upload):
    send(api, upload, "README.md")
    send(api, upload, "README.md")
    assert UploadedFile.objects.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Content-SHA256": SHA256},
        {"Content-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"},
    ],
)
def test_put_with_the_right_digest_is_kept(api, upload, headers):
    assert send(api, upload, "README.md", **headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Content-SHA256": "0" * 64},
        {"X-Content-SHA256": "nonsense"},
        {"Content-Digest": f"sha-256=:{base64.b64encode(b'0' * 32).decode()}:"},
        {"Content-Digest": "sha-256=:!!!:"},
    ],
)
def test_put_with_a_wrong_digest_keeps_nothing(api, upload, headers):
    response = send(api, upload, "README.md", **headers)
    if "!!!" not in str(headers):
        assert problem(response) == (409, "upload.checksum_mismatch")
        assert UploadedFile.objects.count() == 0


def test_put_of_a_pickle_is_refused_with_file_code_finding_and_remedy(api, upload):
    response = send(api, upload, "model.safetensors", pickle.dumps({"a": 1}))
    assert problem(response) == (422, "upload.refused")
    (refusal,) = response.json()["refusals"]
    assert (refusal["path"], refusal["code"]) == ("model.safetensors", "file.pickle")
    assert refusal["found"]
    assert refusal["remedy"]
    assert UploadedFile.objects.count() == 0


@pytest.mark.parametrize(
    "path", ["..%2Fconfig.json", "%2Fetc%2Fpasswd", "a%00.json", "a%0A.json", "caf%C3%A9.json", ".git%2Fx"]
)
def test_put_of_a_path_trick_is_refused_as_such(api, upload, path):
    response = send(api, upload, path)
    assert problem(response) == (422, "upload.refused")
    assert response.json()["refusals"][0]["code"] == "path.invalid"
    assert UploadedFile.objects.count() == 0


def test_put_without_a_length_is_refused(api, upload):
    response = api.put(url(upload, "README.md"), BODY, content_type="text/plain", CONTENT_LENGTH="")
    assert problem(response) == (411, "upload.length_required")


def test_put_beyond_the_limit_answers_413(api, upload, settings):
    settings.UPLOAD_MAX_FILE_BYTES = 3
    assert problem(send(api, upload, "README.md")) == (413, "upload.too_large")


def test_file_delete_takes_it_out(api, upload):
    send(api, upload, "README.md")
    assert api.delete(url(upload, "README.md")).status_code == 204
    assert problem(api.delete(url(upload, "README.md"))) == (404, "upload.file_not_found")


def test_upload_delete_takes_files_and_bytes(api, upload, settings):
    send(api, upload, "README.md")
    assert api.delete(url(upload)).status_code == 204
    assert not (settings.UPLOAD_DIR / upload["id"]).exists()
    assert problem(api.get(url(upload))) == (404, "upload.not_found")


def test_list_shows_ones_own_uploads_only(api, upload, outsider, with_key):
    assert [entry["id"] for entry in api.get("/api/v1/uploads").json()] == [upload["id"]]
    assert with_key(outsider, "publish").get("/api/v1/uploads").json() == []


@pytest.mark.parametrize("method", ["get", "delete"])
def test_upload_of_somebody_else_does_not_exist(api, upload, outsider, with_key, method):
    other = with_key(outsider, "publish")
    assert problem(getattr(other, method)(url(upload))) == (404, "upload.not_found")
    assert Upload.objects.count() == 1


def test_file_and_release_of_somebody_elses_upload_do_not_exist(api, upload, outsider, with_key):
    send(api, upload, "README.md")
    other = with_key(outsider, "publish")
    assert problem(send(other, upload, "NOTICE.md")) == (404, "upload.not_found")
    assert problem(other.delete(url(upload, "README.md"))) == (404, "upload.not_found")
    assert problem(other.post("/api/v1/releases", {"upload": upload["id"]}, format="json")) == (404, "upload.not_found")


def test_key_without_the_scope_is_refused(publisher, with_key):
    response = with_key(publisher, "run").post("/api/v1/uploads", METADATA, format="json")
    assert problem(response) == (403, "key.scope_missing")


def test_anonymous_callers_are_refused(db, client):
    assert client.get("/api/v1/uploads").status_code == 401
    assert client.post("/api/v1/uploads", METADATA, content_type="application/json").status_code == 401


def test_session_without_a_csrf_token_cannot_send(publisher):
    from django.test import Client  # noqa: PLC0415

    from marketplace.accounts.services import BACKEND  # noqa: PLC0415

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(publisher, backend=BACKEND)
    assert browser.post("/api/v1/uploads", METADATA, content_type="application/json").status_code == 403


def test_large_json_is_not_parsed_while_the_request_waits(api, upload, monkeypatch):
    monkeypatch.setattr("weighhouse.core.canonical.loads", lambda _data: pytest.fail("parsed in the request"))
    assert send(api, upload, "vocab.json", b'{"a":1}' + b" " * (1 << 20)).status_code in (200, 201)


def test_large_json_under_which_a_pickle_hides_is_refused_in_the_request(api, upload):
    body = pickle.dumps(list(range(1 << 19)))
    assert problem(send(api, upload, "vocab.json", body)) == (422, "upload.refused")


def test_large_json_that_is_none_is_refused_by_the_check(tmp_path):
    file = tmp_path / "vocab.json"
    file.write_bytes(b" " * (1 << 20) + b"{")
    assert file_refusals("vocab.json", file, in_request=True) == []
    assert [refused["code"] for refused in file_refusals("vocab.json", file)] == ["json.invalid"]


def test_submit_whose_files_vanished_meanwhile_is_an_upload_error(api, upload, settings):
    send(api, upload, "README.md")
    shutil.rmtree(settings.UPLOAD_DIR / upload["id"])
    answer = api.post("/api/v1/releases", {"upload": upload["id"]}, format="json")
    assert problem(answer) == (404, "upload.not_found")


def test_file_that_would_leave_the_disk_too_full_is_refused(api, upload, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=FREE_FLOOR_BYTES + len(BODY) - 1)
    monkeypatch.setattr("models_registry.intake.receive.shutil.disk_usage", lambda _path: usage)
    assert problem(send(api, upload, "README.md")) == (507, "upload.storage_full")
