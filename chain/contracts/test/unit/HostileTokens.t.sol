// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, ILicenceMarket, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Panic} from "@openzeppelin/contracts/utils/Panic.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice The admin allowed a token that turned out to be, or became, hostile.
contract HostileTokensTest is MarketTest {
    HostileToken internal token;
    uint256 internal planId;
    bytes32 internal agreed;
    uint256 internal licenceId; // bought while the token was honest

    function setUp() public override {
        super.setUp();
        token = new HostileToken();
        token.mint(buyer, 1e18);
        vm.prank(admin);
        market.setTokenAllowed(address(token), true);
        PlanTerms memory plan = terms();
        plan.token = address(token);
        planId = addPlan(plan);
        agreed = market.planHash(planId);
        licenceId = buy(planId);
    }

    /// Everything that a payment would change.
    function books() internal view returns (bytes32) {
        (, PlanState memory progress) = market.plan(planId);
        return
            keccak256(
                abi.encode(progress, state(licenceId), market.balanceOf(holder), token.balanceOf(address(market)))
            );
    }

    /// One purchase by each of the five ways to pay.
    function pay(uint256 way) internal {
        Authorization memory a = Authorization(buyer, 0, START + 1 hours, keccak256("salt"));
        vm.prank(buyer);
        if (way == 0) market.buy(planId, agreed, holder);
        if (way == 1) market.buyWithPermit(planId, agreed, holder, START, 27, 0, 0);
        if (way == 2) market.buyWithAuthorization(planId, agreed, holder, a, 27, 0, 0);
        if (way == 3) market.buyWithWalletAuthorization(planId, agreed, holder, a, "");
        if (way == 4) market.renew(licenceId, agreed);
    }

    function expectRefusedInEveryWay(HostileToken.Mode mode, bytes memory refusal) internal {
        token.setMode(mode);
        bytes32 before = books();
        for (uint256 way = 0; way < 5; ++way) {
            expectError(refusal);
            pay(way);
        }
        vm.assertEq(books(), before, "nothing changed");
    }

    function differs(uint256 received) internal view returns (bytes memory) {
        return abi.encodeWithSelector(ILicenceMarket.PaymentDiffers.selector, address(token), PRICE, received);
    }

    // ------------------------------------------------------------------ paying

    function test_Pay_WorksWithAnHonestToken() public {
        for (uint256 way = 0; way < 5; ++way) {
            pay(way);
        }
        vm.assertEq(market.balanceOf(holder), 5, "licences");
        vm.assertEq(token.balanceOf(address(market)), 6 * PRICE, "six prices");
    }

    function test_Pay_WorksWithATokenThatReturnsNothing() public {
        token.setMode(HostileToken.Mode.RETURNS_NOTHING);
        for (uint256 way = 0; way < 5; ++way) {
            pay(way);
        }
        vm.prank(holder);
        market.cancel(licenceId, friend);
        vm.assertEq(token.balanceOf(friend), 2 * (PRICE - ENTRY), "refund");
    }

    function test_Pay_RevertsWhenTheTokenTakesAFee() public {
        expectRefusedInEveryWay(HostileToken.Mode.TAKES_FEE, differs(PRICE - PRICE / 100 - 1));
    }

    function test_Pay_RevertsWhenTheTokenPaysNothing() public {
        expectRefusedInEveryWay(HostileToken.Mode.PAYS_NOTHING, differs(0));
    }

    function test_Pay_RevertsWhenTheTokenPaysMore() public {
        expectRefusedInEveryWay(HostileToken.Mode.PAYS_MORE, differs(PRICE + 1));
    }

    function test_Pay_RevertsWhenTheTokenTakesFromTheMarket() public {
        bytes memory refusal = abi.encodeWithSignature("Panic(uint256)", Panic.UNDER_OVERFLOW);
        expectRefusedInEveryWay(HostileToken.Mode.TAKES_BACK, refusal);
    }

    function test_Pay_RevertsWhenTheTokenReverts() public {
        expectRefusedInEveryWay(HostileToken.Mode.REVERTS, abi.encodeWithSelector(HostileToken.Spiteful.selector));
    }

    function test_Buy_RevertsWhenTheTokenReturnsFalse() public {
        expectFailedOperation(HostileToken.Mode.RETURNS_FALSE);
    }

    function test_Buy_RevertsWhenTheTokenReturnsGarbage() public {
        expectFailedOperation(HostileToken.Mode.RETURNS_GARBAGE);
    }

    function expectFailedOperation(HostileToken.Mode mode) internal {
        token.setMode(mode);
        uint8[3] memory ways = [0, 1, 4]; // EIP-3009 returns nothing
        for (uint256 i = 0; i < ways.length; ++i) {
            expectError(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
            pay(ways[i]);
        }
    }

    /// The answer of EIP-3009 is nothing, so false cannot be seen there. The balance is.
    function test_BuyWithAuthorization_RevertsWhenTheTokenDoesNothing() public {
        token.setMode(HostileToken.Mode.RETURNS_FALSE);
        expectError(differs(0));
        pay(2);
        expectError(differs(0));
        pay(3);
    }

    // ------------------------------------------------------------------ paying out

    function test_Cancel_RevertsWhenTheTokenRefusesAndChangesNothing() public {
        bytes32 before = books();
        skip(10 days);
        token.setMode(HostileToken.Mode.RETURNS_FALSE);
        expectError(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        vm.prank(holder);
        market.cancel(licenceId, holder);
        vm.assertEq(market.ownerOf(licenceId), holder, "the licence stays");

        token.setMode(HostileToken.Mode.HONEST);
        vm.warp(START);
        vm.assertEq(books(), before, "nothing changed");
        vm.prank(holder);
        market.cancel(licenceId, holder);
        vm.assertEq(token.balanceOf(holder), PRICE - ENTRY, "paid once it can be");
    }

    function test_CollectAndSplit_GoOnWhenTheTokenIsFrozen() public {
        token.setMode(HostileToken.Mode.REVERTS);
        skip(30 days);
        market.collect(one(licenceId));
        market.split(planId);
        (, PlanState memory progress) = market.plan(planId);
        vm.assertEq(progress.earned, PRICE, "earned");
        vm.assertEq(progress.split, PRICE, "split");
    }

    function test_Withdraw_RevertsWhenTheTokenReturnsFalseAndKeepsTheCredit() public {
        market.split(planId);
        uint256 owed = market.credit(modelId, address(token));
        uint256 service = market.accountCredit(payee, address(token));
        token.setMode(HostileToken.Mode.RETURNS_FALSE);
        bytes memory refusal = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token));
        expectError(refusal);
        vm.prank(publisher);
        market.withdraw(modelId, address(token), publisher);
        expectError(refusal);
        vm.prank(payee);
        market.withdrawAccount(address(token), payee);
        vm.assertEq(market.credit(modelId, address(token)), owed, "credit");
        vm.assertEq(market.accountCredit(payee, address(token)), service, "credit of the payee");
    }

    /// One token that fails stops neither refunds nor withdrawals in the others.
    function test_OtherTokens_GoOnWhenOneIsFrozen() public {
        uint256 dollars = buy(addPlan(terms()));
        uint256 coin = buy(addPlan(nativeTerms()));
        token.setMode(HostileToken.Mode.REVERTS);
        market.split(dollars >> 32);
        market.split(coin >> 32);
        vm.startPrank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        market.withdraw(modelId, address(0), publisher);
        vm.stopPrank();
        cancel(dollars);
        cancel(coin);
        vm.assertEq(usd.balanceOf(holder), PRICE - ENTRY, "dollars");
        vm.assertEq(holder.balance, 0.285 ether, "coin");
        vm.assertGe(usd.balanceOf(publisher), 1, "income in dollars");
        vm.assertGe(publisher.balance, 1, "income in the coin");
    }
}
