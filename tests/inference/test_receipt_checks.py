"""Misconfiguration of receipts is found before anything starts."""

import pytest
from django.core.checks import run_checks

from chain.development import OPERATOR_KEY


def found() -> list[str]:
    return [message.id for message in run_checks(tags=["inference"])]


def test_demo_has_a_key(settings):
    assert found() == []


def test_site_without_an_operators_key_is_warned_that_it_issues_no_receipts(settings):
    settings.DEMO = False
    assert found() == ["inference.W001"]
    settings.OPERATOR_KEY = OPERATOR_KEY.key
    assert found() == []
    settings.OPERATOR_KEY, settings.OPERATOR_SIGNER_URL = "", "https://signer.example"
    assert found() == []


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("RECEIPT_BATCH_MAX", 0, "inference.E001"),
        ("RECEIPT_BATCH_MAX", 10_001, "inference.E001"),
        ("RECEIPT_ANCHOR_INTERVAL_S", 0, "inference.E002"),
    ],
)
def test_batches_of_no_size_or_without_a_pause_are_refused(settings, name, value, code):
    setattr(settings, name, value)
    assert found() == [code]
