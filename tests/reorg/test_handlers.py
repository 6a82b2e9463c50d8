"""The handlers of the whole site keep their promises to the indexer."""

import pytest
from django.apps import apps
from django.db import models

from chain import handlers
from chain.abi import INDEXED_CONTRACTS, artefact, event_decode
from chain.handlers import DecodedEvent, IndexedEvent
from chain.indexer.rebuild import index_rebuild
from chain.models import ChainEvent
from tests.fixtures.contracts import RENEWABLE, RUN, TRANSFERABLE

pytestmark = pytest.mark.django_db


def derived_models() -> list[type[models.Model]]:
    """Every model with a foreign key to `ChainEvent`."""
    return [
        model
        for model in apps.get_models()
        if any(field.is_relation and field.related_model is ChainEvent for field in model._meta.concrete_fields)
    ]


def table_rows() -> dict[str, list[dict]]:
    return {model._meta.label: list(model.objects.order_by("pk").values()) for model in derived_models()}


def busy_market(market) -> None:
    """Everything that can happen, once: a model derived from another, its plans, licences, money, operators, roles."""
    market.send("LicenceMarket", "setFeeBps", [100], by=market.admin)
    parent_id = market.publish(b"\x02" * 32, derivative_bps=300)
    model_id = market.publish(parents=[(parent_id, 500)])
    market.release(model_id, b"\x03" * 32)
    _licences_live(market, model_id)
    market.suspend(model_id)
    market.send("LicenceMarket", "confirmSuspension", [model_id], by=market.admin)
    market.resume(model_id)
    operator_id = market.register_operator()
    market.send("LicenceMarket", "setOperator", [operator_id, market.buyer, market.buyer], by=market.outsider)
    market.send("LicenceMarket", "disableOperator", [operator_id], by=market.guardian)
    market.send("LicenceMarket", "setPaused", [True], by=market.pauser)
    market.send("LicenceMarket", "setTreasury", [market.admin], by=market.admin)
    market.send("ModelRegistry", "transferFrom", [market.publisher, market.admin, model_id], by=market.publisher)
    market.withdraw(model_id, by=market.admin)
    market.withdraw(parent_id)
    market.withdraw_account(by=market.operator_payee)
    market.withdraw_account(by=market.treasury)


def _licences_live(market, model_id: int) -> None:
    terms = {"period": 100_000, "vesting": 100_000, "entryBps": 1000, "flags": RUN | TRANSFERABLE | RENEWABLE}
    plan_id = market.add_plan(model_id, calls=10, operatorId=market.operator_id, serviceBps=1000, **terms)
    kept, moved, left = market.buy(plan_id), market.buy(plan_id), market.buy(plan_id)
    market.report_usage({kept: 3, left: 4, moved: 11})
    market.send("LicenceMarket", "transferFrom", [market.buyer, market.outsider, moved], by=market.buyer)
    market.warp(10_000)
    market.collect(kept, moved)
    market.renew(kept)
    market.cancel(left)
    market.warp(6 * 3600)
    market.settle(left)
    market.split(plan_id)
    market.send("LicenceMarket", "retirePlan", [plan_id], by=market.publisher)


def test_busy_market_has_every_event_but_those_of_delivery_and_of_roles(market):
    busy_market(market)
    market.index()
    seen = set(ChainEvent.objects.values_list("name", flat=True))
    known = {event.name for name in INDEXED_CONTRACTS for event in artefact(name).events.values()}
    deployed = {"OwnershipTransferred", "GuardianSet", "PauserSet", "TokenAllowed"}
    assert deployed <= seen
    assert known - seen == {
        "Approval",
        "ApprovalForAll",
        "BatchMetadataUpdate",
        "KeyDelivered",
        "OwnershipTransferStarted",
    }


def test_handlers_given_every_event_again_change_nothing(market):
    busy_market(market)
    market.index()
    before = table_rows()
    assert sum(map(len, before.values())) >= 20
    handlers.dispatch([IndexedEvent(_decoded_again(market, row), row) for row in ChainEvent.objects.order_by("id")])
    assert table_rows() == before
    for row in ChainEvent.objects.order_by("id"):
        handlers.dispatch([IndexedEvent(_decoded_again(market, row), row)])
    assert table_rows() == before


def test_rows_of_all_handlers_go_with_their_events(market):
    busy_market(market)
    market.index()
    ChainEvent.objects.all().delete()
    left = {label: rows for label, rows in table_rows().items() if any(row.get("event_id") for row in rows)}
    assert left == {}


def test_reindex_builds_the_same_rows_again(market):
    busy_market(market)
    market.index()
    before = _without_keys(table_rows())
    index_rebuild(market.indexer)
    assert _without_keys(table_rows()) == before


def _decoded_again(market, row: ChainEvent) -> DecodedEvent:
    log = market.anvil.rpc("eth_getTransactionReceipt", row.tx_hash)["logs"]
    (raw,) = [item for item in log if int(item["logIndex"], 16) == row.log_index]
    name, args = event_decode(row.contract, tuple(raw["topics"]), raw["data"])
    return DecodedEvent(row.contract, name, args, row.block_number, row.block_time, row.tx_hash, row.log_index)


def _without_keys(tables: dict[str, list[dict]]) -> dict[str, list[dict]]:
    """Rows without primary and foreign keys, which are new, and without the time of their creation."""
    return {label: [_facts(apps.get_model(label), row) for row in rows] for label, rows in tables.items()}


def _facts(model: type[models.Model], row: dict) -> dict:
    fields = [field for field in model._meta.concrete_fields if not (field.is_relation or field.primary_key)]
    return {
        field.attname: row[field.attname]
        for field in fields
        if not getattr(field, "auto_now", False) and not getattr(field, "auto_now_add", False)
    }
