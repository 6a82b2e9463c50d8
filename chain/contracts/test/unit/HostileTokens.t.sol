// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice The admin allowed a token that turned out to be, or became, hostile.
contract HostileTokensTest is MarketTest {
    uint96 internal constant PRICE = 5_000_000;

    HostileToken internal token;
    uint256 internal planId;

    function setUp() public override {
        super.setUp();
        token = new HostileToken();
        token.mint(buyer, 1e18);
        vm.prank(admin);
        market.setTokenAllowed(address(token), true);
        planId = addPlan(PlanTerms(modelId, address(token), PRICE, 0, 0, 100, RUN));
    }

    function expectBuyReverts(bytes memory refusal) internal {
        bytes32 agreed = market.planHash(planId);
        expectError(refusal);
        vm.prank(buyer);
        market.buy(planId, agreed, buyer);
        vm.assertEq(market.balanceOf(buyer), 0, "no licence");
        vm.assertEq(market.credit(modelId, address(token)), 0, "no credit");
    }

    function expectPaymentRefused(HostileToken.Mode mode, uint256 received) internal {
        token.setMode(mode);
        expectBuyReverts(
            abi.encodeWithSelector(ILicenceMarket.PaymentDiffers.selector, address(token), PRICE, received)
        );
    }

    function test_Buy_WorksWithATokenThatReturnsNothing() public {
        token.setMode(HostileToken.Mode.RETURNS_NOTHING);
        buy(planId);
        vm.prank(publisher);
        market.withdraw(modelId, address(token), publisher);
        vm.assertEq(token.balanceOf(publisher), PRICE, "income");
    }

    function test_Buy_RevertsWhenTheTokenReturnsFalse() public {
        token.setMode(HostileToken.Mode.RETURNS_FALSE);
        expectBuyReverts(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
    }

    function test_Buy_RevertsWhenTheTokenReverts() public {
        token.setMode(HostileToken.Mode.REVERTS);
        expectBuyReverts(abi.encodeWithSelector(HostileToken.Spiteful.selector));
    }

    function test_Buy_RevertsWhenTheTokenTakesAFee() public {
        expectPaymentRefused(HostileToken.Mode.TAKES_FEE, PRICE - PRICE / 100 - 1);
    }

    function test_Buy_RevertsWhenTheTokenPaysNothing() public {
        expectPaymentRefused(HostileToken.Mode.PAYS_NOTHING, 0);
    }

    function test_Buy_RevertsWhenTheTokenPaysMore() public {
        expectPaymentRefused(HostileToken.Mode.PAYS_MORE, PRICE + 1);
    }

    function test_Withdraw_RevertsWhenTheTokenReturnsFalseAndKeepsTheCredit() public {
        buy(planId);
        token.setMode(HostileToken.Mode.RETURNS_FALSE);
        expectError(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vm.prank(publisher);
        market.withdraw(modelId, address(token), publisher);
        vm.assertEq(market.credit(modelId, address(token)), PRICE, "credit");
    }

    function test_Withdraw_OfOtherTokensGoesOnWhenOneIsFrozen() public {
        buy(planId);
        buy(addPlan(usdTerms()));
        buy(addPlan(nativeTerms()));
        token.setMode(HostileToken.Mode.REVERTS);
        vm.startPrank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        market.withdraw(modelId, address(0), publisher);
        vm.assertEq(usd.balanceOf(publisher), 25_000_000, "dollars");
        vm.assertEq(publisher.balance, 0.1 ether, "coin");
    }

    /// Two licences for one payment: the inner purchase pays, the outer would count the same money.
    function test_Buy_RevertsInsideWhenTheTokenReentersBuy() public {
        bytes32 agreed = market.planHash(planId);
        token.setCallback(address(market), abi.encodeCall(market.buy, (planId, agreed, outsider)));
        token.mint(address(token), PRICE);
        buy(planId);

        expectGuarded();
        vm.assertEq(market.balanceOf(outsider), 0, "no licence inside");
        vm.assertEq(market.credit(modelId, address(token)), token.balanceOf(address(market)), "credit is covered");
    }

    function test_Buy_RevertsInsideWhenTheTokenReentersWithdraw() public {
        vm.prank(publisher);
        registry.transferFrom(publisher, address(token), modelId); // the token owns the model: it may withdraw
        token.setCallback(address(market), abi.encodeCall(market.withdraw, (modelId, address(token), outsider)));
        buy(planId);

        expectGuarded();
        vm.assertEq(token.balanceOf(outsider), 0, "nothing was paid out");
        vm.assertEq(market.credit(modelId, address(token)), PRICE, "credit");
    }

    function expectGuarded() internal view {
        vm.assertEq(token.callee(), address(0), "the attack ran");
        vm.assertFalse(token.callbackSucceeded(), "the attack failed");
        bytes4 refusal = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        vm.assertEq(bytes32(token.callbackAnswer()), bytes32(refusal), "refused by the guard");
    }
}
