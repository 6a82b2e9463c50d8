"""Releases and models over HTTP."""

import hashlib

import pytest
from weighhouse.core.cid import digest_parse

from chain.abi import call_encode
from models_registry import selectors, services
from models_registry.models import Release, ReleaseState
from tests.fixtures.people import OUTSIDER, PUBLISHER

pytestmark = pytest.mark.usefixtures("contracts_book")


@pytest.fixture
def api(publisher, with_key):
    return with_key(publisher, "publish")


@pytest.fixture
def other(outsider, with_key):
    return with_key(outsider, "publish")


def ready(name, task="feature-extraction", publisher=PUBLISHER):
    """A release that was checked, as far as what follows is concerned."""
    digest = "0x" + hashlib.sha256(f"{name}{task}{publisher}".encode()).hexdigest()
    return Release.objects.create(digest=digest, state=ReleaseState.READY, name=name, task=task, publisher=publisher)


def submit(api, upload, **body):
    return api.post("/api/v1/releases", {"upload": str(upload.pk), **body}, format="json")


def test_submit_answers_202_and_the_release_can_be_asked_for(api, uploaded, tiny_embedder):
    response = submit(api, uploaded(tiny_embedder))
    assert response.status_code == 202
    body = api.get(response["Location"]).json()
    assert (body["state"], body["transaction"]) == ("checking", None)
    assert body["notice"]
    assert api.get(f"/api/v1/releases/{body['digest']}").json() == body


def test_submit_beyond_the_checks_under_way_is_told_when_to_come_back(api, uploaded, tiny_embedder, settings):
    settings.RELEASE_MAX_CHECKING = 1
    submit(api, uploaded(tiny_embedder))
    response = submit(api, uploaded(tiny_embedder, name="Another"))
    assert (response.status_code, response.json()["code"]) == (429, "release.too_many_checks")
    assert response.json()["retryable"] and int(response["Retry-After"]) >= 10
    assert Release.objects.count() == 1


def test_submit_with_another_cid_is_refused_and_records_nothing(api, uploaded, tiny_embedder, settings):
    wrong = "bafybeiazreqhrchv5yhbisdyruow35yyjxkswu36fkxymg4zy7lbn2sfle"
    response = submit(api, uploaded(tiny_embedder), expected_cid=wrong)
    assert (response.status_code, response.json()["code"]) == (409, "release.cid_mismatch")
    assert response.json()["expected"] == wrong
    assert Release.objects.count() == 0
    assert list((settings.UPLOAD_DIR / "staging").iterdir()) == []


