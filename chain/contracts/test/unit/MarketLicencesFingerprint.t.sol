// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {Vm} from "../helpers/TestBase.sol";

/// @notice ERC-5646: who buys a licence at a known fingerprint gets what was looked at. ERC-4906: who shows it is told.
contract MarketLicencesFingerprintTest is MarketTest {
    event MetadataUpdate(uint256 _tokenId);

    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        PlanTerms memory plan = meteredTerms();
        plan.flags |= DOWNLOAD;
        licenceId = buy(addPlan(plan));
        skip(1 days);
    }

    function print() internal view returns (bytes32) {
        return market.getStateFingerprint(licenceId);
    }

    function collectIt() internal {
        market.collect(one(licenceId));
    }

    function reportIt() internal {
        report(licenceId, state(licenceId).used + 100);
    }

    function renewIt() internal {
        renew(licenceId);
    }

    function deliverIt() internal {
        bytes memory signature = sign("holder", deliverDigest(licenceId, "key", START + 2 days));
        vm.prank(operatorKey);
        market.deliver(licenceId, "key", START + 2 days, signature, "wrapped");
    }

    function cancelIt() internal {
        cancel(licenceId);
    }

    function suspendIt() internal {
        suspend(modelId);
    }

    function passOn() internal {
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
    }

    function expectChanges(function() internal action, string memory what) internal {
        uint256 moment = vm.snapshotState();
        bytes32 before = print();
        action();
        vm.assertNotEq(print(), before, what);
        vm.revertToState(moment);
    }

    function expectSame(function() internal action, string memory what) internal {
        bytes32 before = print();
        action();
        vm.assertEq(print(), before, what);
    }

    function test_Fingerprint_ChangesWithEveryChangeOfTheLicence() public {
        expectChanges(collectIt, "collect");
        expectChanges(reportIt, "report");
        expectChanges(renewIt, "renew");
        expectChanges(deliverIt, "deliver");
        expectChanges(cancelIt, "cancel");
        expectChanges(suspendIt, "suspend");
    }

    function test_Fingerprint_ChangesWithConfirmationAndResumption() public {
        suspend(modelId);
        expectChanges(confirmIt, "confirm");
        skip(1);
        expectChanges(resumeIt, "resume");
    }

    function confirmIt() internal {
        confirm(modelId);
    }

    function resumeIt() internal {
        resume(modelId);
    }

    function test_Fingerprint_ChangesWithTheSettlement() public {
        cancel(licenceId);
        skip(6 hours);
        bytes32 before = print();
        market.settle(licenceId, holder);
        vm.assertNotEq(print(), before, "settle");
    }

    /// Such a licence has no term and holds nothing: that it exists is all there is to it.
    function test_Fingerprint_ChangesWithTheEndOfALicenceThatHoldsNothing() public {
        PlanTerms memory plan = downloadTerms();
        plan.vesting = 0;
        licenceId = buy(addPlan(plan));
        expectChanges(cancelIt, "cancel");
    }

    function test_Fingerprint_DiffersBetweenLicences() public {
        uint256 other = buy(licenceId >> 32);
        vm.assertNotEq(print(), market.getStateFingerprint(other), "bought a day later");
        uint256 twin = buy(licenceId >> 32);
        vm.assertNotEq(market.getStateFingerprint(twin), market.getStateFingerprint(other), "alike but for the id");
    }

    function test_Fingerprint_StaysWithAnotherHolder() public {
        expectSame(passOn, "transfer");
    }

    function test_Fingerprint_StaysWhereNothingAboutTheLicenceChanges() public {
        expectSame(approveIt, "approval");
        expectSame(wait, "time");
        expectSame(reportTooMuch, "a report that is skipped");
        expectSame(touchOthers, "what happens to others");
    }

    function approveIt() internal {
        vm.prank(holder);
        market.approve(outsider, licenceId);
    }

    function wait() internal {
        skip(1 hours);
    }

    function reportTooMuch() internal {
        report(licenceId, 1_001);
    }

    function touchOthers() internal {
        uint256 other = buy(licenceId >> 32);
        report(other, 5);
        cancel(other);
        market.split(licenceId >> 32);
        suspend(publish(outsider));
        vm.prank(admin);
        market.setFeeBps(0);
    }

    function test_Fingerprint_StaysWithACollectOfNothing() public {
        market.collect(one(licenceId));
        expectSame(collectIt, "nothing had vested since");
    }

    /// At one moment the fingerprint changes exactly when the state does, its holder aside.
    function testFuzz_Fingerprint_ChangesExactlyWithTheState(uint8[10] memory actions) public {
        bytes32 print0 = print();
        bytes32 state0 = stateWithoutHolder();
        for (uint256 i = 0; i < actions.length; ++i) {
            act(actions[i] % 7);
            bytes32 print1 = print();
            bytes32 state1 = stateWithoutHolder();
            vm.assertTrue((print1 != print0) == (state1 != state0), vm.toString(uint256(actions[i] % 7)));
            (print0, state0) = (print1, state1);
        }
    }

    function act(uint256 action) internal {
        LicenceState memory now_ = state(licenceId);
        if (action == 0) collectIt();
        if (action == 1) reportIt();
        if (action == 2) report(licenceId, now_.calls + 1);
        if (action == 3 && now_.settleAt == 0) renewIt();
        if (action == 4 && now_.settleAt == 0) cancelIt();
        if (action == 5) touchOthersQuietly();
        if (action == 6 && now_.settleAt == 0) {
            vm.prank(now_.owner);
            market.transferFrom(now_.owner, now_.owner == holder ? friend : holder, licenceId);
        }
    }

    function touchOthersQuietly() internal {
        cancel(buy(licenceId >> 32));
    }

    function stateWithoutHolder() internal view returns (bytes32) {
        LicenceState memory now_ = state(licenceId);
        now_.owner = address(0);
        return keccak256(abi.encode(now_));
    }

    // ------------------------------------------------------------------ ERC-4906

    function test_MetadataUpdate_TellsOfRenewalAndCancel() public {
        vm.recordLogs();
        renewIt();
        vm.assertEq(updates(), 1, "renew");
        cancelIt();
        vm.assertEq(updates(), 1, "cancel");
    }

    /// How many updates of the licence were announced since the last call.
    function updates() internal returns (uint256 count) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bool ours = logs[i].emitter == address(market) && logs[i].topics[0] == MetadataUpdate.selector;
            if (ours && abi.decode(logs[i].data, (uint256)) == licenceId) ++count;
        }
    }
}
