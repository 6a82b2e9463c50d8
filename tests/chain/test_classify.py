"""The wordings of nodes and vendors, as seen at them or in their sources. One line per wording; the vendor is first."""

import pytest

from chain.gateway.classify import error_name
from chain.gateway.errors import (
    AlreadyKnown,
    ChainError,
    InsufficientFunds,
    NodeBehind,
    NodeUnavailable,
    NonceTooHigh,
    NonceTooLow,
    RangeTooLarge,
    RateLimited,
    Reverted,
    RpcError,
    SendRefused,
    TransactionUnderpriced,
)

RANGES = [
    ("geth", -32602, "exceed maximum block range: 5000"),
    ("geth", -32002, "request timed out: query timeout exceeded"),
    ("Erigon", -32000, "query block range exceeds server limit"),
    ("Nethermind", -32005, "Too many logs requested. Max logs per response is 20000."),
    ("Besu", -32005, "Requested range exceeds maximum RPC range limit"),
    ("reth", -32602, "query exceeds max block range 100000"),
    ("reth", -32602, "query exceeds max results 20000, retry with the range 22382105-22382515"),
    (
        "Alchemy",
        -32600,
        "You can make eth_getLogs requests with up to a 500 block range. Based on your parameters, this block range"
        " should work: [0x2710, 0x2903]",
    ),
    (
        "Alchemy",
        -32600,
        "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range. Upgrade to PAYG for"
        " expanded block range.",
    ),
    ("Alchemy", -32602, "Log response size exceeded. Please reduce query block range."),
    ("Infura", -32602, "range 1000000 exceeds limit of 10000"),
    ("Infura", -32005, "query returned more than 10000 results"),
    ("QuickNode", -32614, "eth_getLogs is limited to a 10,000 range"),
    ("QuickNode", -32602, "eth_getLogs and eth_newFilter are limited to a 10,000 blocks range"),
    ("Ankr", -32000, "maximum [from, to] blocks distance: 10000"),
    ("Ankr", -32600, "block range is too wide"),
    ("BlockPI", -32000, "eth_getLogs is limited to 1024 block range. Please check the parameter requirements"),
    ("Scroll", -32000, "block range is bigger than maxBlockRange"),
    ("Morph", -32000, "block range is larger than max block range, block range = 5120, max block range = 5000"),
    ("Candle", -32600, "block range too high"),
    ("Circle", -32012, "requested range too large"),
]

RATES = [
    ("Alchemy", 429, "Your app has exceeded its compute units per second capacity."),
    ("Alchemy", 429, "Monthly capacity limit exceeded. Visit the dashboard to upgrade your scaling policy"),
    ("Infura", -32005, "project ID request rate exceeded"),
    ("Infura", -32005, "daily request count exceeded, request rate limited"),
    ("QuickNode", -32007, "50/second request limit reached - reduce calls per second or upgrade your account"),
    ("QuickNode", -32003, "daily request limit reached - upgrade your account to get more"),
    ("Ankr", -32005, "too many requests, you exceeded the rate limit"),
    ("dRPC", 35, "Ratelimit on your plan has been reached"),
    ("Cloudflare", -32046, "Cannot fulfill request: rate limit reached"),
]

# Each of these names a range, a limit or a number of something, and is about requests.
RATES_THAT_MENTION_RANGES = [
    "rate limit exceeded: eth_getLogs is limited to 10 requests per second",
    "Too many requests. Try a smaller range or wait.",
    "request rate exceeds the allowed range",
    "query exceeds limit of 50 per second",
    "Rate limit reached for range queries, retry in 3s",
    "please limit your query to at most 10 requests per second",
]
# And these speak of limits and are about what was asked for.
RANGES_THAT_MENTION_LIMITS = [
    "rate limit: block range too large for your plan",
    "Block range limit exceeded. See more details",
    "please limit the query to at most 1,000 blocks",
]

BEHIND = [
    ("geth", -32000, "header not found"),
    ("geth", -32000, "header for hash not found"),
    ("geth", -32602, "block range extends beyond current head block"),
    ("Erigon", -32000, "block not found"),
    ("Nethermind", -32001, "8633830 could not be found"),
    ("Nethermind", -32001, "block with hash 0xab12 cannot be found"),
    ("Besu", -39001, "Unknown block"),
    ("Besu", -32000, "Block not found"),
    ("reth", -32001, "block not found: hash 0xab12"),
    ("anvil", -32602, "BlockOutOfRangeError: block height is 12 but requested was 14"),
    ("Base", -32019, "block is out of range"),
    ("Circle", -32014, "block not yet imported"),
    ("Sei", -32000, "could not find block for height 826401374464"),
    ("EIP-1898", -32000, "hash 0xabcdef is not currently canonical"),
]


