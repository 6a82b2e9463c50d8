// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Buying with an EIP-2612 permit. The buyer of these tests has approved nothing.
contract MarketBuyPermitTest is MarketTest {
    struct Permit {
        uint256 deadline;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    uint256 internal planId;
    bytes32 internal agreed;

    function setUp() public override {
        super.setUp();
        vm.prank(buyer);
        usd.approve(address(market), 0);
        planId = addPlan(terms());
        agreed = market.planHash(planId);
    }

    /// The buyer's signature, made by hand from EIP-2612.
    function permitOf(uint256 value, uint256 nonce, uint256 deadline) internal view returns (Permit memory) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 inner = keccak256(abi.encode(kind, buyer, address(market), value, nonce, deadline));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", usd.DOMAIN_SEPARATOR(), inner));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("buyer"), digest);
        return Permit(deadline, v, r, s);
    }

    function buyWith(Permit memory permit, address recipient) internal returns (uint256) {
        vm.prank(buyer);
        return market.buyWithPermit(planId, agreed, recipient, permit.deadline, permit.v, permit.r, permit.s);
    }

    function expectTooLittleAllowance(uint256 allowance) internal {
        expectError(
            abi.encodeWithSelector(IERC20Errors.ERC20InsufficientAllowance.selector, address(market), allowance, PRICE)
        );
    }

    function test_BuyWithPermit_NeedsNoApproval() public {
        uint256 before = usd.balanceOf(buyer);
        uint256 licenceId = buyWith(permitOf(PRICE, 0, START), holder);
        vm.assertEq(market.ownerOf(licenceId), holder, "holder");
        vm.assertEq(before - usd.balanceOf(buyer), PRICE, "paid");
        vm.assertEq(usd.allowance(buyer, address(market)), 0, "no approval is left");
        vm.assertEq(usd.nonces(buyer), 1, "nonce");
    }

    function test_BuyWithPermit_AnnouncesTheSameAsBuy() public {
        Permit memory permit = permitOf(PRICE, 0, START);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(
            planId << 32 | 1, planId, holder, buyer, PRICE, ENTRY, uint64(START + 30 days), 0
        );
        buyWith(permit, holder);
    }

    /// Whoever sees the permit in the mempool may use it first. The allowance is there then, and the purchase goes on.
    function test_BuyWithPermit_WorksWhenSomebodyUsedThePermitFirst() public {
        Permit memory permit = permitOf(PRICE, 0, START);
        vm.prank(outsider);
        usd.permit(buyer, address(market), PRICE, permit.deadline, permit.v, permit.r, permit.s);
        vm.assertEq(market.ownerOf(buyWith(permit, holder)), holder, "holder");
        vm.assertEq(usd.allowance(buyer, address(market)), 0, "no approval is left");
    }

    function test_BuyWithPermit_WorksWithAnExpiredPermitWhereAnApprovalStands() public {
        vm.prank(buyer);
        usd.approve(address(market), PRICE);
        vm.assertEq(market.ownerOf(buyWith(permitOf(PRICE, 0, START - 1), holder)), holder, "holder");
    }

    function test_BuyWithPermit_RevertsWhenThePermitHasExpired() public {
        Permit memory permit = permitOf(PRICE, 0, START - 1);
        expectTooLittleAllowance(0);
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenThePermitWasUsedForAPurchase() public {
        Permit memory permit = permitOf(PRICE, 0, START);
        buyWith(permit, holder);
        expectTooLittleAllowance(0);
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenThePermitIsForAnotherAmount() public {
        Permit memory permit = permitOf(PRICE + 1, 0, START);
        expectTooLittleAllowance(0);
        buyWith(permit, holder);
    }

    /// The caller pays, never somebody else whose permit was seen.
    function test_BuyWithPermit_RevertsWhenAnotherUsesThePermitForItself() public {
        Permit memory permit = permitOf(PRICE, 0, START);
        usd.mint(outsider, PRICE);
        expectTooLittleAllowance(0);
        vm.prank(outsider);
        market.buyWithPermit(planId, agreed, outsider, permit.deadline, permit.v, permit.r, permit.s);
    }

    function test_BuyWithPermit_RevertsWhenPlanHashDiffers() public {
        Permit memory permit = permitOf(PRICE, 0, START);
        bytes32 actual = agreed;
        agreed = keccak256("other");
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanHashDiffers.selector, planId, actual, agreed));
        buyWith(permit, holder);
        vm.assertEq(usd.nonces(buyer), 0, "the permit is not used up");
    }

    function test_BuyWithPermit_RevertsWhenThePlanIsUnknown() public {
        planId = modelId << 32 | 9;
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
        buyWith(Permit(0, 0, 0, 0), holder);
    }

    function test_BuyWithPermit_RevertsWhenThePlanIsRetired() public {
        vm.prank(publisher);
        market.retirePlan(planId);
        Permit memory permit = permitOf(PRICE, 0, START);
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId));
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenSalesArePaused() public {
        vm.prank(pauser);
        market.setPaused(true);
        Permit memory permit = permitOf(PRICE, 0, START);
        expectError(abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenTheModelIsSuspended() public {
        suspend(modelId);
        Permit memory permit = permitOf(PRICE, 0, START);
        expectError(abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId));
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenTheTokenIsAllowedNoMore() public {
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        Permit memory permit = permitOf(PRICE, 0, START);
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd)));
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_RevertsWhenThePlanIsPaidInTheCoin() public {
        planId = addPlan(nativeTerms());
        agreed = market.planHash(planId);
        Permit memory permit = permitOf(0.3 ether, 0, START);
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(0)));
        buyWith(permit, holder);
    }

    function test_BuyWithPermit_TakesNoCoin() public {
        Permit memory p = permitOf(PRICE, 0, START);
        bytes memory data = abi.encodeCall(market.buyWithPermit, (planId, agreed, holder, p.deadline, p.v, p.r, p.s));
        vm.prank(buyer);
        (bool done,) = address(market).call{value: 1}(data);
        vm.assertFalse(done, "not payable");
    }

    function test_BuyWithPermit_IsFreeWhereThePriceIsZero() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        planId = addPlan(plan);
        agreed = market.planHash(planId);
        vm.assertTrue(market.isValid(buyWith(Permit(0, 0, 0, 0), holder)), "no permit is needed for nothing");
    }
}
