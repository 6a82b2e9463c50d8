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

    function test_Constructor_TakesBothDevelopmentChains() public {
        vm.chainId(31337);
        new TestUSD();
        vm.chainId(1337);
        new TestUSD();
    }

    function testFuzz_Constructor_RevertsElsewhere(uint64 chainId) public {
        vm.assume(chainId != 31337 && chainId != 1337 && chainId != 0);
        vm.chainId(chainId);
        vm.expectRevert(abi.encodeWithSelector(TestUSD.NotDevelopmentChain.selector, chainId));
        new TestUSD();
    }
}
