// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice A token that calls the market back from inside each payment, with every role that it could have: it holds a
/// licence, owns the model, is an operator's key and payee, and has credit.
contract HostileTokensReentrancyTest is MarketTest {
    HostileToken internal token;
    uint256 internal planId;
    bytes32 internal agreed;
    uint256 internal held; // the holder's
    uint256 internal own; // the token's own

    function setUp() public override {
        super.setUp();
        token = new HostileToken();
        token.mint(buyer, 1e18);
        token.mint(holder, 1e18);
        token.mint(address(token), 1e18);
        vm.startPrank(admin);
        market.setTokenAllowed(address(token), true);
        market.setTreasury(address(token));
        vm.stopPrank();
        vm.prank(operatorOwner);
        market.setOperator(operatorId, address(token), address(token));
        PlanTerms memory plan = meteredTerms();
        plan.token = address(token);
        plan.flags |= DOWNLOAD;
        planId = addPlan(plan);
        agreed = market.planHash(planId);
        (held, own) = (buy(planId), buyFor(planId, address(token)));
        market.split(planId);
        vm.prank(publisher);
        registry.transferFrom(publisher, address(token), modelId);
        skip(1 days);
        market.collect(one(held));
    }

    /// Every function that the guard covers, with arguments that would succeed, or nearly, outside.
    function guarded(uint256 i) internal view returns (bytes memory) {
        Authorization memory a = Authorization(address(token), 0, blockTime() + 1, 0);
        if (i == 0) return abi.encodeCall(market.buy, (planId, agreed, outsider));
        if (i == 1) return abi.encodeCall(market.buyWithPermit, (planId, agreed, outsider, START, 27, 0, 0));
        if (i == 2) return abi.encodeCall(market.buyWithAuthorization, (planId, agreed, outsider, a, 27, 0, 0));
        if (i == 3) return abi.encodeCall(market.buyWithWalletAuthorization, (planId, agreed, outsider, a, ""));
        if (i == 4) return abi.encodeCall(market.renew, (own, agreed));
        if (i == 5) return abi.encodeCall(market.cancel, (own, outsider));
        if (i == 6) return abi.encodeCall(market.cancelBySig, (own, outsider, blockTime(), ""));
        if (i == 7) return abi.encodeCall(market.settle, (own, address(token)));
        if (i == 8) return abi.encodeCall(market.deliver, (own, 0, blockTime(), "", 0));
        if (i == 9) return abi.encodeCall(market.collect, (one(own)));
        if (i == 10) return abi.encodeCall(market.split, (planId));
        if (i == 11) return abi.encodeCall(market.withdraw, (modelId, address(token), outsider));
        return abi.encodeCall(market.withdrawAccount, (address(token), outsider));
    }

    /// Every call that moves the token.
    function enter(uint256 way) internal {
        Authorization memory a = Authorization(buyer, 0, blockTime() + 1, keccak256("salt"));
        if (way == 7) {
            cancel(held); // of a metered licence: moves no token
            skip(6 hours);
        }
        vm.prank(way < 4 ? buyer : way == 4 || way == 7 ? holder : address(token));
        if (way == 0) market.buy(planId, agreed, holder);
        if (way == 1) market.buyWithPermit(planId, agreed, holder, START, 27, 0, 0);
        if (way == 2) market.buyWithAuthorization(planId, agreed, holder, a, 27, 0, 0);
        if (way == 3) market.buyWithWalletAuthorization(planId, agreed, holder, a, "");
        if (way == 4) market.renew(held, agreed);
        if (way == 5) market.withdraw(modelId, address(token), address(token));
        if (way == 6) market.withdrawAccount(address(token), address(token));
        if (way == 7) market.settle(held, holder);
    }

    function test_EveryPayment_RefusesEveryCallFromInside() public {
        uint256 fresh = vm.snapshotState();
        for (uint256 way = 0; way < 8; ++way) {
            for (uint256 i = 0; i < 13; ++i) {
                token.setCallback(address(market), guarded(i));
                enter(way);
                expectGuarded(string.concat("from inside ", vm.toString(way), ", call ", vm.toString(i)));
                vm.revertToState(fresh);
            }
        }
    }

    /// An unmetered licence pays out inside `cancel`.
    function test_Cancel_RefusesEveryCallFromInside() public {
        PlanTerms memory plan = terms();
        plan.token = address(token);
        vm.prank(address(token));
        uint256 unmetered = buyFor(market.addPlan(plan), holder);
        uint256 fresh = vm.snapshotState();
        for (uint256 i = 0; i < 13; ++i) {
            token.setCallback(address(market), guarded(i));
            cancel(unmetered);
            expectGuarded(string.concat("call ", vm.toString(i)));
            vm.revertToState(fresh);
        }
    }

    function expectGuarded(string memory what) internal view {
        vm.assertEq(token.callee(), address(0), what); // the attack ran
        vm.assertFalse(token.callbackSucceeded(), what);
        bytes4 refusal = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        vm.assertEq(token.callbackAnswer(), abi.encodeWithSelector(refusal), what);
    }

    /// Reports are open to re-entry: the new term is written before the token is asked, and nothing after it.
    function test_Renew_KeepsAReportFromInsideItsPayment() public {
        uint32[] memory used = new uint32[](1);
        used[0] = 400;
        token.setCallback(address(market), abi.encodeCall(market.reportUsage, (one(held), used)));
        vm.prank(holder);
        market.renew(held, agreed);

        vm.assertTrue(token.callbackSucceeded(), "reported");
        LicenceState memory renewed = state(held);
        vm.assertEq(renewed.used, 400, "used");
        vm.assertEq(renewed.base, 0, "base");
        vm.assertEq(renewed.calls, 2_000, "calls");
        vm.assertEq(renewed.vested, uint256(renewed.amount) * 400 / 2_000, "vested by use");
    }

    /// The plan may be retired from inside its own sale: that sale was agreed to before.
    function test_Buy_StandsWhenThePlanIsRetiredFromInside() public {
        token.setCallback(address(market), abi.encodeCall(market.retirePlan, (planId)));
        uint256 bought = buy(planId);
        vm.assertTrue(token.callbackSucceeded(), "retired");
        (, PlanState memory progress) = market.plan(planId);
        vm.assertTrue(progress.retired, "retired");
        vm.assertEq(progress.sold, 3, "sold");
        vm.assertTrue(market.isValid(bought), "valid");
    }

    /// A licence that the token was just sold may be passed on from inside: it is whole by then.
    function test_Buy_StandsWhenTheLicenceIsPassedOnFromInside() public {
        uint256 next = planId << 32 | 3;
        bytes memory pass =
            abi.encodeWithSignature("transferFrom(address,address,uint256)", address(token), friend, next);
        token.setCallback(address(market), pass);
        buyFor(planId, address(token));
        vm.assertTrue(token.callbackSucceeded(), "passed on");
        vm.assertEq(market.ownerOf(next), friend, "holder");
        vm.assertEq(state(next).amount, PRICE - ENTRY, "amount");
    }
}
