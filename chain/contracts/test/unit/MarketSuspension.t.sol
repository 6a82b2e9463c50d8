// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Who suspends and resumes, what stops and what goes on, and how a suspension ends.
contract MarketSuspensionTest is MarketTest {
    uint256 internal constant SUSPENSION = 14 days;
    uint256 internal constant SETTLE_AFTER = 90 days;

    uint256 internal planId;
    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        planId = addPlan(terms());
        licenceId = buy(planId);
    }

    function isSuspended() internal view returns (bool) {
        (, uint64 suspendedAt) = market.modelClock(modelId);
        vm.assertEq(state(licenceId).suspended ? 1 : 0, suspendedAt != 0 ? 1 : 0, "state and clock agree");
        return suspendedAt != 0;
    }

    /// For how long the model has been suspended in all, by its clock.
    function behind() internal view returns (uint256) {
        (uint64 time,) = market.modelClock(modelId);
        return blockTime() - time;
    }

    function notAllowed(address caller) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, caller);
    }

    function suspended() internal view returns (bytes memory) {
        return abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId);
    }

    function notSuspended() internal view returns (bytes memory) {
        return abi.encodeWithSelector(ILicenceMarket.NotSuspended.selector, modelId);
    }

    function settlesLater(uint256 settleAt) internal view returns (bytes memory) {
        return abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, settleAt);
    }

    // ------------------------------------------------------------------ suspending

    function test_Suspend_StopsTheClockAndAccess() public {
        skip(1 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.ModelSuspended(modelId, keccak256("reason"), uint64(blockTime() + SUSPENSION));
        suspend(modelId);
        (uint64 time, uint64 since) = market.modelClock(modelId);
        vm.assertEq(time, START + 1 days, "clock");
        vm.assertEq(since, START + 1 days, "since");
        vm.assertFalse(market.isValid(licenceId), "access");
        vm.assertTrue(state(licenceId).suspended, "and why");
        skip(3 days);
        (time, since) = market.modelClock(modelId);
        vm.assertEq(time, START + 1 days, "the clock stands");
        vm.assertEq(since, START + 1 days, "since then");
    }

    function test_Suspend_RevertsWhenTheCallerIsNotTheGuardian() public {
        address[5] memory others = [outsider, admin, pauser, publisher, operatorKey];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(notAllowed(others[i]));
            vm.prank(others[i]);
            market.suspend(modelId, 0);
        }
        vm.assertFalse(isSuspended(), "suspended");
    }

    function test_Suspend_RevertsWhenItIsSuspendedAlready() public {
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SuspendedAlready.selector, modelId);
        suspend(modelId);
        expectError(refusal);
        suspend(modelId);
        skip(SUSPENSION - 1); // so that nobody prolongs a suspension without the admin
        expectError(refusal);
        suspend(modelId);
        skip(1);
        suspend(modelId);
        confirm(modelId);
        expectError(refusal);
        suspend(modelId);
    }

    function test_Suspend_TouchesNoOtherModel() public {
        PlanTerms memory plan = terms();
        plan.modelId = publish(friend);
        uint256 other = buy(addPlan(plan));
        suspend(modelId);
        skip(1 days);
        (uint64 time, uint64 since) = market.modelClock(plan.modelId);
        vm.assertEq(time, blockTime(), "clock of the other");
        vm.assertEq(since, 0, "not suspended");
        vm.assertTrue(market.isValid(other), "access");
        buyFor(other >> 32, friend);
    }

    function test_Suspend_LeavesOldTimesToThoseWhoResumeInTheSameBlock() public {
        suspend(modelId);
        resume(modelId);
        vm.assertEq(behind(), 0, "no time passed");
        vm.assertTrue(market.isValid(licenceId), "access");
    }

    // ------------------------------------------------------------------ lapsing

    function test_Suspension_LapsesByItselfAfterTwoWeeks() public {
        vm.assertEq(market.SUSPENSION(), SUSPENSION, "as documented");
        suspend(modelId);
        skip(SUSPENSION - 1);
        vm.assertTrue(isSuspended(), "one second before");
        vm.assertFalse(market.isValid(licenceId), "no access yet");
        bytes32 agreed = market.planHash(planId);
        expectError(suspended());
        vm.prank(buyer);
        market.buy(planId, agreed, holder);
        skip(1);
        vm.assertFalse(isSuspended(), "lapsed");
        vm.assertEq(behind(), SUSPENSION, "all of it counts");
        vm.assertTrue(market.isValid(licenceId), "access");
        buy(planId);
        skip(100 days);
        vm.assertEq(behind(), SUSPENSION, "and no more than that");
    }

    function test_Suspension_ThatLapsedCanBeNeitherConfirmedNorResumed() public {
        suspend(modelId);
        skip(SUSPENSION);
        expectError(notSuspended());
        confirm(modelId);
        expectError(notSuspended());
        resume(modelId);
        expectError(notSuspended());
        vm.prank(guardian);
        market.resume(modelId);
    }

    function test_Suspension_AfterOneThatLapsedCountsBoth() public {
        suspend(modelId);
        skip(SUSPENSION + 5 days);
        suspend(modelId);
        vm.assertEq(behind(), SUSPENSION, "the first");
        skip(3 days);
        vm.assertEq(behind(), SUSPENSION + 3 days, "and the second so far");
        vm.expectEmit(address(market));
        emit ILicenceMarket.ModelResumed(modelId, uint64(SUSPENSION + 3 days));
        resume(modelId);
        skip(10 days);
        vm.assertEq(behind(), SUSPENSION + 3 days, "afterwards");
    }

    function test_Suspension_InTheSecondInWhichAnotherLapsesFollowsWithoutAGap() public {
        suspend(modelId);
        skip(SUSPENSION);
        suspend(modelId);
        skip(SUSPENSION);
        suspend(modelId);
        skip(1 days);
        vm.assertEq(behind(), 2 * SUSPENSION + 1 days, "all of it");
        (, uint64 since) = market.modelClock(modelId);
        vm.assertEq(since, START + 2 * SUSPENSION, "the last one's beginning");
    }

    // ------------------------------------------------------------------ confirming

    function test_ConfirmSuspension_KeepsItUntilItIsResumed() public {
        suspend(modelId);
        skip(SUSPENSION - 1); // the last moment
        vm.expectEmit(address(market));
        emit ILicenceMarket.SuspensionConfirmed(modelId);
        confirm(modelId);
        skip(1000 days);
        vm.assertTrue(isSuspended(), "suspended");
        vm.assertEq(behind(), SUSPENSION - 1 + 1000 days, "all of it counts");
    }

    function test_ConfirmSuspension_RevertsWhenTheCallerIsNotTheAdmin() public {
        suspend(modelId);
        address[4] memory others = [outsider, guardian, pauser, publisher];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, others[i]));
            vm.prank(others[i]);
            market.confirmSuspension(modelId);
        }
        skip(SUSPENSION);
        vm.assertFalse(isSuspended(), "it lapsed");
    }

    function test_ConfirmSuspension_RevertsWhenItIsNotSuspended() public {
        expectError(notSuspended());
        confirm(modelId);
        suspend(modelId);
        resume(modelId);
        expectError(notSuspended());
        confirm(modelId);
    }

    function test_ConfirmSuspension_IsForOneSuspensionOnly() public {
        suspend(modelId);
        confirm(modelId);
        resume(modelId);
        suspend(modelId);
        vm.prank(guardian); // may again, as nobody confirmed this one
        market.resume(modelId);
        suspend(modelId);
        skip(SUSPENSION);
        vm.assertFalse(isSuspended(), "it lapsed");
    }

    // ------------------------------------------------------------------ resuming

    function test_Resume_LetsTheClockRunOn() public {
        suspend(modelId);
        skip(5 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.ModelResumed(modelId, 5 days);
        resume(modelId);
        vm.assertFalse(isSuspended(), "suspended");
        vm.assertTrue(market.isValid(licenceId), "access");
        skip(2 days);
        (uint64 time,) = market.modelClock(modelId);
        vm.assertEq(time, START + 2 days, "clock");
        buy(planId);
    }

    function test_Resume_ByTheGuardianRevertsWhenTheAdminConfirmed() public {
        suspend(modelId);
        vm.prank(guardian);
        market.resume(modelId);
        suspend(modelId);
        confirm(modelId);
        expectError(notAllowed(guardian));
        vm.prank(guardian);
        market.resume(modelId);
        resume(modelId);
        vm.assertFalse(isSuspended(), "the admin may");
    }

    function test_Resume_RevertsWhenTheCallerIsNeitherAdminNorGuardian() public {
        suspend(modelId);
        address[4] memory others = [outsider, pauser, publisher, holder];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(notAllowed(others[i]));
            vm.prank(others[i]);
            market.resume(modelId);
        }
        vm.assertTrue(isSuspended(), "suspended");
    }

    function test_Resume_RevertsWhenItIsNotSuspended() public {
        expectError(notSuspended());
        resume(modelId);
        expectError(notSuspended());
        vm.prank(guardian);
        market.resume(modelId);
        suspend(modelId);
        confirm(modelId);
        resume(modelId);
        expectError(notSuspended());
        resume(modelId);
        expectError(notSuspended());
        vm.prank(guardian); // what was confirmed is over
        market.resume(modelId);
    }

    // ------------------------------------------------------------------ what stops

    function test_Suspended_StopsBuyingInEveryForm() public {
        suspend(modelId);
        bytes32 agreed = market.planHash(planId);
        vm.startPrank(buyer);
        expectError(suspended());
        market.buy(planId, agreed, holder);
        expectError(suspended());
        market.buyWithPermit(planId, agreed, holder, blockTime(), 27, 0, 0);
        expectError(suspended());
        market.renew(licenceId, agreed);
        vm.stopPrank();
        (, PlanState memory sales) = market.plan(planId);
        vm.assertEq(sales.sold, 1, "sold");
    }

    function test_Suspended_StopsDelivery() public {
        uint256 perpetual = buy(addPlan(downloadTerms()));
        PlanTerms memory plan = terms();
        plan.flags = DOWNLOAD;
        uint256 timed = buy(addPlan(plan));
        suspend(modelId);
        deliverRefused(perpetual, publisher);
        deliverRefused(perpetual, operatorKey);
        deliverRefused(timed, publisher);
        skip(SUSPENSION);
        bytes memory signature = sign("holder", deliverDigest(perpetual, "key", blockTime()));
        vm.prank(publisher);
        market.deliver(perpetual, "key", blockTime(), signature, "wrapped");
    }

    function deliverRefused(uint256 id, address by) internal {
        bytes memory signature = sign("holder", deliverDigest(id, "key", blockTime()));
        expectError(suspended());
        vm.prank(by);
        market.deliver(id, "key", blockTime(), signature, "wrapped");
    }

    // ------------------------------------------------------------------ what goes on

    function test_Suspended_LetsHoldersLeaveWithWhatHadNotVested() public {
        skip(10 days);
        suspend(modelId);
        skip(5 days);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 19_000_000, "20 of 30 days");
    }

    function test_Suspended_LetsIncomeBePaidOut() public {
        skip(10 days);
        suspend(modelId);
        skip(5 days);
        market.collect(one(licenceId));
        market.split(planId);
        vm.prank(publisher);
        vm.assertEq(market.withdraw(modelId, address(usd), publisher), 9_625_000, "publisher: 10 days and the entry");
        vm.prank(payee);
        market.withdrawAccount(address(usd), payee);
        vm.prank(treasury);
        market.withdrawAccount(address(usd), treasury);
        vm.assertEq(usd.balanceOf(address(market)), 19_000_000, "what remains is the holder's");
    }

    function test_Suspended_LetsLicencesBeGivenAwayAndPlansBeRetired() public {
        suspend(modelId);
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        vm.prank(publisher);
        market.retirePlan(planId);
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
    }

    function test_Suspended_LetsAMeteredLicenceBeReportedCancelledAndSettled() public {
        uint256 metered = buy(addPlan(meteredTerms()));
        skip(3 days); // 2,850,000 of 28,500,000 vest
        suspend(modelId);
        report(metered, 50);
        skip(1 days);
        cancel(metered);
        skip(6 hours - 1); // the window is block time: it does not stand still
        report(metered, 200);
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, metered, START + 4 days + 6 hours));
        vm.prank(holder);
        market.settle(metered, holder);
        skip(1);
        vm.prank(holder);
        vm.assertEq(market.settle(metered, holder), 22_800_000, "four fifths of what was held");
    }

    // ------------------------------------------------------------------ times

    function test_Suspension_ShiftsExpiryAndVestingByItsLength() public {
        skip(10 days);
        LicenceState memory before = state(licenceId);
        suspend(modelId);
        skip(7 days);
        LicenceState memory during = state(licenceId);
        vm.assertEq(during.vested, before.vested, "nothing vests");
        vm.assertEq(during.expiry, before.expiry + 7 days, "as far as it is known now");
        vm.assertEq(during.start, before.start + 7 days, "start is shifted alike");
        resume(modelId);
        vm.warp(START + 37 days - 1);
        vm.assertTrue(market.isValid(licenceId), "the last second");
        vm.assertEq(state(licenceId).expiry, START + 37 days, "expiry");
        skip(1);
        vm.assertFalse(market.isValid(licenceId), "expired");
        vm.assertEq(state(licenceId).vested, PRICE - ENTRY, "all vested in that second");
    }

    /// A licence cannot expire while it cannot be used.
    function test_Suspension_InTheLastSecondLeavesThatSecond() public {
        vm.warp(START + 30 days - 1);
        suspend(modelId);
        confirm(modelId);
        skip(365 days);
        resume(modelId);
        vm.assertTrue(market.isValid(licenceId), "valid again");
        skip(1);
        vm.assertFalse(market.isValid(licenceId), "for a second");
    }

    function test_Suspension_AfterTheExpiryRevivesNothing() public {
        vm.warp(START + 30 days);
        suspend(modelId);
        skip(3 days);
        resume(modelId);
        vm.assertFalse(market.isValid(licenceId), "expired");
        vm.assertLe(state(licenceId).expiry, blockTime(), "in the past");
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 0, "nothing is left");
    }

    function test_Suspension_ThatLapsedGivesNewTermsTheirWholeLength() public {
        suspend(modelId);
        skip(SUSPENSION + 6 days);
        uint256 clock = START + 6 days;
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(
            planId << 32 | 2, planId, friend, buyer, PRICE, ENTRY, uint64(clock + 30 days), 0
        );
        uint256 second = buyFor(planId, friend);
        vm.assertEq(state(second).expiry, blockTime() + 30 days, "a bought term");
        vm.assertEq(state(second).start, blockTime(), "begins now");
        renew(licenceId);
        vm.assertEq(state(licenceId).expiry, START + SUSPENSION + 60 days, "a renewed term");
    }

    function test_Suspension_OfAPerpetualLicenceHoldsItsVestingUp() public {
        uint256 perpetual = buy(addPlan(downloadTerms()));
        skip(15 days);
        suspend(modelId);
        skip(SUSPENSION + 3 days);
        LicenceState memory held = state(perpetual);
        vm.assertEq(held.expiry, 0, "perpetual");
        vm.assertEq(held.vested, 17_100_000, "18 of 30 days");
        vm.assertEq(held.start, START + SUSPENSION, "start");
    }

    // ------------------------------------------------------------------ a suspension without end

    function test_Settle_ByAnyoneAfterThreeMonthsOfSuspension() public {
        vm.assertEq(market.SETTLE_AFTER(), SETTLE_AFTER, "as documented");
        skip(10 days);
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER - 1);
        expectError(settlesLater(0));
        vm.prank(outsider);
        market.settle(licenceId, holder);
        skip(1);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceCancelled(licenceId, holder, 0);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceSettled(licenceId, holder, holder, 19_000_000);
        vm.prank(outsider);
        market.settle(licenceId, holder);
        vm.assertEq(usd.balanceOf(holder), 19_000_000, "refund");
        vm.assertFalse(state(licenceId).exists, "burned");
        (, PlanState memory sales) = market.plan(planId);
        vm.assertEq(sales.live, 0, "live");
    }

    function test_Settle_AfterThreeMonthsRevertsWhenAnotherNamesTheRecipient() public {
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER);
        address[3] memory others = [outsider, admin, guardian];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, others[i]));
            vm.prank(others[i]);
            market.settle(licenceId, others[i]);
        }
        vm.prank(holder);
        market.settle(licenceId, friend);
        vm.assertEq(usd.balanceOf(friend), PRICE - ENTRY, "as the holder wished");
    }

    function test_Settle_RevertsWhenTheModelWasNotSuspendedForLong() public {
        expectError(settlesLater(0));
        vm.prank(holder);
        market.settle(licenceId, holder);
        suspend(modelId); // lapses, so that it never lasts
        skip(SETTLE_AFTER);
        expectError(settlesLater(0));
        vm.prank(holder);
        market.settle(licenceId, holder);
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER);
        resume(modelId); // and none that is over
        expectError(settlesLater(0));
        vm.prank(holder);
        market.settle(licenceId, holder);
    }

    function test_Settle_AfterThreeMonthsPaysMeteredAndCancelledLicences() public {
        uint256 meteredPlan = addPlan(meteredTerms());
        (uint256 open, uint256 cancelled) = (buy(meteredPlan), buyFor(meteredPlan, friend));
        report(open, 500);
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER);
        cancel(cancelled);
        market.settle(open, holder);
        market.settle(cancelled, friend); // without waiting for reports
        vm.assertEq(usd.balanceOf(holder), 14_250_000, "half was used");
        vm.assertEq(usd.balanceOf(friend), PRICE - ENTRY, "nothing was used");
        (, PlanState memory sales) = market.plan(meteredPlan);
        vm.assertEq(sales.live, 0, "live");
    }

    /// What vested at once, or has expired, comes back to nobody: its holder may want to wait for the resumption.
    function test_Settle_AfterThreeMonthsRevertsWhenItBringsTheHolderNothing() public {
        PlanTerms memory plan = terms();
        (plan.period, plan.vesting, plan.flags) = (0, 0, RUN);
        uint256 atOnce = buy(addPlan(plan));
        skip(31 days);
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER);
        uint256[2] memory worthless = [licenceId, atOnce];
        for (uint256 i = 0; i < 2; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, worthless[i], outsider));
            vm.prank(outsider);
            market.settle(worthless[i], holder);
            vm.assertTrue(state(worthless[i]).exists, "still there");
        }
        resume(modelId);
        vm.assertTrue(market.isValid(atOnce), "and of use again");
    }

    function test_Settle_AfterThreeMonthsPaysNothingForWhatHadExpired() public {
        skip(31 days);
        suspend(modelId);
        confirm(modelId);
        skip(SETTLE_AFTER);
        vm.prank(holder);
        vm.assertEq(market.settle(licenceId, holder), 0, "refund");
        vm.assertFalse(state(licenceId).exists, "as the holder wished");
        market.split(planId);
        vm.assertEq(market.credit(modelId, address(usd)), 26_250_000, "it was the publisher's");
    }

    /// A cancelled licence holds nothing but its token, which anyone may clear away.
    function test_Settle_OfACancelledLicenceGoesOnWhenItBringsTheHolderNothing() public {
        uint256 metered = buy(addPlan(meteredTerms()));
        report(metered, 1_000);
        cancel(metered);
        skip(market.REPORT_WINDOW());
        vm.prank(outsider);
        vm.assertEq(market.settle(metered, holder), 0, "all was used");
        vm.assertFalse(state(metered).exists, "burned");
    }
}
