// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {SigningWallet} from "../helpers/Receivers.sol";

contract MarketDeliverTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint256 internal constant DEADLINE = START + 1 hours;
    bytes32 internal constant RECIPIENT_KEY = "X25519 key";
    bytes32 internal constant WRAPPED = "hash of the wrapped key";

    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        licenceId = buy(addPlan(downloadTerms()));
    }

    function signed(string memory name) internal view returns (bytes memory) {
        return sign(name, deliverDigest(licenceId, RECIPIENT_KEY, DEADLINE));
    }

    function deliverBy(address caller, bytes memory signature) internal {
        vm.prank(caller);
        market.deliver(licenceId, RECIPIENT_KEY, DEADLINE, signature, WRAPPED);
    }

    function expectDeliverReverts(address caller, bytes memory refusal) internal {
        bytes memory signature = signed("holder");
        bytes32 before = keccak256(abi.encode(state(licenceId)));
        expectError(refusal);
        deliverBy(caller, signature);
        vm.assertEq(keccak256(abi.encode(state(licenceId))), before, "nothing changed");
    }

    function expectSignatureRefused(bytes memory signature) internal {
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, holder));
        deliverBy(operatorKey, signature);
    }

    // ------------------------------------------------------------------ what a delivery does

    function test_Deliver_VestsAllAndAnnouncesTheKeys() public {
        bytes memory signature = signed("holder");
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeVested(licenceId, HELD);
        vm.expectEmit(address(market));
        emit ILicenceMarket.KeyDelivered(licenceId, holder, RECIPIENT_KEY, WRAPPED);
        deliverBy(operatorKey, signature);
        LicenceState memory delivered = state(licenceId);
        vm.assertEq(delivered.vested, HELD, "vested");
        vm.assertEq(delivered.taken, HELD, "taken");
        vm.assertTrue(delivered.valid, "valid");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.earned, PRICE, "income");
    }

    function test_Deliver_LeavesNothingToRefund() public {
        deliverBy(operatorKey, signed("holder"));
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 0, "refund");
    }

    function test_Deliver_AddsToWhatTimeHadVested() public {
        skip(1 hours);
        market.collect(one(licenceId));
        deliverBy(operatorKey, signed("holder"));
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.earned, PRICE, "once");
        skip(60 days);
        market.collect(one(licenceId));
        (, progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.earned, PRICE, "and no more");
    }

    function test_Deliver_WorksByTheOwnerOfTheModel() public {
        deliverBy(publisher, signed("holder"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_WorksByTheOwnerWithoutAnOperator() public {
        PlanTerms memory plan = downloadTerms();
        (plan.operatorId, plan.serviceBps) = (0, 0);
        licenceId = buy(addPlan(plan));
        deliverBy(publisher, signed("holder"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_FollowsTheModelWhenItIsSold() public {
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        bytes4 refusal = ILicenceMarket.NotDeliverer.selector;
        expectDeliverReverts(publisher, abi.encodeWithSelector(refusal, licenceId, publisher));
        deliverBy(friend, signed("holder"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_WorksAgainForAnotherRequest() public {
        deliverBy(operatorKey, signed("holder"));
        bytes memory other = sign("holder", deliverDigest(licenceId, "another device", DEADLINE));
        vm.prank(operatorKey);
        market.deliver(licenceId, "another device", DEADLINE, other, WRAPPED);
        vm.assertEq(state(licenceId).taken, HELD, "nothing is taken twice");
    }

    function test_Deliver_WorksAtItsDeadline() public {
        vm.warp(DEADLINE);
        deliverBy(operatorKey, signed("holder"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_TakesTheSignatureOfAContractWallet() public {
        SigningWallet wallet = new SigningWallet(friend);
        licenceId = buyFor(licenceId >> 32, address(wallet));
        deliverBy(operatorKey, signed("friend"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_GoesOnWhilePausedAndRetired() public {
        vm.prank(pauser);
        market.setPaused(true);
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        deliverBy(operatorKey, signed("holder"));
        vm.assertEq(state(licenceId).vested, HELD, "vested");
    }

    function test_Deliver_WorksWhereAllVestedAtOnce() public {
        PlanTerms memory plan = downloadTerms();
        plan.vesting = 0;
        licenceId = buy(addPlan(plan));
        bytes memory signature = signed("holder");
        vm.expectEmit(address(market));
        emit ILicenceMarket.KeyDelivered(licenceId, holder, RECIPIENT_KEY, WRAPPED);
        deliverBy(operatorKey, signature);
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.earned, PRICE, "income");
    }

    // ------------------------------------------------------------------ refusals

    function test_Deliver_RevertsWhenTheRequestWasUsed() public {
        deliverBy(operatorKey, signed("holder"));
        bytes32 digest = deliverDigest(licenceId, RECIPIENT_KEY, DEADLINE);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.RequestUsed.selector, digest);
        expectDeliverReverts(operatorKey, refusal);
        expectDeliverReverts(publisher, refusal);
    }

    function test_Deliver_RevertsWhenThePlanHasNoDownload() public {
        licenceId = buy(addPlan(terms()));
        bytes4 selector = ILicenceMarket.NotDownloadable.selector;
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(selector, licenceId >> 32));
    }

    function test_Deliver_RevertsWhenTheLicenceIsUnknown() public {
        licenceId += 1;
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
    }

    function test_Deliver_RevertsWhenTheLicenceIsCancelled() public {
        PlanTerms memory plan = downloadTerms();
        plan.calls = 10;
        licenceId = buy(addPlan(plan));
        cancel(licenceId);
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId));
    }

    function test_Deliver_RevertsWhenTheModelIsSuspended() public {
        suspend(modelId);
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId));
    }

    function test_Deliver_RevertsWhenTheLicenceHasExpired() public {
        PlanTerms memory plan = downloadTerms();
        (plan.period, plan.vesting) = (30 minutes, 30 minutes);
        licenceId = buy(addPlan(plan));
        vm.warp(START + 30 minutes - 1);
        uint256 moment = vm.snapshotState();
        deliverBy(operatorKey, signed("holder"));
        vm.revertToState(moment);
        vm.warp(START + 30 minutes);
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(ILicenceMarket.LicenceExpired.selector, licenceId));
    }

    /// The expiry is on the model's clock.
    function test_Deliver_WorksUntilTheShiftedExpiry() public {
        PlanTerms memory plan = downloadTerms();
        (plan.period, plan.vesting) = (30 minutes, 30 minutes);
        licenceId = buy(addPlan(plan));
        suspend(modelId);
        skip(10 minutes);
        resume(modelId);
        vm.warp(START + 40 minutes - 1);
        deliverBy(operatorKey, signed("holder"));
        vm.assertEq(state(licenceId).taken, HELD, "delivered");
    }

    function test_Deliver_RevertsWhenTheCallerIsNeitherOperatorNorOwner() public {
        vm.prank(publisher);
        registry.setApprovalForAll(friend, true);
        address[7] memory callers = [holder, operatorOwner, payee, admin, guardian, outsider, friend];
        for (uint256 i = 0; i < callers.length; ++i) {
            bytes4 selector = ILicenceMarket.NotDeliverer.selector;
            expectDeliverReverts(callers[i], abi.encodeWithSelector(selector, licenceId, callers[i]));
        }
    }

    function test_Deliver_RevertsWhenTheOperatorIsDisabled() public {
        vm.prank(guardian);
        market.disableOperator(operatorId);
        bytes4 selector = ILicenceMarket.NotDeliverer.selector;
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(selector, licenceId, operatorKey));
        deliverBy(publisher, signed("holder")); // the owner still may
    }

    /// One account may be both: being disabled as an operator takes nothing from the owner.
    function test_Deliver_WorksByAnOwnerWhoIsADisabledOperator() public {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, publisher, payee);
        vm.prank(guardian);
        market.disableOperator(operatorId);
        deliverBy(publisher, signed("holder"));
        vm.assertEq(state(licenceId).taken, HELD, "delivered");
    }

    function test_Deliver_RevertsWhenTheOldKeyOfTheOperatorCalls() public {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
        bytes4 selector = ILicenceMarket.NotDeliverer.selector;
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(selector, licenceId, operatorKey));
        deliverBy(friend, signed("holder"));
    }

    function test_Deliver_RevertsWhenTheDeadlinePassed() public {
        vm.warp(DEADLINE + 1);
        expectDeliverReverts(operatorKey, abi.encodeWithSelector(ILicenceMarket.DeadlinePassed.selector, DEADLINE));
    }

    function test_Deliver_RevertsWhenAnotherThanTheHolderSigned() public {
        string[5] memory names = ["buyer", "publisher", "operatorKey", "admin", "outsider"];
        for (uint256 i = 0; i < names.length; ++i) {
            expectSignatureRefused(signed(names[i]));
        }
        vm.prank(holder);
        market.setApprovalForAll(friend, true);
        expectSignatureRefused(signed("friend"));
    }

    function test_Deliver_RevertsWhenAnythingElseWasSigned() public {
        expectSignatureRefused(sign("holder", deliverDigest(licenceId, "another key", DEADLINE)));
        expectSignatureRefused(sign("holder", deliverDigest(licenceId, RECIPIENT_KEY, DEADLINE + 1)));
        expectSignatureRefused(sign("holder", deliverDigest(licenceId + 1, RECIPIENT_KEY, DEADLINE)));
        address to = address(uint160(uint256(RECIPIENT_KEY)));
        expectSignatureRefused(sign("holder", cancelDigest(licenceId, to, DEADLINE)));
        expectSignatureRefused("");
    }

    /// A request dies with the transfer: the new holder did not ask.
    function test_Deliver_RevertsWhenTheSignerHasPassedTheLicenceOn() public {
        bytes memory signature = signed("holder");
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, friend));
        deliverBy(operatorKey, signature);
    }
}
