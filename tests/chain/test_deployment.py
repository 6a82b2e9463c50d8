"""Deploying: once, found again, anew where a development chain was reset, never with test keys elsewhere."""

import json

import pytest
from eth_utils.crypto import keccak

from chain import abi
from chain.address_book import AddressBook, DeployedContract, book_path, book_read, book_write, journal_read
from chain.deployment import Deployer, contracts_check, demo_funds
from chain.development import DEVELOPMENT_ACCOUNTS
from chain.errors import AddressBookInvalid, AddressBookMissing, ContractsDiffer, DevelopmentOnly
from chain.gateway import get_gateway
from chain.gateway.fake import FakeGateway
from chain.gateway.jsonrpc import JsonRpcGateway

DEPLOYER = DEVELOPMENT_ACCOUNTS[0]


@pytest.fixture
def deployer(market, tmp_path):
    def make(*, development: bool = True, gateway=None) -> Deployer:
        return Deployer(
            gateway=gateway or market.gateway,
            directory=tmp_path,
            key=DEPLOYER.key,
            admin=DEPLOYER.address,
            development=development,
            say=lambda text: None,
        )

    return make


def transactions_sent(market) -> int:
    return int(market.anvil.rpc("eth_getTransactionCount", DEPLOYER.address, "latest"), 16)


def test_deployment_writes_a_book_that_matches_the_chain(market, deployer, tmp_path):
    before = int(market.anvil.rpc("eth_blockNumber"), 16)
    book = deployer().contracts_deploy()
    assert book == book_read(tmp_path, 31337)
    assert set(book.contracts) == {"ModelRegistry", "LicenceMarket", "TestUSD"}
    assert book.deployed_at_block == before + 1
    for name, entry in book.contracts.items():
        assert entry.code_hash == "0x" + keccak(market.gateway.code(entry.address)).hex()
        assert entry.creation_hash == abi.artefact(name).creation_hash
    contracts_check(market.gateway, book)
    assert [path.name for path in tmp_path.iterdir()] == ["31337.json"], "neither journal nor temporary file is left"


def test_deployment_run_again_sends_nothing(market, deployer):
    book = deployer().contracts_deploy()
    sent = transactions_sent(market)
    assert deployer().contracts_deploy() == book
    assert transactions_sent(market) == sent


def test_deployment_that_was_interrupted_keeps_what_is_on_chain(market, deployer, tmp_path, monkeypatch):
    real, sent = JsonRpcGateway.request, []

    def dies_at_the_second(self, method, params):
        if method == "eth_sendRawTransaction":
            sent.append(params)
            if len(sent) == 2:
                raise KeyboardInterrupt
        return real(self, method, params)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(JsonRpcGateway, "request", dies_at_the_second)
        deployer().contracts_deploy()
    with pytest.raises(AddressBookMissing):
        book_read(tmp_path, 31337)
    noted = journal_read(tmp_path, 31337)
    before = transactions_sent(market)
    book = deployer().contracts_deploy()
    assert transactions_sent(market) == before + 2, "two contracts, not three"
    first = noted["contracts"]["ModelRegistry"]["tx_hash"]
    receipt = market.gateway.receipt(first)
    assert receipt.contract_address == book.contract("ModelRegistry").address
    assert book.deployed_at_block <= receipt.block_number


def test_deployment_on_a_reset_development_chain_deploys_anew(market, deployer):
    snapshot = market.anvil.rpc("evm_snapshot")
    old = deployer().contracts_deploy()
    market.anvil.rpc("evm_revert", snapshot)
    with pytest.raises(ContractsDiffer):
        contracts_check(market.gateway, old)
    book = deployer().contracts_deploy()
    contracts_check(market.gateway, book)


def test_deployment_whose_code_changed_on_chain_is_an_error_off_development(market, deployer):
    book = deployer().contracts_deploy()
    market.anvil.rpc("anvil_setCode", book.contract("LicenceMarket").address, "0x00")
    with pytest.raises(ContractsDiffer, match="LicenceMarket"):
        deployer(development=False).contracts_deploy()