def lines(table):
    return pytest.mark.parametrize(("code", "message"), [line[1:] for line in table], ids=[line[0] for line in table])


def named(code: int, message: str, *, method: str, data: object = None) -> ChainError:
    return error_name({"code": code, "message": message, "data": data}, method=method)


@lines(RANGES)
def test_refusal_of_many_blocks_or_logs_is_a_range_and_for_logs_alone(code, message):
    assert type(named(code, message, method="eth_getLogs")) is RangeTooLarge
    assert type(named(code, message, method="eth_call")) is not RangeTooLarge


@lines(RATES)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_call", "eth_sendRawTransaction"])
def test_refusal_of_many_requests_is_a_rate(code, message, method):
    assert type(named(code, message, method=method)) is RateLimited


@pytest.mark.parametrize("message", RATES_THAT_MENTION_RANGES)
@pytest.mark.parametrize("code", [-32000, -32005, 429])
def test_rate_limit_that_mentions_a_range_is_no_range(code, message):
    assert type(named(code, message, method="eth_getLogs")) is RateLimited


@pytest.mark.parametrize("message", RANGES_THAT_MENTION_LIMITS)
def test_range_that_mentions_a_limit_is_no_rate(message):
    assert type(named(-32000, message, method="eth_getLogs")) is RangeTooLarge


@lines(BEHIND)
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_call", "eth_getBlockByNumber"])
def test_block_that_the_node_lacks_is_behind(code, message, method):
    assert type(named(code, message, method=method)) is NodeBehind


def test_range_that_is_invalid_because_the_node_lacks_its_end_is_behind_for_logs_alone():
    assert type(named(-32602, "invalid block range params", method="eth_getLogs")) is NodeBehind
    assert type(named(-32602, "invalid block range params", method="eth_feeHistory")) is RpcError


def test_words_in_the_data_count_where_the_message_says_nothing():
    data = {"error_id": "4ed9", "payload": "range 9009594 is bigger than range limit 2000"}
    assert type(named(-32602, "invalid params", method="eth_getLogs", data=data)) is RangeTooLarge
    assert type(named(-32602, "Invalid parameters", method="eth_call", data="header not found")) is NodeBehind


@pytest.mark.parametrize("data", [None, 1, True, [], ["x"], {}, {"message": 1}, {"message": ["x"]}, "0x", "x" * 10**6])
def test_data_of_any_form_is_no_crash(data):
    error = named(-32602, "invalid params", method="eth_getLogs", data=data)
    assert type(error) is RpcError
    assert len(str(error)) < 500


@pytest.mark.parametrize("message", ["invalid argument 0", "method not found", "missing trie node", "query is empty"])
@pytest.mark.parametrize("method", ["eth_getLogs", "eth_call", "eth_getBalance"])
def test_words_of_no_kind_are_the_nodes_own_refusal(message, method):
    assert type(named(-32000, message, method=method)) is RpcError


