"""Which contracts this site uses: one JSON file per chain id, written by `deploy_contracts` and read by everybody.

`{"chain_id", "deployed_at_block", "contracts": {name: {"address", "code_hash", "creation_hash",
"constructor_arguments"}}}`. The hashes are keccak-256: `code_hash` of the runtime code on chain, `creation_hash` of the
creation code that was deployed, without its arguments, which an explorer asks for separately.
"""

import json
import os
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from eth_utils.address import is_checksum_address
from eth_utils.crypto import keccak

from chain.errors import AddressBookInvalid, AddressBookMissing, UnknownContract


@dataclass(frozen=True, slots=True)
class DeployedContract:
    address: str
    code_hash: str
    creation_hash: str = ""
    constructor_arguments: str = "0x"


@dataclass(frozen=True)
class AddressBook:
    chain_id: int
    deployed_at_block: int
    contracts: dict[str, DeployedContract]

    def contract(self, name: str) -> DeployedContract:
        """Raises `UnknownContract`."""
        found = self.contracts.get(name)
        if found is None:
            raise UnknownContract(f"The address book of chain {self.chain_id} has no {name}.", contract=name)
        return found

    @cached_property
    def contracts_hash(self) -> str:
        """Changes whenever an address, its code or the block of deployment does."""
        text = json.dumps(asdict(self), sort_keys=True)
        return "0x" + keccak(text=text).hex()


def book_path(directory: Path, chain_id: int) -> Path:
    return directory / f"{chain_id}.json"


def book_read(directory: Path, chain_id: int) -> AddressBook:
    """Read again only when the file changed. Raises `AddressBookMissing` and `AddressBookInvalid`."""
    path = book_path(directory, chain_id)
    try:
        stamp = path.stat()
    except FileNotFoundError as error:
        message = f"No contracts are deployed on chain {chain_id} yet. Run `manage.py deploy_contracts`."
        raise AddressBookMissing(message, chain_id=chain_id) from error
    return _book_parse(path, chain_id, (stamp.st_ino, stamp.st_mtime_ns, stamp.st_size))


def book_write(directory: Path, book: AddressBook) -> None:
    """Replace the file at once: a reader sees the old book or the new one, also after a power cut."""
    directory.mkdir(parents=True, exist_ok=True)
    json_write(book_path(directory, book.chain_id), asdict(book))


def json_write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@lru_cache(maxsize=8)
def _book_parse(path: Path, chain_id: int, stamp: tuple[int, int, int]) -> AddressBook:
    del stamp  # Part of the key of the cache only.
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        contracts = {name: DeployedContract(**entry) for name, entry in content["contracts"].items()}
        book = AddressBook(content["chain_id"], content["deployed_at_block"], contracts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{path.name} in the address book's directory is not an address book: {error}."
        raise AddressBookInvalid(message, chain_id=chain_id) from error
    if book.chain_id != chain_id or not isinstance(book.deployed_at_block, int):
        raise AddressBookInvalid(f"{path.name} speaks of chain {book.chain_id}.", chain_id=chain_id)
    for name, entry in contracts.items():
        if not is_checksum_address(entry.address):
            message = f"{path.name}: the address of {name} is not a checksummed address."
            raise AddressBookInvalid(message, chain_id=chain_id)
    return book


def journal_read(directory: Path, chain_id: int) -> dict[str, Any]:
    """What an interrupted deployment had sent, empty where there was none."""
    try:
        content = json.loads(_journal_path(directory, chain_id).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def journal_write(directory: Path, chain_id: int, content: dict[str, Any] | None) -> None:
    """Note what is about to be sent; `None` ends the journal."""
    directory.mkdir(parents=True, exist_ok=True)
    if content is None:
        _journal_path(directory, chain_id).unlink(missing_ok=True)
    else:
        json_write(_journal_path(directory, chain_id), content)


def _journal_path(directory: Path, chain_id: int) -> Path:
    return directory / f".{chain_id}.deploying.json"
