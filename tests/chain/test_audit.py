"""The audit of the chain layer: the indexer's place, every log, and what happens when chain or index move meanwhile.

The tables of the apps have tests of their own; here the registry of audits is empty, as that of handlers is.
"""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from chain.audit import registry
from chain.audit.block import AuditBlock, Sample
from chain.audit.decode import AuditedLog, as_stored, log_decode
from chain.audit.run import audit_run
from chain.errors import AuditImpossible
from chain.gateway import get_gateway
from chain.gateway.errors import NodeBehind, NodeUnavailable, RangeTooLarge
from chain.gateway.protocol import Header
from chain.models import BlockHeader, ChainEvent, ParkedLog, Stream
from tests.fixtures.audit import audit, undone, wrongs

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_audits(monkeypatch):
    """An empty table, as the handlers' is."""
    monkeypatch.setattr(registry, "_audits", {})
    monkeypatch.setattr(registry, "_rows", {})


def call_audit(*arguments: str) -> int:
    """The exit status of the command."""
    try:
        call_command("audit_index", "--block", "latest", *arguments)
    except SystemExit as ended:
        return int(ended.code)
    except CommandError as error:
        return error.returncode
    return 0


def reorg_of(market):
    """An audit that asks nothing, while the newest block leaves the chain."""

    def reorg(_block: AuditBlock):
        market.anvil.rpc("anvil_reorg", 1, [])
        return ()

    return reorg


def test_index_of_everything_that_happens_equals_the_logs(history):
    history.index()
    report = audit()
    assert report.differences == []
    assert report.values > 8 * ChainEvent.objects.count()
    assert report.block_hash == history.gateway.header_at(None).hash


def test_wrong_field_of_an_event_missing_event_and_event_too_many_are_found(history):
    history.index()
    for wrong in wrongs(ChainEvent) + wrongs(ChainEvent, newest=True):
        with undone():
            assert wrong.is_planted()
            assert wrong.is_named(audit()), str(wrong)


def test_ids_that_do_not_ascend_with_the_chain_are_found(history):
    history.index()
    first = ChainEvent.objects.order_by("id")[0]
    ChainEvent.objects.filter(pk=first.pk).update(id=F("id") + 1_000_000)
    assert {found.field for found in audit().differences} == {"id"}


def test_wrong_field_of_a_stored_header_missing_header_and_header_too_many_are_found(history):
    history.index()
    assert BlockHeader.objects.count() > 10
    for wrong in wrongs(BlockHeader, besides=frozenset({"chain_id", "number"}), newest=True):
        if wrong.row != "twice":
            with undone():
                assert wrong.is_planted()
                assert wrong.is_named(audit()), str(wrong)
    middle = BlockHeader.objects.order_by("number")[5]
    for change in ({"chain_id": 5}, {"number": 10**6}):
        with undone():
            BlockHeader.objects.filter(pk=middle.pk).update(**change)
            assert audit(only_first=True).differences[0].table == "chain.BlockHeader"


@pytest.mark.parametrize("field", ["last_block", "last_hash", "contracts_hash", "genesis_hash"])
def test_wrong_cursor_is_found(history, field):
    history.index()
    value = 3 if field == "last_block" else "0x" + "12" * 32
    Stream.objects.update(**{field: value})
    assert ("chain.Stream", field) in {(found.table, found.field) for found in audit().differences}


def test_cursor_that_says_more_than_was_indexed_is_found(history):
    history.index()
    Stream.objects.update(next_block=F("next_block") + 5)
    assert {found.table for found in audit().differences} >= {"chain.Stream"}


def test_parked_log_is_a_difference_that_a_newer_site_mends(history):
    history.index()
    event = ChainEvent.objects.order_by("id").last()
    names = [
        field.name for field in ParkedLog._meta.concrete_fields if hasattr(event, field.name) and field.name != "id"
    ]
    place = {name: getattr(event, name) for name in names}
    ParkedLog.objects.create(**place, topics=[], data="0x", reason="no event has this topic")
    (found,) = audit().differences
    assert found.table == "chain.ParkedLog"
    assert "no event has this topic" in str(found)
    assert "version" in found.remedy


def test_log_that_the_abi_does_not_describe_may_be_parked_but_not_dropped(market, monkeypatch):
    market.publish()
    market.index()
    real = market.gateway.request

    def with_strange_topic(method, params):
        answer = real(method, params)
        if method == "eth_getLogs":
            answer[-1]["topics"][0] = "0x" + "77" * 32
        return answer

    monkeypatch.setitem(vars(market.gateway), "request", with_strange_topic)
    found = audit(gateway=market.gateway).differences
    assert {one.table for one in found} == {"chain.ChainEvent", "chain.ParkedLog"}


# ------------------------------------------------------------------ a node that lags, lies or limits


def test_node_that_leaves_a_log_out_of_a_range_is_asked_for_its_block(history, monkeypatch):
    history.index()
    real = history.gateway.request
    monkeypatch.setitem(
        vars(history.gateway),
        "request",
        lambda method, params: real(method, params)[: -1 if method == "eth_getLogs" else None],
    )
    assert audit(gateway=history.gateway).is_equal


@pytest.mark.parametrize(
    "change",
    [
        lambda logs: [*logs, logs[-1]],
        lambda logs: [*logs, {**logs[-1], "address": "0x" + "11" * 20, "logIndex": "0x99"}],
        lambda logs: [*logs[:-1], {**logs[-1], "removed": True}],
        lambda logs: {"logs": logs},
    ],
    ids=["twice", "foreign", "removed", "no list"],
)
def test_node_that_answers_what_was_not_asked_ends_the_audit_without_a_verdict(history, monkeypatch, change):
    history.index()
    real = history.gateway.request
    monkeypatch.setitem(vars(history.gateway), "request", lambda method, params: change(real(method, params)))
    with pytest.raises(NodeUnavailable):
        audit(gateway=history.gateway)