KNOWN = [
    ("geth", -32000, "already known"),
    ("geth, old", -32000, "known transaction: 0x7f657507aee0511e36d2d1972a6b22e917cc89f92b6c12c4dbd57eaabb236960"),
    ("Erigon", -32000, "already known"),
    ("Erigon, same hash", -32000, "INTERNAL_ERROR: existing tx with same hash"),
    ("Nethermind", -32010, "already known"),
    ("Nethermind, old", -32010, "AlreadyKnown"),
    ("Besu", -32000, "Known transaction"),
    ("reth", -32000, "already known"),
    ("anvil", -32003, "transaction already imported"),
    ("OpenEthereum", -32010, "Transaction with the same hash was already imported."),
]
LOW = [
    ("geth", -32000, "nonce too low"),
    ("geth, longer", -32000, "nonce too low: next nonce 5, tx nonce 4"),
    ("Erigon", -32000, "nonce too low"),
    ("Nethermind, old", -32010, "OldNonce, Current nonce: 22, nonce of rejected tx: 17"),
    ("Besu", -32001, "Nonce too low"),
    ("reth", -32000, "nonce too low: next nonce 5, tx nonce 4"),
    ("anvil", -32003, "nonce too low"),
    ("OpenEthereum", -32010, "Transaction nonce is too low. Try incrementing the nonce."),
]
HIGH = [
    ("geth", -32000, "nonce too high"),
    ("Nethermind, old", -32010, "NonceGap, Future nonce. Expected nonce: 10"),
    ("Nethermind", -32010, "nonce too far in future"),
    ("Besu", -32006, "Nonce too high"),
    ("Besu, far", -32000, "Transaction nonce is too distant from current sender nonce"),
]
REPLACEMENTS = [
    ("geth", -32000, "replacement transaction underpriced"),
    ("Erigon", -32000, "replacement transaction underpriced"),
    ("Erigon, other", -32000, "could not replace existing tx"),
    ("Nethermind, old", -32010, "ReplacementNotAllowed"),
    ("Besu", -32000, "Replacement transaction underpriced"),
    ("anvil", -32003, "replacement transaction underpriced"),
    (
        "OpenEthereum",
        -32010,
        "Transaction gas price 100wei is too low. There is another transaction with same nonce in the queue with gas"
        " price 150wei. Try increasing the gas price or incrementing the nonce.",
    ),
]
CHEAP = [
    ("geth", -32000, "transaction underpriced"),
    ("geth, tip", -32000, "transaction underpriced: gas tip cap 1, minimum needed 1000000"),
    ("Erigon", -32000, "fee too low"),
    ("Nethermind, old", -32010, "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 50, BaseFee: 100, Block number: 5"),
    ("Nethermind, full", -32010, "FeeTooLowToCompete"),
    ("Besu", -32009, "Gas price below configured minimum gas price"),
    ("Besu, base fee", -32009, "Gas price below current base fee"),
    ("anvil", -32003, "max fee per gas less than block base fee"),
    ("OpenEthereum", -32010, "Your transaction was dropped due to limit. Try increasing the fee."),
]
POOR = [
    ("geth", -32000, "insufficient funds for gas * price + value: balance 1, tx cost 2, overshot 1"),
    ("geth, many", -32000, "insufficient funds for gas * price + value: transaction would cause overdraft"),
    ("Erigon", -32000, "insufficient funds"),
    ("Nethermind, old", -32010, "InsufficientFunds, Account balance: 4740, cumulative cost: 22019"),
    ("Besu", -32004, "Upfront cost exceeds account balance"),
    ("reth", -32000, "insufficient funds for gas * price + value: have 1 want 2"),
    ("anvil", -32003, "Insufficient funds for gas * price + value"),
]
SEND = "eth_sendRawTransaction"


@lines(KNOWN)
def test_transaction_that_the_node_has_is_known(code, message):
    assert type(named(code, message, method=SEND)) is AlreadyKnown


@lines(LOW)
def test_used_nonce_is_too_low(code, message):
    error = named(code, message, method=SEND)
    assert type(error) is NonceTooLow
    assert error.rpc_code == code


@lines(HIGH)
def test_gap_before_the_nonce_is_too_high_and_may_be_tried_again(code, message):
    error = named(code, message, method=SEND)
    assert type(error) is NonceTooHigh
    assert error.retryable


@lines(REPLACEMENTS)
def test_fee_too_low_to_replace_says_so(code, message):
    error = named(code, message, method=SEND)
    assert type(error) is TransactionUnderpriced
    assert error.replacement


@lines(CHEAP)
def test_fee_too_low_to_be_taken_is_no_replacement(code, message):
    error = named(code, message, method=SEND)
    assert type(error) is TransactionUnderpriced
    assert not error.replacement


@lines(POOR)
@pytest.mark.parametrize("method", [SEND, "eth_estimateGas"])
def test_account_that_cannot_pay_has_insufficient_funds(code, message, method):
    assert type(named(code, message, method=method)) is InsufficientFunds


@lines(KNOWN + LOW + HIGH + REPLACEMENTS + CHEAP)
def test_words_about_transactions_mean_nothing_where_none_was_sent(code, message):
    assert not isinstance(named(code, message, method="eth_getBlockByNumber"), SendRefused)


@pytest.mark.parametrize(
    "message",
    [
        "unknown transaction type",
        "OwnNonceAlreadyUsed",
        "intrinsic gas too low",
        "exceeds block gas limit",
        "invalid sender",
        "tx fee (1.10 ether) exceeds the configured cap (1.00 ether)",
        "max priority fee per gas higher than max fee per gas",
    ],
)
def test_other_refusal_of_a_transaction_has_no_name_and_is_final(message):
    error = named(-32000, message, method=SEND)
    assert type(error) is SendRefused
    assert not error.retryable


def test_besus_code_for_gas_limits_is_no_rate_limit_where_a_transaction_is_sent():
    assert type(named(-32005, "Transaction gas limit exceeds block gas limit", method=SEND)) is SendRefused
    assert type(named(-32005, "limit exceeded", method="eth_call")) is RateLimited


@pytest.mark.parametrize("message", ["txpool is full", "sequencer pending tx pool full, please try again"])
def test_full_pool_is_a_node_to_try_again(message):
    assert type(named(-32000, message, method=SEND)) is NodeUnavailable


def test_contract_cannot_pass_its_reason_off_as_the_nodes():
    for message in ("execution reverted: insufficient funds", "execution reverted: nonce too low"):
        assert isinstance(named(3, message, method="eth_estimateGas"), Reverted)
