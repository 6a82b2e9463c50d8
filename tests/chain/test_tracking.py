"""Fates of transactions, told by nodes that lie, lag, fail and forget. A real one is asked in tests/market."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from chain import abi
from chain.calls import call_read
from chain.gateway.errors import NodeUnavailable, RateLimited
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.nonces import BATCHES_MAX, transaction_at_nonce
from chain.sent import Place, sent_parse
from chain.tracking import Fate, Finding, Searches, Sought, fates, next_nonce, transactions_get
from tests.chain.nodes import CHAIN, Node

ALICE, BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
OURS, OTHER, ELSE = ("0x" + pair * 32 for pair in ("aa", "bb", "cc"))
GARBAGE = [7, "0x", [], {"blockNumber": "0x" + "f" * 64}, "<html>", True]


def block(number: int, transactions: Sequence[dict[str, Any]] = (), *, branch: str = "0") -> dict[str, Any]:
    name = "0x" + f"{branch}{number:x}".rjust(64, "e")
    parent = "0x" + "00" * 32
    return {
        "number": hex(number),
        "hash": name,
        "parentHash": parent,
        "timestamp": "0x1",
        "transactions": transactions,
    }


def sent(tx_hash: str = OURS, *, nonce: int = 3, at: int | None = None, **more: Any) -> dict[str, Any]:
    place = (
        {"blockNumber": None, "blockHash": None}
        if at is None
        else {"blockNumber": hex(at), "blockHash": block(at)["hash"]}
    )
    plain = {
        "hash": tx_hash,
        "from": ALICE.lower(),
        "to": BOB.lower(),
        "nonce": hex(nonce),
        "value": "0x5",
        "input": "0x12",
    }
    return plain | place | more


def receipt(at: int, *, status: str = "0x1", tx_hash: str = OURS, **more: Any) -> dict[str, Any]:
    place = {"blockNumber": hex(at), "blockHash": block(at)["hash"]}
    return {"transactionHash": tx_hash, "status": status, "from": ALICE.lower(), "gasUsed": "0x1", **place, **more}


class Chain:
    """A node of 100 blocks. Each answer may be replaced: a value, or a function of the parameters."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.gateway = JsonRpcGateway([node.url], chain_id=CHAIN)
        self.answers: dict[str, Any] = {
            "eth_getBlockByNumber": lambda number, _full: block(100 if number == "latest" else int(number, 16)),
            "eth_getTransactionCount": "0x3",
            "eth_getCode": "0x",
        }
        node.reply = self._reply

    def _reply(self, method: str, params: list[Any]) -> Any:
        answer = self.answers.get(method)
        return answer(*params) if callable(answer) else answer

    def fate(self, **known: Any) -> Finding | None:
        sought = {"tx_hash": OURS, "sender": ALICE, "nonce": 3, "unheard_s": 1000} | known
        (finding,) = fates([Sought(**sought)], gateway=self.gateway)
        return finding


@pytest.fixture
def chain() -> Chain:
    node = Node()
    yield Chain(node)
    node.server.shutdown()
    node.server.server_close()


def used_at(number: int, transaction: dict[str, Any]) -> dict[str, Any]:
    """Answers of a chain in which `transaction` used Alice's nonce 3 in this block."""

    def count(_address: str, at: str) -> str:
        return hex(4 if at in ("latest", "pending") or int(at, 16) >= number else 3)

    def blocks(at: str, full: bool) -> dict[str, Any]:
        height = 100 if at == "latest" else int(at, 16)
        return block(height, [transaction] if full and height == number else [])

    return {"eth_getTransactionCount": count, "eth_getBlockByNumber": blocks}


def test_transaction_that_a_node_has_and_no_block_holds_is_pending(chain):
    chain.answers["eth_getTransactionByHash"] = sent()
    finding = chain.fate()
    assert (finding.fate, finding.transaction.sender, finding.transaction.nonce) == (Fate.PENDING, ALICE, 3)


def test_transaction_in_a_canonical_block_is_mined(chain):
    chain.answers |= {"eth_getTransactionByHash": sent(at=50), "eth_getTransactionReceipt": receipt(50)}
    finding = chain.fate()
    assert (finding.fate, finding.place) == (Fate.MINED, Place(50, block(50)["hash"]))


def test_receipt_of_a_block_that_is_not_canonical_concludes_nothing(chain):
    chain.answers["eth_getTransactionReceipt"] = receipt(50, blockHash=block(50, branch="1")["hash"])
    assert chain.fate() is None
    chain.answers["eth_getTransactionReceipt"] = receipt(50)
    chain.answers["eth_getBlockByNumber"] = lambda at, _full: block(100) if at == "latest" else None
    assert chain.fate() is None