@pytest.mark.parametrize("cid", ["QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "../../etc/passwd", "b" * 59])
def test_submit_with_something_that_is_no_cid_is_refused(api, uploaded, tiny_embedder, cid):
    response = submit(api, uploaded(tiny_embedder), expected_cid=cid)
    assert 400 <= response.status_code < 500
    assert Release.objects.count() == 0


def test_submit_of_an_empty_upload_is_refused(api, publisher):
    upload = services.upload_create(
        publisher=PUBLISHER, metadata={"name": "Empty", "task": "text-generation", "licence": "MIT"}
    )
    response = submit(api, upload)
    assert (response.status_code, response.json()["code"]) == (422, "release.empty")


def test_ready_release_carries_the_transaction_that_publishes_it(api, checked, tiny_embedder):
    release = checked(tiny_embedder)
    body = api.get(f"/api/v1/releases/{release.pk}").json()
    assert body["state"] == "ready"
    assert body["transaction"]["data"] == call_encode("ModelRegistry", "publish", [digest_parse(release.digest), [], 0])
    assert body["transaction"]["value"] == "0"


def test_ready_release_of_an_existing_model_carries_release_instead(api, checked, tiny_embedder):
    release = checked(tiny_embedder)
    body = api.get(f"/api/v1/releases/{release.pk}", {"model": "7"}).json()
    assert body["transaction"]["data"] == call_encode("ModelRegistry", "release", [7, digest_parse(release.digest)])


def test_refused_release_says_why_and_carries_no_transaction(api, checked, tiny_embedder):
    release = checked(tiny_embedder, task="text-generation")
    body = api.get(f"/api/v1/releases/{release.pk}").json()
    assert (body["state"], body["transaction"]) == ("refused", None)
    assert set(body["refusals"][0]) == {"path", "code", "found", "remedy"}


def test_release_that_is_not_listed_exists_for_its_publisher_only(api, other, client, checked, tiny_embedder):
    release = checked(tiny_embedder)
    for caller in (other, client):
        for reference in (release.pk, release.digest):
            response = caller.get(f"/api/v1/releases/{reference}")
            assert (response.status_code, response.json()["code"]) == (404, "release.not_found")
    assert [entry["id"] for entry in api.get("/api/v1/releases").json()] == [release.pk]
    assert other.get("/api/v1/releases").json() == []


@pytest.mark.parametrize("reference", ["0", "999999999999999999999999", "0x12", "x" * 300])
def test_release_that_does_not_exist_answers_404(api, reference):
    assert api.get(f"/api/v1/releases/{reference}").status_code == 404


@pytest.mark.parametrize("model_id", ["0", "5", str(2**256 - 1), str(2**256), "01", "abc", "-1"])
def test_model_that_does_not_exist_answers_404(db, client, model_id):
    assert client.get(f"/api/v1/models/{model_id}").status_code == 404


@pytest.mark.parametrize(
    "query", ["after=abc", f"after={2**256}", "after=" + "9" * 90, "limit=0", "task=x", "owner=me"]
)
def test_model_list_with_a_broken_query_answers_400(db, client, query):
    assert client.get(f"/api/v1/models?{query}").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_published_release_is_listed_for_anybody(client, checked, tiny_embedder, market):
    release = checked(tiny_embedder)
    model_id = market.publish(release.digest)
    assert client.get("/api/v1/models").json()["results"] == []
    market.index()
    (listed,) = client.get("/api/v1/models").json()["results"]
    assert (listed["id"], listed["digest"], listed["is_listed"]) == (str(model_id), release.digest, True)
    shown = client.get(f"/api/v1/releases/{release.digest}").json()
    assert (shown["published"], shown["transaction"]) == (
        [{"model": str(model_id), "number": 1, "is_listed": True}],
        None,
    )
    detail = client.get(f"/api/v1/models/{model_id}").json()
    assert [entry["digest"] for entry in detail["releases"]] == [release.digest]


@pytest.mark.django_db(transaction=True)
def test_copied_digest_is_never_listed_for_the_copier(market):
    release = ready("one")
    copied = market.publish(release.digest, by=OUTSIDER)
    market.index()
    assert selectors.model_list().models == []
    shown = selectors.model_get(copied)
    assert (shown.is_listed, shown.owner) == (False, OUTSIDER)
    assert "another publisher" in shown.notice


@pytest.mark.django_db(transaction=True)
def test_release_by_the_new_owner_of_a_model_names_the_new_owner(market):
    first = ready("one")
    model_id = market.publish(first.digest)
    market.send("ModelRegistry", "transferFrom", [PUBLISHER, OUTSIDER, model_id], by=PUBLISHER)
    second = ready("two", publisher=OUTSIDER)
    market.release(model_id, second.digest, by=OUTSIDER)
    market.index()
    assert selectors.model_owner(model_id) == OUTSIDER
    assert selectors.release_latest(model_id).pk == second.pk
    assert selectors.release_of_model(model_id, first.digest).pk == first.pk
    assert selectors.model_ids_owned_by(OUTSIDER) == [model_id]
    assert selectors.model_ids_owned_by(PUBLISHER) == []


@pytest.mark.django_db(transaction=True)
def test_reorg_that_removes_a_release_restores_the_earlier_one(market):
    first, second = ready("one"), ready("two")
    model_id = market.publish(first.digest)
    market.index()
    market.release(model_id, second.digest)
    market.index()
    assert selectors.release_latest(model_id).pk == second.pk
    market.anvil.rpc("anvil_reorg", 1, [])
    market.mine(2)
    market.index()
    assert selectors.release_latest(model_id).pk == first.pk
    assert Release.objects.get(pk=second.pk).state == ReleaseState.READY


@pytest.mark.django_db(transaction=True)
def test_digest_that_is_unknown_here_shows_as_unchecked_until_its_files_are_found(
    clean_broker, tiny_embedder, market, tmp_path
):
    from weighhouse.core.unixfs import directory_import  # noqa: PLC0415

    from models_registry.storage import get_store  # noqa: PLC0415
    from tests.registry.conftest import release_directory  # noqa: PLC0415

    directory = release_directory(tiny_embedder, tmp_path / "foreign")
    root = directory_import(directory).root
    model_id = market.publish(root.digest)
    market.index()
    assert selectors.model_list().models == []
    (model,) = selectors.model_list(listed_only=False).models
    assert (model.model_id, model.is_listed) == (model_id, False)
    release = Release.objects.get()

    services.release_check(release_id=release.pk)
    release.refresh_from_db()
    assert release.state == ReleaseState.CHECKING
    assert "could not be found" in release.notice

    get_store().put(directory)
    Release.objects.update(check_after=None)
    services.release_check(release_id=release.pk)
    assert selectors.model_get(model_id).is_listed
    assert selectors.model_get(model_id).name == "A tiny embedder"


@pytest.mark.django_db(transaction=True)
def test_unknown_digest_with_a_pickle_among_its_files_is_refused(clean_broker, tiny_embedder, market, tmp_path):
    from models_registry.storage import get_store  # noqa: PLC0415
    from tests.registry.conftest import release_directory  # noqa: PLC0415

    files = tmp_path / "files"
    files.mkdir()
    for path in tiny_embedder.iterdir():
        (files / path.name).write_bytes(path.read_bytes())
    (files / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    model_id = market.publish(get_store().put(release_directory(files, tmp_path / "foreign")).digest)
    market.index()
    release = Release.objects.get()
    services.release_check(release_id=release.pk)
    release.refresh_from_db()
    assert release.state == ReleaseState.REFUSED
    assert [(entry["path"], entry["code"]) for entry in release.refusals] == [("pytorch_model.bin", "file.pickle")]
    assert not selectors.model_get(model_id).is_listed


@pytest.mark.django_db(transaction=True)
def test_model_list_pages_by_cursor_and_searches(client, market):
    tasks = ("feature-extraction", "text-classification", "text-generation")
    ids = [market.publish(ready(f"Named {task}", task).digest) for task in tasks]
    market.index()
    seen, after = [], ""
    for _ in range(3):
        page = client.get("/api/v1/models", {"limit": 1, "after": after}).json()
        seen += [int(entry["id"]) for entry in page["results"]]
        after = page["next_cursor"]
    assert seen == sorted(ids, reverse=True)
    assert after == ""
    found = client.get("/api/v1/models", {"q": "CLASSIFICATION"}).json()["results"]
    assert [entry["task"] for entry in found] == ["text-classification"]
    assert [entry["task"] for entry in client.get("/api/v1/models?task=text-generation").json()["results"]] == [
        "text-generation"
    ]
    assert client.get("/api/v1/models", {"q": "%"}).json()["results"] == []
