// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketRenewTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint96 internal constant DAY = 950_000;

    /// The refusal, and that nothing is left behind by it.
    function expectRenewReverts(uint256 licenceId, bytes32 agreed, uint256 value, bytes memory refusal) internal {
        address payer = state(licenceId).calls == 0 ? buyer : holder; // a metered licence is renewed by its holder
        bytes32 before = keccak256(abi.encode(state(licenceId), usd.balanceOf(buyer)));
        expectError(refusal);
        vm.prank(payer);
        market.renew{value: value}(licenceId, agreed);
        vm.assertEq(keccak256(abi.encode(state(licenceId), usd.balanceOf(buyer))), before, "nothing changed");
    }

    function expectRenewReverts(uint256 licenceId, bytes memory refusal) internal {
        expectRenewReverts(licenceId, market.planHash(licenceId >> 32), 0, refusal);
    }

    function earned(uint256 licenceId) internal view returns (uint256) {
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        return progress.earned;
    }

    // ------------------------------------------------------------------ what a renewal does

    /// 9,500,000 vested, 19,000,000 are held on and join the new 28,500,000, over the 50 days that are left.
    function test_Renew_BlendsWhatHasNotVestedIntoTheNewTerm() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 10 days);
        renew(licenceId);

        LicenceState memory renewed = state(licenceId);
        vm.assertEq(earned(licenceId), 2 * ENTRY + 10 * DAY, "income");
        vm.assertEq(renewed.amount, 20 * DAY + HELD, "amount");
        vm.assertEq(renewed.taken, 0, "taken");
        vm.assertEq(renewed.vested, 0, "vested");
        vm.assertEq(renewed.start, START + 10 days, "start");
        vm.assertEq(renewed.expiry, START + 60 days, "expiry");
        vm.warp(START + 35 days);
        vm.assertEq(state(licenceId).vested, 23_750_000, "half of 47,500,000 over half of 50 days");
        vm.warp(START + 60 days);
        vm.assertEq(state(licenceId).vested, 20 * DAY + HELD, "all at the new expiry");
    }

    function test_Renew_CountsFromNowWhereTheLicenceHasExpired() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 100 days);
        vm.assertFalse(market.isValid(licenceId), "expired");
        renew(licenceId);
        vm.assertEq(state(licenceId).expiry, START + 130 days, "expiry");
        vm.assertEq(state(licenceId).amount, HELD, "all of the old term has vested");
        vm.assertEq(earned(licenceId), PRICE + ENTRY, "income");
        vm.assertTrue(market.isValid(licenceId), "valid again");
    }

    function test_Renew_CountsFromTheExpiryUpToThatSecond() public {
        uint256 licenceId = buy(addPlan(terms()));
        uint256 fresh = vm.snapshotState();
        uint256[3] memory times = [START + 30 days - 1, START + 30 days, START + 30 days + 1];
        for (uint256 i = 0; i < 3; ++i) {
            vm.warp(times[i]);
            renew(licenceId);
            vm.assertEq(state(licenceId).expiry, START + 60 days + (i == 2 ? 1 : 0), vm.toString(i));
            vm.revertToState(fresh);
        }
    }

    function test_Renew_AnnouncesTheNewTerm() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        bytes32 agreed = market.planHash(licenceId >> 32);
        vm.warp(START + 10 days);
        address payer = renewer(licenceId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, 10 * DAY);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceRenewed(
            licenceId, holder, PRICE, ENTRY, 20 * DAY + HELD, uint64(START + 60 days), 2_000
        );
        vm.prank(payer);
        market.renew(licenceId, agreed);
    }

    /// A new term counts use and time anew: a publisher who paid for one could make more vest than the holder agreed to.
    function test_Renew_RevertsWhenAStrangerRenewsAMeteredLicence() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        bytes32 agreed = market.planHash(licenceId >> 32);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, buyer));
        vm.prank(buyer);
        market.renew(licenceId, agreed);
    }

    function test_Renew_MayBePaidByAStrangerAndChangesNoHolder() public {
        uint256 licenceId = buy(addPlan(terms()));
        bytes32 agreed = market.planHash(licenceId >> 32);
        usd.mint(outsider, PRICE);
        vm.startPrank(outsider);
        usd.approve(address(market), PRICE);
        market.renew(licenceId, agreed);
        vm.assertEq(usd.balanceOf(outsider), 0, "paid");
        vm.assertEq(market.ownerOf(licenceId), holder, "holder");
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, outsider));
        market.cancel(licenceId, outsider);
    }

    function test_Renew_ByAStrangerIsRefundedToTheHolder() public {
        uint256 licenceId = buy(addPlan(terms()));
        renew(licenceId);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 2 * HELD, "refund");
    }

    function test_Renew_AddsCallsAndStartsUseAfresh() public {
        uint256 licenceId = buy(addPlan(perpetualTerms()));
        report(licenceId, 400);
        renew(licenceId);
        LicenceState memory renewed = state(licenceId);
        vm.assertEq(renewed.calls, 2_000, "calls");
        vm.assertEq(renewed.used, 400, "used goes on");
        vm.assertEq(renewed.base, 400, "base");
        vm.assertEq(renewed.amount, HELD * 6 / 10 + HELD, "amount");
        vm.assertEq(renewed.vested, 0, "vested");
        report(licenceId, 1_200);
        vm.assertEq(state(licenceId).vested, uint256(renewed.amount) / 2, "800 of 1,600");
    }

    function test_Renew_RevivesALicenceWithoutCalls() public {
        uint256 licenceId = buy(addPlan(perpetualTerms()));
        report(licenceId, 1_000);
        vm.assertFalse(market.isValid(licenceId), "all used");
        renew(licenceId);
        vm.assertTrue(market.isValid(licenceId), "valid again");
        vm.assertEq(earned(licenceId), PRICE + ENTRY, "income");
    }

    function test_Renew_KeepsTheCallsThatTimeEnded() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        report(licenceId, 100);
        vm.warp(START + 40 days);
        renew(licenceId);
        vm.assertEq(state(licenceId).calls, 2_000, "calls");
        vm.assertEq(state(licenceId).base, 100, "1,900 are left");
        report(licenceId, 2_000);
        vm.assertEq(state(licenceId).vested, HELD, "all used");
    }

    function test_Renew_MakesTheWholePriceIncomeWhereItVestsAtOnce() public {
        PlanTerms memory plan = terms();
        plan.vesting = 0;
        uint256 licenceId = buy(addPlan(plan));
        bytes32 agreed = market.planHash(licenceId >> 32);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceRenewed(licenceId, buyer, PRICE, PRICE, 0, uint64(START + 60 days), 0);
        vm.prank(buyer);
        market.renew(licenceId, agreed);
        vm.assertEq(earned(licenceId), 2 * PRICE, "income");
        vm.assertEq(state(licenceId).amount, 0, "amount");
    }

    function test_Renew_TakesTheNativeCoin() public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        renew(licenceId);
        vm.assertEq(address(market).balance, 0.6 ether, "held");
        vm.assertEq(state(licenceId).amount, 0.57 ether, "amount");
    }

    function test_Renew_IsFreeWhereThePriceIsZero() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        uint256 licenceId = buy(addPlan(plan));
        bytes32 agreed = market.planHash(licenceId >> 32);
        vm.prank(outsider); // who has no money and approved nothing
        market.renew(licenceId, agreed);
        vm.assertEq(state(licenceId).expiry, START + 60 days, "expiry");
    }

    function test_Renew_VestsOnAfterADelivery() public {
        PlanTerms memory plan = downloadTerms();
        plan.calls = 10;
        plan.flags |= RENEWABLE;
        uint256 licenceId = buy(addPlan(plan));
        vm.prank(operatorKey);
        market.deliver(licenceId, "key", START, sign("holder", deliverDigest(licenceId, "key", START)), "wrapped");
        vm.assertEq(state(licenceId).vested, HELD, "delivered");
        renew(licenceId);
        vm.assertEq(state(licenceId).amount, HELD, "the new term alone");
        vm.assertEq(state(licenceId).vested, 0, "and it vests from now");
    }

    function test_Renew_NeedsNoPlaceInTheSupply() public {
        PlanTerms memory plan = terms();
        plan.supply = 1;
        uint256 licenceId = buy(addPlan(plan));
        renew(licenceId);
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.live, 1, "live");
        vm.assertEq(progress.sold, 1, "sold");
    }

    function test_Renew_OfAShiftedLicenceKeepsTheShift() public {
        uint256 licenceId = buy(addPlan(terms()));
        suspend(modelId);
        vm.warp(START + 4 days);
        resume(modelId);
        vm.warp(START + 14 days);
        renew(licenceId);
        vm.assertEq(earned(licenceId), 2 * ENTRY + 10 * DAY, "ten days on the model's clock");
        vm.assertEq(state(licenceId).expiry, START + 64 days, "expiry");
        vm.assertEq(state(licenceId).start, START + 14 days, "start");
    }

    /// Lifetime vested never falls, and all that was paid is held or income.
    function testFuzz_Renew_NeverGivesBackWhatHasVested(uint32[6] memory waits, uint32[6] memory uses) public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        uint256 before = 0;
        for (uint256 i = 0; i < waits.length; ++i) {
            skip(waits[i] % 50 days);
            report(licenceId, uint32(uses[i] % 3_000));
            LicenceState memory old = state(licenceId);
            uint256 lifetime = earned(licenceId) + old.vested - old.taken;
            vm.assertGe(lifetime, before, "lifetime vested");
            renew(licenceId);
            LicenceState memory renewed = state(licenceId);
            vm.assertEq(earned(licenceId), lifetime + ENTRY, "income");
            vm.assertEq(earned(licenceId) + renewed.amount, uint256(PRICE) * (i + 2), "held or income");
            vm.assertGe(renewed.expiry, old.expiry + 30 days, "expiry");
            before = lifetime + ENTRY;
        }
    }

    // ------------------------------------------------------------------ refusals

    function test_Renew_RevertsWhenTheLicenceIsUnknown() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = planId << 32 | 1;
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
    }

    function test_Renew_RevertsWhenTheLicenceWasSettled() public {
        uint256 licenceId = buy(addPlan(terms()));
        cancel(licenceId);
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
    }

    function test_Renew_RevertsWhenTheLicenceIsCancelled() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        cancel(licenceId);
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId));
    }

    function test_Renew_RevertsWhenThePlanIsNotRenewable() public {
        PlanTerms memory plan = terms();
        plan.flags = RUN;
        uint256 licenceId = buy(addPlan(plan));
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.NotRenewable.selector, licenceId >> 32));
    }

    function test_Renew_RevertsWhenThePlanIsRetired() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, licenceId >> 32));
    }

    function test_Renew_RevertsWhenSalesArePaused() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(pauser);
        market.setPaused(true);
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
    }

    function test_Renew_RevertsWhenTheModelIsSuspendedUntilThatLapses() public {
        uint256 licenceId = buy(addPlan(terms()));
        suspend(modelId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId);
        expectRenewReverts(licenceId, refusal);
        vm.warp(START + 14 days - 1);
        expectRenewReverts(licenceId, refusal);
        vm.warp(START + 14 days);
        renew(licenceId);
        vm.assertEq(state(licenceId).expiry, START + 74 days, "two terms and the shift");
    }

    function test_Renew_RevertsWhenTheTokenIsAllowedNoMore() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        expectRenewReverts(licenceId, abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd)));
    }

    function test_Renew_RevertsWhenPlanHashDiffers() public {
        uint256 licenceId = buy(addPlan(terms()));
        uint256 planId = licenceId >> 32;
        expectRenewReverts(
            licenceId,
            keccak256("other"),
            0,
            abi.encodeWithSelector(
                ILicenceMarket.PlanHashDiffers.selector, planId, market.planHash(planId), keccak256("other")
            )
        );
    }

    function testFuzz_Renew_RevertsWhenTheValueIsNotThePrice(uint96 value) public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        vm.assume(value != 0.3 ether);
        vm.deal(buyer, type(uint128).max);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, 0.3 ether, value);
        expectRenewReverts(licenceId, market.planHash(licenceId >> 32), value, refusal);
    }

    function test_Renew_RevertsWhenACoinIsSentForATokenPlan() public {
        uint256 licenceId = buy(addPlan(terms()));
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, 0, 1);
        expectRenewReverts(licenceId, market.planHash(licenceId >> 32), 1, refusal);
    }

    function test_Renew_RevertsWhenTheAllowanceIsTooSmall() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(buyer);
        usd.approve(address(market), PRICE - 1);
        bytes4 selector = IERC20Errors.ERC20InsufficientAllowance.selector;
        expectRenewReverts(licenceId, abi.encodeWithSelector(selector, address(market), PRICE - 1, PRICE));
    }

    // ------------------------------------------------------------------ bounds of the packed fields

    function test_Renew_RevertsWhenTheCallsAreBeyondTheirField() public {
        PlanTerms memory plan = perpetualTerms();
        plan.calls = 2 ** 30;
        uint256 licenceId = buy(addPlan(plan));
        // Both terms together have 2^31 calls, and the field has 31 bits.
        bytes4 selector = ILicenceMarket.CallsTooMany.selector;
        expectRenewReverts(licenceId, abi.encodeWithSelector(selector, 2 ** 31, 2 ** 31 - 1));

        plan.calls = 2 ** 30 - 1;
        licenceId = buy(addPlan(plan));
        renew(licenceId);
        vm.assertEq(state(licenceId).calls, 2 ** 31 - 2, "calls");
        report(licenceId, 2 ** 31 - 2);
        vm.assertEq(state(licenceId).used, 2 ** 31 - 2, "used");
        expectRenewReverts(licenceId, abi.encodeWithSelector(selector, 2 ** 31 - 2 + 2 ** 30 - 1, 2 ** 31 - 1));
    }

    function test_Renew_RevertsWhenTheAmountIsBeyondItsField() public {
        PlanTerms memory plan = nativeTerms();
        plan.price = type(uint96).max;
        plan.entryBps = 0;
        uint256 licenceId = buy(addPlan(plan));
        vm.warp(START + 1 days);
        uint256 vested = uint256(type(uint96).max) / 30;
        expectRenewReverts(
            licenceId,
            market.planHash(licenceId >> 32),
            type(uint96).max,
            abi.encodeWithSelector(
                SafeCast.SafeCastOverflowedUintDowncast.selector, 96, 2 * uint256(type(uint96).max) - vested
            )
        );
        vm.warp(START + 30 days);
        renew(licenceId);
        vm.assertEq(state(licenceId).amount, type(uint96).max, "the largest that fits");
    }

    function test_Renew_RevertsWhenTheExpiryIsBeyondItsField() public {
        PlanTerms memory plan = terms();
        (plan.period, plan.vesting) = (3_650 days, 3_650 days);
        uint256 licenceId = buy(addPlan(plan));
        for (uint256 i = 0; i < 6; ++i) {
            renew(licenceId);
        }
        vm.assertEq(state(licenceId).expiry, START + 7 * 3_650 days, "seventy years");
        bytes4 selector = SafeCast.SafeCastOverflowedUintDowncast.selector;
        expectRenewReverts(licenceId, abi.encodeWithSelector(selector, 32, START + 8 * 3_650 days));
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 7 * HELD, "and it may be left as before");
    }
}