@pytest.mark.parametrize(
    "answers",
    [
        {"eth_getTransactionReceipt": receipt(50, tx_hash=OTHER)},
        {"eth_getTransactionByHash": sent(OTHER)},
        {"eth_getTransactionByHash": sent(at=50)},
        {"eth_getTransactionByHash": sent(nonce=2**64)},
        {"eth_getTransactionByHash": sent(input="0x1")},
        *({"eth_getTransactionReceipt": form} for form in GARBAGE),
        *({"eth_getTransactionByHash": form} for form in GARBAGE),
        *({"eth_getTransactionCount": form} for form in [*GARBAGE, None]),
        {"eth_getTransactionReceipt": {"error": {"code": -32603, "message": "internal error"}}},
    ],
)
def test_answers_that_contradict_themselves_or_have_no_form_conclude_nothing_and_hold_up_nobody(chain, answers):
    chain.answers |= answers
    assert chain.fate() is None
    honest = chain.answers.pop("eth_getTransactionCount")
    chain.answers["eth_getTransactionCount"] = lambda address, _at: "0x0" if address == BOB else honest
    both = [Sought(tx_hash=OURS, sender=ALICE, nonce=3), Sought(tx_hash=None, sender=BOB, nonce=0)]
    assert [finding and finding.fate for finding in fates(both, gateway=chain.gateway)] == [None, Fate.FREE]


def test_node_that_fails_raises_and_concludes_nothing(chain):
    for status, raised in ((500, NodeUnavailable), (429, RateLimited)):
        chain.node.status, chain.node.raw = status, b"no"
        with pytest.raises(raised):
            chain.fate()
    chain.node.status, chain.node.raw = 200, b'[{"id": 1'
    with pytest.raises(NodeUnavailable):
        chain.fate()
    dead = JsonRpcGateway(["http://127.0.0.1:9"], chain_id=CHAIN)
    with pytest.raises(NodeUnavailable):
        fates([Sought(tx_hash=OURS, sender=ALICE, nonce=3, unheard_s=10_000)], gateway=dead)


def test_transaction_unheard_of_is_unknown_after_a_while_and_dropped_where_it_was_known(chain):
    assert chain.fate(unheard_s=10).fate == Fate.WAITING
    assert chain.fate().fate == Fate.UNKNOWN
    assert chain.fate(was_known=True, unheard_s=10).fate == Fate.WAITING
    assert chain.fate(was_known=True).fate == Fate.DROPPED
    assert chain.fate(was_known=True, nonce=None).fate == Fate.UNKNOWN


def test_block_that_was_replaced_makes_a_transaction_reorged_and_a_shorter_chain_does_not(chain):
    was_in = Place(50, block(50, branch="1")["hash"])
    assert chain.fate(was_in=was_in).fate == Fate.REORGED
    assert chain.fate(was_in=Place(50, block(50)["hash"])) is None, "the block is there, and the receipt is not"
    chain.answers["eth_getBlockByNumber"] = lambda at, _full: block(40) if at == "latest" else None
    assert chain.fate(was_in=was_in) is None, "a node that lags has no such block"


@pytest.mark.parametrize("number", [1, 2, 37, 99, 100])
@pytest.mark.parametrize("first", [0, 30, 100])
def test_replacement_is_found_in_whichever_block_used_the_nonce(chain, number, first):
    chain.answers |= used_at(number, sent(OTHER, at=number, input="0x99"))
    finding = chain.fate(first_block=first)
    assert (finding.fate, finding.other.tx_hash, finding.is_same_call) == (Fate.REPLACED, OTHER, False)


def test_replacement_that_does_the_same_is_a_speed_up(chain):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    assert chain.fate(call_hash=sent_parse(sent()).call_hash).is_same_call
    assert not chain.fate(call_hash=sent_parse(sent(value="0x6")).call_hash).is_same_call
    assert not chain.fate().is_same_call, "what the first one did is not known"


def test_replacement_that_sends_nothing_to_oneself_is_a_cancel(chain):
    nothing = {"to": ALICE.lower(), "value": "0x0", "input": "0x"}
    chain.answers |= used_at(37, sent(OTHER, at=37, **nothing))
    assert chain.fate().fate == Fate.CANCELLED
    for change in ({"to": BOB.lower()}, {"value": "0x1"}, {"input": "0x12"}):
        chain.answers |= used_at(37, sent(OTHER, at=37, **(nothing | change)))
        assert chain.fate().fate == Fate.REPLACED


