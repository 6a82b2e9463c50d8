// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What a buyer of a model or of a licence can pin: fingerprints change with all that may change, and with
/// nothing else.
contract MarketFingerprintTest is MarketTest {
    uint256 internal planId;
    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        PlanTerms memory plan = meteredTerms();
        plan.flags = RUN | DOWNLOAD | TRANSFERABLE | RENEWABLE;
        planId = addPlan(plan);
        licenceId = buy(planId);
    }

    function ofModel() internal view returns (bytes32) {
        address[] memory tokens = new address[](2);
        (tokens[0], tokens[1]) = (address(0), address(usd));
        return market.modelFingerprint(modelId, tokens);
    }

    function ofLicence() internal view returns (bytes32) {
        return market.getStateFingerprint(licenceId);
    }

    /// Fails unless the model's fingerprint is another than `before`; gives the new one.
    function modelChanged(bytes32 before, string memory what) internal view returns (bytes32 fingerprint) {
        fingerprint = ofModel();
        vm.assertNotEq(fingerprint, before, what);
    }

    function licenceChanged(bytes32 before, string memory what) internal view returns (bytes32 fingerprint) {
        fingerprint = ofLicence();
        vm.assertNotEq(fingerprint, before, what);
    }

    // ------------------------------------------------------------------ models

    /// The fraud that it is there against: income is withdrawn in front of the sale's transaction.
    function test_ModelFingerprint_ShowsAWithdrawalBeforeTheSale() public {
        market.split(planId);
        bytes32 offered = ofModel();
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        bytes32 emptied = modelChanged(offered, "withdrawn");

        // The same amount comes in again: that does not undo it.
        buy(planId);
        market.split(planId);
        vm.assertEq(market.credit(modelId, address(usd)), 1_312_500, "the same credit as offered");
        vm.assertNotEq(modelChanged(emptied, "refilled"), offered, "yet not what was offered");
    }

    function test_ModelFingerprint_ChangesWithEverythingOfTheModel() public {
        bytes32 last = ofModel();
        vm.prank(publisher);
        registry.release(modelId, keccak256("second"));
        last = modelChanged(last, "release");
        vm.prank(publisher);
        registry.setDerivativeBps(modelId, 100);
        last = modelChanged(last, "what children owe");
        uint256 added = addPlan(terms());
        last = modelChanged(last, "plan added");
        vm.prank(publisher);
        market.retirePlan(added);
        last = modelChanged(last, "plan retired");
        market.split(planId);
        last = modelChanged(last, "income");
        suspend(modelId);
        last = modelChanged(last, "suspended");
        confirm(modelId);
        last = modelChanged(last, "confirmed");
        skip(1);
        resume(modelId);
        last = modelChanged(last, "resumed");
    }

    function test_ModelFingerprint_ShowsAReleaseThatWasTakenBack() public {
        bytes32 offered = ofModel();
        vm.startPrank(publisher);
        registry.release(modelId, keccak256("bad"));
        registry.release(modelId, keccak256("release")); // the digest as before
        vm.assertNotEq(ofModel(), offered, "two releases more");
    }

    function test_ModelFingerprint_ShowsASuspensionThatIsOver() public {
        bytes32 offered = ofModel();
        suspend(modelId);
        skip(1);
        resume(modelId);
        vm.assertNotEq(ofModel(), offered, "its clock is behind");
    }

    function test_ModelFingerprint_DiffersByModelAndTokens() public {
        address[] memory none = new address[](0);
        uint256 other = publish(publisher);
        vm.assertNotEq(market.modelFingerprint(modelId, none), market.modelFingerprint(other, none), "models");
        vm.assertNotEq(market.modelFingerprint(modelId, none), ofModel(), "tokens");
        market.split(planId);
        address[] memory coin = new address[](1);
        address[] memory money = new address[](1);
        money[0] = address(usd);
        vm.assertNotEq(market.modelFingerprint(modelId, coin), market.modelFingerprint(modelId, money), "which token");
    }

    /// An order must not fail because of what others do elsewhere.
    function test_ModelFingerprint_StandsWhileOthersTrade() public {
        bytes32 offered = ofModel();
        buy(planId);
        skip(1 days);
        market.collect(one(licenceId));
        report(licenceId, 5);
        PlanTerms memory plan = terms();
        plan.modelId = publish(friend);
        uint256 other = addPlan(plan);
        buy(other);
        market.split(other);
        suspend(plan.modelId);
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        vm.assertEq(ofModel(), offered, "unchanged");
    }

    function test_ModelFingerprint_RevertsWhenTheModelIsUnknown() public {
        expectError(abi.encodeWithSignature("ModelUnknown(uint256)", 99));
        market.modelFingerprint(99, new address[](0));
    }

    // ------------------------------------------------------------------ licences

    function test_GetStateFingerprint_ChangesWithEverythingOfTheLicence() public {
        bytes32 last = ofLicence();
        report(licenceId, 5);
        last = licenceChanged(last, "used");
        skip(3 days);
        market.collect(one(licenceId));
        last = licenceChanged(last, "vested");
        renew(licenceId);
        last = licenceChanged(last, "renewed");
        bytes memory signature = sign("holder", deliverDigest(licenceId, "key", blockTime()));
        vm.prank(operatorKey);
        market.deliver(licenceId, "key", blockTime(), signature, "wrapped");
        last = licenceChanged(last, "delivered");
        suspend(modelId);
        last = licenceChanged(last, "suspended");
        confirm(modelId);
        last = licenceChanged(last, "confirmed");
        resume(modelId);
        cancel(licenceId);
        last = licenceChanged(last, "cancelled");
        skip(market.REPORT_WINDOW());
        vm.prank(holder);
        market.settle(licenceId, holder);
        licenceChanged(last, "settled");
    }

    function test_GetStateFingerprint_StandsWhenTheLicenceIsSold() public {
        bytes32 offered = ofLicence();
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        vm.assertEq(ofLicence(), offered, "a sale is not a change of what is sold");
    }

    function test_GetStateFingerprint_StandsWhileOthersTrade() public {
        bytes32 offered = ofLicence();
        uint256 other = buyFor(planId, friend);
        report(other, 9);
        cancel(other);
        market.split(planId);
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        vm.assertEq(ofLicence(), offered, "unchanged");
    }

    function test_GetStateFingerprint_DiffersByLicenceAndNeverReverts() public {
        uint256 twin = buyFor(planId, holder);
        vm.assertNotEq(ofLicence(), market.getStateFingerprint(twin), "two of one plan in one block");
        vm.assertNotEq(market.getStateFingerprint(twin), market.getStateFingerprint(twin + 1), "one that is not");
        market.getStateFingerprint(type(uint256).max);
        market.getStateFingerprint(0);
    }
}
