"""Each misconfiguration has a number and a hint; the test site itself has none but those named."""

import pytest
from django.core.checks import run_checks

from chain.address_book import book_path
from chain.development import DEVELOPMENT_ACCOUNTS


def found() -> dict[str, str]:
    return {message.id: f"{message.msg} {message.hint}" for message in run_checks(tags=["chain"])}


def test_site_of_the_tests_passes_every_check(contracts_book):
    assert found() == {}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"DEMO": False}, "chain.E001"),
        ({"CHAIN_ID": 1}, "chain.E002"),
        ({"RPC_URLS": []}, "chain.E003"),
        ({"RPC_URLS": ["wss://node.example/KEY"]}, "chain.E003"),
        ({"RPC_URLS": ["node.example/KEY"]}, "chain.E003"),
        ({"RPC_URLS": ["https://[node/KEY"]}, "chain.E003"),
        ({"RPC_URLS": ["http://node.example/KEY"]}, "chain.W002"),
        ({"WS_URL": "https://node.example/KEY"}, "chain.E009"),
        ({"WS_URL": "node.example/KEY"}, "chain.E009"),
        ({"WS_URL": "wss://[node/KEY"}, "chain.E009"),
        ({"FAULTS": ["a.point"], "DEMO": False}, "chain.E004"),
        ({"FAULTS": ["a.point"], "CHAIN_ID": 1}, "chain.E004"),
        ({"CHAIN_ID": 1}, "chain.W001"),
        ({"EXPLORER_URLS": ["https://e.example", "javascript:alert(1)//{tx}"]}, "chain.E016"),
        ({"EXPLORER_URLS": ["explorer.example"]}, "chain.E016"),
        ({"HEAD_MAX_AGE_S": -0.1}, "chain.E015"),
        ({"HEAD_MAX_AGE_S": 2.1}, "chain.E015"),
        ({"HEAD_MAX_AGE_S": float("nan")}, "chain.E015"),
        ({"SITE_OPERATOR_ID": -1}, "chain.E008"),
        ({"SITE_OPERATOR_ID": 2**32}, "chain.E008"),
        ({"CHAIN_ID": 1, "DEPLOYER_KEY": DEVELOPMENT_ACCOUNTS[0].key.upper().replace("0X", "0x")}, "chain.E007"),
        ({"CHAIN_ID": 1, "DEPLOYER_KEY": DEVELOPMENT_ACCOUNTS[0].key[2:]}, "chain.E007"),
        ({"CHAIN_ID": 1, "OPERATOR_KEY": DEVELOPMENT_ACCOUNTS[0].key}, "chain.E021"),
        ({"OPERATOR_KEY": "0xbeef"}, "chain.E022"),
        ({"OPERATOR_SIGNER_URL": "node.example/KEY "}, "chain.E023"),
        ({"OPERATOR_SIGNER_URL": "https://node.example/KEY ", "OPERATOR_ADDRESS": "0x" + "ab" * 20}, "chain.E024"),
        ({"OPERATOR_SIGNER_URL": "https://node.example", "OPERATOR_KEY": "0x" + "11" * 32}, "chain.E025"),
        ({"OPERATOR_DAILY_SPEND_WEI": -1}, "chain.E026"),
        ({"OUTBOX_MAX_IN_FLIGHT": 0}, "chain.E026"),
        ({"OPERATOR_KEY": "0x" + "11" * 32, "DEMO": False}, "chain.W021"),
        ({"OPERATOR_SIGNER_URL": "http://node.example/KEY "}, "chain.W022"),
    ],
)
def test_misconfiguration_is_found_and_its_hint_keeps_keys_to_itself(contracts_book, settings, changes, check):
    for name, value in changes.items():
        setattr(settings, name, value)
    messages = found()
    assert check in messages
    assert "KEY " not in messages[check]
    assert DEVELOPMENT_ACCOUNTS[0].key not in messages[check]


def test_book_that_cannot_be_read_is_an_error(settings, tmp_path):
    settings.ADDRESS_BOOK_DIR = tmp_path
    book_path(tmp_path, 31337).write_text("{")
    assert "chain.E005" in found()


def test_missing_artefact_is_an_error(contracts_book, tmp_path, monkeypatch):
    monkeypatch.setattr("chain.checks.ARTEFACTS_DIR", tmp_path)
    assert "ModelRegistry" in found()["chain.E006"]
