"""Tiers of finality, from the stream's row alone."""

import pytest
from django.utils import timezone

from chain.finality import Finality, Tier, final_block, finality_at, finality_of
from chain.models import ChainEvent, RemovedEvent, Stream
from chain.selectors import chain_status

pytestmark = pytest.mark.django_db


def stream(**fields: object) -> Stream:
    values = {"head_block": 100, "finalized_block": 36, "next_block": 101, "seen_at": timezone.now()}
    return Stream.objects.create(chain_id=31337, **(values | fields))


def event_in(block: int) -> ChainEvent:
    return ChainEvent(
        chain_id=31337,
        block_number=block,
        block_hash="0x" + "0b" * 32,
        block_time=timezone.now(),
        tx_hash="0x" + "0c" * 32,
        tx_index=0,
        log_index=0,
        address="0x" + "00" * 20,
        contract="LicenceMarket",
        name="FeeSet",
        args={"feeBps": "1"},
    )


@pytest.mark.parametrize(
    ("block", "tier", "confirmations", "text"),
    [
        (None, Tier.PENDING, 0, "not in a block that was indexed"),
        (101, Tier.PENDING, 0, "not in a block that was indexed"),
        (100, Tier.CONFIRMED, 1, "1 confirmation"),
        (37, Tier.CONFIRMED, 64, "64 confirmations"),
        (36, Tier.FINAL, 65, "final"),
        (0, Tier.FINAL, 101, "final"),
    ],
)
def test_finality_of_a_block_follows_from_head_and_final_block(block, tier, confirmations, text):
    stream()
    found = finality_at(block)
    assert (found.tier, found.confirmations, found.text) == (tier, confirmations, text)
    assert (found.is_final, found.block_number) == (tier is Tier.FINAL, block)


def test_block_that_the_node_calls_final_is_not_final_before_it_is_indexed():
    stream(next_block=20)
    assert finality_at(30).tier is Tier.PENDING
    assert finality_at(19).is_final
    assert final_block() == 19


def test_confirmations_of_an_indexed_block_do_not_depend_on_a_head_that_is_behind_it():
    stream(head_block=90)
    assert finality_at(100).confirmations == 1


def test_nothing_is_final_before_the_node_named_a_final_block():
    stream(finalized_block=None)
    assert (final_block(), finality_at(0).tier) == (-1, Tier.CONFIRMED)


def test_without_any_stream_every_block_is_pending():
    assert finality_at(0) == Finality(Tier.PENDING, block_number=0)
    assert final_block() == -1


def test_event_that_is_indexed_is_confirmed_whatever_an_older_look_at_the_stream_says():
    stream(next_block=50, head_block=49)
    assert finality_of(event_in(60), status=chain_status()) == Finality(Tier.CONFIRMED, 1, 60)


def test_event_that_a_reorg_removed_says_so():
    stream()
    removed = RemovedEvent(block_number=90)
    assert finality_of(removed) == Finality(Tier.REORGED, 0, 90)
    assert finality_of(removed).text == "removed by a re-organisation"


def test_event_that_was_not_seen_is_pending():
    assert finality_of(None) == Finality(Tier.PENDING)


def test_many_blocks_are_judged_by_one_look_at_the_stream(django_assert_num_queries):
    stream()
    status = chain_status()
    with django_assert_num_queries(0):
        assert [finality_at(block, status=status).is_final for block in (30, 40)] == [True, False]
