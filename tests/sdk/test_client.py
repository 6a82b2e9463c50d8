"""The Python client, without a site."""

import pytest
from weighhouse.client import Client


@pytest.fixture
def client():
    with Client("http://site.example") as client:
        yield client


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "expired"])
def test_job_that_had_ended_when_it_was_asked_for_is_not_asked_for_again(client, monkeypatch, state):
    ended = {"id": "7", "state": state, "outputs": [[0.5]]}
    calls = []

    def answer(method, path, **_options):
        calls.append((method, path))
        return ended

    monkeypatch.setattr(client, "_call", answer)
    assert client.job_run(1, ["the weigh house"], idempotency_key="one", store=False) == ended
    assert calls == [("POST", "/api/v1/jobs")]
