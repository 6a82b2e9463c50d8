"""What the verifier asks a node: strangers who are operators too, licences never sold, nodes that are in trouble."""

import json
from typing import Any

import pytest
from weighhouse import cli
from weighhouse.core.statements import Statement
from weighhouse.verify import ChainReader, Expected, NodeError, Report, verify

from chain.development import DEVELOPMENT_ACCOUNTS
from marketplace.inference import services
from marketplace.inference.models import Job
from marketplace.inference.receipts import batching
from tests.fixtures.nodes import CountedNode
from tests.inference.receipt_steps import document_of, on_chain
from tests.sdk.support import anchored, delegated, receipt

pytestmark = pytest.mark.django_db

STRANGER = DEVELOPMENT_ACCOUNTS[3]
RATE_LIMIT = {"code": -32005, "message": "daily request count exceeded", "data": {"rate": {"allowed_rps": 1}}}
PRUNED = {"code": -32000, "message": "missing trie node 8e1f (path ) state 0x8e1f is not available"}
REVERTS = [
    {"code": 3, "message": "execution reverted", "data": "0x"},
    {"code": -32000, "message": "Execution reverted"},
    {"code": -32015, "message": "VM execution error.", "data": "Reverted 0x2ce1"},
]


@pytest.fixture
def node(market):
    """A node between the verifier and the chain."""
    node = CountedNode(market.anvil.url)
    yield node
    node.close()


@pytest.fixture
def run(sell, buyer, finish):
    """`run(calls=30)`: a job that ended, under a new licence of these terms."""

    def make(**terms: int) -> Job:
        sold = sell(**terms)
        return finish(services.job_create(account=buyer, model_id=sold.model_id, inputs="the house")[0])

    return make


def forged_by_operator(market, document: bytes) -> Statement:
    """The receipt as a stranger signs and anchors it who registered as an operator himself."""
    statement, operator_id = Statement.from_bytes(document), market.register_operator()
    delegation = {
        "operatorId": operator_id,
        "receiptAnchor": market.book.contract("ReceiptAnchor").address,
        "validFrom": 0,
        "validUntil": 2**40,
    }
    forged = anchored(
        receipt(
            {**statement.signed.message, "operatorId": operator_id},
            domain=statement.domain,
            fingerprint=statement.fingerprint,
            delegation=delegated(delegation, key=bytes.fromhex(STRANGER.key[2:]), domain=statement.domain),
        )
    )
    anchor = [operator_id, forged.anchoring.root, 5, batching.NOWHERE]
    market.send("ReceiptAnchor", "anchor", anchor, by=market.outsider)
    return forged


def meaning(report: Report, name: str) -> str:
    return next(check.meaning for check in report.checks if check.name == name)


def answers(error: dict[str, Any], *, when=lambda call: call["method"] == "eth_call"):
    """A hook of the node: this error in the place of the chain's answer."""
    return lambda calls: {"jsonrpc": "2.0", "id": calls[0]["id"], "error": error} if when(calls[0]) else None


def test_receipt_of_a_stranger_who_is_an_operator_says_nothing_of_a_metered_licence_of_another(run, worker_key, market):
    forged = forged_by_operator(market, document_of(run(calls=30)))
    report = on_chain(forged.to_bytes(), anchor=market.book.contract("ReceiptAnchor").address)
    assert report.failed() == ["plan"], "it is signed and anchored as any"
    assert f"only operator {market.operator_id} serves" in meaning(report, "plan")


def test_receipt_under_an_unmetered_plan_may_be_any_operators_unless_the_reader_says_whose(run, worker_key, market):
    document = document_of(run())
    forged = forged_by_operator(market, document).to_bytes()
    report = on_chain(forged)
    assert report.ok, report.text()
    assert "any operator may serve that" in meaning(report, "plan")
    assert on_chain(forged, operator_id=market.operator_id).failed() == ["operator id"]
    assert on_chain(document, operator_id=market.operator_id).ok


@pytest.mark.parametrize(("calls", "serial"), [(0, 0), (30, 0), (0, 2), (30, 2)])
def test_receipt_under_a_licence_that_was_never_sold_does_not_hold(run, worker_key, calls, serial):
    job = run(calls=calls)
    Job.objects.filter(pk=job.pk).update(licence_id=(job.licence_id >> 32 << 32) + serial)
    report = on_chain(document_of(job))
    assert report.failed() == ["plan"]
    assert "has sold 1 licences" in meaning(report, "plan")


@pytest.mark.parametrize("refused", ["eth_call", "eth_chainId", "eth_getBlockByNumber"])
@pytest.mark.parametrize("error", [RATE_LIMIT, PRUNED, "busy"])
def test_trouble_of_the_node_is_no_failure_of_the_receipt(run, worker_key, node, tmp_path, capsys, refused, error):
    file = tmp_path / "receipt.json"
    file.write_bytes(document_of(run(calls=30)))
    assert cli.main(["verify", str(file), "--rpc", node.url]) == cli.OK
    node.before = answers(error, when=lambda call: call["method"] == refused)
    assert cli.main(["verify", str(file), "--rpc", node.url]) == cli.UNUSABLE
    assert f"The node answers {refused} with an error" in capsys.readouterr().err


@pytest.mark.parametrize("error", REVERTS)
def test_contract_that_reverts_is_a_failure_of_the_receipt_however_the_node_says_it(run, worker_key, node, error):
    document = document_of(run(calls=30))
    node.before = answers(error)
    with ChainReader(node.url) as chain:
        assert verify(document, chain=chain).failed() == ["operator", "plan"]


def test_receipt_of_an_older_key_needs_a_node_that_keeps_old_states_and_says_so(run, worker_key, market, node):
    forged = forged_by_operator(market, document_of(run()))
    operator_id = forged.delegation.message["operatorId"]
    market.warp(2)
    market.send("LicenceMarket", "setOperator", [operator_id, market.buyer, market.buyer], by=market.outsider)
    expected = Expected(anchor=market.book.contract("ReceiptAnchor").address)
    with ChainReader(node.url) as chain:
        report = verify(forged.to_bytes(), expected, chain=chain)
        assert report.ok, report.text()
        node.before = answers(PRUNED, when=lambda call: "latest" not in json.dumps(call) and "data" in str(call))
        with pytest.raises(NodeError, match="name an archive node") as caught:
            verify(forged.to_bytes(), expected, chain=chain)
    assert caught.value.code == "node.history"
