"""Putting the contracts on a chain, once, and checking that they are still what was put there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain import abi
from chain.address_book import AddressBook, DeployedContract, book_read, book_write, journal_read, journal_write
from chain.development import DEVELOPMENT_ACCOUNTS, development_require, is_development_key
from chain.errors import AddressBookMissing, ContractsDiffer, TransactionFailed
from chain.gateway.errors import NodeUnavailable
from chain.gateway.protocol import ChainGateway
from chain.transactions import TransactionRequest, receipt_wait, send, sign

Say = Callable[[str], None]

# 1,000,000 TestUSD for each development account.
DEMO_FUNDS = 10**6 * 10**6


@dataclass(frozen=True)
class Deployer:
    """Where and by whom the contracts are deployed. `admin` owns the market's list of tokens."""

    gateway: ChainGateway
    directory: Path
    key: str
    admin: str
    development: bool
    say: Say

    def contracts_deploy(self) -> AddressBook:
        """Deploy what is missing and write the address book; with everything in place, change nothing.

        1. A book whose contracts are all on chain with the code that it names is kept.
        2. On a development chain, any difference (the node was reset, the contracts were rebuilt) means all anew.
           Elsewhere it is an error: money may lie in the old contracts.
        3. Each deployment is noted before it is sent, so that one that was interrupted is found again.
        4. The book replaces the old one at once, at the end.

        Raises `DevelopmentOnly`, `ContractsDiffer`, `TransactionFailed`, `TransactionTimeout` and the gateway's errors.
        """
        if is_development_key(self.key):
            development_require(self.gateway.chain_id, "A deployment with a published test key")
        try:
            book = book_read(self.directory, self.gateway.chain_id)
            contracts_check(self.gateway, book)
            if self._is_current(book):
                self.say(f"The contracts are deployed already, since block {book.deployed_at_block}.")
                return book
        except AddressBookMissing:
            pass
        except ContractsDiffer:
            if not self.development:
                raise
            self.say("The development chain does not have the contracts of the address book: deploying anew.")
        return self._all_deploy()

    def _is_current(self, book: AddressBook) -> bool:
        outdated = [name for name in self._names if not self._same_code(book, name)]
        if outdated and not self.development:
            self.say(f"Kept: {', '.join(outdated)} on chain differ from this build. A new deployment needs a new book.")
            return True
        return not outdated

    def _same_code(self, book: AddressBook, name: str) -> bool:
        entry = book.contracts.get(name)
        return entry is not None and entry.creation_hash == abi.artefact(name).creation_hash

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(name for name in abi.CONTRACTS if self.development or name != "TestUSD")

    def _all_deploy(self) -> AddressBook:
        # Whatever block the deployments end up in, it is above this one.
        journal = journal_read(self.directory, self.gateway.chain_id)
        genesis, *_ = self.gateway.headers([0])
        identity = genesis.hash if genesis else ""
        if journal.get("genesis") != identity:
            journal = {"genesis": identity, "from_block": self.gateway.heads().latest.number + 1, "contracts": {}}
        addresses: dict[str, str] = {}
        for name in self._names:
            addresses[name] = self._one_deploy(name, addresses, journal)
        contracts = {
            name: DeployedContract(address, _code_hash(self.gateway, address), abi.artefact(name).creation_hash)
            for name, address in addresses.items()
        }
        book = AddressBook(self.gateway.chain_id, journal["from_block"], contracts)
        book_write(self.directory, book)
        journal_write(self.directory, self.gateway.chain_id, None)
        return book

    def _one_deploy(self, name: str, addresses: dict[str, str], journal: dict[str, Any]) -> str:
        artefact = abi.artefact(name)
        known = {"registry": addresses.get("ModelRegistry"), "admin": self.admin}
        args = [known[item["name"].rstrip("_")] for item in artefact.constructor]
        data = artefact.bytecode + abi.arguments_encode(artefact.constructor, args).hex()
        data_hash = "0x" + keccak(hexstr=data).hex()
        noted = journal["contracts"].get(name)
        if noted is not None and noted["data_hash"] == data_hash:
            address = self._landed(noted["tx_hash"])
            if address is not None:
                self.say(f"{name} is at {address} since an earlier run.")
                return address
        signed = sign(self.key, TransactionRequest(self.gateway.chain_id, None, data), gateway=self.gateway)
        journal["contracts"][name] = {"tx_hash": signed.tx_hash, "data_hash": data_hash}
        journal_write(self.directory, self.gateway.chain_id, journal)
        self.gateway.request("eth_sendRawTransaction", [signed.raw])
        address = self._created(signed.tx_hash)
        self.say(f"{name} is at {address}.")
        return address

    def _created(self, tx_hash: str) -> str:
        receipt = receipt_wait(tx_hash, gateway=self.gateway)
        if receipt.contract_address is None:
            raise NodeUnavailable(f"The node's receipt of {tx_hash} names no contract.")
        return receipt.contract_address

    def _landed(self, tx_hash: str) -> str | None:
        """Where a deployment of an interrupted run put the contract; waits for it while the node has it in its pool."""
        if self.gateway.request("eth_getTransactionByHash", [tx_hash]) is None:
            return None
        try:
            address = self._created(tx_hash)
        except TransactionFailed:
            return None
        return address if self.gateway.code(address) else None


def contracts_check(gateway: ChainGateway, book: AddressBook) -> None:
    """Compare the code at each address with the book. Raises `ContractsDiffer`."""
    for name, entry in book.contracts.items():
        if _code_hash(gateway, entry.address) != entry.code_hash:
            message = (
                f"{name} at {entry.address} on chain {book.chain_id} is not what was deployed. The node may be another"
                " chain or behind the deployment; on a development chain run `manage.py deploy_contracts` again."
            )
            raise ContractsDiffer(message, contract=name, address=entry.address)


def demo_funds(*, gateway: ChainGateway, book: AddressBook, admin_key: str, say: Say) -> None:
    """Allow TestUSD in the market and give every development account some. Running it again changes nothing."""
    development_require(gateway.chain_id, "TestUSD")
    token = book.contract("TestUSD").address
    hashes = []
    if not _read(gateway, book, ("LicenceMarket", "tokenAllowed"), [token]):
        data = abi.call_encode("LicenceMarket", "setTokenAllowed", [token, True])
        request = TransactionRequest(book.chain_id, book.contract("LicenceMarket").address, data)
        hashes.append(send(admin_key, request, gateway=gateway))
    for account in DEVELOPMENT_ACCOUNTS:
        if not _read(gateway, book, ("TestUSD", "balanceOf"), [account.address]):
            data = abi.call_encode("TestUSD", "mint", [account.address, DEMO_FUNDS])
            hashes.append(send(admin_key, TransactionRequest(book.chain_id, token, data), gateway=gateway))
    for tx_hash in hashes:
        receipt_wait(tx_hash, gateway=gateway)
    say(f"TestUSD is allowed and {len(DEVELOPMENT_ACCOUNTS)} development accounts hold some.")


def _read(gateway: ChainGateway, book: AddressBook, call: tuple[str, str], args: list[Any]) -> Any:
    contract, function = call
    answer = gateway.call(book.contract(contract).address, abi.call_encode(contract, function, args))
    return abi.result_decode(contract, function, answer)[0]


def _code_hash(gateway: ChainGateway, address: str) -> str:
    return "0x" + keccak(gateway.code(address)).hex()
