// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Vesting, with numbers that can be checked by hand: 28,500,000 vest over 30 days, 950,000 a day.
contract MarketVestingTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint96 internal constant DAY = 950_000;

    function earned(uint256 licenceId) internal view returns (uint256) {
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        return progress.earned;
    }

    function vested(uint256 licenceId) internal view returns (uint256) {
        return state(licenceId).vested;
    }

    function expectVested(uint256 licenceId, uint256 amount, string memory when) internal view {
        vm.assertEq(vested(licenceId), amount, when);
    }

    // ------------------------------------------------------------------ over time

    function test_Vesting_OfATimedPlanIsLinearUntilTheExpiry() public {
        uint256 licenceId = buy(addPlan(terms()));
        expectVested(licenceId, 0, "at purchase");
        vm.warp(START + 1);
        expectVested(licenceId, 10, "28,500,000 / 2,592,000 = 10.99");
        vm.warp(START + 15 days);
        expectVested(licenceId, 15 * DAY, "half");
        vm.warp(START + 30 days - 1);
        expectVested(licenceId, HELD - 11, "a second before");
        vm.warp(START + 30 days);
        expectVested(licenceId, HELD, "at expiry");
        vm.warp(START + 300 days);
        expectVested(licenceId, HELD, "no more than all");
    }

    function test_Vesting_OfAPerpetualPlanRunsOverItsOwnTime() public {
        PlanTerms memory plan = downloadTerms();
        plan.vesting = 1 hours;
        uint256 licenceId = buy(addPlan(plan));
        vm.warp(START + 1800);
        expectVested(licenceId, HELD / 2, "half an hour");
        vm.warp(START + 3599);
        expectVested(licenceId, HELD - 7917, "28,500,000 / 3,600 = 7,916.7");
        vm.warp(START + 3600);
        expectVested(licenceId, HELD, "an hour");
        vm.assertTrue(market.isValid(licenceId), "and it goes on");
    }

    function test_Vesting_HoldsNothingWhereAllVestsAtOnce() public {
        PlanTerms memory plan = terms();
        plan.vesting = 0;
        uint256 licenceId = buy(addPlan(plan));
        vm.assertEq(earned(licenceId), PRICE, "income");
        vm.assertEq(state(licenceId).amount, 0, "amount");
        skip(1 days);
        market.collect(one(licenceId));
        vm.assertEq(earned(licenceId), PRICE, "no more");
    }

    function test_Vesting_OfAMeteredPlanAtOnceIgnoresUse() public {
        PlanTerms memory plan = meteredTerms();
        plan.vesting = 0;
        uint256 licenceId = buy(addPlan(plan));
        report(licenceId, 500);
        vm.assertEq(vested(licenceId), 0, "nothing is left to vest");
        vm.assertEq(earned(licenceId), PRICE, "income");
    }

    // ------------------------------------------------------------------ by use

    function test_Vesting_OfAMeteredPlanIsTheFasterOfTimeAndUse() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        report(licenceId, 100);
        expectVested(licenceId, HELD / 10, "use leads");
        vm.warp(START + 3 days);
        expectVested(licenceId, HELD / 10, "both are a tenth");
        vm.warp(START + 6 days);
        expectVested(licenceId, HELD / 5, "time leads: the larger, not the sum");
        report(licenceId, 900);
        expectVested(licenceId, HELD * 9 / 10, "use leads again");
        report(licenceId, 1_000);
        expectVested(licenceId, HELD, "all used");
        vm.warp(START + 31 days);
        expectVested(licenceId, HELD, "no more than all");
    }

    function test_Vesting_RoundsUseDown() public {
        PlanTerms memory plan = perpetualTerms();
        plan.calls = 7;
        uint256 licenceId = buy(addPlan(plan));
        report(licenceId, 1);
        expectVested(licenceId, 4_071_428, "28,500,000 / 7 = 4,071,428.57");
        report(licenceId, 6);
        expectVested(licenceId, 24_428_571, "6 of 7");
        report(licenceId, 7);
        expectVested(licenceId, HELD, "all");
    }

    // ------------------------------------------------------------------ the entry share

    function testFuzz_Vesting_BeginsWithTheEntryShareRoundedDown(uint96 price, uint16 bps) public {
        PlanTerms memory plan = nativeTerms();
        plan.price = uint96(bound(price, 0, 1e29));
        plan.entryBps = uint16(bound(bps, 0, 2_000));
        uint256 licenceId = buy(addPlan(plan));
        uint256 entry = uint256(plan.price) * plan.entryBps / 10_000;
        vm.assertEq(earned(licenceId), entry, "entry");
        vm.assertEq(state(licenceId).amount, plan.price - entry, "the rest is held");
        cancel(licenceId);
        vm.assertEq(holder.balance, plan.price - entry, "what comes back at once");
    }

    // ------------------------------------------------------------------ collecting

    function test_Collect_MovesWhatHasVestedOnce() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 10 days);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, 10 * DAY);
        vm.prank(outsider);
        market.collect(one(licenceId));
        vm.assertEq(earned(licenceId), ENTRY + 10 * DAY, "income");
        vm.assertEq(state(licenceId).taken, 10 * DAY, "taken");

        vm.recordLogs();
        market.collect(one(licenceId));
        vm.assertEq(vm.getRecordedLogs().length, 0, "nothing is left to collect");
        vm.assertEq(earned(licenceId), ENTRY + 10 * DAY, "income stays");
        vm.warp(START + 11 days);
        market.collect(one(licenceId));
        vm.assertEq(earned(licenceId), ENTRY + 11 * DAY, "a day later");
    }

    function test_Collect_TakesALicenceTwiceInABatchAsOnce() public {
        uint256 licenceId = buy(addPlan(terms()));
        skip(10 days);
        uint256[] memory ids = new uint256[](3);
        (ids[0], ids[1], ids[2]) = (licenceId, 424242, licenceId);
        market.collect(ids);
        vm.assertEq(earned(licenceId), ENTRY + 10 * DAY, "income");
    }

    function test_Collect_PassesOverUnknownAndSettledLicences() public {
        uint256 planId = addPlan(terms());
        uint256 gone = buy(planId);
        uint256 licenceId = buy(planId);
        skip(3 days);
        cancel(gone);
        skip(10 days);
        uint256[] memory ids = new uint256[](4);
        (ids[0], ids[1], ids[2], ids[3]) = (gone, type(uint256).max, 0, licenceId);
        market.collect(ids);
        vm.assertEq(earned(licenceId), 2 * ENTRY + (3 + 13) * DAY, "the one that left vests no more");
    }

    function test_Collect_TakesFiftyAndRevertsWhenThereAreMore() public {
        uint256[] memory ids = new uint256[](50);
        uint256 planId = addPlan(terms());
        for (uint256 i = 0; i < 50; ++i) {
            ids[i] = buy(planId);
        }
        skip(1 days);
        market.collect(ids);
        vm.assertEq(earned(ids[0]), 50 * (ENTRY + DAY), "all of them");
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 51, 50));
        market.collect(new uint256[](51));
    }

    /// Many small collects take exactly what one large one takes.
    function testFuzz_Collect_TakesTheSameHoweverOften(uint32[8] memory waits, uint96 price) public {
        PlanTerms memory plan = nativeTerms();
        plan.price = uint96(bound(price, 1, 1e29));
        uint256 often = buy(addPlan(plan));
        uint256 once = buy(addPlan(plan));
        for (uint256 i = 0; i < waits.length; ++i) {
            skip(waits[i] % 5 days);
            market.collect(one(often));
        }
        market.collect(one(once));
        vm.assertEq(earned(often), earned(once), "income");
        vm.assertEq(state(often).taken, state(once).taken, "taken");
    }

    // ------------------------------------------------------------------ what stops the clock

    function test_Vesting_StandsStillWhileTheModelIsSuspended() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 10 days);
        suspend(modelId);
        vm.warp(START + 15 days);
        expectVested(licenceId, 10 * DAY, "suspended");
        vm.assertEq(state(licenceId).expiry, START + 35 days, "what is lost is added");
        vm.assertEq(state(licenceId).start, START + 5 days, "and shifts the start");
        resume(modelId);
        expectVested(licenceId, 10 * DAY, "resumed");
        vm.warp(START + 16 days);
        expectVested(licenceId, 11 * DAY, "a day later");
        vm.warp(START + 35 days - 1);
        vm.assertTrue(market.isValid(licenceId), "the last second");
        vm.warp(START + 35 days);
        vm.assertFalse(market.isValid(licenceId), "the end");
        expectVested(licenceId, HELD, "all");
    }

    function test_Vesting_CountsALapsedSuspensionUpToItsEnd() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 1 days);
        suspend(modelId);
        vm.warp(START + 15 days); // it lapses now, without a transaction
        expectVested(licenceId, DAY, "lapsed");
        vm.warp(START + 17 days);
        expectVested(licenceId, 3 * DAY, "two days later");
        vm.assertEq(state(licenceId).expiry, START + 44 days, "fourteen days are added");
        suspend(modelId);
        vm.warp(START + 20 days);
        resume(modelId);
        expectVested(licenceId, 3 * DAY, "a second suspension");
        vm.assertEq(state(licenceId).expiry, START + 47 days, "three more");
    }

    function test_Vesting_OfOtherModelsGoesOnWhileOneIsSuspended() public {
        uint256 licenceId = buy(addPlan(terms()));
        suspend(publish(outsider));
        skip(1 days);
        expectVested(licenceId, DAY, "untouched");
    }

    function test_Vesting_ByUseGoesOnWhileTheModelIsSuspended() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        suspend(modelId);
        report(licenceId, 300);
        expectVested(licenceId, HELD * 3 / 10, "calls made before count");
    }

    function test_Collect_GoesOnWhilePausedSuspendedAndRetired() public {
        uint256 licenceId = buy(addPlan(terms()));
        skip(2 days);
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        vm.prank(pauser);
        market.setPaused(true);
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        suspend(modelId);
        market.collect(one(licenceId));
        vm.assertEq(earned(licenceId), ENTRY + 2 * DAY, "income");
    }
}
