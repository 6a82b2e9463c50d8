// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, SkipReason} from "../../src/interfaces/ILicenceMarket.sol";
import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Leaving a metered licence: it ends at once, its operator has six hours to report, then it is paid.
contract MarketCancelMeteredTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint96 internal constant DAY = 950_000;

    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        licenceId = buy(addPlan(meteredTerms()));
    }

    function settle() internal returns (uint96) {
        vm.prank(holder);
        return market.settle(licenceId, holder);
    }

    function expectSettlesLater(uint256 settleAt) internal {
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, settleAt));
        settle();
    }

    function test_Cancel_OfAMeteredLicenceEndsItAndPaysNothingYet() public {
        vm.warp(START + 10 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceCancelled(licenceId, holder, uint64(START + 10 days + 6 hours));
        vm.prank(holder);
        market.cancel(licenceId, friend);

        LicenceState memory left = state(licenceId);
        vm.assertTrue(left.exists, "exists");
        vm.assertFalse(left.valid, "not valid");
        vm.assertFalse(market.isValid(licenceId), "not valid, asked alone");
        vm.assertEq(left.settleAt, START + 10 days + 6 hours, "settles");
        vm.assertEq(left.taken, 10 * DAY, "time was counted up to now");
        vm.assertEq(left.start, 0, "time vests no more");
        vm.assertEq(usd.balanceOf(friend), 0, "nothing is paid yet");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.live, 0, "the place is free at once");
        vm.assertEq(progress.earned, ENTRY + 10 * DAY, "income");
    }

    function test_Settle_PaysAfterTheWindowAndBurns() public {
        vm.warp(START + 10 days);
        cancel(licenceId);
        vm.warp(START + 10 days + 6 hours);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceSettled(licenceId, holder, holder, 20 * DAY);
        vm.expectEmit(address(market));
        emit ERC721.Transfer(holder, address(0), licenceId);
        vm.assertEq(settle(), 20 * DAY, "refund");
        vm.assertEq(usd.balanceOf(holder), 20 * DAY, "paid");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.live, 0, "live is counted down once");
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_Settle_RevertsWhenTheWindowIsOpen() public {
        cancel(licenceId);
        expectSettlesLater(START + 6 hours);
        vm.warp(START + 6 hours - 1);
        expectSettlesLater(START + 6 hours);
        vm.warp(START + 6 hours);
        settle();
    }

    function test_Settle_RevertsTheSecondTime() public {
        cancel(licenceId);
        skip(6 hours);
        settle();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
        settle();
    }

    function test_Cancel_RevertsWhenTheMeteredLicenceIsCancelled() public {
        cancel(licenceId);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId));
        vm.prank(holder);
        market.cancel(licenceId, holder);
        skip(6 hours);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId));
        vm.prank(holder);
        market.cancel(licenceId, holder);
    }

    function test_Settle_ByAStrangerPaysTheHolderAlone() public {
        cancel(licenceId);
        skip(6 hours);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, outsider));
        vm.prank(outsider);
        market.settle(licenceId, outsider);
        vm.prank(outsider);
        market.settle(licenceId, holder);
        vm.assertEq(usd.balanceOf(holder), HELD, "refund");
    }

    function test_Settle_ByAnApprovedAccountPaysTheHolderAlone() public {
        vm.prank(holder);
        market.setApprovalForAll(friend, true);
        cancel(licenceId);
        skip(6 hours);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, friend));
        vm.prank(friend);
        market.settle(licenceId, friend);
    }

    function test_Settle_RevertsWhenTheRecipientIsZeroOrTheMarket() public {
        cancel(licenceId);
        skip(6 hours);
        address[2] memory recipients = [address(0), address(market)];
        for (uint256 i = 0; i < 2; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, recipients[i]));
            vm.prank(holder);
            market.settle(licenceId, recipients[i]);
        }
    }

    // ------------------------------------------------------------------ the window

    function test_Cancel_LetsTheOperatorReportInTheWindow() public {
        vm.warp(START + 3 days);
        cancel(licenceId);
        report(licenceId, 500);
        vm.warp(START + 3 days + 6 hours - 1);
        report(licenceId, 600);
        vm.warp(START + 3 days + 6 hours);
        vm.expectEmit(address(market));
        emit ILicenceMarket.UsageSkipped(licenceId, 700, SkipReason.Closed);
        report(licenceId, 700);
        vm.assertEq(settle(), HELD * 4 / 10, "600 of 1,000 were used");
    }

    function test_Cancel_FreezesWhatTimeHasVested() public {
        vm.warp(START + 3 days);
        cancel(licenceId);
        vm.warp(START + 3 days + 6 hours - 1);
        report(licenceId, 50);
        vm.assertEq(state(licenceId).vested, 3 * DAY, "neither time nor a twentieth is more");
        vm.warp(START + 300 days);
        vm.assertEq(state(licenceId).vested, 3 * DAY, "time vests no more");
        market.collect(one(licenceId));
        vm.assertEq(settle(), HELD - 3 * DAY, "refund");
    }

    function test_Collect_OfACancelledLicenceTakesWhatWasReported() public {
        cancel(licenceId);
        report(licenceId, 250);
        market.collect(one(licenceId));
        vm.assertEq(state(licenceId).taken, HELD / 4, "a quarter");
        skip(6 hours);
        vm.assertEq(settle(), HELD - HELD / 4, "the rest");
    }

    /// The window is block time: a suspension neither lengthens nor shortens it.
    function test_Window_RunsOnTheBlockTimeThroughASuspension() public {
        suspend(modelId);
        vm.warp(START + 5 days);
        resume(modelId); // the model's clock is five days behind
        vm.warp(START + 6 days);
        cancel(licenceId);
        vm.assertEq(state(licenceId).settleAt, START + 6 days + 6 hours, "settles");
        suspend(modelId);
        vm.warp(START + 6 days + 6 hours - 1);
        report(licenceId, 100);
        vm.assertEq(state(licenceId).used, 100, "the last second");
        expectSettlesLater(START + 6 days + 6 hours);
        vm.warp(START + 6 days + 6 hours);
        report(licenceId, 200);
        vm.assertEq(state(licenceId).used, 100, "closed");
        vm.assertEq(settle(), HELD - HELD / 10, "a tenth was used; one day had vested");
    }

    function test_Cancel_InASuspensionCountsTimeUpToTheSuspension() public {
        vm.warp(START + 3 days);
        suspend(modelId);
        vm.warp(START + 9 days);
        cancel(licenceId);
        vm.assertEq(state(licenceId).taken, 3 * DAY, "three days");
        vm.warp(START + 9 days + 6 hours);
        vm.assertEq(settle(), HELD - 3 * DAY, "refund");
    }

    function test_Settle_NeedsNoWindowAfterALongSuspension() public {
        suspend(modelId);
        confirm(modelId);
        skip(90 days - 1);
        cancel(licenceId);
        expectSettlesLater(START + 90 days - 1 + 6 hours);
        skip(1);
        vm.assertEq(market.settle(licenceId, holder), HELD, "refund");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.live, 0, "live is counted down once");
    }

    function test_Settle_OfAMeteredLicenceWorksAfterALongSuspensionWithoutACancel() public {
        report(licenceId, 100);
        suspend(modelId);
        confirm(modelId);
        skip(90 days);
        vm.assertEq(market.settle(licenceId, holder), HELD - HELD / 10, "refund");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.live, 0, "live");
    }

    function test_Settle_GoesOnWhilePausedRetiredAndDisallowed() public {
        cancel(licenceId);
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        vm.startPrank(admin);
        market.setPaused(true);
        market.setTokenAllowed(address(usd), false);
        vm.stopPrank();
        vm.prank(guardian);
        market.disableOperator(operatorId);
        suspend(modelId);
        skip(6 hours);
        vm.assertEq(settle(), HELD, "refund");
    }

    function test_Cancel_FreesThePlaceThoughTheTokenIsThere() public {
        PlanTerms memory plan = meteredTerms();
        plan.supply = 1;
        uint256 planId = addPlan(plan);
        uint256 left = buy(planId);
        cancel(left);
        vm.assertEq(buy(planId), planId << 32 | 2, "sold again");
        vm.assertTrue(state(left).exists, "the old one waits for its settlement");
    }

    function test_Cancel_OfAMeteredLicenceThatVestedAtOnceRefundsNothing() public {
        PlanTerms memory plan = meteredTerms();
        plan.vesting = 0;
        licenceId = buy(addPlan(plan));
        cancel(licenceId);
        vm.assertFalse(market.isValid(licenceId), "valid");
        report(licenceId, 10);
        expectSettlesLater(START + 6 hours);
        skip(6 hours);
        vm.assertEq(settle(), 0, "refund");
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_Cancel_OfAPerpetualMeteredLicenceRefundsByUse() public {
        licenceId = buy(addPlan(perpetualTerms()));
        vm.warp(START + 9 days); // a tenth of 90 days
        report(licenceId, 300);
        cancel(licenceId);
        report(licenceId, 333);
        skip(6 hours);
        vm.assertEq(settle(), HELD - 9_490_500, "28,500,000 * 0.333");
    }

    function testFuzz_Settle_RefundsTheLeastThatTimeAndUseLeave(uint256 elapsed, uint32 before, uint32 after_) public {
        elapsed = bound(elapsed, 0, 35 days);
        before = uint32(bound(before, 0, 1_000));
        after_ = uint32(bound(after_, 0, 1_000));
        skip(elapsed);
        report(licenceId, before);
        cancel(licenceId);
        skip(1 hours);
        report(licenceId, after_);
        skip(5 hours);
        uint256 used = before > after_ ? before : after_;
        uint256 byTime = elapsed >= 30 days ? HELD : uint256(HELD) * elapsed / 30 days;
        uint256 byUse = uint256(HELD) * used / 1_000;
        vm.assertEq(settle(), HELD - (byTime > byUse ? byTime : byUse), "refund");
    }
}
