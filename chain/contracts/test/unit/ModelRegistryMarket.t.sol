// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What the registry does not know: suspension, and sales. A parent is owed its share all the same.
contract ModelRegistryMarketTest is MarketTest {
    function childOf(uint256 parent, uint16 bps) internal returns (uint256) {
        Share[] memory parents = new Share[](1);
        parents[0] = Share(parent, bps);
        return publishFrom(friend, parents, 0);
    }

    /// Sells one licence of a plan that vests at once, and shares out the income.
    function sell(uint256 model) internal {
        PlanTerms memory plan = terms();
        (plan.modelId, plan.vesting, plan.entryBps) = (model, 0, 0);
        uint256 planId = addPlan(plan);
        buy(planId);
        market.split(planId);
    }

    /// 30.00 less 2.5 % fee and 10 % service are 26.25; 5 % of that are 1.3125.
    function test_Publish_PaysAParentThatIsSuspended() public {
        suspend(modelId);
        uint256 child = childOf(modelId, 500);
        sell(child);
        vm.assertEq(market.credit(modelId, address(usd)), 1_312_500, "the parent");
        vm.assertEq(market.credit(child, address(usd)), 26_250_000 - 1_312_500, "the child");

        vm.prank(publisher);
        vm.assertEq(market.withdraw(modelId, address(usd), publisher), 1_312_500, "while it is suspended");
    }

    /// Whoever buys the parent is paid by the children that exist, and asks of those to come.
    function test_Publish_PaysWhoeverOwnsTheParent() public {
        uint256 child = childOf(modelId, 500);
        vm.startPrank(publisher);
        registry.setDerivativeBps(modelId, 5000);
        registry.transferFrom(publisher, outsider, modelId);
        vm.stopPrank();
        sell(child);
        vm.prank(outsider);
        vm.assertEq(market.withdraw(modelId, address(usd), outsider), 1_312_500, "the share of its time");
    }
}
