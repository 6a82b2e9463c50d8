"""Deploying: once, found again, anew where a development chain was reset, never with test keys elsewhere."""

import json
from dataclasses import replace

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from chain import abi
from chain.address_book import AddressBook, DeployedContract, book_path, book_read, book_write, journal_read
from chain.bindings import licence_market, receipt_anchor, usd_token
from chain.bindings.structs import Roles
from chain.demo_market import DemoMarket, demo_operator_id
from chain.deployment import Deployer, contracts_check
from chain.development import DEVELOPMENT_ACCOUNTS, OPERATOR_KEY, OPERATOR_OWNER, OPERATOR_PAYEE
from chain.errors import AddressBookInvalid, AddressBookMissing, ContractsDiffer, DevelopmentOnly
from chain.gateway import get_gateway
from chain.gateway.fake import FakeGateway
from chain.gateway.jsonrpc import JsonRpcGateway
from chain.market_roles import fee_set, roles_read, roles_report
from chain.transactions import receipt_wait

DEPLOYER = DEVELOPMENT_ACCOUNTS[0]
ADMIN, GUARDIAN, PAUSER, TREASURY = (account.address for account in DEVELOPMENT_ACCOUNTS[:4])
ROLES = Roles(ADMIN, GUARDIAN, PAUSER, TREASURY)
NOBODY = "0x" + "00" * 20
# An account that is nobody's here: its key is made from its number.
STRANGER = Account.from_key("0x" + "11" * 32)


