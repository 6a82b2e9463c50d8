// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketBuyTest is MarketTest {
    /// The refusal, and that nothing is left behind by it.
    function expectBuyReverts(uint256 planId, bytes32 agreed, uint256 value, bytes memory refusal) internal {
        uint256 dollars = usd.balanceOf(buyer);
        uint256 held = market.balanceOf(holder);
        expectError(refusal);
        vm.prank(buyer);
        market.buy{value: value}(planId, agreed, holder);
        vm.assertEq(usd.balanceOf(buyer), dollars, "nothing was paid");
        vm.assertEq(market.balanceOf(holder), held, "no licence");
    }

    function planState(uint256 planId) internal view returns (PlanState memory progress) {
        (, progress) = market.plan(planId);
    }

    // ------------------------------------------------------------------ what a purchase does

    function test_Buy_AnnouncesTheLicenceBeforeItsToken() public {
        uint256 planId = addPlan(meteredTerms());
        uint256 licenceId = planId << 32 | 1;
        bytes32 agreed = market.planHash(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(
            licenceId, planId, holder, buyer, PRICE, ENTRY, uint64(START + 30 days), 1_000
        );
        vm.expectEmit(address(market));
        emit ERC721.Transfer(address(0), holder, licenceId);
        vm.prank(buyer);
        vm.assertEq(market.buy(planId, agreed, holder), licenceId, "id");
    }

    function test_Buy_AnnouncesTheWholePriceAsEntryWhereItVestsAtOnce() public {
        PlanTerms memory plan = downloadTerms();
        plan.vesting = 0;
        uint256 planId = addPlan(plan);
        bytes32 agreed = market.planHash(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(planId << 32 | 1, planId, holder, buyer, PRICE, PRICE, 0, 0);
        vm.prank(buyer);
        market.buy(planId, agreed, holder);
        vm.assertEq(planState(planId).earned, PRICE, "earned");
        vm.assertEq(state(planId << 32 | 1).amount, 0, "nothing is held");
    }

    function test_Buy_HoldsThePriceLessItsEntryShare() public {
        uint256 planId = addPlan(terms());
        LicenceState memory bought = state(buy(planId));
        vm.assertEq(planState(planId).earned, ENTRY, "earned");
        vm.assertEq(planState(planId).split, 0, "split");
        vm.assertEq(bought.amount, PRICE - ENTRY, "amount");
        vm.assertEq(bought.taken, 0, "taken");
        vm.assertEq(bought.vested, 0, "vested");
        vm.assertEq(bought.start, START, "start");
        vm.assertEq(usd.balanceOf(address(market)), PRICE, "the market holds the price");
    }

    function test_Buy_GivesTheLicenceToTheRecipientAndTakesFromThePayer() public {
        uint256 before = usd.balanceOf(buyer);
        uint256 licenceId = buy(addPlan(terms()));
        vm.assertEq(market.ownerOf(licenceId), holder, "holder");
        vm.assertEq(market.balanceOf(buyer), 0, "the payer holds nothing");
        vm.assertEq(usd.balanceOf(buyer), before - PRICE, "the payer paid");
    }

    function test_Buy_TakesTheNativeCoin() public {
        uint256 before = buyer.balance;
        uint256 licenceId = buy(addPlan(nativeTerms()));
        vm.assertEq(before - buyer.balance, 0.3 ether, "paid");
        vm.assertEq(address(market).balance, 0.3 ether, "held");
        vm.assertEq(state(licenceId).amount, 0.285 ether, "amount");
    }

    function test_Buy_CallsNoReceiverHook() public {
        uint256 licenceId = buyFor(addPlan(terms()), address(registry));
        vm.assertEq(market.ownerOf(licenceId), address(registry), "a contract without the hook can hold a licence");
    }

    function test_Buy_CountsSerialsUpToTheSupply() public {
        PlanTerms memory plan = terms();
        plan.supply = 2;
        uint256 planId = addPlan(plan);
        vm.assertEq(buy(planId), planId << 32 | 1, "first");
        vm.assertEq(buy(planId), planId << 32 | 2, "second");
        vm.assertEq(planState(planId).live, 2, "live");
        vm.assertEq(planState(planId).sold, 2, "sold");

        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, planId, 2);
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function test_Buy_SellsTheFreedPlaceUnderANewSerial() public {
        PlanTerms memory plan = terms();
        plan.supply = 1;
        uint256 planId = addPlan(plan);
        cancel(buy(planId));
        vm.assertEq(planState(planId).live, 0, "live after leaving");
        vm.assertEq(buy(planId), planId << 32 | 2, "a serial is never used twice");
        vm.assertEq(planState(planId).live, 1, "live");
        vm.assertEq(planState(planId).sold, 2, "sold");
    }

    function test_Buy_RevertsWhenAnExpiredLicenceStillHoldsTheOnlyPlace() public {
        PlanTerms memory plan = terms();
        plan.supply = 1;
        uint256 planId = addPlan(plan);
        buy(planId);
        skip(31 days);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, planId, 1);
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function test_Buy_KeepsPlansAndModelsApart() public {
        uint256 first = addPlan(terms());
        uint256 second = addPlan(terms());
        PlanTerms memory foreign = terms();
        foreign.modelId = publish(outsider);
        foreign.price = 100;
        uint256 third = addPlan(foreign);

        vm.assertEq(buy(first), first << 32 | 1, "serial of the first");
        vm.assertEq(buy(second), second << 32 | 1, "serial of the second");
        vm.assertEq(buy(third), third << 32 | 1, "serial of the third");
        vm.assertEq(third >> 32, foreign.modelId, "the model is in the id");
        vm.assertEq(planState(first).earned, ENTRY, "income of the first");
        vm.assertEq(planState(second).earned, ENTRY, "income of the second");
        vm.assertEq(planState(third).earned, 5, "income of the third");
    }

    function test_Buy_IsFreeWhereThePriceIsZero() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        uint256 inDollars = addPlan(plan);
        plan.token = address(0);
        uint256 inCoin = addPlan(plan);
        address poor = friend; // no tokens, no coin, no approval
        bytes32[2] memory agreed = [market.planHash(inDollars), market.planHash(inCoin)];
        vm.startPrank(poor);
        vm.assertTrue(market.isValid(market.buy(inDollars, agreed[0], poor)), "dollars");
        vm.assertTrue(market.isValid(market.buy(inCoin, agreed[1], poor)), "coin");
        vm.assertEq(planState(inDollars).earned + planState(inCoin).earned, 0, "earned");
    }

    /// A free plan asks nothing of its token: one that would refuse to move 0 cannot stop it.
    function test_Buy_MovesNoTokenWhereThePriceIsZero() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        uint256 planId = addPlan(plan);
        vm.expectCall(address(usd), abi.encodeWithSelector(usd.transferFrom.selector), 0);
        buy(planId);
    }

    function test_Buy_KeepsTheFeeOfThePlanWhenTheFeeChanges() public {
        uint256 planId = addPlan(terms());
        bytes32 agreed = market.planHash(planId);
        vm.prank(admin);
        market.setFeeBps(500);
        vm.prank(buyer);
        market.buy(planId, agreed, holder);
        (PlanTerms memory plan,) = market.plan(planId);
        vm.assertEq(plan.feeBps, FEE_BPS, "fee");
    }

    function test_Market_TakesNoCoinWithoutAPurchase() public {
        vm.prank(buyer);
        (bool taken,) = address(market).call{value: 1}("");
        vm.assertFalse(taken, "a plain transfer");
    }

    function testFuzz_Buy_TakesThePriceAndGivesTheTerms(PlanTerms memory seed, bool native, bool vests) public {
        PlanTerms memory plan = anyTerms(seed, native, vests);
        uint256 planId = addPlan(plan);
        uint256 paid = balanceOf(plan.token, buyer);
        LicenceState memory bought = state(buy(planId));

        uint256 entry = plan.vesting == 0 ? plan.price : uint256(plan.price) * plan.entryBps / 10_000;
        vm.assertEq(paid - balanceOf(plan.token, buyer), plan.price, "paid");
        vm.assertEq(balanceOf(plan.token, address(market)), plan.price, "held");
        vm.assertEq(planState(planId).earned, entry, "entry");
        vm.assertEq(bought.amount, plan.price - entry, "amount");
        vm.assertEq(bought.expiry, plan.period == 0 ? 0 : START + plan.period, "expiry");
        vm.assertEq(bought.calls, plan.calls, "calls");
        vm.assertEq(bought.flags, plan.flags, "flags");
        vm.assertEq(bought.used + bought.base, 0, "used");
        vm.assertTrue(bought.valid && bought.exists && !bought.suspended, "valid");
    }

    /// Any plan that may be added.
    function anyTerms(PlanTerms memory seed, bool native, bool vests) internal view returns (PlanTerms memory plan) {
        plan = seed;
        plan.modelId = modelId;
        plan.token = native ? address(0) : address(usd);
        plan.price = uint96(bound(plan.price, 0, type(uint88).max));
        plan.period = uint32(bound(plan.period, 0, market.MAX_PERIOD()));
        plan.vesting = !vests ? 0 : plan.period == 0 ? uint32(bound(plan.vesting, 1 hours, 90 days)) : plan.period;
        plan.calls = uint32(bound(plan.calls, 0, 2 ** 31 - 1));
        plan.supply = uint24(bound(plan.supply, 1, type(uint24).max));
        plan.feeBps = FEE_BPS;
        plan.operatorId = uint32(operatorId);
        plan.serviceBps = uint16(bound(plan.serviceBps, 0, 5_000));
        plan.entryBps = uint16(bound(plan.entryBps, 0, 2_000));
        bool renewable = plan.flags >= 128 && (plan.period != 0 || plan.calls != 0);
        plan.flags = uint8(bound(plan.flags, 1, 3)) | (plan.flags & TRANSFERABLE) | (renewable ? RENEWABLE : 0);
    }

    // ------------------------------------------------------------------ what the buyer agreed to

    function test_PlanHash_IsTheHashOfAllTerms() public {
        PlanTerms memory plan = meteredTerms();
        vm.assertEq(market.planHash(addPlan(plan)), keccak256(abi.encode(plan)), "hash");
    }

    function test_PlanHash_ChangesWithEveryField() public {
        PlanTerms memory plan = perpetualTerms();
        bytes32 hash = market.planHash(addPlan(plan));
        for (uint256 field = 0; field < 12; ++field) {
            PlanTerms memory other = withOtherField(perpetualTerms(), field);
            uint256 planId = addPlan(other);
            vm.assertNotEq(market.planHash(planId), hash, vm.toString(field));
            vm.assertEq(market.planHash(planId), keccak256(abi.encode(other)), vm.toString(field));
            bytes memory refusal = abi.encodeWithSelector(
                ILicenceMarket.PlanHashDiffers.selector, planId, keccak256(abi.encode(other)), hash
            );
            expectBuyReverts(planId, hash, 0, refusal);
        }
    }

    function withOtherField(PlanTerms memory plan, uint256 field) internal returns (PlanTerms memory) {
        if (field == 0) plan.modelId = publish(publisher);
        if (field == 1) plan.token = address(0);
        if (field == 2) plan.price += 1;
        if (field == 3) (plan.period, plan.vesting) = (1, 0);
        if (field == 4) plan.vesting -= 1;
        if (field == 5) plan.calls += 1;
        if (field == 6) plan.supply += 1;
        if (field == 7) {
            plan.feeBps = FEE_BPS + 1;
            vm.prank(admin);
            market.setFeeBps(FEE_BPS + 1);
        } else {
            vm.prank(admin);
            market.setFeeBps(FEE_BPS);
        }
        if (field == 8) plan.operatorId = uint32(market.registerOperator(operatorKey, payee));
        if (field == 9) plan.serviceBps += 1;
        if (field == 10) plan.entryBps += 1;
        if (field == 11) plan.flags ^= TRANSFERABLE;
        return plan;
    }

    function test_Buy_RevertsWhenPlanHashDiffers() public {
        uint256 planId = addPlan(terms());
        bytes memory refusal = abi.encodeWithSelector(
            ILicenceMarket.PlanHashDiffers.selector, planId, market.planHash(planId), keccak256("other")
        );
        expectBuyReverts(planId, keccak256("other"), 0, refusal);
    }

    // ------------------------------------------------------------------ refusals

    function test_Buy_RevertsWhenThePlanIsUnknown() public {
        uint256 planId = modelId << 32 | 9;
        expectBuyReverts(planId, 0, 0, abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
    }

    function testFuzz_Buy_RevertsWhenThePlanIsUnknown(uint256 planId) public {
        vm.assume(planId != addPlan(terms()));
        expectBuyReverts(planId, 0, 0, abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
    }

    function test_Buy_RevertsWhenThePlanIsRetired() public {
        uint256 planId = addPlan(terms());
        vm.prank(publisher);
        market.retirePlan(planId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId);
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function test_Buy_RevertsWhenTheTokenIsAllowedNoMore() public {
        uint256 planId = addPlan(terms());
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd));
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function test_Buy_RevertsWhenSalesArePaused() public {
        uint256 planId = addPlan(terms());
        vm.prank(pauser);
        market.setPaused(true);
        expectBuyReverts(
            planId, market.planHash(planId), 0, abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector)
        );
        vm.prank(pauser);
        market.setPaused(false);
        buy(planId);
    }

    function test_Buy_RevertsWhenTheModelIsSuspendedUntilThatLapses() public {
        uint256 planId = addPlan(terms());
        bytes32 agreed = market.planHash(planId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId);
        suspend(modelId);
        expectBuyReverts(planId, agreed, 0, refusal);
        vm.warp(START + 14 days - 1);
        expectBuyReverts(planId, agreed, 0, refusal);
        vm.warp(START + 14 days);
        vm.assertEq(state(buy(planId)).expiry, START + 44 days, "a month from the purchase");
    }

    function testFuzz_Buy_RevertsWhenTheValueIsNotThePrice(uint96 price, uint96 value) public {
        vm.assume(value != price);
        PlanTerms memory plan = nativeTerms();
        plan.price = price;
        uint256 planId = addPlan(plan);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, price, value);
        expectBuyReverts(planId, market.planHash(planId), value, refusal);
    }

    function test_Buy_RevertsWhenACoinIsSentForATokenPlan() public {
        uint256 planId = addPlan(terms());
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, 0, 1);
        expectBuyReverts(planId, market.planHash(planId), 1, refusal);
    }

    function test_Buy_RevertsWhenTheAllowanceIsTooSmall() public {
        uint256 planId = addPlan(terms());
        vm.prank(buyer);
        usd.approve(address(market), PRICE - 1);
        bytes memory refusal =
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(market), PRICE - 1, PRICE);
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
        vm.assertEq(planState(planId).sold, 0, "serial");
        vm.assertEq(planState(planId).earned, 0, "earned");
        vm.assertFalse(state(planId << 32 | 1).exists, "licence");
    }

    function test_Buy_RevertsWhenTheRecipientIsZero() public {
        uint256 planId = addPlan(terms());
        bytes32 agreed = market.planHash(planId);
        expectError(abi.encodeWithSelector(ERC721.TransferToZeroAddress.selector));
        vm.prank(buyer);
        market.buy(planId, agreed, address(0));
    }

    function test_Buy_RevertsWhenTheExpiryIsBeyondItsField() public {
        uint256 planId = addPlan(terms());
        bytes32 agreed = market.planHash(planId);
        vm.warp(uint256(type(uint32).max) - 30 days + 1);
        bytes4 refusal = SafeCast.SafeCastOverflowedUintDowncast.selector;
        expectBuyReverts(planId, agreed, 0, abi.encodeWithSelector(refusal, 32, uint256(type(uint32).max) + 1));

        vm.warp(uint256(type(uint32).max) - 30 days);
        vm.assertEq(state(buy(planId)).expiry, type(uint32).max, "the last that fits");
    }

    function test_Buy_RevertsWhenTheStartIsBeyondItsField() public {
        uint256 planId = addPlan(downloadTerms());
        bytes32 agreed = market.planHash(planId);
        uint256 late = uint256(type(uint32).max) + 1;
        vm.warp(late);
        bytes4 refusal = SafeCast.SafeCastOverflowedUintDowncast.selector;
        expectBuyReverts(planId, agreed, 0, abi.encodeWithSelector(refusal, 32, late));
        vm.warp(late - 1);
        vm.assertEq(state(buy(planId)).start, late - 1, "the last that fits");
    }
}
