// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IModelRegistry, Share} from "../../src/interfaces/IModelRegistry.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {GreedyReceiver} from "../helpers/Receivers.sol";

/// @notice What only a planted fault showed to be untested.
contract MarketMutantsTest is MarketTest {
    GreedyReceiver internal greedy;

    function setUp() public override {
        super.setUp();
        greedy = new GreedyReceiver();
    }

    /// Nobody who is paid sees a credit that is not there any more, although the guard forbids to take it twice.
    function test_Withdraw_ShowsNoCreditWhileItPays() public {
        _earn();
        greedy.addCall(address(market), abi.encodeCall(market.credit, (modelId, address(0))));
        vm.prank(publisher);
        vm.assertGe(market.withdraw(modelId, address(0), address(greedy)), 1, "paid");
        vm.assertEq(abi.decode(greedy.answers(0), (uint256)), 0, "credit while it pays");
    }

    function test_WithdrawAccount_ShowsNoCreditWhileItPays() public {
        _earn();
        greedy.addCall(address(market), abi.encodeCall(market.accountCredit, (payee, address(0))));
        vm.prank(payee);
        vm.assertGe(market.withdrawAccount(address(0), address(greedy)), 1, "paid");
        vm.assertEq(abi.decode(greedy.answers(0), (uint256)), 0, "credit while it pays");
    }

    /// Also where they are one model, or ask for nothing.
    function test_Publish_RevertsWhenTheParentsAreMoreThanEight() public {
        Share[] memory parents = new Share[](9);
        for (uint256 i = 0; i < parents.length; ++i) {
            parents[i] = Share(modelId, 0);
        }
        expectError(abi.encodeWithSelector(IModelRegistry.TooManyAncestors.selector, 8));
        publishFrom(publisher, parents, 0);
    }

    function test_Publish_TakesEightParents() public {
        Share[] memory parents = new Share[](8);
        for (uint256 i = 0; i < parents.length; ++i) {
            parents[i] = Share(modelId, 100);
        }
        vm.assertEq(registry.ancestors(publishFrom(publisher, parents, 0)).length, 1, "ancestors");
    }

    /// One licence in the native coin, all of it vested and shared.
    function _earn() private {
        uint256 planId = addPlan(nativeTerms());
        uint256 licenceId = buy(planId);
        skip(30 days);
        market.collect(one(licenceId));
        market.split(planId);
    }
}
