// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestUSD} from "../../src/TestUSD.sol";
import {TestBase} from "../helpers/TestBase.sol";

contract TestUSDTest is TestBase {
    function test_Mint_IsOpenToAnyone() public {
        TestUSD usd = new TestUSD();
        vm.prank(actor("anyone"));
        usd.mint(actor("friend"), 5);
        vm.assertEq(usd.balanceOf(actor("friend")), 5, "balance");
        vm.assertEq(usd.decimals(), 6, "decimals");
    }

    /// What wallets show, and what they sign under.
    function test_Constructor_NamesTheTokenAndItsDomain() public {
        TestUSD usd = new TestUSD();
        vm.assertEq(usd.name(), "Test US dollar", "name");
        vm.assertEq(usd.symbol(), "TestUSD", "symbol");
        (, string memory name, string memory version, uint256 chainId, address verifier,,) = usd.eip712Domain();
        vm.assertEq(name, usd.name(), "the domain's name");
        vm.assertEq(version, usd.version(), "the domain's version");
        vm.assertEq(chainId, block.chainid, "the domain's chain");
        vm.assertEq(verifier, address(usd), "the domain's contract");
        bytes32 kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
        bytes32 separator =
            keccak256(abi.encode(kind, keccak256("Test US dollar"), keccak256("1"), block.chainid, address(usd)));
        vm.assertEq(usd.DOMAIN_SEPARATOR(), separator, "separator");
    }

    function test_Constructor_TakesBothDevelopmentChains() public {
        vm.chainId(31337);
        new TestUSD();
        vm.chainId(1337);
        new TestUSD();
    }

    function testFuzz_Constructor_RevertsWhenTheChainIsAnother(uint64 chainId) public {
        vm.assume(chainId != 31337 && chainId != 1337 && chainId != 0);
        vm.chainId(chainId);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotDevelopmentChain.selector, chainId));
        new TestUSD();
    }
}
