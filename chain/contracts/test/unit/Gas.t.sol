// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What each operation costs as a transaction of its own. `tools/contracts.py gas` compares with the
/// committed snapshot; it runs every call in isolation, so 21,000 and the call data are included.
contract GasTest is MarketTest {
    uint256 internal nativePlan;
    uint256 internal usdPlan;

    function setUp() public override {
        super.setUp();
        nativePlan = addPlan(nativeTerms());
        usdPlan = addPlan(usdTerms());
        // The first sale of a model writes its credit for the first time; the figures are for those after it.
        buyFor(nativePlan, friend);
        buyFor(usdPlan, friend);
    }

    function test_Publish() public {
        vm.prank(buyer);
        registry.publish(keccak256("a"));
        vm.snapshotGasLastCall("publish, first of a publisher");
        vm.prank(buyer);
        registry.publish(keccak256("b"));
        vm.snapshotGasLastCall("publish, later");
    }

    function test_Release() public {
        vm.prank(publisher);
        registry.release(modelId, keccak256("b"));
        vm.snapshotGasLastCall("release");
    }

    function test_AddPlan() public {
        vm.prank(publisher);
        market.addPlan(usdTerms());
        vm.snapshotGasLastCall("addPlan");
    }

    function test_Buy() public {
        bytes32 agreed = market.planHash(nativePlan);
        vm.prank(buyer);
        market.buy{value: 0.1 ether}(nativePlan, agreed, buyer);
        vm.snapshotGasLastCall("buy, coin, new buyer");
        vm.prank(buyer);
        market.buy{value: 0.1 ether}(nativePlan, agreed, buyer);
        vm.snapshotGasLastCall("buy, coin, again");
    }

    function test_BuyInAToken() public {
        bytes32 agreed = market.planHash(usdPlan);
        vm.prank(buyer);
        market.buy(usdPlan, agreed, buyer);
        vm.snapshotGasLastCall("buy, approved token, new buyer");
        vm.prank(buyer);
        market.buy(usdPlan, agreed, buyer);
        vm.snapshotGasLastCall("buy, approved token, again");
    }

    function test_Withdraw() public {
        usd.mint(publisher, 1);
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        vm.snapshotGasLastCall("withdraw, token, to a non-zero balance");
        vm.deal(publisher, 1);
        vm.prank(publisher);
        market.withdraw(modelId, address(0), publisher);
        vm.snapshotGasLastCall("withdraw, coin, to a non-zero balance");
    }

    function test_Transfer() public {
        PlanTerms memory terms = nativeTerms();
        terms.flags = RUN | TRANSFERABLE;
        uint256 licenceId = buy(addPlan(terms));
        vm.prank(buyer);
        market.transferFrom(buyer, outsider, licenceId);
        vm.snapshotGasLastCall("transfer of a licence");
    }

    function test_LicenceStates() public {
        uint256[] memory ids = new uint256[](100);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = (i % 2 == 0 ? nativePlan : usdPlan) << 32 | 1;
        }
        market.licenceStates(ids);
        vm.snapshotGasLastCall("licenceStates, 100 of two plans");
    }
}
