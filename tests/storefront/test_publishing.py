"""From files to a release: the upload page without scripts, and the release's own page."""

import pickle
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_registry.models import Release, ReleaseState, Upload
from tests.storefront.conftest import release_make

METADATA = {
    "name": "Tiny",
    "summary": "A test.",
    "task": "feature-extraction",
    "licence": "MIT",
    "library": "transformers",
    "dtype": "float32",
}


@pytest.fixture
def send(signed_in, publisher, broker):
    """`send(files, **metadata)`: the upload form with all files at once, as a browser without scripts sends it."""

    def post(files: dict[str, bytes], **changes: str):
        uploads = [SimpleUploadedFile(name, content) for name, content in files.items()]
        return signed_in(publisher).post("/publish/", {**METADATA, **changes, "files": uploads})

    return post


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_upload_of_a_model_becomes_a_release_under_check(send, tiny_embedder, signed_in, publisher, read):
    response = send(files_of(tiny_embedder))
    release = Release.objects.get()
    assert response.url == f"/publish/{release.digest}/"
    page = signed_in(publisher).get(response.url)
    assert 'data-release-state="checking"' in page.content.decode()
    assert release.root_cid in page.content.decode()


def test_upload_with_a_pickle_is_refused_with_its_reason(send, tiny_embedder, read):
    files = files_of(tiny_embedder) | {"pytorch_model.bin": pickle.dumps({"weights": [1, 2, 3]})}
    response = send(files)
    text = read(response).text
    assert response.status_code == 422
    assert "pytorch_model.bin" in text
    assert "What to do:" in text
    assert not Release.objects.exists()
    assert not Upload.objects.exists()


def test_upload_with_bad_metadata_is_refused_at_its_field(send, tiny_embedder, read):
    response = send(files_of(tiny_embedder), licence="Whatever I like")
    assert response.status_code == 422
    assert "licence" in read(response).text
    assert not Upload.objects.exists()


def test_upload_without_files_is_refused(send, read):
    response = send({})
    assert response.status_code == 422
    assert "holds no file" in read(response).text
    assert not Upload.objects.exists()


def test_upload_by_anonymous_asks_to_sign_in(anonymous, db):
    response = anonymous.post("/publish/", METADATA)
    assert response.status_code == 302
    assert response.url.startswith("/sign-in/")


def test_release_page_of_a_refused_release_lists_every_refusal(signed_in, publisher, db, read):
    entry = {"path": "config.json", "code": "config.missing", "found": "no such file", "remedy": "Add it."}
    release = release_make("0x" + "11" * 32, publisher.address, state=ReleaseState.REFUSED, refusals=[entry])
    text = read(signed_in(publisher).get(f"/publish/{release.digest}/")).text
    for word in ("config.json", "config.missing", "no such file", "Add it."):
        assert word in text


def test_release_page_offers_a_ready_release_to_the_wallet(signed_in, publisher, contracts_book, db, read):
    release = release_make("0x" + "22" * 32, publisher.address)
    page = read(signed_in(publisher).get(f"/publish/{release.digest}/"))
    (box,) = [tag for _name, tag in page.tags if "data-publish-release" in tag]
    assert (box["data-digest"], box["data-model"]) == (release.digest, "")


def test_release_page_of_a_published_release_says_it_is_listed(signed_in, publisher, listed, read):
    html = signed_in(publisher).get(f"/publish/{listed.release.digest}/").content.decode()
    assert 'data-release-state="listed"' in html
    assert f'href="{listed.url}"' in html


def test_release_page_of_somebody_else_is_not_found(signed_in, outsider, publisher, db):
    release = release_make("0x" + "33" * 32, publisher.address)
    client = signed_in(outsider)
    assert client.get(f"/publish/{release.digest}/").status_code == 404
    assert client.get(f"/publish/{release.digest}/state/").status_code == 404


def test_release_poll_that_saw_the_step_gets_no_content(signed_in, publisher, db, read):
    release = release_make("0x" + "44" * 32, publisher.address, state=ReleaseState.CHECKING, notice="Waits.")
    client = signed_in(publisher)
    polls = [t["hx-get"] for _n, t in read(client.get(f"/publish/{release.digest}/")).tags if "hx-get" in t]
    (poll,) = [url for url in polls if url.startswith("/publish/")]
    assert client.get(poll).status_code == 204
    release.state = ReleaseState.READY
    release.save()
    assert 'data-release-state="ready"' in client.get(poll).content.decode()


def test_new_release_form_is_filled_for_the_owner_alone(signed_in, publisher, outsider, listed, read):
    url = f"/publish/?model={listed.model_id}"
    assert "Publish a new release of Scales" in read(signed_in(publisher).get(url)).text
    assert "Publish a new release" not in read(signed_in(outsider).get(url)).text
