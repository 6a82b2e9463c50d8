"""The indexer against a real chain."""

import pytest

from chain.models import BlockHeader, ChainEvent, ParkedLog, Stream

pytestmark = pytest.mark.django_db


def names() -> list[str]:
    return list(ChainEvent.objects.order_by("id").values_list("name", flat=True))


def test_indexer_reads_a_purchase_with_its_exact_arguments(market):
    model_id, plan_id, licence_id = market.sold_licence()
    market.index()
    event = ChainEvent.objects.get(name="LicenceBought")
    assert event.args["licenceId"] == str(licence_id)
    assert event.args["planId"] == str(plan_id)
    assert event.args["holder"] == market.buyer
    assert event.contract == "LicenceMarket"
    assert event.chain_id == 31337
    plan = ChainEvent.objects.get(name="PlanAdded")
    assert plan.args["terms"]["price"] == "1000"
    assert plan.args["modelId"] == str(model_id)
