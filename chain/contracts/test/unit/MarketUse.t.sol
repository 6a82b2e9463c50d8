// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanTerms, SkipReason} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketUseTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;

    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        licenceId = buy(addPlan(meteredTerms()));
    }

    function reportBy(address caller, uint256 id, uint32 used) internal {
        uint32[] memory counts = new uint32[](1);
        counts[0] = used;
        vm.prank(caller);
        market.reportUsage(one(id), counts);
    }

    /// The entry is skipped for this reason, and nothing about the licence changes.
    function expectSkipped(address caller, uint256 id, uint32 used, SkipReason reason) internal {
        bytes32 before = keccak256(abi.encode(state(id)));
        vm.expectEmit(address(market));
        emit ILicenceMarket.UsageSkipped(id, used, reason);
        reportBy(caller, id, used);
        vm.assertEq(keccak256(abi.encode(state(id))), before, "nothing changed");
    }

    // ------------------------------------------------------------------ what counts

    function test_ReportUsage_RaisesUseToTheReportedCount() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.UsageReported(licenceId, 250);
        report(licenceId, 250);
        vm.assertEq(state(licenceId).used, 250, "used");
        report(licenceId, 251);
        vm.assertEq(state(licenceId).used, 251, "absolute, not added");
        vm.assertEq(state(licenceId).vested, uint256(HELD) * 251 / 1_000, "vested");
    }

    function test_ReportUsage_EndsValidityWithTheLastCall() public {
        report(licenceId, 999);
        vm.assertTrue(market.isValid(licenceId), "one is left");
        report(licenceId, 1_000);
        vm.assertFalse(market.isValid(licenceId), "none is left");
        vm.assertFalse(state(licenceId).valid, "none is left, batched");
        vm.assertTrue(state(licenceId).exists, "it exists");
    }

    function test_ReportUsage_MovesNoMoney() public {
        report(licenceId, 500);
        vm.assertEq(state(licenceId).taken, 0, "taken");
        vm.assertEq(usd.balanceOf(address(market)), PRICE, "held");
    }

    function test_ReportUsage_TakesFiftyAndRevertsWhenThereAreMore() public {
        uint256[] memory ids = new uint256[](50);
        uint32[] memory used = new uint32[](50);
        for (uint256 i = 0; i < 50; ++i) {
            (ids[i], used[i]) = (buy(licenceId >> 32), uint32(i + 1));
        }
        vm.prank(operatorKey);
        market.reportUsage(ids, used);
        for (uint256 i = 0; i < 50; ++i) {
            vm.assertEq(state(ids[i]).used, i + 1, "used");
        }
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 51, 50));
        vm.prank(operatorKey);
        market.reportUsage(new uint256[](51), new uint32[](51));
    }

    function test_ReportUsage_RevertsWhenTheLengthsDiffer() public {
        vm.startPrank(operatorKey);
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 1, 2));
        market.reportUsage(new uint256[](2), new uint32[](1));
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 2, 1));
        market.reportUsage(new uint256[](1), new uint32[](2));
        expectError(abi.encodeWithSelector(ILicenceMarket.BatchInvalid.selector, 1, 0));
        market.reportUsage(new uint256[](0), new uint32[](1));
    }

    function test_ReportUsage_OfNothingDoesNothing() public {
        vm.recordLogs();
        market.reportUsage(new uint256[](0), new uint32[](0));
        vm.assertEq(vm.getRecordedLogs().length, 0, "events");
    }

    /// A bad entry stops nothing: the others of its batch count.
    function test_ReportUsage_GoesOnAfterAnEntryThatIsSkipped() public {
        uint256 second = buy(licenceId >> 32);
        uint256[] memory ids = new uint256[](4);
        uint32[] memory used = new uint32[](4);
        (ids[0], ids[1], ids[2], ids[3]) = (424242, licenceId, licenceId, second);
        (used[0], used[1], used[2], used[3]) = (1, 1_001, 7, 9);
        vm.prank(operatorKey);
        market.reportUsage(ids, used);
        vm.assertEq(state(licenceId).used, 7, "first");
        vm.assertEq(state(second).used, 9, "second");
    }

    function test_ReportUsage_GoesOnAfterTheExpiryAndInASuspension() public {
        suspend(modelId);
        report(licenceId, 10);
        vm.assertEq(state(licenceId).used, 10, "suspended");
        skip(100 days);
        report(licenceId, 20);
        vm.assertEq(state(licenceId).used, 20, "expired: the calls were made before");
    }

    function test_ReportUsage_GoesOnWhilePausedAndRetired() public {
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        vm.prank(pauser);
        market.setPaused(true);
        report(licenceId, 10);
        vm.assertEq(state(licenceId).used, 10, "used");
    }

    // ------------------------------------------------------------------ what is skipped

    function test_ReportUsage_SkipsUnknown() public {
        expectSkipped(operatorKey, licenceId + 1, 5, SkipReason.Unknown);
        expectSkipped(operatorKey, 0, 5, SkipReason.Unknown);
        expectSkipped(operatorKey, type(uint256).max, 5, SkipReason.Unknown);
    }

    function test_ReportUsage_SkipsSettledAsUnknown() public {
        cancel(licenceId);
        skip(6 hours);
        market.settle(licenceId, holder);
        expectSkipped(operatorKey, licenceId, 5, SkipReason.Unknown);
    }

    function test_ReportUsage_SkipsUnmetered() public {
        uint256 unmetered = buy(addPlan(terms()));
        expectSkipped(operatorKey, unmetered, 5, SkipReason.Unmetered);
    }

    function test_ReportUsage_SkipsForeign() public {
        vm.prank(outsider);
        market.registerOperator(outsider, outsider);
        address[6] memory callers = [outsider, operatorOwner, payee, publisher, holder, admin];
        for (uint256 i = 0; i < callers.length; ++i) {
            expectSkipped(callers[i], licenceId, 5, SkipReason.Foreign);
        }
    }

    function test_ReportUsage_SkipsTheOldKeyAfterARotation() public {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
        expectSkipped(operatorKey, licenceId, 5, SkipReason.Foreign);
        reportBy(friend, licenceId, 5);
        vm.assertEq(state(licenceId).used, 5, "the new key counts");
    }

    function test_ReportUsage_SkipsDisabled() public {
        report(licenceId, 5);
        vm.prank(guardian);
        market.disableOperator(operatorId);
        expectSkipped(operatorKey, licenceId, 6, SkipReason.Disabled);
        vm.assertEq(state(licenceId).used, 5, "what was reported before stays");
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
        expectSkipped(friend, licenceId, 6, SkipReason.Disabled); // for ever, whatever its key
    }

    function test_ReportUsage_SkipsClosedFromTheEndOfTheWindow() public {
        cancel(licenceId);
        vm.warp(START + 6 hours - 1);
        report(licenceId, 5);
        vm.assertEq(state(licenceId).used, 5, "the last second");
        vm.warp(START + 6 hours);
        expectSkipped(operatorKey, licenceId, 6, SkipReason.Closed);
    }

    function test_ReportUsage_SkipsNotHigher() public {
        expectSkipped(operatorKey, licenceId, 0, SkipReason.NotHigher);
        report(licenceId, 5);
        expectSkipped(operatorKey, licenceId, 5, SkipReason.NotHigher);
        expectSkipped(operatorKey, licenceId, 4, SkipReason.NotHigher);
    }

    function test_ReportUsage_SkipsAboveTotal() public {
        expectSkipped(operatorKey, licenceId, 1_001, SkipReason.AboveTotal);
        expectSkipped(operatorKey, licenceId, type(uint32).max, SkipReason.AboveTotal);
        renew(licenceId);
        report(licenceId, 1_001);
        vm.assertEq(state(licenceId).used, 1_001, "the total grew");
        expectSkipped(operatorKey, licenceId, 2_001, SkipReason.AboveTotal);
    }

    /// Another operator of the same key reports for its own plans: the key decides, not the number.
    function test_ReportUsage_CountsForEveryOperatorOfAKey() public {
        vm.prank(outsider);
        uint256 second = market.registerOperator(operatorKey, outsider);
        PlanTerms memory plan = meteredTerms();
        plan.operatorId = uint32(second);
        uint256 other = buy(addPlan(plan));
        report(other, 3);
        report(licenceId, 4);
        vm.assertEq(state(other).used, 3, "second operator");
        vm.assertEq(state(licenceId).used, 4, "first operator");
    }

    function testFuzz_ReportUsage_NeverFallsAndNeverExceedsTheTotal(uint32[10] memory counts) public {
        uint32 highest = 0;
        for (uint256 i = 0; i < counts.length; ++i) {
            uint32 count = i % 3 == 0 ? counts[i] : counts[i] % 1_200;
            report(licenceId, count);
            if (count > highest && count <= 1_000) highest = count;
            LicenceState memory now_ = state(licenceId);
            vm.assertEq(now_.used, highest, "used");
            vm.assertEq(now_.vested, uint256(HELD) * highest / 1_000, "vested");
        }
    }

    function test_ReportUsage_TakesTheMostThatAPlanCanHold() public {
        PlanTerms memory plan = perpetualTerms();
        plan.calls = 2 ** 31 - 1;
        uint256 large = buy(addPlan(plan));
        vm.assertEq(state(large).calls, 2 ** 31 - 1, "calls");
        expectSkipped(operatorKey, large, 2 ** 31, SkipReason.AboveTotal);
        report(large, 2 ** 31 - 1);
        LicenceState memory full = state(large);
        vm.assertEq(full.used, 2 ** 31 - 1, "used");
        vm.assertEq(full.vested, HELD, "vested");
        vm.assertEq(full.settleAt, 0, "the flag beside it is untouched");
        cancel(large);
        vm.assertEq(state(large).calls, 2 ** 31 - 1, "and the calls by the flag");
    }
}