@pytest.fixture
def deployer(market, tmp_path):
    def make(*, development: bool = True, gateway=None, key: str = DEPLOYER.key, roles: Roles = ROLES) -> Deployer:
        return Deployer(
            gateway=gateway or market.gateway,
            directory=tmp_path,
            key=key,
            roles=roles,
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
    assert set(book.contracts) == {"ModelRegistry", "LicenceMarket", "ReceiptAnchor", "TestUSD"}
    assert book.deployed_at_block == before + 1
    for name, entry in book.contracts.items():
        assert entry.code_hash == "0x" + keccak(market.gateway.code(entry.address)).hex()
        assert entry.creation_hash == abi.artefact(name).creation_hash
    contracts_check(market.gateway, book)
    assert roles_read(market.gateway, book) == ROLES
    assert licence_market(book).registry().read() == book.contract("ModelRegistry").address
    assert receipt_anchor(book).market().read() == book.contract("LicenceMarket").address
    assert licence_market(book).fee_bps().read() == 0
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
    assert transactions_sent(market) == before + 3, "three contracts, not four"
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


def test_deployment_over_the_book_of_an_older_version_deploys_anew_on_development_alone(market, deployer, tmp_path):
    old = deployer().contracts_deploy()
    contracts = {name: entry for name, entry in old.contracts.items() if name != "ReceiptAnchor"}
    book_write(tmp_path, replace(old, contracts=contracts))
    with pytest.raises(ContractsDiffer, match="no ReceiptAnchor"):
        deployer(development=False).contracts_deploy()
    book = deployer().contracts_deploy()
    contracts_check(market.gateway, book)
    assert book.contract("LicenceMarket").address != old.contract("LicenceMarket").address


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


def test_deployment_records_the_constructor_arguments_that_an_explorer_asks_for(market, deployer):
    book = deployer().contracts_deploy()
    for name, entry in book.contracts.items():
        data = abi.artefact(name).bytecode + entry.constructor_arguments[2:]
        assert market.anvil.rpc("eth_getTransactionByHash", creation_hash_of(market, entry.address))["input"] == data
    assert book.contract("ModelRegistry").constructor_arguments == "0x"


def creation_hash_of(market, address: str) -> str:
    """The transaction that made the contract at this address, among the newest blocks."""
    head = int(market.anvil.rpc("eth_blockNumber"), 16)
    for number in range(head, head - 10, -1):
        for tx_hash in market.anvil.rpc("eth_getBlockByNumber", hex(number), False)["transactions"]:
            if market.gateway.receipt(tx_hash).contract_address == address:
                return tx_hash
    raise AssertionError(f"no transaction made {address}")


@pytest.mark.parametrize(
    ("mixed_in", "one", "other"),
    [("ModelRegistry", "LicenceMarket", "ModelRegistry"), ("ReceiptAnchor", "ReceiptAnchor", "LicenceMarket")],
)
def test_book_whose_contracts_do_not_know_each_other_is_refused(market, deployer, mixed_in, one, other):
    book, stranger = market.book, deployer().contracts_deploy()
    mixed = replace(book, contracts={**book.contracts, mixed_in: stranger.contract(mixed_in)})
    with pytest.raises(ContractsDiffer, match=f"{one} .* another {other}"):
        contracts_check(market.gateway, mixed)
    contracts_check(market.gateway, book)
    contracts_check(market.gateway, stranger)


def test_book_without_one_of_the_contracts_is_refused(market):
    contracts = {name: entry for name, entry in market.book.contracts.items() if name != "ReceiptAnchor"}
    with pytest.raises(ContractsDiffer, match="no ReceiptAnchor"):
        contracts_check(market.gateway, replace(market.book, contracts=contracts))


def test_book_of_another_address_is_refused(market):
    moved = replace(market.book.contract("ReceiptAnchor"), address=market.buyer)
    contracts = {**market.book.contracts, "ReceiptAnchor": moved}
    with pytest.raises(ContractsDiffer, match="ReceiptAnchor"):
        contracts_check(market.gateway, replace(market.book, contracts=contracts))


@pytest.mark.parametrize("key", [account.key for account in DEVELOPMENT_ACCOUNTS[:2]])
def test_test_key_is_refused_off_development_chains(deployer, key):
    gateway, roles = FakeGateway(chain_id=1), Roles(*[STRANGER.address] * 4)
    with pytest.raises(DevelopmentOnly, match="test key"):
        deployer(development=False, gateway=gateway, key=key, roles=roles).contracts_deploy()


@pytest.mark.parametrize("role", ["admin", "guardian", "pauser", "treasury"])
def test_role_of_a_published_test_account_is_refused_off_development_chains(deployer, role):
    gateway, key = FakeGateway(chain_id=1), STRANGER.key.hex()
    roles = replace(Roles(*[STRANGER.address] * 4), **{role: DEVELOPMENT_ACCOUNTS[9].address.lower()})
    with pytest.raises(DevelopmentOnly, match=role):
        deployer(development=False, gateway=gateway, key=key, roles=roles).contracts_deploy()


def test_play_money_is_not_deployed_off_development_chains(deployer):
    """The chain is one; what counts is what the deployer was told of it."""
    assert "TestUSD" not in deployer(development=False)._names


def test_roles_of_nobody_are_possible_for_guardian_and_pauser(market, deployer):
    roles = Roles(ADMIN, NOBODY, NOBODY, TREASURY)
    assert roles_read(market.gateway, deployer(roles=roles).contracts_deploy()) == roles


def test_roles_report_off_development_warns_of_what_a_careful_person_would_change(market, deployer):
    book = deployer(roles=Roles(ADMIN, ADMIN, NOBODY, TREASURY)).contracts_deploy()
    wanted = Roles(ADMIN, GUARDIAN, NOBODY, TREASURY)
    roles, *warnings = roles_report(market.gateway, book, wanted=wanted, development=False)
    assert roles == f"Roles: admin {ADMIN}, guardian {ADMIN}, pauser nobody, treasury {TREASURY}."
    found = "\n".join(warnings)
    assert len(warnings) == 3
    assert f"the guardian was to be {GUARDIAN}" in found
    assert "admin and guardian are one account" in found
    assert "the admin is an account with a single key" in found
    assert len(list(roles_report(market.gateway, book, wanted=wanted, development=True))) == 1


def test_fee_is_set_by_the_admin_once_and_left_to_the_admin_by_others(market, deployer):
    book, said = deployer().contracts_deploy(), []
    for _ in range(2):
        fee_set(market.gateway, book, key=DEPLOYER.key, fee_bps=150, say=said.append)
    assert licence_market(book).fee_bps().read() == 150
    assert said == ["Plans to come carry a fee of 150 bps."]
    sent = transactions_sent(market)
    fee_set(market.gateway, book, key=DEVELOPMENT_ACCOUNTS[1].key, fee_bps=200, say=said.append)
    assert licence_market(book).set_fee_bps(200).data in said[1]
    assert transactions_sent(market) == sent
    assert licence_market(book).fee_bps().read() == 150


def demo_of(gateway, book) -> DemoMarket:
    return DemoMarket(gateway, book, admin_key=DEPLOYER.key, say=lambda text: None)


def test_demo_is_refused_off_development_chains(market):
    demo = demo_of(FakeGateway(chain_id=1), market.book)
    with pytest.raises(DevelopmentOnly):
        demo.funds_give()
    with pytest.raises(DevelopmentOnly):
        demo.operator_register()


def test_demo_funds_allow_the_token_and_give_once(market, deployer):
    book = deployer().contracts_deploy()
    for _ in range(2):
        demo_of(market.gateway, book).funds_give()
    assert usd_token(book).balance_of(market.buyer).read() == 10**12
    assert licence_market(book).token_allowed(usd_token(book).address).read()


def test_demo_operator_is_registered_once_and_again_when_it_was_disabled(market, deployer):
    book = deployer().contracts_deploy()
    assert demo_operator_id(market.gateway, book) == 0
    demo = demo_of(market.gateway, book)
    assert (demo.operator_register(), demo.operator_register()) == (1, 1)
    operator = licence_market(book).operator(1).read()
    people = (OPERATOR_OWNER.address, OPERATOR_KEY.address, OPERATOR_PAYEE.address)
    assert (operator.owner, operator.key, operator.payee, operator.is_disabled) == (*people, False)
    disable = licence_market(book).disable_operator(1).wallet_params()
    receipt_wait(market.anvil.rpc("eth_sendTransaction", {"from": GUARDIAN, **disable}), gateway=market.gateway)
    assert demo.operator_register() == 2


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
        assert f"admin {DEPLOYER.address}" in command.output()
        assert "The site is operator 1" in command.output()
    contracts, allowance, mints, operator, fee = 4, 1, 10, 1, 1
    assert int(node.rpc("eth_blockNumber"), 16) == contracts + allowance + mints + operator + fee


@pytest.fixture
def public_node(make_anvil, tmp_path, request):
    """A chain that is no development chain, with a deployer that has coins, and the environment that names both."""
    node = make_anvil()
    node.rpc("anvil_setChainId", 424242)
    node.rpc("anvil_setBalance", STRANGER.address, hex(10**20))
    (tmp_path / "key").write_text(STRANGER.key.hex())
    return node, {
        "WEIGHHOUSE_RPC_URL": node.url,
        "WEIGHHOUSE_CHAIN_ID": "424242",
        "WEIGHHOUSE_DEMO_WALLET": "false",
        "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path / "books"),
        "WEIGHHOUSE_DEPLOYER_KEY_FILE": str(tmp_path / "key"),
    }


def role_options(**changes: str) -> list[str]:
    named = dict.fromkeys(("admin", "guardian", "pauser", "treasury"), STRANGER.address) | changes
    return [part for role, address in named.items() if address for part in (f"--{role}", address)]


def test_command_on_a_public_chain_deploys_without_play_money_and_says_what_to_verify(public_node, manage, tmp_path):
    node, env = public_node
    for text in ("ReceiptAnchor is at", "deployed already"):
        command = manage("deploy_contracts", *role_options(), "--fee-bps", "250", env=env)
        assert command.process.wait(60) == 0, command.output()
        assert text in command.output()
        assert "Warning: admin and guardian are one account" in command.output()
        assert "chain/contracts/verify/standard-json-input.json" in command.output()
    book = book_read(tmp_path / "books", 424242)
    assert set(book.contracts) == {"ModelRegistry", "LicenceMarket", "ReceiptAnchor"}
    for name, entry in book.contracts.items():
        assert f"{name} at {entry.address}" in command.output()
        assert entry.constructor_arguments[2:] in command.output()
    assert int(node.rpc("eth_blockNumber"), 16) == 3 + 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (role_options(admin=""), "--admin"),
        (role_options(treasury="0x1234"), "--treasury"),
        (role_options(guardian=STRANGER.address.lower()), STRANGER.address),
        (role_options(pauser=DEPLOYER.address), "chain.development_only"),
        (role_options(admin=NOBODY), "--admin cannot be nobody"),
        (role_options(treasury=NOBODY), "--treasury cannot be nobody"),
        ([*role_options(), "--demo-funds"], "chain.development_only"),
        ([*role_options(), "--fee-bps", "501"], "--fee-bps takes 0 to 500"),
        ([*role_options(), "--fee-bps", "-1"], "--fee-bps takes 0 to 500"),
    ],
)
def test_command_on_a_public_chain_refuses_and_sends_nothing(public_node, manage, arguments, reason):
    node, env = public_node
    command = manage("deploy_contracts", *arguments, env=env)
    assert command.process.wait(60) == 1, command.output()
    assert reason in command.output()
    assert "Traceback" not in command.output()
    assert int(node.rpc("eth_getTransactionCount", STRANGER.address, "latest"), 16) == 0


def test_command_for_another_chain_than_the_nodes_says_which(make_anvil, manage, tmp_path):
    node = make_anvil()
    env = {"WEIGHHOUSE_RPC_URL": node.url, "WEIGHHOUSE_CHAIN_ID": "1337", "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)}
    command = manage("deploy_contracts", env=env)
    assert command.process.wait(30) == 1
    assert "serves chain 31337, the settings name chain 1337" in command.output()
    assert not book_path(tmp_path, 1337).exists()


def test_command_without_a_node_says_so_in_one_line(manage, tmp_path):
    env = {"WEIGHHOUSE_RPC_URL": "http://127.0.0.1:9/KEY", "WEIGHHOUSE_ADDRESS_BOOK_DIR": str(tmp_path)}
    command = manage("deploy_contracts", env=env)
    assert command.process.wait(30) == 1
    assert "chain.node_unavailable" in command.output()
    assert "Traceback" not in command.output()
    assert "KEY" not in command.output()


def test_gateway_of_the_settings_is_one_per_process():
    assert get_gateway() is get_gateway()