def test_replacement_known_before_is_not_searched_for_again(chain):
    chain.answers |= used_at(37, other := sent(OTHER, at=37, input="0x99"))
    chain.answers["eth_getTransactionByHash"] = lambda tx_hash: other if tx_hash == OTHER else None
    assert chain.fate(replaced_by=OTHER).fate == Fate.REPLACED
    assert chain.node.posts <= 3
    asked = chain.node.posts
    # One that was said to replace it, and has another nonce, is not believed.
    other["nonce"] = "0x2"
    assert chain.fate(replaced_by=OTHER).fate == Fate.UNKNOWN
    assert chain.node.posts > asked + 2


def test_transaction_itself_found_by_its_nonce_concludes_nothing_until_its_receipt_is_there(chain):
    chain.answers |= used_at(37, sent(at=37))
    assert chain.fate() is None


def test_nonce_used_by_no_transaction_of_the_account_is_unknown(chain):
    chain.answers |= used_at(37, sent(OTHER, at=37) | {"from": BOB.lower()})
    assert chain.fate().fate == Fate.UNKNOWN
    assert chain.fate(unheard_s=10).fate == Fate.WAITING


OLD_STATES = [
    (-32000, "missing trie node 9f (path ) state 0x9f is not available, not found"),
    (-32000, "required historical state unavailable (reexec=128)"),
    (-32000, "header not found"),
    (-32000, "state already pruned"),
    (-32603, "historical state is not available"),
    (4444, "pruned history unavailable"),
]


@pytest.mark.parametrize(("code", "words"), OLD_STATES)
def test_node_without_old_state_makes_a_replacement_unknown(chain, code, words):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    count = chain.answers["eth_getTransactionCount"]
    missing = {"error": {"code": code, "message": words}}
    chain.answers["eth_getTransactionCount"] = lambda who, at: count(who, at) if at in ("latest", "0x64") else missing
    assert chain.fate().fate == Fate.UNKNOWN


def test_node_that_keeps_the_state_of_some_blocks_tells_of_those(chain):
    chain.answers |= used_at(97, sent(OTHER, at=97))
    count = chain.answers["eth_getTransactionCount"]
    missing = {"error": {"code": -32000, "message": "missing trie node"}}
    chain.answers["eth_getTransactionCount"] = lambda who, at: (
        count(who, at) if at == "latest" or int(at, 16) >= 90 else missing
    )
    assert chain.fate(first_block=92).fate == Fate.REPLACED


def test_search_reaches_the_last_states_of_a_node_that_prunes(chain):
    last, used = 10**7, 10**7 - 90
    missing = {"error": {"code": -32000, "message": "missing trie node"}}

    def count(_who: str, at: str) -> Any:
        if at == "latest":
            return "0x4"
        return missing if int(at, 16) < last - 128 else hex(3 + (int(at, 16) >= used))

    chain.answers["eth_getTransactionCount"] = count
    chain.answers["eth_getBlockByNumber"] = lambda at, full: block(
        last if at == "latest" else int(at, 16), [sent(OTHER, at=used)] if full else []
    )
    assert chain.fate(first_block=100).fate == Fate.REPLACED


@pytest.mark.parametrize(("code", "words"), [(-32603, "internal error"), (-32000, "request timed out")])
def test_node_that_fails_in_the_middle_of_a_search_concludes_nothing(chain, code, words):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    count = chain.answers["eth_getTransactionCount"]
    failure = {"error": {"code": code, "message": words}}
    chain.answers["eth_getTransactionCount"] = lambda who, at: count(who, at) if at == "latest" else failure
    assert chain.fate() is None


def test_search_ends_whatever_a_lying_node_answers(chain):
    turns = iter(range(10**6))
    chain.answers["eth_getTransactionCount"] = lambda _who, at: "0x4" if at == "latest" else hex(next(turns) % 5)
    chain.answers["eth_getBlockByNumber"] = lambda at, _full: block(2**62 if at == "latest" else int(at, 16))
    assert chain.fate().fate == Fate.UNKNOWN
    assert chain.node.posts <= BATCHES_MAX + 6
    chain.answers["eth_getTransactionCount"] = lambda _who, at: "0x4" if at == "latest" else "0x" + "f" * 64
    assert chain.fate().fate == Fate.UNKNOWN


@pytest.mark.parametrize(
    "given", [7, "0x", [], None, {"transactions": [7]}, {"transactions": None}, {"number": "0x24"}]
)
def test_block_of_a_search_that_has_no_form_concludes_nothing(chain, given):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    blocks = chain.answers["eth_getBlockByNumber"]
    chain.answers["eth_getBlockByNumber"] = lambda at, full: (
        ({**block(37), **given} if isinstance(given, dict) else given) if full else blocks(at, full)
    )
    assert chain.fate() is None


