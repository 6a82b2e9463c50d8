// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ILicenceMarket} from "../../src/interfaces/ILicenceMarket.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketAdminTest is MarketTest {
    function test_SetTokenAllowed_AllowsAndStops() public {
        vm.assertTrue(market.tokenAllowed(address(usd)), "allowed in setUp");
        vm.expectEmit(address(market));
        emit ILicenceMarket.TokenAllowed(address(usd), false);
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        vm.assertFalse(market.tokenAllowed(address(usd)), "stopped");
    }

    function test_SetTokenAllowed_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, publisher));
        vm.prank(publisher);
        market.setTokenAllowed(address(usd), false);
    }

    function test_SetTokenAllowed_RevertsWhenTheTokenHasNoCode() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenWithoutCode.selector, outsider));
        vm.prank(admin);
        market.setTokenAllowed(outsider, true);
    }

    function test_SetTokenAllowed_CannotStopTheNativeCoin() public {
        vm.prank(admin);
        market.setTokenAllowed(address(0), false);
        vm.assertTrue(market.tokenAllowed(address(0)), "native");
        buy(addPlan(nativeTerms()));
    }

    function test_Admin_HandsOverInTwoSteps() public {
        vm.prank(admin);
        market.transferOwnership(friend);
        vm.assertEq(market.owner(), admin, "not yet");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, outsider));
        vm.prank(outsider);
        market.acceptOwnership();
        vm.prank(friend);
        market.acceptOwnership();
        vm.assertEq(market.owner(), friend, "now");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, admin));
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
    }

    function test_Constructor_RevertsWhenTheAdminIsZero() public {
        expectError(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new LicenceMarket(registry, address(0));
    }

    function test_SupportsInterface_KnowsItsStandards() public view {
        vm.assertTrue(market.supportsInterface(0x80ac58cd), "ERC-721");
        vm.assertTrue(market.supportsInterface(0x5b5e139f), "ERC-721 metadata");
        vm.assertFalse(market.supportsInterface(0xffffffff), "nothing else");
    }
}
