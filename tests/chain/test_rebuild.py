"""`reindex`: new rows beside the old ones, and in their place at once."""

import pytest
from django.apps import apps
from django.db import connection

from chain.errors import HandlerFailed, LeaseLost, RebuildOvertaken
from chain.handlers import register, unregister
from chain.indexer import shadow, store
from chain.indexer.rebuild import index_rebuild
from chain.indexer.run import index_to_head
from chain.models import ChainEvent, RemovedEvent, Stream
from marketplace.accounts.models import Account
from marketplace.licences.models import FromEvent, Licence, OfLicence
from marketplace.orders import services as orders
from marketplace.orders.models import Order
from models_registry.models import PublishedRelease, Release, ReleaseState

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_handlers():
    """Here the handlers of the whole site run, as in `reindex`."""


def order_of(market, licence_id: int) -> Order:
    account = Account.objects.create(address=market.buyer)
    event = ChainEvent.objects.get(name="LicenceBought", args__licenceId=str(licence_id))
    return orders.order_record(account=account, tx_hash=event.tx_hash, kind="buy", plan_id=licence_id >> 32)[0]


def test_derived_models_are_all_that_hang_off_an_event_parents_first():
    found = shadow.derived_models()
    for model in apps.get_models():
        if issubclass(model, FromEvent | OfLicence):
            assert found.index(ChainEvent) < found.index(model)
    assert found.index(PublishedRelease._meta.get_field("model").related_model) < found.index(PublishedRelease)
    assert not {Order, Release, Account} & set(found)
    assert ("orders_order", "event_id") in shadow.links()


def test_rebuild_mends_what_was_changed_dropped_and_added(market):
    _, _, licence_id = market.sold_licence()
    market.sold_licence(b"\x02" * 32)
    market.index()
    before = list(Licence.objects.order_by("licence_id").values_list("licence_id", "holder", "price"))
    Licence.objects.filter(licence_id=licence_id).update(holder=market.outsider)
    ChainEvent.objects.filter(name="ModelPublished").first().delete()
    change = index_rebuild(market.indexer)
    assert list(Licence.objects.order_by("licence_id").values_list("licence_id", "holder", "price")) == before
    assert (change.added, change.removed, change.after - change.before) == (1, 0, 1)
    assert index_to_head(market.indexer()) == 0, "the cursor stands behind what was rebuilt"


def test_rebuild_keeps_orders_tied_to_their_logs(market):
    _, _, licence_id = market.sold_licence()
    market.index()
    order = order_of(market, licence_id)
    old = order.event_id
    index_rebuild(market.indexer)
    order.refresh_from_db()
    assert order.state == "seen"
    assert order.event.args["licenceId"] == str(licence_id)
    assert order.event_id > old, "keys are never used again"


def test_rebuild_gives_no_key_that_the_running_indexer_may_give_meanwhile(market):
    market.sold_licence()
    market.index()
    newest = ChainEvent.objects.order_by("id").last().pk
    index_rebuild(market.indexer)
    assert ChainEvent.objects.order_by("id").first().pk > newest + shadow.KEYS_APART


def test_rebuild_ties_an_order_whose_log_was_missing(market):
    _, _, licence_id = market.sold_licence()
    market.index()
    order = order_of(market, licence_id)
    ChainEvent.objects.filter(name="LicenceBought").delete()
    order.refresh_from_db()
    assert order.state == "mined"
    index_rebuild(market.indexer)
    order.refresh_from_db()
    assert order.state == "seen"


@pytest.mark.django_db(transaction=True)
def test_rebuild_with_an_order_whose_log_is_missing_commits_and_ties_it_to_its_own_log(market):
    _, plan_id, licence_id = market.sold_licence()
    market.index()
    order = order_of(market, licence_id)
    ChainEvent.objects.filter(name="LicenceBought").delete()
    with shadow.shadow():
        indexer = market.indexer()
        index_to_head(indexer)
        assert Order.objects.get().event_id is None, "rows of people are live: the rebuild leaves them alone"
        shadow.swap()
    order.refresh_from_db()
    assert (order.state, order.event.name) == ("seen", "LicenceBought")
    assert order.event.args["licenceId"] == str(licence_id)
    assert plan_id == order.plan_id


def test_rebuild_forgets_and_remembers_nothing_of_reorgs_itself(market):
    market.sold_licence()
    market.index()
    with shadow.shadow():
        indexer = market.indexer()
        index_to_head(indexer)
        market.anvil.rpc("anvil_reorg", 1, [])
        index_to_head(indexer)
        assert not RemovedEvent.objects.exists()
        shadow.swap()
    assert ChainEvent.objects.filter(name="LicenceBought").count() == 0


def test_rebuild_keeps_releases_tied_and_listed_as_they_are_now(market):
    market.publish(b"\x07" * 32)
    market.index()
    release = Release.objects.get(digest="0x" + "07" * 32)
    # The check ends while the rebuild runs.
    with shadow.shadow():
        index_to_head(market.indexer())
        Release.objects.filter(pk=release.pk).update(state=ReleaseState.READY, publisher=market.publisher.lower())
        shadow.swap()
    announced = PublishedRelease.objects.get()
    assert (announced.release, announced.is_listable) == (release, True)


def test_rebuild_that_fails_leaves_everything_as_it_was(market):
    market.sold_licence()
    market.index()
    before = list(ChainEvent.objects.values_list("pk", "block_hash", "log_index"))
    token = Stream.objects.get().lease_token

    def broken(events):
        raise ZeroDivisionError

    register("LicenceMarket", "LicenceBought")(broken)
    try:
        with pytest.raises(HandlerFailed):
            index_rebuild(market.indexer)
    finally:
        unregister(broken)
    assert list(ChainEvent.objects.values_list("pk", "block_hash", "log_index")) == before
    assert Stream.objects.get().lease_token == token
    index_rebuild(market.indexer)


def test_rebuild_behind_the_running_indexer_is_refused_and_catches_up(market):
    market.sold_licence()
    market.index()
    with shadow.shadow():
        indexer = market.indexer()
        index_to_head(indexer)
        _live_cursor_move(by=3)
        with pytest.raises(RebuildOvertaken):
            shadow.swap()
        market.mine(3)
        index_to_head(indexer)
        shadow.swap()
    assert Stream.objects.get().next_block == int(market.anvil.rpc("eth_blockNumber"), 16) + 1


def test_step_that_was_under_way_at_the_swap_writes_nothing_and_the_next_one_goes_on(market):
    market.sold_licence()
    running = market.indexer()
    index_to_head(running)
    stream, heads = running._lease_hold(), market.gateway.heads()
    index_rebuild(market.indexer)
    with pytest.raises(LeaseLost):
        store.blocks_append(stream=stream, last=heads.latest, logs=[], heads=heads)
    market.mine()
    assert running.step().last == heads.latest.number + 1
    running.close()


def test_first_rebuild_of_an_empty_database_indexes(market):
    _, _, licence_id = market.sold_licence()
    change = index_rebuild(market.indexer)
    assert change.before == 0
    assert Licence.objects.get().licence_id == licence_id


def _live_cursor_move(*, by: int) -> None:
    table = shadow._dialect().live + '."chain_stream"'
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET next_block = next_block + %s", [by])
