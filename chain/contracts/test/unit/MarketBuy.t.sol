// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketBuyTest is MarketTest {
    function expectBuyReverts(uint256 planId, bytes32 agreed, uint256 value, bytes memory refusal) internal {
        expectError(refusal);
        vm.prank(buyer);
        market.buy{value: value}(planId, agreed, buyer);
    }

    function test_Buy_InNativeCoinCreditsTheModel() public {
        uint256 planId = addPlan(nativeTerms());
        uint256 licenceId = buy(planId);

        vm.assertEq(licenceId, planId << 32 | 1, "id");
        vm.assertEq(market.ownerOf(licenceId), buyer, "holder");
        vm.assertEq(market.credit(modelId, address(0)), 0.1 ether, "credit");
        vm.assertEq(address(market).balance, 0.1 ether, "balance");
        vm.assertEq(buyer.balance, 1e30 - 0.1 ether, "paid");
    }

    function test_Buy_InATokenCreditsTheModel() public {
        uint256 planId = addPlan(usdTerms());
        uint256 licenceId = buy(planId);

        vm.assertEq(market.ownerOf(licenceId), buyer, "holder");
        vm.assertEq(market.credit(modelId, address(usd)), 25_000_000, "credit");
        vm.assertEq(market.credit(modelId, address(0)), 0, "no credit in the coin");
        vm.assertEq(usd.balanceOf(address(market)), 25_000_000, "balance");
    }

    function test_Buy_EmitsThePurchaseThenTheTransfer() public {
        PlanTerms memory terms = nativeTerms();
        terms.calls = 500;
        uint256 planId = addPlan(terms);
        uint256 licenceId = planId << 32 | 1;
        bytes32 agreed = market.planHash(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(licenceId, planId, friend, buyer, 0.1 ether, uint64(START + 30 days), 500);
        vm.expectEmit(address(market));
        emit ERC721.Transfer(address(0), friend, licenceId);
        vm.prank(buyer);
        market.buy{value: 0.1 ether}(planId, agreed, friend);
    }

    function test_Buy_GivesTheLicenceToTheRecipient() public {
        uint256 licenceId = buyFor(addPlan(usdTerms()), friend);
        vm.assertEq(market.ownerOf(licenceId), friend, "holder");
        vm.assertEq(market.balanceOf(buyer), 0, "the payer holds nothing");
    }

    function test_Buy_CallsNoReceiverHook() public {
        uint256 licenceId = buyFor(addPlan(nativeTerms()), address(registry));
        vm.assertEq(market.ownerOf(licenceId), address(registry), "a contract without the hook can hold a licence");
    }

    function test_Buy_CountsSerialsUpToTheSupply() public {
        PlanTerms memory terms = nativeTerms();
        terms.supply = 2;
        uint256 planId = addPlan(terms);
        vm.assertEq(buy(planId), planId << 32 | 1, "first");
        vm.assertEq(buy(planId), planId << 32 | 2, "second");
        (, uint32 live, uint32 sold,) = market.plan(planId);
        vm.assertEq(live, 2, "live");
        vm.assertEq(sold, 2, "sold");

        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, planId, 2);
        expectBuyReverts(planId, market.planHash(planId), 0.1 ether, refusal);
    }

    function test_Buy_KeepsPlansAndModelsApart() public {
        uint256 first = addPlan(nativeTerms());
        uint256 second = addPlan(nativeTerms());
        PlanTerms memory foreign = nativeTerms();
        vm.prank(outsider);
        foreign.modelId = registry.publish(keccak256("foreign"));
        foreign.price = 7;
        uint256 third = addPlan(foreign);

        vm.assertEq(buy(first), first << 32 | 1, "serial of the first");
        vm.assertEq(buy(second), second << 32 | 1, "serial of the second");
        buy(third);
        vm.assertEq(market.credit(modelId, address(0)), 0.2 ether, "credit of the model");
        vm.assertEq(market.credit(foreign.modelId, address(0)), 7, "credit of the foreign model");
    }

    function test_Buy_IsFreeWhereThePriceIsZero() public {
        PlanTerms memory coin = nativeTerms();
        coin.price = 0;
        PlanTerms memory token = usdTerms();
        token.price = 0;
        vm.assertTrue(market.isValid(buy(addPlan(coin))), "coin");
        vm.assertTrue(market.isValid(buy(addPlan(token))), "token");
        vm.assertEq(market.credit(modelId, address(0)) + market.credit(modelId, address(usd)), 0, "credit");
    }

    function test_Buy_RevertsWhenThePlanIsUnknown() public {
        uint256 planId = modelId << 32 | 9;
        expectBuyReverts(planId, 0, 0, abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
    }

    function test_Buy_RevertsWhenThePlanIsRetired() public {
        uint256 planId = addPlan(nativeTerms());
        vm.prank(publisher);
        market.retirePlan(planId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId);
        expectBuyReverts(planId, market.planHash(planId), 0.1 ether, refusal);
    }

    function test_Buy_RevertsWhenPlanHashDiffers() public {
        uint256 planId = addPlan(nativeTerms());
        bytes32 actual = market.planHash(planId);
        bytes memory refusal =
            abi.encodeWithSelector(ILicenceMarket.PlanHashDiffers.selector, planId, actual, keccak256("other"));
        expectBuyReverts(planId, keccak256("other"), 0.1 ether, refusal);
    }

    function test_Buy_RevertsWhenTheTokenIsAllowedNoMore() public {
        uint256 planId = addPlan(usdTerms());
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd));
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function testFuzz_Buy_RevertsWhenTheValueIsNotThePrice(uint96 price, uint96 value) public {
        vm.assume(value != price);
        PlanTerms memory terms = nativeTerms();
        terms.price = price;
        uint256 planId = addPlan(terms);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, price, value);
        expectBuyReverts(planId, market.planHash(planId), value, refusal);
    }

    function test_Buy_RevertsWhenACoinIsSentForATokenPlan() public {
        uint256 planId = addPlan(usdTerms());
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ValueDiffers.selector, 0, 1);
        expectBuyReverts(planId, market.planHash(planId), 1, refusal);
    }

    function test_Buy_RevertsWhenTheAllowanceIsTooSmall() public {
        uint256 planId = addPlan(usdTerms());
        vm.prank(buyer);
        usd.approve(address(market), 24_999_999);
        bytes memory refusal = abi.encodeWithSelector(
            IERC20Errors.ERC20InsufficientAllowance.selector, address(market), 24_999_999, 25_000_000
        );
        expectBuyReverts(planId, market.planHash(planId), 0, refusal);
    }

    function test_Buy_RevertsWhenTheRecipientIsZero() public {
        uint256 planId = addPlan(nativeTerms());
        bytes32 agreed = market.planHash(planId);
        expectError(abi.encodeWithSelector(ERC721.TransferToZeroAddress.selector));
        vm.prank(buyer);
        market.buy{value: 0.1 ether}(planId, agreed, address(0));
    }

    function test_Buy_RevertsWhenTheExpiryIsBeyondTheClock() public {
        uint256 planId = addPlan(nativeTerms());
        bytes32 agreed = market.planHash(planId);
        vm.warp(type(uint32).max - 30 days + 1);
        uint256 expiry = uint256(type(uint32).max) + 1;
        expectBuyReverts(
            planId,
            agreed,
            0.1 ether,
            abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 32, expiry)
        );
    }

    function test_Buy_LeavesNothingBehindWhenItFails() public {
        uint256 planId = addPlan(usdTerms());
        vm.prank(buyer);
        usd.approve(address(market), 0);
        bytes32 agreed = market.planHash(planId);
        vm.prank(buyer);
        (bool bought,) = address(market).call(abi.encodeCall(market.buy, (planId, agreed, buyer)));

        vm.assertFalse(bought, "bought");
        (, uint32 live, uint32 sold,) = market.plan(planId);
        vm.assertEq(live + sold, 0, "serial");
        vm.assertEq(market.credit(modelId, address(usd)), 0, "credit");
        vm.assertFalse(state(planId << 32 | 1).exists, "licence");
    }

    function test_Market_TakesNoCoinWithoutAPurchase() public {
        vm.prank(buyer);
        (bool taken,) = address(market).call{value: 1}("");
        vm.assertFalse(taken, "a plain transfer");
    }

    function testFuzz_Buy_CreditsThePriceAndGivesTheTerms(PlanTerms memory terms, bool native) public {
        terms.modelId = modelId;
        terms.token = native ? address(0) : address(usd);
        terms.period = uint32(bound(terms.period, 0, market.MAX_PERIOD()));
        terms.supply = uint32(bound(terms.supply, 1, type(uint32).max));
        terms.flags = uint8(bound(terms.flags, 0, 1) * TRANSFERABLE + bound(terms.flags / 2, 1, 3));
        uint256 licenceId = buy(addPlan(terms));

        vm.assertEq(market.credit(modelId, terms.token), terms.price, "credit");
        uint256 held = native ? address(market).balance : usd.balanceOf(address(market));
        vm.assertEq(held, terms.price, "balance");
        LicenceState memory bought = state(licenceId);
        vm.assertEq(bought.expiry, terms.period == 0 ? 0 : START + terms.period, "expiry");
        vm.assertEq(bought.calls, terms.calls, "calls");
        vm.assertEq(bought.flags, terms.flags, "flags");
        vm.assertTrue(bought.valid, "valid");
    }
}
