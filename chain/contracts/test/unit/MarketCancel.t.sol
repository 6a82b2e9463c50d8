// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Leaving an unmetered licence: one call, the rest is paid and the token is gone.
contract MarketCancelTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint96 internal constant DAY = 950_000;

    uint256 internal planId;
    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        planId = addPlan(terms());
        licenceId = buy(planId);
    }

    function planState() internal view returns (PlanState memory progress) {
        (, progress) = market.plan(planId);
    }

    function expectCancelReverts(address caller, address to, bytes memory refusal) internal {
        expectError(refusal);
        vm.prank(caller);
        market.cancel(licenceId, to);
    }

    function test_Cancel_PaysTheRestAndBurns() public {
        vm.warp(START + 10 days);
        vm.prank(holder);
        market.cancel(licenceId, friend);
        vm.assertEq(usd.balanceOf(friend), 20 * DAY, "refund");
        vm.assertEq(usd.balanceOf(address(market)), ENTRY + 10 * DAY, "what the market keeps");
        vm.assertEq(planState().earned, ENTRY + 10 * DAY, "is income");
        vm.assertEq(planState().live, 0, "live");
        vm.assertEq(planState().sold, 1, "sold");
        vm.assertEq(market.balanceOf(holder), 0, "burned");
        vm.assertFalse(market.isValid(licenceId), "valid");
        LicenceState memory nothing;
        vm.assertEq(keccak256(abi.encode(state(licenceId))), keccak256(abi.encode(nothing)), "all zero");
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        market.ownerOf(licenceId);
    }

    function test_Cancel_AnnouncesBeforeTheBurn() public {
        vm.warp(START + 10 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceCancelled(licenceId, holder, 0);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, 10 * DAY);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceSettled(licenceId, holder, friend, 20 * DAY);
        vm.expectEmit(address(market));
        emit ERC721.Transfer(holder, address(0), licenceId);
        vm.prank(holder);
        market.cancel(licenceId, friend);
    }

    function testFuzz_Cancel_RefundsByTheSecond(uint256 elapsed) public {
        elapsed = bound(elapsed, 0, 40 days);
        vm.warp(START + elapsed);
        vm.prank(holder);
        market.cancel(licenceId, friend);
        uint256 vested = elapsed >= 30 days ? HELD : uint256(HELD) * elapsed / 30 days;
        vm.assertEq(usd.balanceOf(friend), HELD - vested, "refund");
        vm.assertEq(planState().earned, ENTRY + vested, "income");
    }

    function testFuzz_Cancel_RefundsTheSameAfterAnyCollects(uint32[4] memory waits) public {
        uint256 twin = buy(planId);
        for (uint256 i = 0; i < waits.length; ++i) {
            skip(waits[i] % 8 days);
            market.collect(one(licenceId));
        }
        vm.startPrank(holder);
        market.cancel(licenceId, friend);
        market.cancel(twin, outsider);
        vm.assertEq(usd.balanceOf(friend), usd.balanceOf(outsider), "refunds");
    }

    function test_Cancel_RefundsNothingAfterTheExpiry() public {
        vm.warp(START + 30 days);
        vm.expectCall(address(usd), abi.encodeWithSelector(usd.transfer.selector), 0);
        cancel(licenceId);
        vm.assertEq(planState().earned, PRICE, "income");
        vm.assertEq(planState().live, 0, "the place is free");
    }

    function test_Cancel_RefundsNothingWhereAllVestedAtOnce() public {
        PlanTerms memory plan = terms();
        plan.vesting = 0;
        uint256 atOnce = buy(addPlan(plan));
        cancel(atOnce);
        vm.assertEq(usd.balanceOf(holder), 0, "refund");
        vm.assertFalse(state(atOnce).exists, "gone");
    }

    function test_Cancel_OfAFreeLicenceWorks() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        uint256 free = buy(addPlan(plan));
        cancel(free);
        vm.assertFalse(state(free).exists, "gone");
    }

    function test_Cancel_RefundsAGiftToItsHolder() public {
        uint256 before = usd.balanceOf(buyer);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), HELD, "the holder has it");
        vm.assertEq(usd.balanceOf(buyer), before, "the payer has not");
    }

    function test_Cancel_PaysTheNativeCoin() public {
        uint256 coin = buy(addPlan(nativeTerms()));
        skip(15 days);
        vm.prank(holder);
        market.cancel(coin, friend);
        vm.assertEq(friend.balance, 0.1425 ether, "half of 0.285");
    }

    /// Nothing ever stops leaving.
    function test_Cancel_GoesOnWhilePausedSuspendedRetiredAndDisallowed() public {
        vm.warp(START + 10 days);
        suspend(modelId);
        confirm(modelId);
        vm.prank(pauser);
        market.setPaused(true);
        vm.prank(publisher);
        market.retirePlan(planId);
        vm.startPrank(admin);
        market.setTokenAllowed(address(usd), false);
        market.renounceOwnership();
        vm.stopPrank();
        vm.warp(START + 60 days);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 20 * DAY, "what had not vested when it was suspended");
    }

    // ------------------------------------------------------------------ refusals

    function test_Cancel_RevertsWhenTheCallerIsNotTheHolder() public {
        address[5] memory callers = [buyer, publisher, admin, guardian, outsider];
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, callers[i]);
            expectCancelReverts(callers[i], callers[i], refusal);
        }
    }

    function test_Cancel_RevertsWhenTheCallerIsOnlyApproved() public {
        vm.startPrank(holder);
        market.approve(friend, licenceId);
        market.setApprovalForAll(outsider, true);
        vm.stopPrank();
        bytes4 selector = ILicenceMarket.NotHolder.selector;
        expectCancelReverts(friend, holder, abi.encodeWithSelector(selector, licenceId, friend));
        expectCancelReverts(outsider, holder, abi.encodeWithSelector(selector, licenceId, outsider));
    }

    function test_Cancel_RevertsWhenTheRecipientIsZeroOrTheMarket() public {
        bytes4 selector = ILicenceMarket.RecipientInvalid.selector;
        expectCancelReverts(holder, address(0), abi.encodeWithSelector(selector, address(0)));
        expectCancelReverts(holder, address(market), abi.encodeWithSelector(selector, address(market)));
    }

    function test_Cancel_RevertsWhenTheLicenceIsUnknown() public {
        licenceId += 1;
        expectCancelReverts(holder, holder, abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
    }

    function test_Cancel_RevertsWhenItWasCancelledBefore() public {
        cancel(licenceId);
        expectCancelReverts(holder, holder, abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
    }

    function test_Settle_RevertsWhenTheLicenceWasNotCancelled() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0));
        vm.prank(holder);
        market.settle(licenceId, holder);
    }

    function test_Settle_RevertsWhenTheLicenceIsUnknown() public {
        cancel(licenceId);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
        vm.prank(holder);
        market.settle(licenceId, holder);
    }

    // ------------------------------------------------------------------ after a long suspension

    function suspendFor(uint256 time) internal {
        suspend(modelId);
        confirm(modelId);
        skip(time);
    }

    function test_Settle_PaysTheHolderOfALongSuspendedModelByAnyone() public {
        vm.warp(START + 10 days);
        suspendFor(90 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceCancelled(licenceId, holder, 0);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, 10 * DAY);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceSettled(licenceId, holder, holder, 20 * DAY);
        vm.prank(outsider);
        vm.assertEq(market.settle(licenceId, holder), 20 * DAY, "refund");
        vm.assertEq(usd.balanceOf(holder), 20 * DAY, "paid");
        vm.assertEq(planState().live, 0, "live");
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_Settle_OfALongSuspendedModelPaysWhereTheHolderSays() public {
        suspendFor(90 days);
        vm.prank(holder);
        market.settle(licenceId, friend);
        vm.assertEq(usd.balanceOf(friend), HELD, "refund");
    }

    function test_Settle_RevertsWhenAStrangerNamesAnotherThanTheHolder() public {
        suspendFor(90 days);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, outsider));
        vm.prank(outsider);
        market.settle(licenceId, outsider);
    }

    function test_Settle_RevertsWhenTheSuspensionIsShorterThanNinetyDays() public {
        suspendFor(90 days - 1);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0);
        expectError(refusal);
        market.settle(licenceId, holder);
        skip(1);
        uint256 moment = vm.snapshotState();
        market.settle(licenceId, holder);
        vm.revertToState(moment);
        resume(modelId);
        expectError(refusal);
        market.settle(licenceId, holder);
    }

    function test_Settle_RevertsWhenTheSuspensionLapsedLongAgo() public {
        suspend(modelId);
        skip(200 days);
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0));
        market.settle(licenceId, holder);
    }

    function test_Settle_RevertsWhenShortSuspensionsOnlySumUpToNinetyDays() public {
        suspendFor(80 days);
        resume(modelId);
        skip(1);
        suspendFor(80 days);
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0));
        market.settle(licenceId, holder);
    }

    function test_Settle_RevertsWhenAnotherModelIsSuspended() public {
        uint256 other = publish(outsider);
        suspend(other);
        confirm(other);
        skip(90 days);
        expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0));
        market.settle(licenceId, holder);
    }

    function test_Settle_RevertsWhenTheRecipientIsTheMarket() public {
        suspendFor(90 days);
        expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, address(market)));
        vm.prank(holder);
        market.settle(licenceId, address(market));
    }

    function test_Settle_OfABoundLicenceWorksAfterALongSuspension() public {
        PlanTerms memory plan = terms();
        plan.flags = RUN;
        uint256 boundId = buy(addPlan(plan));
        suspendFor(90 days);
        market.settle(boundId, holder);
        vm.assertEq(usd.balanceOf(holder), HELD, "refund");
    }
}
