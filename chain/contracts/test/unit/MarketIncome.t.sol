// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {RejectingReceiver} from "../helpers/Receivers.sol";

/// @notice What vested becomes income, income becomes credits, and credits are paid to who owns them.
contract MarketIncomeTest is MarketTest {
    uint256 internal planId;
    address internal destination = actor("destination");

    function setUp() public override {
        super.setUp();
        planId = addPlan(terms());
    }

    function sales() internal view returns (PlanState memory it) {
        (, it) = market.plan(planId);
    }

    function withdraw(address by, address token) internal returns (uint256) {
        vm.prank(by);
        return market.withdraw(modelId, token, destination);
    }

    function withdrawAccount(address by) internal returns (uint256) {
        vm.prank(by);
        return market.withdrawAccount(address(usd), destination);
    }

    function parents(Share memory first, Share memory second) internal pure returns (Share[] memory list) {
        list = new Share[](2);
        (list[0], list[1]) = (first, second);
    }

    // ------------------------------------------------------------------ collect

    function test_Collect_MovesWhatHasVestedToTheIncome() public {
        uint256 licenceId = buy(planId);
        vm.assertEq(sales().earned, ENTRY, "the entry share");
        skip(10 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, 9_500_000);
        vm.prank(outsider);
        market.collect(one(licenceId));
        vm.assertEq(sales().earned, 11_000_000, "earned");
        vm.assertEq(sales().split, 0, "not split yet");
        vm.assertEq(state(licenceId).taken, 9_500_000, "taken");
        vm.assertEq(market.credit(modelId, address(usd)), 0, "credited by a split only");
    }

    function test_Collect_AgainInTheSameBlockMovesNothing() public {
        uint256 licenceId = buy(planId);
        skip(1 days);
        uint256[] memory twice = new uint256[](2);
        twice[0] = twice[1] = licenceId;
        market.collect(twice);
        vm.recordLogs();
        market.collect(twice);
        vm.assertEq(vm.getRecordedLogs().length, 0, "nothing happened");
        vm.assertEq(sales().earned, 2_450_000, "earned once");
    }

    function test_Collect_PassesOverIdsWithoutALicence() public {
        uint256 licenceId = buy(planId);
        uint256 settled = buy(planId);
        skip(1 days);
        cancel(settled);
        uint256 before = sales().earned;
        uint256[] memory ids = new uint256[](5);
        (ids[0], ids[1], ids[2], ids[3], ids[4]) = (0, settled, type(uint256).max, planId, licenceId);
        market.collect(ids);
        vm.assertEq(sales().earned - before, 950_000, "that of the licence");
    }

    function test_Collect_TakesAFullBatchOfSeveralModels() public {
        PlanTerms memory plan = terms();
        plan.modelId = publish(friend);
        uint256 other = addPlan(plan);
        uint256[] memory ids = new uint256[](50);
        for (uint256 i = 0; i < 50; ++i) {
            ids[i] = buy(i % 2 == 0 ? planId : other);
        }
        skip(30 days);
        market.collect(ids);
        vm.assertEq(sales().earned, 25 * uint256(PRICE), "this model");
        (, PlanState memory theirs) = market.plan(other);
        vm.assertEq(theirs.earned, 25 * uint256(PRICE), "the other");
    }

    function test_Collect_RevertsWhenTheBatchIsTooLong() public {
        vm.assertEq(market.BATCH(), 50, "as documented");
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 51, 50));
        market.collect(new uint256[](51));
        market.collect(new uint256[](50));
        market.collect(new uint256[](0));
    }

    // ------------------------------------------------------------------ split

    function test_Split_CreditsEachItsShare() public {
        buy(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeSplit(planId, address(usd), ENTRY, treasury, 37_500, payee, 150_000, 1_312_500);
        vm.prank(outsider);
        market.split(planId);
        vm.assertEq(market.accountCredit(treasury, address(usd)), 37_500, "treasury");
        vm.assertEq(market.accountCredit(payee, address(usd)), 150_000, "operator");
        vm.assertEq(market.credit(modelId, address(usd)), 1_312_500, "publisher");
        vm.assertEq(sales().split, ENTRY, "split");
    }

    function test_Split_WithoutNewIncomeDoesNothing() public {
        market.split(planId);
        buy(planId);
        market.split(planId);
        vm.recordLogs();
        market.split(planId);
        vm.assertEq(vm.getRecordedLogs().length, 0, "no event");
        vm.assertEq(market.credit(modelId, address(usd)), 1_312_500, "credited once");
    }

    function test_Split_RevertsWhenThePlanIsUnknown() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId + 1));
        market.split(planId + 1);
    }

    function test_Split_WithoutAnOperatorCreditsNoPayee() public {
        PlanTerms memory plan = terms();
        (plan.operatorId, plan.serviceBps) = (0, 0);
        uint256 id = addPlan(plan);
        buy(id);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeSplit(id, address(usd), ENTRY, treasury, 37_500, address(0), 0, 1_462_500);
        market.split(id);
        vm.assertEq(market.accountCredit(address(0), address(usd)), 0, "nobody's account");
    }

    function test_Split_AddsUpWhereOneAccountHasSeveralParts() public {
        vm.prank(admin);
        market.setTreasury(payee);
        buy(planId);
        market.split(planId);
        vm.assertEq(market.accountCredit(payee, address(usd)), 187_500, "fee and service");
    }

    function test_Split_PaysAncestorsFromWhatFeeAndServiceLeave() public {
        uint256 mother = publish(friend);
        uint256 father = publish(outsider);
        PlanTerms memory plan = terms();
        plan.modelId = publishFrom(publisher, parents(Share(mother, 2_000), Share(father, 3_000)), 0);
        uint256 id = addPlan(plan);
        buy(id);
        vm.expectEmit(address(market));
        emit ILicenceMarket.AncestorCredited(id, mother, address(usd), 262_500);
        vm.expectEmit(address(market));
        emit ILicenceMarket.AncestorCredited(id, father, address(usd), 393_750);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeSplit(id, address(usd), ENTRY, treasury, 37_500, payee, 150_000, 656_250);
        market.split(id);
        vm.assertEq(market.credit(mother, address(usd)), 262_500, "mother");
        vm.assertEq(market.credit(father, address(usd)), 393_750, "father");
        vm.prank(friend);
        vm.assertEq(market.withdraw(mother, address(usd), friend), 262_500, "paid to its owner");
    }

    /// A grandparent that is a parent too is one ancestor, at the larger of its shares.
    function test_Split_CreditsADuplicateAncestorOnce() public {
        uint256 root = publish(friend);
        uint256 middle = publishFrom(outsider, parents(Share(root, 1_000), Share(root, 400)), 0);
        PlanTerms memory plan = terms();
        plan.modelId = publishFrom(publisher, parents(Share(middle, 500), Share(root, 2_000)), 0);
        uint256 id = addPlan(plan);
        buy(id);
        market.split(id);
        vm.assertEq(market.credit(root, address(usd)), 262_500, "root: 2,000");
        vm.assertEq(market.credit(middle, address(usd)), 65_625, "middle: 500");
        vm.assertEq(market.credit(plan.modelId, address(usd)), 984_375, "the rest");
    }

    function test_Split_CreditsAncestorsThatAreSuspendedOrWereSold() public {
        uint256 mother = publish(friend);
        uint256 father = publish(outsider);
        PlanTerms memory plan = terms();
        plan.modelId = publishFrom(publisher, parents(Share(mother, 2_000), Share(father, 3_000)), 0);
        uint256 id = addPlan(plan);
        buy(id);
        suspend(mother);
        vm.prank(outsider);
        registry.transferFrom(outsider, holder, father);
        market.split(id);
        vm.prank(friend);
        vm.assertEq(market.withdraw(mother, address(usd), friend), 262_500, "suspended");
        vm.prank(holder);
        vm.assertEq(market.withdraw(father, address(usd), holder), 393_750, "sold: its new owner");
    }

    function test_Split_CreditsAnAncestorForEveryChild() public {
        uint256 root = publish(friend);
        PlanTerms memory plan = terms();
        for (uint256 i = 1; i <= 3; ++i) {
            plan.modelId = publishFrom(publisher, parents(Share(root, 1_000), Share(root, 0)), 0);
            uint256 id = addPlan(plan);
            buy(id);
            market.split(id);
            vm.assertEq(market.credit(root, address(usd)), i * 131_250, "grows");
        }
    }

    // ------------------------------------------------------------------ withdraw

    function test_Withdraw_PaysTheWholeCreditInCoin() public {
        planId = addPlan(nativeTerms());
        buy(planId);
        skip(30 days);
        market.collect(one(planId << 32 | 1));
        market.split(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeWithdrawn(modelId, address(0), destination, 0.2625 ether);
        vm.assertEq(withdraw(publisher, address(0)), 0.2625 ether, "amount");
        vm.assertEq(destination.balance, 0.2625 ether, "received");
        vm.assertEq(market.credit(modelId, address(0)), 0, "credit");
        vm.prank(treasury);
        market.withdrawAccount(address(0), treasury);
        vm.prank(payee);
        market.withdrawAccount(address(0), payee);
        vm.assertEq(treasury.balance, 0.0075 ether, "fee");
        vm.assertEq(payee.balance, 0.03 ether, "service");
        vm.assertEq(address(market).balance, 0, "left");
    }

    function test_Withdraw_PaysOneTokenAndLeavesTheOther() public {
        uint256 nativePlan = addPlan(nativeTerms());
        buy(planId);
        buy(nativePlan);
        market.split(planId);
        market.split(nativePlan);
        withdraw(publisher, address(usd));
        vm.assertEq(usd.balanceOf(destination), 1_312_500, "received");
        vm.assertEq(market.credit(modelId, address(usd)), 0, "credit");
        vm.assertEq(market.credit(modelId, address(0)), 0.013125 ether, "the coin stays");
    }

    function test_Withdraw_LeavesTheIncomeOfOtherModels() public {
        PlanTerms memory plan = terms();
        plan.modelId = publish(friend);
        uint256 other = addPlan(plan);
        buy(planId);
        buy(other);
        market.split(planId);
        market.split(other);
        withdraw(publisher, address(usd));
        vm.assertEq(market.credit(plan.modelId, address(usd)), 1_312_500, "credit of the other");
    }

    function test_Withdraw_AddsUpSplitsAndStartsAgainAtNothing() public {
        buy(planId);
        market.split(planId);
        buy(planId);
        market.split(planId);
        vm.assertEq(withdraw(publisher, address(usd)), 2_625_000, "two");
        buy(planId);
        market.split(planId);
        vm.assertEq(withdraw(publisher, address(usd)), 1_312_500, "one more");
    }

    function test_Withdraw_GoesOnWhenTheTokenIsAllowedNoMore() public {
        buy(planId);
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        market.split(planId);
        vm.assertEq(withdraw(publisher, address(usd)), 1_312_500, "amount");
    }

    function test_Withdraw_RevertsWhenTheCallerIsNotTheOwner() public {
        buy(planId);
        market.split(planId);
        vm.startPrank(publisher);
        registry.setApprovalForAll(outsider, true); // an approval is for the token, not for its income
        registry.approve(outsider, modelId);
        vm.stopPrank();
        address[5] memory others = [outsider, admin, guardian, operatorOwner, holder];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, others[i]));
            withdraw(others[i], address(usd));
        }
    }

    function test_Withdraw_RevertsWhenTheModelIsUnknown() public {
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        market.withdraw(99, address(0), destination);
    }

    function test_Withdraw_RevertsWhenThereIsNoIncome() public {
        buy(planId);
        market.split(planId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(0)));
        withdraw(publisher, address(0));
    }

    function test_Withdraw_RevertsWhenNothingWasSplitYet() public {
        buy(planId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(usd)));
        withdraw(publisher, address(usd));
    }

    function test_Withdraw_RevertsWhenItIsRepeated() public {
        buy(planId);
        market.split(planId);
        withdraw(publisher, address(usd));
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(usd)));
        withdraw(publisher, address(usd));
    }

    function test_Withdraw_RevertsWhenTheRecipientWouldLoseIt() public {
        buy(planId);
        market.split(planId);
        address[2] memory invalid = [address(0), address(market)];
        for (uint256 i = 0; i < invalid.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            vm.prank(publisher);
            market.withdraw(modelId, address(usd), invalid[i]);
        }
    }

    function test_Withdraw_RevertsWhenTheReceiverRejectsAndKeepsTheCredit() public {
        planId = addPlan(nativeTerms());
        buy(planId);
        market.split(planId);
        address rejecting = address(new RejectingReceiver());
        expectError(abi.encodeWithSelector(RejectingReceiver.NoCoins.selector));
        vm.prank(publisher);
        market.withdraw(modelId, address(0), rejecting);
        vm.assertEq(withdraw(publisher, address(0)), 0.013125 ether, "another recipient gets it");
    }

    // ------------------------------------------------------------------ withdrawAccount

    function test_WithdrawAccount_PaysTheCallersWholeCredit() public {
        buy(planId);
        market.split(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.AccountWithdrawn(payee, address(usd), destination, 150_000);
        vm.assertEq(withdrawAccount(payee), 150_000, "service share");
        vm.assertEq(withdrawAccount(treasury), 37_500, "fee");
        vm.assertEq(usd.balanceOf(destination), 187_500, "received");
        vm.assertEq(market.accountCredit(payee, address(usd)), 0, "credit");
    }

    function test_WithdrawAccount_RevertsWhenTheCallerHasNoCredit() public {
        buy(planId);
        market.split(planId);
        address[6] memory others = [outsider, operatorOwner, operatorKey, admin, publisher, holder];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(usd)));
            withdrawAccount(others[i]);
        }
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(0)));
        vm.prank(payee); // it has none in the coin
        market.withdrawAccount(address(0), destination);
    }

    function test_WithdrawAccount_RevertsWhenItIsRepeated() public {
        buy(planId);
        market.split(planId);
        withdrawAccount(payee);
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, address(usd)));
        withdrawAccount(payee);
    }

    function test_WithdrawAccount_RevertsWhenTheRecipientWouldLoseIt() public {
        buy(planId);
        market.split(planId);
        address[2] memory invalid = [address(0), address(market)];
        for (uint256 i = 0; i < invalid.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            vm.prank(payee);
            market.withdrawAccount(address(usd), invalid[i]);
        }
    }

    // ------------------------------------------------------------------ a model sold with income in it

    function test_Withdraw_FollowsTheModelsToken() public {
        buy(planId);
        market.split(planId);
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, publisher));
        withdraw(publisher, address(usd));
        vm.assertEq(withdraw(friend, address(usd)), 1_312_500, "all that was not withdrawn before the sale");
    }

    function test_Withdraw_FollowsTheModelsTokenWithIncomeThatWasNotSplit() public {
        uint256 licenceId = buy(planId);
        skip(30 days);
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        market.collect(one(licenceId));
        market.split(planId);
        vm.assertEq(withdraw(friend, address(usd)), 26_250_000, "seven eighths of the price");
    }
}
