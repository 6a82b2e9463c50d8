// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What a plan may be, that it keeps every field, and that it never changes.
contract MarketPlansTest is MarketTest {
    uint32 internal constant MAX_PERIOD = 3650 days;
    uint32 internal constant MAX_CALLS = 2 ** 31 - 1;

    function expectAddReverts(PlanTerms memory plan, bytes memory refusal) internal {
        expectError(refusal);
        vm.prank(publisher);
        market.addPlan(plan);
    }

    function assertKept(uint256 planId, PlanTerms memory plan) internal view {
        (PlanTerms memory kept,) = market.plan(planId);
        vm.assertEq(abi.encode(kept), abi.encode(plan), "terms");
        vm.assertEq(market.planHash(planId), keccak256(abi.encode(plan)), "hash");
    }

    // ------------------------------------------------------------------ what is kept

    function test_AddPlan_KeepsEveryTermAndStartsAtNothing() public {
        PlanTerms memory plan = terms();
        uint256 planId = addPlan(plan);
        assertKept(planId, plan);
        (, PlanState memory sales) = market.plan(planId);
        vm.assertEq(abi.encode(sales), abi.encode(PlanState(0, 0, false, 0, 0)), "state");
    }

    function test_AddPlan_KeepsTheLargestValueOfEveryField() public {
        vm.prank(admin);
        market.setFeeBps(500);
        PlanTerms memory plan = PlanTerms({
            modelId: modelId,
            token: address(usd),
            price: type(uint96).max,
            period: MAX_PERIOD,
            vesting: MAX_PERIOD,
            calls: MAX_CALLS,
            supply: type(uint24).max,
            feeBps: 500,
            operatorId: uint32(operatorId),
            serviceBps: 5_000,
            entryBps: 2_000,
            flags: RUN | DOWNLOAD | TRANSFERABLE | RENEWABLE
        });
        assertKept(addPlan(plan), plan);
    }

    function test_AddPlan_KeepsTheSmallestValueOfEveryField() public {
        vm.prank(admin);
        market.setFeeBps(0);
        PlanTerms memory plan = PlanTerms(modelId, address(0), 0, 0, 0, 0, 1, 0, 0, 0, 0, DOWNLOAD);
        assertKept(addPlan(plan), plan);
    }

    /// Neighbouring fields of a packed slot do not run into each other, whatever their values.
    function testFuzz_AddPlan_KeepsEveryFieldBesideEveryOther(PlanTerms memory plan) public {
        plan = mendedTerms(plan);
        vm.prank(admin);
        market.setFeeBps(plan.feeBps);
        uint256 first = addPlan(termsWithFee(plan.feeBps));
        uint256 planId = addPlan(plan);
        assertKept(planId, plan);
        assertKept(first, termsWithFee(plan.feeBps));
    }

    function testFuzz_AddPlan_KeepsTheModelAndTheOperatorOfMany(uint8 models, uint8 operators) public {
        PlanTerms memory plan = terms();
        for (uint256 i = 0; i < bound(models, 0, 20); ++i) {
            plan.modelId = publish(publisher);
        }
        for (uint256 i = 0; i < bound(operators, 0, 20); ++i) {
            plan.operatorId = uint32(market.registerOperator(operatorKey, payee));
        }
        uint256 planId = addPlan(plan);
        vm.assertEq(planId >> 32, plan.modelId, "the id names the model");
        assertKept(planId, plan);
    }

    /// Selling and earning write beside the terms.
    function test_AddPlan_NeverChangesAgain() public {
        PlanTerms memory plan = terms();
        uint256 planId = addPlan(plan);
        bytes32 agreed = market.planHash(planId);
        uint256 licenceId = buy(planId);
        skip(3 days);
        renew(licenceId);
        cancel(licenceId);
        market.split(planId);
        vm.startPrank(admin);
        market.setFeeBps(0);
        market.setTokenAllowed(address(usd), false);
        vm.stopPrank();
        vm.prank(guardian);
        market.disableOperator(operatorId);
        vm.prank(publisher);
        market.retirePlan(planId);
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);

        assertKept(planId, plan);
        vm.assertEq(market.planHash(planId), agreed, "what the buyer agreed to");
    }

    function test_AddPlan_EmitsTheTermsAndTheirHash() public {
        PlanTerms memory plan = terms();
        vm.expectEmit(address(market));
        emit ILicenceMarket.PlanAdded(modelId << 32 | 1, modelId, plan, keccak256(abi.encode(plan)));
        addPlan(plan);
    }

    function test_AddPlan_CountsPerModel() public {
        PlanTerms memory other = terms();
        other.modelId = publish(publisher);
        vm.assertEq(market.planCount(modelId), 0, "none yet");
        vm.assertEq(addPlan(terms()), modelId << 32 | 1, "first");
        vm.assertEq(addPlan(terms()), modelId << 32 | 2, "second");
        vm.assertEq(addPlan(other), other.modelId << 32 | 1, "first of another model");
        vm.assertEq(market.planCount(modelId), 2, "count");
        vm.assertEq(market.planCount(other.modelId), 1, "count of the other");
    }

    // ------------------------------------------------------------------ who and which model

    function test_AddPlan_RevertsWhenTheCallerIsNotTheOwner() public {
        vm.startPrank(publisher);
        registry.setApprovalForAll(outsider, true); // an approval is for the token, not for its prices
        registry.approve(outsider, modelId);
        vm.stopPrank();
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        market.addPlan(terms());
    }

    function test_AddPlan_RevertsWhenTheModelWasSold() public {
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        expectAddReverts(terms(), abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, publisher));
        addPlan(terms()); // by the new owner
    }

    function test_AddPlan_RevertsWhenTheModelIsUnknown() public {
        PlanTerms memory plan = terms();
        plan.modelId = 99;
        expectAddReverts(plan, abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        plan.modelId = 0;
        expectAddReverts(plan, abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
    }

    /// An id that only equals the model's in its lowest bits must not pass for it.
    function test_AddPlan_RevertsWhenTheModelIdHasHigherBits() public {
        PlanTerms memory plan = terms();
        plan.modelId = modelId | 1 << 32;
        expectAddReverts(plan, abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
    }

    function test_AddPlan_GoesOnWhilePausedAndSuspended() public {
        suspend(modelId);
        vm.prank(pauser);
        market.setPaused(true);
        assertKept(addPlan(terms()), terms());
    }

    // ------------------------------------------------------------------ token, flags, supply

    function test_AddPlan_RevertsWhenTheTokenIsNotAllowed() public {
        PlanTerms memory plan = terms();
        plan.token = address(registry);
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(registry)));
        plan.token = address(1);
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(1)));
    }

    function test_AddPlan_RevertsWhenTheTokenIsAllowedNoMore() public {
        addPlan(terms());
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        expectAddReverts(terms(), abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd)));
    }

    function test_AddPlan_RevertsWhenNoRightIsGiven() public {
        PlanTerms memory plan = terms();
        plan.flags = TRANSFERABLE | RENEWABLE;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, plan.flags));
        plan.flags = 0;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, 0));
    }

    function test_AddPlan_RevertsWhenAFlagIsUnknown() public {
        PlanTerms memory plan = terms();
        plan.flags = 16 | RUN;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, 16 | RUN));
    }

    function test_AddPlan_RevertsWhenNothingIsThereToRenew() public {
        PlanTerms memory plan = downloadTerms();
        plan.flags = DOWNLOAD | RENEWABLE;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, plan.flags));
        plan.calls = 1; // calls can be renewed without an end in time
        addPlan(plan);
    }

    function testFuzz_AddPlan_TakesExactlyTheUsefulFlagSets(uint8 flags, bool timed, bool metered) public {
        PlanTerms memory plan = terms();
        plan.flags = flags;
        plan.period = plan.vesting = timed ? 1 days : 0;
        plan.calls = metered ? 7 : 0;
        bool useful = flags < 16 && flags % 4 != 0 && (flags < 8 || timed || metered);
        if (!useful) expectError(abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, flags));
        vm.prank(publisher);
        market.addPlan(plan);
    }

    function test_AddPlan_RevertsWhenTheSupplyIsZero() public {
        PlanTerms memory plan = terms();
        plan.supply = 0;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.SupplyZero.selector));
    }

    // ------------------------------------------------------------------ period, vesting, calls

    function test_AddPlan_RevertsWhenThePeriodIsTooLong() public {
        vm.assertEq(market.MAX_PERIOD(), MAX_PERIOD, "as documented");
        PlanTerms memory plan = terms();
        plan.period = plan.vesting = MAX_PERIOD + 1;
        expectAddReverts(
            plan, abi.encodeWithSelector(ILicenceMarket.PeriodTooLong.selector, MAX_PERIOD + 1, MAX_PERIOD)
        );
        plan.period = plan.vesting = type(uint32).max;
        expectAddReverts(
            plan, abi.encodeWithSelector(ILicenceMarket.PeriodTooLong.selector, type(uint32).max, MAX_PERIOD)
        );
    }

    function test_AddPlan_RevertsWhenATimedPlanVestsOverAnotherTimeThanItsPeriod() public {
        PlanTerms memory plan = terms();
        uint32[4] memory others = [uint32(1), 30 days - 1, 30 days + 1, type(uint32).max];
        for (uint256 i = 0; i < others.length; ++i) {
            plan.vesting = others[i];
            expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.VestingInvalid.selector, others[i], 30 days));
        }
        plan.vesting = 0; // at once
        addPlan(plan);
    }

    function test_AddPlan_RevertsWhenAPerpetualPlanVestsTooFastOrTooSlowly() public {
        vm.assertEq(market.MIN_VESTING(), 1 hours, "as documented");
        vm.assertEq(market.MAX_VESTING(), 90 days, "as documented");
        PlanTerms memory plan = downloadTerms();
        uint32[4] memory outside = [uint32(1), 1 hours - 1, 90 days + 1, type(uint32).max];
        for (uint256 i = 0; i < outside.length; ++i) {
            plan.vesting = outside[i];
            expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.VestingInvalid.selector, outside[i], 0));
        }
        uint32[3] memory inside = [uint32(0), 1 hours, 90 days];
        for (uint256 i = 0; i < inside.length; ++i) {
            plan.vesting = inside[i];
            assertKept(addPlan(plan), plan);
        }
    }

    function test_AddPlan_RevertsWhenTheCallsAreTooMany() public {
        vm.assertEq(market.MAX_CALLS(), MAX_CALLS, "as documented");
        PlanTerms memory plan = meteredTerms();
        plan.calls = MAX_CALLS + 1;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.CallsTooMany.selector, uint32(2 ** 31), MAX_CALLS));
    }

    // ------------------------------------------------------------------ fee and shares

    function test_AddPlan_RevertsWhenTheFeeIsNotTheProtocols() public {
        PlanTerms memory plan = terms();
        uint16[3] memory others = [uint16(0), FEE_BPS - 1, FEE_BPS + 1];
        for (uint256 i = 0; i < others.length; ++i) {
            plan.feeBps = others[i];
            expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.FeeDiffers.selector, FEE_BPS, others[i]));
        }
    }

    /// The fee rises while the publisher's transaction waits: no plan is added at a fee that nobody saw.
    function test_AddPlan_RevertsWhenTheFeeChangedInBetween() public {
        PlanTerms memory prepared = terms();
        uint256 before = addPlan(prepared);
        vm.prank(admin);
        market.setFeeBps(500);
        expectAddReverts(prepared, abi.encodeWithSelector(ILicenceMarket.FeeDiffers.selector, 500, FEE_BPS));

        prepared.feeBps = 500;
        assertKept(addPlan(prepared), prepared);
        prepared.feeBps = FEE_BPS;
        assertKept(before, prepared);
    }

    function test_AddPlan_RevertsWhenTheServiceShareIsTooLarge() public {
        vm.assertEq(market.MAX_SERVICE_BPS(), 5_000, "as documented");
        PlanTerms memory plan = terms();
        plan.serviceBps = 5_001;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.BpsTooLarge.selector, 5_001, 5_000));
    }

    function test_AddPlan_RevertsWhenTheEntryShareIsTooLarge() public {
        vm.assertEq(market.MAX_ENTRY_BPS(), 2_000, "as documented");
        PlanTerms memory plan = terms();
        plan.entryBps = 2_001;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.BpsTooLarge.selector, 2_001, 2_000));
        plan.entryBps = type(uint16).max;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.BpsTooLarge.selector, type(uint16).max, 2_000));
    }

    // ------------------------------------------------------------------ operator

    function test_AddPlan_RevertsWhenAMeteredPlanHasNoOperator() public {
        PlanTerms memory plan = meteredTerms();
        (plan.operatorId, plan.serviceBps) = (0, 0);
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.OperatorRequired.selector));
    }

    function test_AddPlan_RevertsWhenAServiceShareHasNoOperator() public {
        PlanTerms memory plan = terms();
        plan.operatorId = 0;
        expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.OperatorRequired.selector));
        plan.serviceBps = 0;
        addPlan(plan);
    }

    function test_AddPlan_RevertsWhenTheOperatorIsUnknown() public {
        PlanTerms memory plan = terms();
        uint32[2] memory unknown = [uint32(operatorId + 1), type(uint32).max];
        for (uint256 i = 0; i < unknown.length; ++i) {
            plan.operatorId = unknown[i];
            expectAddReverts(plan, abi.encodeWithSelector(ILicenceMarket.OperatorUnknown.selector, unknown[i]));
        }
    }

    function test_AddPlan_RevertsWhenTheOperatorIsDisabled() public {
        vm.prank(guardian);
        market.disableOperator(operatorId);
        expectAddReverts(terms(), abi.encodeWithSelector(ILicenceMarket.OperatorIsDisabled.selector, operatorId));
    }

    function test_AddPlan_KeepsAnOperatorWithoutAShare() public {
        PlanTerms memory plan = meteredTerms();
        plan.serviceBps = 0;
        assertKept(addPlan(plan), plan);
    }

    // ------------------------------------------------------------------ retiring

    function test_RetirePlan_StopsSalesAndKeepsLicences() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.PlanRetired(planId);
        vm.prank(publisher);
        market.retirePlan(planId);

        (, PlanState memory sales) = market.plan(planId);
        vm.assertTrue(sales.retired, "retired");
        vm.assertTrue(market.isValid(licenceId), "the licence goes on");
        skip(10 days);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 19_000_000, "and its refund");
    }

    function test_RetirePlan_StopsItsOwnPlanAlone() public {
        uint256 retired = addPlan(terms());
        uint256 other = addPlan(terms());
        vm.prank(publisher);
        market.retirePlan(retired);
        buy(other);
        (, PlanState memory sales) = market.plan(other);
        vm.assertFalse(sales.retired, "the other");
    }

    function test_RetirePlan_RevertsWhenTheCallerIsNotTheOwner() public {
        uint256 planId = addPlan(terms());
        vm.prank(publisher);
        registry.setApprovalForAll(outsider, true);
        address[3] memory others = [outsider, admin, operatorOwner];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, others[i]));
            vm.prank(others[i]);
            market.retirePlan(planId);
        }
    }

    function test_RetirePlan_RevertsWhenThePlanIsUnknown() public {
        uint256 planId = modelId << 32 | 1;
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
        vm.prank(publisher);
        market.retirePlan(planId);
    }

    function test_RetirePlan_RevertsWhenItIsRetiredAlready() public {
        uint256 planId = addPlan(terms());
        vm.startPrank(publisher);
        market.retirePlan(planId);
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId));
        market.retirePlan(planId);
    }

    function test_RetirePlan_BelongsToTheModelsNewOwner() public {
        uint256 planId = addPlan(terms());
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, publisher));
        vm.prank(publisher);
        market.retirePlan(planId);

        vm.prank(friend);
        market.retirePlan(planId);
    }

    // ------------------------------------------------------------------ views

    function test_Plan_RevertsWhenItIsUnknown() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, 5));
        market.plan(5);
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, type(uint256).max));
        market.plan(type(uint256).max);
    }

    function test_PlanHash_RevertsWhenThePlanIsUnknown() public {
        addPlan(terms());
        uint256 next = modelId << 32 | 2;
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, next));
        market.planHash(next);
    }

    function testFuzz_PlanHash_CoversEveryField(uint256 field, uint16 change) public {
        publish(publisher);
        market.registerOperator(operatorKey, payee);
        PlanTerms memory plan = meteredTerms();
        PlanTerms memory other = meteredTerms();
        field = bound(field, 0, 11);
        change = uint16(bound(change, 1, 99));
        if (field == 0) other.modelId = 2;
        if (field == 1) other.token = address(0);
        if (field == 2) other.price += change;
        if (field == 3) other.period = other.vesting += change;
        if (field == 4) other.vesting = 0;
        if (field == 5) other.calls += change;
        if (field == 6) other.supply += change;
        if (field == 7) other.feeBps += change;
        if (field == 8) other.operatorId = 2;
        if (field == 9) other.serviceBps += change;
        if (field == 10) other.entryBps += change;
        if (field == 11) other.flags = DOWNLOAD;

        bytes32 hash = market.planHash(addPlan(plan));
        vm.prank(admin);
        market.setFeeBps(other.feeBps);
        vm.assertEq(hash, keccak256(abi.encode(plan)), "as documented");
        vm.assertNotEq(hash, market.planHash(addPlan(other)), "another plan, another hash");
    }

    // ------------------------------------------------------------------ helpers

    function termsWithFee(uint16 feeBps) internal view returns (PlanTerms memory plan) {
        plan = terms();
        plan.feeBps = feeBps;
    }

    /// The nearest terms that the market must accept.
    function mendedTerms(PlanTerms memory plan) internal view returns (PlanTerms memory) {
        plan.modelId = modelId;
        plan.token = uint160(plan.token) % 2 == 0 ? address(0) : address(usd);
        plan.period = plan.period % 3 == 0 ? 0 : uint32(bound(plan.period, 1, MAX_PERIOD));
        bool atOnce = plan.vesting % 2 == 0;
        plan.vesting = plan.period != 0 ? plan.period : uint32(bound(plan.vesting, 1 hours, 90 days));
        if (atOnce) plan.vesting = 0;
        plan.calls = plan.calls % 3 == 0 ? 0 : uint32(bound(plan.calls, 1, MAX_CALLS));
        plan.supply = uint24(bound(plan.supply, 1, type(uint24).max));
        plan.feeBps = uint16(bound(plan.feeBps, 0, 500));
        plan.operatorId = plan.calls != 0 || plan.serviceBps % 2 == 0 ? uint32(operatorId) : 0;
        plan.serviceBps = plan.operatorId == 0 ? 0 : uint16(bound(plan.serviceBps, 0, 5_000));
        plan.entryBps = uint16(bound(plan.entryBps, 0, 2_000));
        plan.flags = uint8(bound(plan.flags, 0, 15));
        if (plan.flags % 4 == 0) plan.flags |= RUN;
        if (plan.period == 0 && plan.calls == 0) plan.flags &= ~RENEWABLE;
        return plan;
    }
}
