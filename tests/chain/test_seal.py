"""When a block's bloom filter may be believed: against headers of public chains, a real node, and forgeries."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import rlp
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.gateway.parse import sealed_header_parse
from chain.gateway.seal import BLOOM_BITS, EMPTY_ROOT, bloom_bits, bloom_may_contain, bloom_verified, header_seal_verify

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden_headers.json").read_text())
FRONTIER, OSAKA, AMSTERDAM = GOLDEN.values()
# In the order of the encoding, written here once more on purpose.
FIELDS = [
    "parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty",
    "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce", "baseFeePerGas", "withdrawalsRoot",
    "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot", "requestsHash", "blockAccessListHash", "slotNumber",
]  # fmt: skip
NUMBERS = {
    "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas",
    "slotNumber",
}  # fmt: skip

MALFORMED = [
    None, 1, -1, True, 1.5, "", "0x", "0xzz", "0x1", "zz" * 32, "0x" + "ff" * 33, "0x" + "f" * 65, [], {}, "０x１",
    "\ud800",
]  # fmt: skip

addresses = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())
topics = st.binary(min_size=32, max_size=32).map(lambda data: "0x" + data.hex())


def resealed(block: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """`block` with changes and the hash that they give, encoded by another library than ours."""
    changed = {name: value for name, value in (block | changes).items() if value is not None}
    items: list[Any] = []
    for name in FIELDS:
        if name in changed:
            items.append(int(changed[name], 16) if name in NUMBERS else bytes.fromhex(changed[name][2:]))
    return changed | {"hash": "0x" + keccak(rlp.encode(items)).hex()}


def bloom_of(logs: list[tuple[str, list[str]]]) -> int:
    """The filter of the yellow paper, bit by bit, for logs given as address and topics."""
    bloom = bytearray(BLOOM_BITS // 8)
    for address, its_topics in logs:
        for item in (address, *its_topics):
            digest = keccak(bytes.fromhex(item[2:]))
            for start in (0, 2, 4):
                bit = (digest[start] << 8 | digest[start + 1]) & 2047
                bloom[255 - bit // 8] |= 1 << bit % 8
    return int.from_bytes(bloom, "big")


@pytest.mark.parametrize("name", GOLDEN)
def test_header_of_a_public_chain_is_verified_and_its_bloom_believed(name):
    block = GOLDEN[name]
    assert header_seal_verify(block)
    assert bloom_verified(block) == int(block["logsBloom"], 16)
    assert resealed(block) == block, "the test's own encoding agrees with the chain"


@pytest.mark.parametrize("last", FIELDS[14:])
def test_header_of_every_fork_is_verified(last):
    dropped = dict.fromkeys(FIELDS[FIELDS.index(last) + 1 :])
    block = resealed(AMSTERDAM, **dropped)
    assert set(block) == {"hash", *FIELDS[: FIELDS.index(last) + 1]}
    assert header_seal_verify(block)
    assert header_seal_verify(block | dropped), "a field that is null is one that is not there"


@pytest.mark.parametrize("field", FIELDS)
def test_header_with_any_field_changed_is_not_verified(field):
    value = AMSTERDAM[field]
    changed = hex(int(value, 16) + 1) if field in NUMBERS else value[:-1] + ("0" if value[-1] != "0" else "1")
    assert not header_seal_verify(AMSTERDAM | {field: changed})
    assert bloom_verified(AMSTERDAM | {field: changed}) is None


@pytest.mark.parametrize("field", FIELDS)
def test_header_with_any_field_left_out_is_not_verified(field):
    assert not header_seal_verify({name: value for name, value in AMSTERDAM.items() if name != field})


def test_number_is_encoded_without_and_hash_with_its_leading_zeros():
    block = resealed(AMSTERDAM, stateRoot="0x" + "00" * 31 + "7f", gasUsed="0x0", slotNumber="0x80", extraData="0x05")
    assert header_seal_verify(block)


def test_header_whose_middle_field_is_skipped_by_the_chain_is_verified():
    encoded = resealed(OSAKA, withdrawalsRoot=None)
    items = [bytes.fromhex(OSAKA[name][2:]) if name not in NUMBERS else int(OSAKA[name], 16) for name in FIELDS[:21]]
    items[FIELDS.index("withdrawalsRoot")] = b""
    assert header_seal_verify(encoded | {"hash": "0x" + keccak(rlp.encode(items)).hex()})


def test_bloom_that_a_node_left_empty_is_not_believed():
    assert bloom_verified(OSAKA | {"logsBloom": "0x" + "00" * 256}) is None


def test_empty_bloom_that_the_chain_agreed_on_is_believed_only_without_receipts():
    empty = resealed(OSAKA, logsBloom="0x" + "00" * 256)
    assert header_seal_verify(empty)
    assert bloom_verified(empty) is None
    assert bloom_verified(resealed(empty, receiptsRoot=EMPTY_ROOT)) == 0


@pytest.mark.parametrize("field", ["hash", *FIELDS])
def test_malformed_field_is_not_verified_and_no_crash(field):
    for value in MALFORMED:
        assert not header_seal_verify(AMSTERDAM | {field: value}), value


@given(
    st.dictionaries(
        st.sampled_from(["hash", *FIELDS]),
        st.none() | st.booleans() | st.integers() | st.text("0x19afXg\x00\u0663") | st.lists(st.integers(), max_size=2),
    )
)
def test_header_of_anything_is_not_verified_and_no_crash(changes):
    block = AMSTERDAM | changes
    assert header_seal_verify(block) == (block == AMSTERDAM)


@given(st.lists(st.tuples(addresses, st.lists(topics, max_size=4)), max_size=20), addresses)
def test_bloom_never_excludes_an_address_that_wrote_a_log(logs, other):
    bloom = bloom_of(logs)
    assert all(bloom_may_contain(bloom, address) for address, _ in logs)
    assert all(bloom_may_contain(bloom, address.upper().replace("0X", "0x")) for address, _ in logs)
    assert not bloom_may_contain(0, other)
    assert bloom_may_contain(bloom | bloom_bits(other), other)


def test_bloom_of_a_public_block_contains_few_addresses_that_are_not_in_it():
    bloom = bloom_verified(AMSTERDAM)
    assert bloom is not None
    strangers = ["0x" + keccak(text=str(number))[:20].hex() for number in range(2000)]
    passed = sum(bloom_may_contain(bloom, address) for address in strangers)
    share = (bloom.bit_count() / BLOOM_BITS) ** 3
    assert abs(passed / 2000 - share) < 0.03


def test_real_block_with_logs_says_which_contracts_wrote_them(market):
    model_id = market.publish()
    market.release(model_id, b"\x02" * 32)
    head = market.gateway.header_at(None)
    assert head.logs_bloom is not None
    assert bloom_may_contain(head.logs_bloom, market.book.contract("ModelRegistry").address)
    assert not bloom_may_contain(head.logs_bloom, market.book.contract("LicenceMarket").address)


def test_real_block_without_transactions_excludes_every_contract(market):
    market.mine(1)
    head = market.gateway.header_at(None)
    assert head.logs_bloom == 0


def test_no_real_block_excludes_a_contract_whose_logs_it_holds(market):
    _, plan_id, _ = market.sold_licence()
    market.buy(plan_id)
    heads = market.gateway.heads()
    headers = {header.number: header for header in market.gateway.headers(range(heads.latest.number + 1)) if header}
    contracts = [entry.address for entry in market.book.contracts.values()]
    logs = market.gateway.logs_in_range(contracts, first=0, last=heads.latest.number)
    assert len({log.address for log in logs}) >= 2
    for log in logs:
        bloom = headers[log.block_number].logs_bloom
        assert bloom is not None
        assert bloom_may_contain(bloom, log.address)


def test_parsed_header_of_a_node_that_forges_the_bloom_has_none():
    forged = copy.deepcopy(OSAKA) | {"logsBloom": "0x" + "00" * 256}
    assert sealed_header_parse(OSAKA).logs_bloom == int(OSAKA["logsBloom"], 16)
    header = sealed_header_parse(forged)
    assert (header.number, header.hash, header.logs_bloom) == (int(OSAKA["number"], 16), OSAKA["hash"], None)
