"""What the deployment says to an explorer is what the compiler was given."""

import json
import re
import subprocess

from chain import abi
from chain.abi import ARTEFACTS_DIR
from chain.address_book import AddressBook, DeployedContract
from chain.explorer import COMPILER_INPUT, COMPILER_VERSION, verification_lines

ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
TOOLS = ARTEFACTS_DIR.parents[2] / "tools"


def test_compiler_version_is_that_of_the_pinned_compiler():
    told = subprocess.run([TOOLS / "solc", "--version"], capture_output=True, text=True, check=True).stdout
    assert "v" + re.search(r"Version: (\S+?\+commit\.[0-9a-f]+)", told)[1] == COMPILER_VERSION


def test_compiler_input_has_the_source_of_every_contract():
    sources = json.loads(COMPILER_INPUT.read_text())["sources"]
    for name in abi.CONTRACTS:
        assert f"contract {name} " in sources[f"src/{name}.sol"]["content"]


def test_lines_name_file_compiler_settings_address_and_arguments_of_each_contract():
    contracts = {
        "ModelRegistry": DeployedContract(ADDRESS, "0x", "0x"),
        "LicenceMarket": DeployedContract(ADDRESS, "0x", "0x", "0x" + "ab" * 64),
    }
    lines = list(verification_lines(AddressBook(5, 1, contracts)))
    settings = json.loads(COMPILER_INPUT.read_text())["settings"]
    text = "\n".join(lines)
    assert (COMPILER_INPUT.parents[3] / lines[1].strip()).is_file()
    assert COMPILER_VERSION in text
    assert f"optimizer {settings['optimizer']['runs']} runs" in text
    assert ("via IR" in text) == settings["viaIR"]
    assert f"EVM {settings['evmVersion']}" in text
    assert text.count(ADDRESS) == 2
    assert "src/LicenceMarket.sol:LicenceMarket" in text
    assert "constructor arguments (none)" in text
    assert "constructor arguments " + "ab" * 64 in text
