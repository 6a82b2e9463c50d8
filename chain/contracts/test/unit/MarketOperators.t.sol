// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, Operator, PlanTerms, SkipReason} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Operators: who may change one, and what a change in flight does to reports and income.
contract MarketOperatorsTest is MarketTest {
    address internal newKey = actor("newKey");
    address internal newPayee = actor("newPayee");

    function counts(uint32 used) internal pure returns (uint32[] memory list) {
        list = new uint32[](1);
        list[0] = used;
    }

    function reportBy(address reporter, uint256 licenceId, uint32 used) internal {
        vm.prank(reporter);
        market.reportUsage(one(licenceId), counts(used));
    }

    function expectSkipped(uint256 licenceId, uint32 used, SkipReason reason) internal {
        vm.expectEmit(address(market));
        emit ILicenceMarket.UsageSkipped(licenceId, used, reason);
    }

    function assertOperator(uint256 id, Operator memory expected) internal view {
        vm.assertEq(abi.encode(market.operator(id)), abi.encode(expected), "operator");
    }

    function change(address key, address account) internal {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, key, account);
    }

    function disable() internal {
        vm.prank(guardian);
        market.disableOperator(operatorId);
    }

    // ------------------------------------------------------------------ registering

    function test_RegisterOperator_CountsFromOneAndKeepsAll() public {
        vm.assertEq(operatorId, 1, "the first");
        vm.expectEmit(address(market));
        emit ILicenceMarket.OperatorRegistered(2, outsider, newKey, newPayee);
        vm.prank(outsider);
        vm.assertEq(market.registerOperator(newKey, newPayee), 2, "the second");
        vm.assertEq(market.operatorCount(), 2, "count");
        assertOperator(1, Operator(operatorOwner, operatorKey, payee, false));
        assertOperator(2, Operator(outsider, newKey, newPayee, false));
    }

    function test_RegisterOperator_TakesAKeyAndPayeeThatAnotherHas() public {
        vm.prank(outsider); // who only copies names earns nothing by it: plans name an id
        uint256 copy = market.registerOperator(operatorKey, payee);
        assertOperator(copy, Operator(outsider, operatorKey, payee, false));
        assertOperator(operatorId, Operator(operatorOwner, operatorKey, payee, false));
    }

    function test_RegisterOperator_RevertsWhenTheKeyOrPayeeCannotAct() public {
        address[2] memory invalid = [address(0), address(market)];
        for (uint256 i = 0; i < invalid.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            market.registerOperator(invalid[i], payee);
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            market.registerOperator(operatorKey, invalid[i]);
        }
        vm.assertEq(market.operatorCount(), 1, "none was counted");
    }

    function test_Operator_IsZeroWhereThereIsNone() public view {
        Operator memory none;
        assertOperator(0, none);
        assertOperator(2, none);
        assertOperator(type(uint256).max, none);
    }

    // ------------------------------------------------------------------ changing

    function test_SetOperator_ChangesKeyAndPayeeAlone() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.OperatorChanged(operatorId, newKey, newPayee);
        change(newKey, newPayee);
        assertOperator(operatorId, Operator(operatorOwner, newKey, newPayee, false));
    }

    function test_SetOperator_RevertsWhenTheCallerIsNotItsOwner() public {
        address[6] memory others = [outsider, operatorKey, payee, admin, guardian, publisher];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.setOperator(operatorId, newKey, newPayee);
        }
        assertOperator(operatorId, Operator(operatorOwner, operatorKey, payee, false));
    }

    function test_SetOperator_RevertsWhenAnotherOperatorsOwnerCalls() public {
        vm.prank(outsider);
        market.registerOperator(newKey, newPayee);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, outsider));
        vm.prank(outsider);
        market.setOperator(operatorId, newKey, newPayee);
    }

    function test_SetOperator_RevertsWhenThereIsNone() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, operatorOwner));
        vm.prank(operatorOwner);
        market.setOperator(2, newKey, newPayee);
    }

    function test_SetOperator_RevertsWhenTheKeyOrPayeeCannotAct() public {
        address[2] memory invalid = [address(0), address(market)];
        for (uint256 i = 0; i < invalid.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            change(invalid[i], payee);
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            change(operatorKey, invalid[i]);
        }
    }

    // ------------------------------------------------------------------ in flight

    function test_SetOperator_MovesTheRightToReportAtOnce() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        report(licenceId, 10);
        change(newKey, payee);

        expectSkipped(licenceId, 20, SkipReason.Foreign);
        reportBy(operatorKey, licenceId, 20);
        vm.assertEq(state(licenceId).used, 10, "the old key counts no more");
        reportBy(newKey, licenceId, 30);
        vm.assertEq(state(licenceId).used, 30, "the new one does");
    }

    function test_SetOperator_LetsTheNewKeyReportInTheWindowOfACancelledLicence() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        cancel(licenceId);
        change(newKey, payee);
        skip(market.REPORT_WINDOW() - 1);
        reportBy(newKey, licenceId, 500);
        skip(1);
        vm.prank(holder);
        vm.assertEq(market.settle(licenceId, holder), 14_250_000, "half of what was held was used");
    }

    function test_SetOperator_SendsToTheNewPayeeWhatIsSplitLater() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        skip(10 days);
        market.collect(one(licenceId));
        market.split(planId);
        uint256 first = market.accountCredit(payee, address(usd));
        skip(10 days);
        market.collect(one(licenceId));
        change(operatorKey, newPayee);
        market.split(planId);

        // 1.5 at the start and 9.5 in 10 days: a tenth goes to the operator, the fee of 2.5 % comes off first.
        vm.assertEq(first, 1_100_000, "the old payee");
        vm.assertEq(market.accountCredit(payee, address(usd)), first, "keeps what it was credited");
        vm.assertEq(market.accountCredit(newPayee, address(usd)), 950_000, "the new payee");
        vm.prank(payee);
        vm.assertEq(market.withdrawAccount(address(usd), payee), first, "and withdraws it");
    }

    // ------------------------------------------------------------------ disabling

    function test_DisableOperator_MarksItForEver() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.OperatorDisabled(operatorId);
        disable();
        assertOperator(operatorId, Operator(operatorOwner, operatorKey, payee, true));
        change(newKey, newPayee);
        assertOperator(operatorId, Operator(operatorOwner, newKey, newPayee, true)); // a new key changes nothing
    }

    function test_DisableOperator_RevertsWhenTheCallerIsNotTheGuardian() public {
        address[5] memory others = [outsider, admin, pauser, operatorOwner, publisher];
        for (uint256 i = 0; i < others.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, others[i]));
            vm.prank(others[i]);
            market.disableOperator(operatorId);
        }
    }

    function test_DisableOperator_RevertsWhenThereIsNone() public {
        vm.startPrank(guardian);
        expectError(abi.encodeWithSelector(ILicenceMarket.OperatorUnknown.selector, 2));
        market.disableOperator(2);
        expectError(abi.encodeWithSelector(ILicenceMarket.OperatorUnknown.selector, 0));
        market.disableOperator(0);
    }

    function test_DisableOperator_RevertsWhenItIsDisabledAlready() public {
        disable();
        expectError(abi.encodeWithSelector(ILicenceMarket.OperatorIsDisabled.selector, operatorId));
        disable();
    }

    function test_DisableOperator_SkipsReportsAndKeepsWhatWasReported() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        report(licenceId, 100);
        disable();
        expectSkipped(licenceId, 900, SkipReason.Disabled);
        report(licenceId, 900);
        vm.assertEq(state(licenceId).used, 100, "used");
        vm.assertEq(state(licenceId).vested, 2_850_000, "a tenth of what is held");
        change(newKey, payee);
        expectSkipped(licenceId, 900, SkipReason.Disabled);
        reportBy(newKey, licenceId, 900);
    }

    function test_DisableOperator_TouchesNoOtherOperator() public {
        vm.prank(outsider);
        PlanTerms memory plan = meteredTerms();
        plan.operatorId = uint32(market.registerOperator(newKey, newPayee));
        uint256 licenceId = buy(addPlan(plan));
        disable();
        reportBy(newKey, licenceId, 1);
        vm.assertEq(state(licenceId).used, 1, "used");
    }

    /// The licences are the holders', and time still vests: the income is shared as the plan says.
    function test_DisableOperator_LeavesSalesLicencesAndItsShareAlone() public {
        uint256 planId = addPlan(meteredTerms());
        uint256 licenceId = buy(planId);
        disable();
        vm.assertTrue(market.isValid(licenceId), "valid");
        buyFor(planId, friend);
        skip(10 days);
        market.collect(one(licenceId));
        market.split(planId);
        // Two entries of 1.5, and 9.5 that vested: a tenth of it all.
        vm.assertEq(market.accountCredit(payee, address(usd)), 1_250_000, "service share");
        vm.prank(payee);
        market.withdrawAccount(address(usd), payee);
        renew(licenceId);
        cancel(licenceId);
    }

    function test_DisableOperator_StopsItsKeyDeliveringButNotTheModelsOwner() public {
        uint256 licenceId = buy(addPlan(downloadTerms()));
        disable();
        bytes memory signature = sign("holder", deliverDigest(licenceId, "key", blockTime()));
        expectError(abi.encodeWithSelector(ILicenceMarket.NotDeliverer.selector, licenceId, operatorKey));
        vm.prank(operatorKey);
        market.deliver(licenceId, "key", blockTime(), signature, "wrapped");
        vm.prank(publisher);
        market.deliver(licenceId, "key", blockTime(), signature, "wrapped");
    }

    function test_DisableOperator_InTheWindowOfACancelledLicenceStopsItsReports() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        cancel(licenceId);
        disable();
        expectSkipped(licenceId, 1_000, SkipReason.Disabled);
        report(licenceId, 1_000);
        skip(market.REPORT_WINDOW());
        vm.prank(holder);
        vm.assertEq(market.settle(licenceId, holder), PRICE - ENTRY, "nothing counted");
    }
}
