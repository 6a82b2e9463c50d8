// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice The clock of a model against a count that knows nothing of how the market counts: a list of the intervals
/// in which the model was suspended, written down by the test.
contract MarketSuspensionClockTest is MarketTest {
    struct Interval {
        uint256 from;
        uint256 until;
    }

    Interval[] internal intervals;

    /// Seconds of all intervals before `time`.
    function suspendedBefore(uint256 time) internal view returns (uint256 sum) {
        for (uint256 i = 0; i < intervals.length; ++i) {
            uint256 until = intervals[i].until < time ? intervals[i].until : time;
            if (until > intervals[i].from) sum += until - intervals[i].from;
        }
    }

    function isSuspended() internal view returns (bool) {
        return intervals.length != 0 && blockTime() < intervals[intervals.length - 1].until;
    }

    function assertClock() internal view {
        (uint64 time, uint64 since) = market.modelClock(modelId);
        vm.assertEq(time, blockTime() - suspendedBefore(blockTime()), "clock");
        vm.assertEq(since, isSuspended() ? intervals[intervals.length - 1].from : 0, "since");
    }

    /// One of: suspend, confirm, resume by the admin or the guardian, let pass between a second and a month.
    function act(uint256 seed) internal {
        uint256 choice = seed % 8;
        bool open = isSuspended();
        bool confirmed = open && intervals[intervals.length - 1].until > blockTime() + 1000 days;
        if (choice == 0 && !open) {
            suspend(modelId);
            intervals.push(Interval(blockTime(), blockTime() + 14 days));
        } else if (choice == 1 && open) {
            confirm(modelId);
            intervals[intervals.length - 1].until = type(uint256).max;
        } else if (choice == 2 && open) {
            resume(modelId);
            intervals[intervals.length - 1].until = blockTime();
        } else if (choice == 3 && open && !confirmed) {
            vm.prank(guardian);
            market.resume(modelId);
            intervals[intervals.length - 1].until = blockTime();
        } else {
            // Also the exact boundaries of a suspension.
            uint256[4] memory spans = [uint256(1), 14 days - 1, 14 days, bound(seed >> 8, 1, 30 days)];
            skip(spans[choice % 4]);
        }
    }

    function testFuzz_ModelClock_EqualsAnIndependentCount(uint256[24] memory seeds) public {
        for (uint256 i = 0; i < seeds.length; ++i) {
            act(seeds[i]);
            assertClock();
        }
    }

    function testFuzz_ModelClock_NeverRunsFasterThanTimeNorBackwards(uint256[24] memory seeds) public {
        (uint64 before,) = market.modelClock(modelId);
        for (uint256 i = 0; i < seeds.length; ++i) {
            uint256 moment = blockTime();
            act(seeds[i]);
            (uint64 time,) = market.modelClock(modelId);
            vm.assertGe(time, before, "not backwards");
            vm.assertLe(time - before, blockTime() - moment, "not faster");
            before = time;
        }
    }

    /// A licence of a suspended model stands where its twin, never suspended, stood that much earlier.
    function testFuzz_Suspension_ShiftsALicenceLikeNoSuspensionButLater(
        uint256[16] memory seeds,
        bool timed,
        bool metered
    ) public {
        PlanTerms memory plan = metered ? meteredTerms() : terms();
        plan.flags = RUN;
        if (!timed) (plan.period, plan.vesting) = (0, 90 days);
        uint256 licenceId = buy(addPlan(plan));
        plan.modelId = publish(publisher);
        uint256 twin = buy(addPlan(plan));
        if (metered) {
            report(licenceId, 123);
            report(twin, 123);
        }
        for (uint256 i = 0; i < seeds.length; ++i) {
            act(seeds[i]);
        }

        uint256 shift = suspendedBefore(blockTime());
        LicenceState memory here = state(licenceId);
        vm.warp(blockTime() - shift);
        LicenceState memory there = state(twin);
        vm.warp(blockTime() + shift);
        vm.assertEq(here.vested, there.vested, "vested");
        vm.assertEq(here.start, there.start + shift, "start");
        vm.assertEq(here.expiry, timed ? there.expiry + shift : 0, "expiry");
        vm.assertEq(here.valid ? 1 : 0, there.valid && !isSuspended() ? 1 : 0, "valid");
    }

    /// What a holder gets back depends on the time that was not suspended, and on nothing else.
    function testFuzz_Cancel_PaysByTheTimeThatWasNotSuspended(uint256[16] memory seeds) public {
        uint256 licenceId = buy(addPlan(terms()));
        for (uint256 i = 0; i < seeds.length; ++i) {
            act(seeds[i]);
        }
        uint256 lasted = blockTime() - START - suspendedBefore(blockTime());
        uint256 held = PRICE - ENTRY;
        uint256 expected = lasted >= 30 days ? 0 : held - held * lasted / 30 days;
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), expected, "refund");
    }
}