def test_deployment_of_an_older_build_is_kept_off_development_and_replaced_on_it(market, deployer, tmp_path):
    book = deployer().contracts_deploy()
    entry = book.contracts["ModelRegistry"]
    older = {**book.contracts, "ModelRegistry": DeployedContract(entry.address, entry.code_hash, "0x" + "11" * 32)}
    book_write(tmp_path, AddressBook(31337, book.deployed_at_block, older))
    assert deployer(development=False).contracts_deploy().contracts["ModelRegistry"].address == entry.address
    assert deployer().contracts_deploy().contracts["ModelRegistry"].address != entry.address


def test_test_key_is_refused_off_development_chains(deployer):
    gateway = FakeGateway(chain_id=1)
    with pytest.raises(DevelopmentOnly):
        deployer(development=False, gateway=gateway).contracts_deploy()


def test_demo_funds_are_refused_off_development_chains(market):
    with pytest.raises(DevelopmentOnly):
        demo_funds(gateway=FakeGateway(chain_id=1), book=market.book, admin_key=DEPLOYER.key, say=lambda text: None)


def test_demo_funds_allow_the_token_and_give_once(market, deployer):
    book = deployer().contracts_deploy()
    for _ in range(2):
        demo_funds(gateway=market.gateway, book=book, admin_key=DEPLOYER.key, say=lambda text: None)
    data = abi.call_encode("TestUSD", "balanceOf", [market.buyer])
    answer = market.gateway.call(book.contract("TestUSD").address, data)
    assert abi.result_decode("TestUSD", "balanceOf", answer) == (10**12,)
    data = abi.call_encode("LicenceMarket", "tokenAllowed", [book.contract("TestUSD").address])
    answer = market.gateway.call(book.contract("LicenceMarket").address, data)
    assert abi.result_decode("LicenceMarket", "tokenAllowed", answer) == (True,)


@pytest.mark.parametrize(
    "damage",
    [
        lambda book: "",
        lambda book: "[]",
        lambda book: "{}",
        lambda book: json.dumps({**book, "chain_id": 1}),
        lambda book: json.dumps({**book, "deployed_at_block": "5"}),
        lambda book: json.dumps(
            {**book, "contracts": {"ModelRegistry": {"address": "0x" + "ab" * 20, "code_hash": ""}}}
        ),
        lambda book: json.dumps({**book, "contracts": {"ModelRegistry": {"address": 5, "code_hash": ""}}}),
        lambda book: json.dumps({**book, "contracts": {"ModelRegistry": {}}}),
        lambda book: json.dumps({**book, "contracts": []}),
    ],
)
def test_book_of_another_form_is_refused_with_a_reason(market, tmp_path, damage):
    book_write(tmp_path, market.book)
    path = book_path(tmp_path, 31337)
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(AddressBookInvalid, match="31337"):
        book_read(tmp_path, 31337)


def test_book_that_was_replaced_is_read_again(market, tmp_path):
    book_write(tmp_path, market.book)
    assert book_read(tmp_path, 31337).deployed_at_block == market.book.deployed_at_block
    book_write(tmp_path, AddressBook(31337, 99, market.book.contracts))
    assert book_read(tmp_path, 31337).deployed_at_block == 99


def test_command_deploys_and_funds_and_does_nothing_the_second_time(make_anvil, manage, tmp_path):
    node = make_anvil()
    env = {"WEIGHHOUSE_RPC_URL": node.url, "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)}
    for text in ("LicenceMarket is at", "deployed already"):
        command = manage("deploy_contracts", "--demo-funds", env=env)
        assert command.process.wait(60) == 0, command.output()
        assert text in command.output()
    assert int(node.rpc("eth_blockNumber"), 16) == 3 + 1 + 10


def test_command_without_a_node_says_so_in_one_line(manage, tmp_path):
    env = {"WEIGHHOUSE_RPC_URL": "http://127.0.0.1:9/KEY", "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)}
    command = manage("deploy_contracts", env=env)
    assert command.process.wait(30) == 1
    assert "chain.node_unavailable" in command.output()
    assert "Traceback" not in command.output()
    assert "KEY" not in command.output()


def test_gateway_of_the_settings_is_one_per_process():
    assert get_gateway() is get_gateway()