def test_node_that_answers_a_log_of_another_branch_ends_the_audit_without_a_verdict(history, monkeypatch):
    history.index()
    real = history.gateway.request

    def forked(method, params):
        logs = real(method, params)
        return [{**logs[0], "blockHash": "0x" + "11" * 32}, *logs[1:]]

    monkeypatch.setitem(vars(history.gateway), "request", forked)
    with pytest.raises(NodeBehind, match="left the chain"):
        audit(gateway=history.gateway)


def test_node_that_finds_ranges_too_large_is_asked_for_shorter_ones(history, monkeypatch):
    history.index()
    real, asked = history.gateway.request, []

    def limited(method, params):
        first, last = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
        asked.append(last - first + 1)
        if last - first >= 10:
            raise RangeTooLarge("at most 10 blocks")
        return real(method, params)

    monkeypatch.setitem(vars(history.gateway), "request", limited)
    assert audit(gateway=history.gateway).is_equal
    assert max(asked) > 10
    assert len(asked) < 30


# ------------------------------------------------------------------ a chain or an index that moves


def test_reorg_while_the_audit_asks_ends_it_without_a_verdict(market):
    market.publish()
    market.index()
    registry.register("re-org")(reorg_of(market))
    with pytest.raises(NodeBehind, match="left the chain"):
        audit()


def test_command_says_with_its_exit_status_whether_equal_different_or_unknown(market, capsys):
    market.publish()
    market.index()
    assert call_audit() == 0
    assert "equal" in capsys.readouterr().out
    ChainEvent.objects.filter(name="Transfer").update(tx_hash="0x" + "00" * 32)
    assert call_audit() == 1
    out = capsys.readouterr().out
    assert "chain.ChainEvent, Transfer at" in out
    assert "tx_hash: the database says 0x00" in out
    assert "manage.py reindex" in out
    registry.register("re-org")(reorg_of(market))
    assert call_audit("--all") == 2
    assert "equal" not in capsys.readouterr().out


def test_index_that_changes_below_the_block_meanwhile_ends_the_audit_without_a_verdict(market):
    market.publish()
    market.index()
    registry.register("change")(lambda block: ChainEvent.objects.order_by("id").last().delete() and ())
    with pytest.raises(AuditImpossible, match="changed"):
        audit()


def test_index_that_does_not_reach_the_block_is_not_compared(market):
    with pytest.raises(AuditImpossible, match="index_chain"):
        audit()
    market.index()
    indexed = market.gateway.header_at(None).number
    market.mine(1)
    with pytest.raises(AuditImpossible, match="does not reach"):
        audit()
    assert audit_run(block="indexed").block_number == indexed


@pytest.mark.parametrize("block", [0, 10**9, "earliest"])
def test_block_without_contracts_or_beyond_the_chain_is_refused(market, block):
    market.index()
    with pytest.raises(AuditImpossible):
        audit_run(block=block)


def test_newest_final_block_is_compared_and_later_events_are_not(market):
    market.publish()
    market.index()
    before = market.gateway.header_at(None).number
    market.publish()
    market.mine(64)
    market.index()
    report = audit_run()
    assert report.block_number == market.gateway.heads().finalized_number
    assert before <= report.block_number < market.gateway.header_at(None).number
    assert report.is_equal
    assert audit_run(block=before).rows < report.rows < audit().rows + 1
    ChainEvent.objects.order_by("id").last().delete()
    assert audit_run(block=before).is_equal


def test_sample_compares_less_and_the_same_with_the_same_seed(history):
    history.index()
    whole, sample, again = audit(), audit(sample=Sample(2, 7)), audit(sample=Sample(2, 7))
    assert sample.is_equal
    assert sample.is_sample
    assert (sample.values, sample.rows) == (again.values, again.rows)
    assert sample.values < whole.values / 2
    assert "sample" in str(sample)
    ChainEvent.objects.all().update(block_time=F("block_time") + timedelta(seconds=1))
    assert not audit(sample=Sample(1, 1)).is_equal


def test_chunks_cover_every_id_and_a_sample_is_of_single_ids():
    header = Header(1, "0x", "0x", 1)
    block = AuditBlock(get_gateway(), None, header, last_event_id=0)
    chunks = list(block.chunks([3, 4, 9, 12, 40], size=2, top=1000))
    assert [(chunk.low, chunk.high, chunk.ids) for chunk in chunks] == [
        (0, 4, (3, 4)),
        (5, 12, (9, 12)),
        (13, 1000, (40,)),
    ]
    assert [(chunk.low, chunk.high) for chunk in block.chunks([], size=2, top=7)] == [(0, 7)]
    block.sample = Sample(2, 1)
    sampled = list(block.chunks(range(1, 100)))
    assert len(sampled) == 2
    assert all(chunk.low == chunk.high == chunk.ids[0] for chunk in sampled)


def test_field_that_no_audit_mentions_is_refused_when_a_row_is_compared(history):
    history.index()
    row = ChainEvent.objects.filter(name="ModelPublished")[0]
    raw = history.gateway.logs_by_hash([row.address], block_hashes=[row.block_hash])[0][row.log_index]
    log = log_decode(raw, contract="ModelRegistry", header=history.gateway.header_at(row.block_hash))
    assert isinstance(log, AuditedLog)
    assert as_stored(log.args) == row.args
    careless = registry.RowAudit(BlockHeader, {("ModelRegistry", log.name): lambda log: [{"number": 1}]})
    with pytest.raises(LookupError, match="parent_hash"):
        careless.rows(log)
