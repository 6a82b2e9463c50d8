"""The site works against any node that speaks standard JSON-RPC: nothing else is asked for."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("chain", "models_registry", "marketplace", "sdk", "samples")
METHOD = re.compile(r"\b[a-z]+[0-9]?_[a-z][A-Za-z]+\b")
# Namespaces of nodes, standard or not (geth, Erigon, Besu, Nethermind, anvil, hardhat and vendors).
NAMESPACES = re.compile(
    r"(admin|alchemy|anvil|bor|clique|debug|engine|erigon|eth|evm|ganache|hardhat|miner|net|ots|parity|personal|qn|"
    r"tenderly|trace|txpool|web3|zkevm)_"
)
# https://ethereum.github.io/execution-apis: what every node answers.
STANDARD = {
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_createAccessList",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getCode",
    "eth_getLogs",
    "eth_getStorageAt",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    "eth_sendRawTransaction",
    "eth_subscribe",
}
ALLOWED = {
    # The demo wallet signs with keys that a development node holds, and refuses to run elsewhere.
    "chain/demo_wallet.py": {"eth_accounts", "eth_requestAccounts", "eth_sendTransaction", "personal_sign"},
    # Its refusals are named; it is not sent from there.
    "chain/gateway/classify_send.py": {"eth_sendTransaction"},
    # Asked of the operator's signer, never of a node.
    "chain/signing/remote.py": {"eth_signTransaction", "eth_signTypedData"},
}


def methods_in(path: Path) -> Iterator[str]:
    """The names of nodes' methods in a module's strings, its docstrings and comments left out."""
    tree = ast.parse(path.read_text())
    prose = {id(statement.value) for statement in ast.walk(tree) if isinstance(statement, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield from (word for word in METHOD.findall(node.value) if NAMESPACES.match(word))


def test_scan_finds_methods_where_they_are_known_to_be():
    assert {"eth_getLogs", "eth_chainId", "eth_call"} <= set(methods_in(ROOT / "chain/gateway/jsonrpc.py"))
    assert set(methods_in(ROOT / "chain/gateway/newheads.py")) == {"eth_subscribe"}
    assert {"anvil_mine", "evm_snapshot"} <= set(methods_in(ROOT / "tests/fixtures/contracts.py"))


def test_no_module_asks_a_node_for_anything_but_standard_methods():
    found: dict[str, set[str]] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        module = path.relative_to(ROOT).as_posix()
        found[module] = set(methods_in(path)) - STANDARD - ALLOWED.get(module, set())
    assert len(found) > 100
    assert {module: methods for module, methods in found.items() if methods} == {}
