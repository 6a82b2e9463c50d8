"""Every page, for somebody who is signed in and somebody who is not: it renders, and keeps to the policy."""

import re

import pytest
from django.test import Client
from django.urls import reverse

OPEN = ["model-list", "publish", "sign-in", "chain-status", "api-page"]
OWN = ["licences", "jobs", "my-models", "operators", "keys"]
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}
LABELLED = ("input", "select", "textarea")


@pytest.mark.parametrize("name", OPEN)
def test_open_page_for_anonymous_shows(anonymous, listed, name):
    assert anonymous.get(reverse(name)).status_code == 200


@pytest.mark.parametrize("name", OWN)
def test_own_page_for_anonymous_asks_to_sign_in(anonymous, db, name):
    response = anonymous.get(reverse(name))
    assert response.status_code == 302
    assert response.url == f"/sign-in/?next={reverse(name)}"


@pytest.mark.parametrize("name", [*OPEN[:2], *OPEN[3:], *OWN])
def test_page_for_signed_in_shows_their_address(signed_in, holder, read, name):
    response = signed_in(holder).get(reverse(name))
    assert response.status_code == 200
    assert holder.address in read(response).text


def test_missing_page_says_so_in_words(anonymous, db, read):
    response = anonymous.get("/nothing/here/")
    assert response.status_code == 404
    assert "There is nothing at this address" in read(response).text


def test_missing_model_is_not_found_with_its_code(anonymous, market, db, read):
    response = anonymous.get("/models/987654321/")
    assert response.status_code == 404
    assert "model.not_found" in read(response).text


@pytest.mark.parametrize("model", ["01", "-1", "1e3", "9" * 78, "١"])
def test_model_address_that_is_no_id_is_not_found(anonymous, db, model):
    assert anonymous.get(f"/models/{model}/").status_code == 404


def _visited(client, listed) -> list[tuple[str, object]]:
    licence = f"/licences/{listed.plan_id << 32 | 1}/"
    own = [listed.url, licence, f"{licence}cancel/", f"/operators/{listed.market.operator_id}/"]
    paths = [*(reverse(name) for name in (*OPEN, *OWN)), *own, "/nothing/here/"]
    return [(path, client.get(path, follow=True)) for path in paths]


@pytest.fixture(params=["anonymous", "holder"])
def visited(request, listed, anonymous, signed_in):
    who = request.param
    client = anonymous if who == "anonymous" else signed_in(request.getfixturevalue("holder"))
    return _visited(client, listed)


def test_pages_carry_the_whole_policy_and_nothing_unsafe(visited):
    for path, response in visited:
        sent = response.headers["Content-Security-Policy"]
        assert {part.strip() for part in sent.split(";")} == POLICY, path


def test_pages_hold_no_inline_script_or_style(visited, read):
    for path, response in visited:
        page = read(response)
        assert not "".join(page.inline).strip(), path
        for tag, attributes in page.tags:
            assert "style" not in attributes, (path, tag)
            assert not [name for name in attributes if name.startswith("on")], (path, tag)
            assert not str(attributes.get("href", "")).lower().startswith("javascript:"), path


def test_pages_load_nothing_from_elsewhere(visited, read):
    for path, response in visited:
        for _tag, attributes in read(response).tags:
            assert not re.match(r"(https?:)?//", attributes.get("src") or ""), path
        for link in read(response).all("link"):
            assert link["href"].startswith("/static/"), path


def test_pages_label_every_field(visited):
    for path, response in visited:
        html = response.content.decode()
        for tag in LABELLED:
            for match in re.finditer(rf"<{tag}\b[^>]*>", html):
                if 'type="hidden"' in match[0]:
                    continue
                before = html[: match.start()]
                inside = before.rfind("<label") > before.rfind("</label>")
                own = re.search(r'\bid="([^"]+)"', match[0])
                named = own is not None and f'<label for="{own[1]}"' in html
                assert inside or named or "aria-label" in match[0], (path, match[0])


def test_pages_have_one_main_heading_and_a_language(visited, read):
    for path, response in visited:
        page = read(response)
        assert len(page.all("h1")) == 1, path
        assert page.all("html")[0]["lang"] == "en-GB"
        assert page.all("main")[0]["id"] == "main"


def test_error_page_needs_no_database_and_no_script(client, read, monkeypatch, market, db):
    def broken(*_args, **_kwargs):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("marketplace.storefront.views.models.registry.model_list", broken)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    page = read(response)
    assert "Something went wrong on this site" in page.text
    assert "a fault of ours" not in page.text
    assert not page.all("script")


def test_form_without_its_token_is_refused_in_words(db, read, buyer):
    client = Client(enforce_csrf_checks=True)
    client.force_login(buyer)
    response = client.post("/keys/", {"name": "x", "scopes": "run"})
    assert response.status_code == 403
    assert "This form has expired" in read(response).text
    assert not buyer.api_keys.exists()