def test_transaction_of_another_block_than_the_one_that_lists_it_is_not_believed(chain):
    chain.answers |= used_at(37, sent(OTHER, at=36))
    with pytest.raises(NodeUnavailable):
        transaction_at_nonce(chain.gateway, ALICE, 3, first=0, last=100)


def test_searches_of_one_call_are_bounded(chain):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    soughts = [Sought(tx_hash=each, sender=sender, nonce=3) for each, sender in ((OURS, ALICE), (ELSE, BOB))]
    searches = Searches(left=1)
    found = fates(soughts, searches=searches, gateway=chain.gateway)
    assert [finding and finding.fate for finding in found] == [Fate.REPLACED, None]
    assert searches.made == soughts[:1]


def test_searches_of_one_sender_leave_the_others_theirs(chain):
    chain.answers |= used_at(37, sent(OTHER, at=37))
    known = [(OURS, ALICE), (ELSE, ALICE), ("0x" + "77" * 32, BOB)]
    soughts = [Sought(tx_hash=each, sender=sender, nonce=3) for each, sender in known]
    searches = Searches(left=2)
    fates(soughts, searches=searches, gateway=chain.gateway)
    assert searches.made == [soughts[0], soughts[2]]


def test_transaction_sought_without_a_hash_is_free_pending_or_found(chain):
    assert chain.fate(tx_hash=None).fate == Fate.FREE
    chain.answers["eth_getTransactionCount"] = lambda _who, at: "0x4" if at == "pending" else "0x3"
    assert chain.fate(tx_hash=None).fate == Fate.PENDING
    chain.answers |= used_at(37, sent(OTHER, at=37))
    finding = chain.fate(tx_hash=None)
    assert (finding.fate, finding.transaction.tx_hash) == (Fate.FOUND, OTHER)


def test_free_nonce_of_an_account_with_code_says_nothing(chain):
    chain.answers["eth_getCode"] = "0xef0100" + "11" * 20
    assert chain.fate(tx_hash=None, unheard_s=10).fate == Fate.WAITING
    assert chain.fate(tx_hash=None).fate == Fate.UNKNOWN


def test_many_transactions_are_asked_about_in_batches(chain):
    chain.answers["eth_getTransactionByHash"] = sent
    soughts = [Sought(tx_hash=f"0x{number:064x}", sender=ALICE, nonce=3) for number in range(100)]
    found = fates(soughts, gateway=chain.gateway)
    assert {finding.fate for finding in found} == {Fate.PENDING}
    assert chain.node.posts <= 10


def test_nothing_sought_asks_nothing(chain):
    assert fates([], gateway=chain.gateway) == []
    assert chain.node.posts == 0


def test_next_nonce_counts_what_waits_and_names_the_newest_block(chain):
    chain.answers["eth_getTransactionCount"] = lambda _who, at: "0x9" if at == "pending" else "0x3"
    assert next_nonce(ALICE, gateway=chain.gateway) == (9, 100)
    chain.answers["eth_getTransactionCount"] = "0x" + "f" * 64
    with pytest.raises(NodeUnavailable):
        next_nonce(ALICE, gateway=chain.gateway)
    chain.answers["eth_getTransactionCount"] = {"error": {"code": -32603, "message": "internal error"}}
    with pytest.raises(NodeUnavailable):
        next_nonce(ALICE, gateway=chain.gateway)


def test_transactions_that_a_node_tells_under_another_hash_are_left_out(chain):
    answers: dict[str, Callable[..., Any]] = {OURS: sent(OURS), OTHER: sent(ELSE), ELSE: "0x"}
    chain.answers["eth_getTransactionByHash"] = lambda tx_hash: answers[tx_hash]
    assert set(transactions_get([OURS, OTHER, ELSE], gateway=chain.gateway)) == {OURS}


def test_call_is_read_from_its_data_and_nothing_from_a_strangers():
    data = bytes.fromhex(abi.call_encode("LicenceMarket", "renew", [2**40, "0x" + "11" * 32])[2:])
    call = call_read("LicenceMarket", data)
    assert (call.function, call.args) == ("renew", {"licenceId": 2**40, "agreedHash": "0x" + "11" * 32})
    assert call_read("ModelRegistry", data) is None
    for cut in (data[:-1], data[:4], data[:3], b""):
        assert call_read("LicenceMarket", cut) is None
