"""Putting the contracts on a chain, once, and checking that they are still what was put there."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from chain import abi
from chain.address_book import AddressBook, DeployedContract, book_read, book_write, journal_read, journal_write
from chain.bindings import licence_market, receipt_anchor
from chain.bindings.base import views_read
from chain.bindings.structs import Roles
from chain.development import development_require, is_development_address, is_development_key
from chain.errors import AddressBookMissing, ContractsDiffer, TransactionFailed
from chain.gateway.errors import NodeUnavailable
from chain.gateway.protocol import ChainGateway
from chain.transactions import TransactionRequest, receipt_wait, sign

Say = Callable[[str], None]


@dataclass(frozen=True)
class Deployer:
    """Where and by whom the contracts are deployed. `roles` are those of the market from its first block on."""

    gateway: ChainGateway
    directory: Path
    key: str
    roles: Roles
    development: bool
    say: Say

    def contracts_deploy(self) -> AddressBook:
        """Deploy what is missing and write the address book; with everything in place, change nothing.

        1. A book whose contracts are all on chain with the code and the links that it names is kept.
        2. On a development chain, any difference (the node was reset, the contracts were rebuilt) means all anew.
           Elsewhere it is an error: money may lie in the old contracts.
        3. Each deployment is noted before it is sent, so that one that was interrupted is found again.
        4. The book replaces the old one at once, at the end.

        Raises `DevelopmentOnly`, `ContractsDiffer`, `TransactionFailed`, `TransactionTimeout` and the gateway's errors.
        """
        self._keys_check()
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

    def _keys_check(self) -> None:
        if is_development_key(self.key):
            development_require(self.gateway.chain_id, "A deployment with a published test key")
        for role in fields(self.roles):
            if is_development_address(getattr(self.roles, role.name)):
                what = f"The {role.name} that was named belongs to a published test key, which"
                development_require(self.gateway.chain_id, what)

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
        contracts: dict[str, DeployedContract] = {}
        for name in self._names:
            arguments = self._arguments(name, contracts)
            address = self._one_deploy(name, arguments, journal)
            contracts[name] = DeployedContract(
                address, _code_hash(self.gateway, address), abi.artefact(name).creation_hash, "0x" + arguments.hex()
            )
        book = AddressBook(self.gateway.chain_id, journal["from_block"], contracts)
        contracts_check(self.gateway, book)
        book_write(self.directory, book)
        journal_write(self.directory, self.gateway.chain_id, None)
        return book

    def _arguments(self, name: str, deployed: dict[str, DeployedContract]) -> bytes:
        """The constructor's arguments, by the names of its parameters."""
        known: dict[str, Any] = {"roles": self.roles}
        for parameter, contract in (("registry", "ModelRegistry"), ("market", "LicenceMarket")):
            if contract in deployed:
                known[parameter] = deployed[contract].address
        constructor = abi.artefact(name).constructor
        return abi.arguments_encode(constructor, [known[item["name"].rstrip("_")] for item in constructor])

    def _one_deploy(self, name: str, arguments: bytes, journal: dict[str, Any]) -> str:
        data = abi.artefact(name).bytecode + arguments.hex()
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
    """Compare the code at each address with the book, and each contract's own word about the others.

    Raises `ContractsDiffer` and the gateway's errors.
    """
    missing = [name for name in abi.CONTRACTS if name not in book.contracts and name != "TestUSD"]
    if missing:
        raise _differs(book, missing[0], f"The address book of chain {book.chain_id} has no {missing[0]}.")
    for name, entry in book.contracts.items():
        if _code_hash(gateway, entry.address) != entry.code_hash:
            what = f"{name} at {entry.address} on chain {book.chain_id} is not what was deployed."
            raise _differs(book, name, f"{what} The node may be another chain or behind the deployment.")
    links = (
        ("LicenceMarket", "ModelRegistry", licence_market(book).registry()),
        ("ReceiptAnchor", "LicenceMarket", receipt_anchor(book).market()),
    )
    answers = views_read([view for _, _, view in links], gateway=gateway)
    for (name, linked, _), answer in zip(links, answers, strict=True):
        if answer != book.contract(linked).address:
            what = f"{name} of the address book works with another {linked} than the one that the book names."
            raise _differs(book, name, what)


def _differs(book: AddressBook, name: str, what: str) -> ContractsDiffer:
    entry = book.contracts.get(name)
    remedy = "Restore the address book; on a development chain run `manage.py deploy_contracts` again."
    return ContractsDiffer(f"{what} {remedy}", contract=name, address=entry.address if entry else None)


def _code_hash(gateway: ChainGateway, address: str) -> str:
    return "0x" + keccak(gateway.code(address)).hex()
