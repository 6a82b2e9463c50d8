// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Two actions meet in one block, and whoever builds it chooses the order. For each pair: the outcome is the
/// same, or the second is refused and the test says how, or the test states both outcomes.
contract MarketLicencesRacesTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint96 internal constant DAY = 950_000;

    uint256 internal timed;
    uint256 internal metered;
    bytes32 internal agreed; // of the metered plan
    address internal keeper; // who holds the metered licence, and alone may renew it

    function setUp() public override {
        super.setUp();
        PlanTerms memory plan = meteredTerms();
        plan.flags |= DOWNLOAD;
        plan.supply = 2;
        metered = buy(addPlan(plan));
        agreed = market.planHash(metered >> 32);
        plan = terms();
        plan.flags |= DOWNLOAD;
        timed = buy(addPlan(plan));
        vm.warp(START + 3 days);
        report(metered, 50);
        fund(holder);
        fund(friend);
        keeper = holder;
    }

    function fund(address account) internal {
        usd.mint(account, PRICE);
        vm.prank(account);
        usd.approve(address(market), PRICE);
    }

    // ------------------------------------------------------------------ the actions

    function cancelTimed() internal {
        vm.prank(holder);
        market.cancel(timed, holder);
    }

    function cancelMetered() internal {
        vm.prank(holder);
        market.cancel(metered, holder);
    }

    function cancelTimedBySig() internal {
        bytes memory signature = sign("holder", cancelDigest(timed, holder, START + 3 days));
        vm.prank(outsider);
        market.cancelBySig(timed, holder, START + 3 days, signature);
    }

    function transferTimed() internal {
        vm.prank(holder);
        market.transferFrom(holder, friend, timed);
    }

    function transferMetered() internal {
        vm.prank(holder);
        market.transferFrom(holder, friend, metered);
        keeper = friend;
    }

    function renewTimed() internal {
        bytes32 hash = market.planHash(timed >> 32);
        vm.prank(buyer);
        market.renew(timed, hash);
    }

    function renewMetered() internal {
        vm.prank(keeper);
        market.renew(metered, agreed);
    }

    function collectBoth() internal {
        uint256[] memory ids = new uint256[](2);
        (ids[0], ids[1]) = (timed, metered);
        market.collect(ids);
    }

    function splitBoth() internal {
        market.split(timed >> 32);
        market.split(metered >> 32);
    }

    function reportMetered() internal {
        report(metered, 400);
    }

    function suspendModel() internal {
        suspend(modelId);
    }

    function resumeModel() internal {
        resume(modelId);
    }

    function retirePlans() internal {
        vm.startPrank(publisher);
        market.retirePlan(timed >> 32);
        market.retirePlan(metered >> 32);
        vm.stopPrank();
    }

    function changeFee() internal {
        vm.prank(admin);
        market.setFeeBps(0);
    }

    function pause() internal {
        vm.prank(pauser);
        market.setPaused(true);
    }

    function disableOperator() internal {
        vm.prank(guardian);
        market.disableOperator(operatorId);
    }

    function rotateOperator() internal {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
    }

    function deliverTimed() internal {
        deliver(timed);
    }

    function deliverMetered() internal {
        deliver(metered);
    }

    function deliver(uint256 licenceId) internal {
        bytes memory signature = sign("holder", deliverDigest(licenceId, "key", START + 3 days));
        vm.prank(publisher);
        market.deliver(licenceId, "key", START + 3 days, signature, "wrapped");
    }

    function buyMetered() internal {
        vm.prank(buyer);
        market.buy(metered >> 32, agreed, friend);
    }

    // ------------------------------------------------------------------ what is compared

    /// All that anyone owns or is owed, and both licences.
    function outcome() internal view returns (bytes32) {
        (, PlanState memory first) = market.plan(timed >> 32);
        (, PlanState memory second) = market.plan(metered >> 32);
        bytes32 money = keccak256(
            abi.encode(
                usd.balanceOf(holder),
                usd.balanceOf(friend),
                usd.balanceOf(buyer),
                usd.balanceOf(address(market)),
                market.credit(modelId, address(usd)),
                market.accountCredit(payee, address(usd)),
                market.accountCredit(treasury, address(usd))
            )
        );
        return keccak256(abi.encode(money, first, second, state(timed), state(metered)));
    }

    /// Both orders lead to the same.
    function expectCommutes(function() internal one_, function() internal other) internal {
        uint256 moment = vm.snapshotState();
        one_();
        other();
        bytes32 result = outcome();
        vm.revertToState(moment);
        other();
        one_();
        vm.assertEq(outcome(), result, "both orders");
        vm.revertToState(moment);
    }

    // ------------------------------------------------------------------ leaving meets the rest

    function test_Cancel_AndCollectCommute() public {
        expectCommutes(cancelTimed, collectBoth);
        expectCommutes(cancelTimedBySig, collectBoth);
        expectCommutes(cancelMetered, collectBoth);
    }

    /// Use that is reported after the cancel counts as use before it.
    function test_Cancel_AndReportCommuteWithinTheWindow() public {
        uint256 moment = vm.snapshotState();
        for (uint256 order = 0; order < 2; ++order) {
            order == 0 ? cancelMetered() : reportMetered();
            order == 0 ? reportMetered() : cancelMetered();
            skip(6 hours);
            vm.prank(holder);
            vm.assertEq(market.settle(metered, holder), HELD * 6 / 10, "400 of 1,000 were used");
            vm.revertToState(moment);
        }
    }

    function test_Cancel_AndSuspendCommute() public {
        expectCommutes(cancelTimed, suspendModel);
        expectCommutes(cancelMetered, suspendModel);
    }

    function test_Cancel_AndResumeCommute() public {
        suspend(modelId);
        skip(5 days);
        expectCommutes(cancelTimed, resumeModel);
        expectCommutes(cancelMetered, resumeModel);
    }

    function test_Cancel_AndRetireCommute() public {
        expectCommutes(cancelTimed, retirePlans);
        expectCommutes(cancelMetered, retirePlans);
    }

    function test_Cancel_AndFeeChangeCommute() public {
        expectCommutes(cancelTimed, changeFee);
        expectCommutes(cancelMetered, changeFee);
    }

    function test_Cancel_AndPauseCommute() public {
        expectCommutes(cancelTimed, pause);
        expectCommutes(cancelMetered, pause);
    }

    function test_Cancel_BeforeATransferStopsIt() public {
        cancelTimed();
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        transferTimed();
        cancelMetered();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, metered));
        transferMetered();
    }

    function test_Cancel_AfterATransferIsRefused() public {
        transferTimed();
        transferMetered();
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, timed, holder));
        cancelTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, metered, holder));
        cancelMetered();
    }

    function test_CancelBySig_AfterATransferIsRefused() public {
        bytes memory signature = sign("holder", cancelDigest(timed, holder, START + 3 days));
        transferTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, friend));
        market.cancelBySig(timed, holder, START + 3 days, signature);
    }

    function test_CancelBySig_AfterACancelIsRefused() public {
        bytes memory signature = sign("holder", cancelDigest(timed, holder, START + 3 days));
        cancelTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, timed));
        market.cancelBySig(timed, holder, START + 3 days, signature);
    }

    /// Whoever renews a licence that was left a moment before keeps the money.
    function test_Cancel_BeforeARenewalStopsIt() public {
        uint256 before = usd.balanceOf(buyer);
        bytes32 hash = market.planHash(timed >> 32);
        cancelTimed();
        cancelMetered();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, timed));
        vm.prank(buyer);
        market.renew(timed, hash);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, metered));
        renewMetered();
        vm.assertEq(usd.balanceOf(buyer), before, "nothing was paid");
    }

    function test_Cancel_AfterARenewalRefundsBothTerms() public {
        renewTimed();
        cancelTimed();
        vm.assertEq(usd.balanceOf(holder), PRICE + (HELD - 3 * DAY) + HELD, "the rest of the first, and the second");
    }

    function test_Cancel_BeforeADeliveryStopsIt() public {
        bytes memory signature = sign("holder", deliverDigest(timed, "key", START + 3 days));
        cancelTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, timed));
        vm.prank(publisher);
        market.deliver(timed, "key", START + 3 days, signature, "wrapped");

        signature = sign("holder", deliverDigest(metered, "key", START + 3 days));
        cancelMetered();
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, metered));
        vm.prank(publisher);
        market.deliver(metered, "key", START + 3 days, signature, "wrapped");
    }

    function test_Cancel_AfterADeliveryRefundsNothing() public {
        deliverTimed();
        cancelTimed();
        deliverMetered();
        cancelMetered();
        skip(6 hours);
        vm.prank(holder);
        vm.assertEq(market.settle(metered, holder), 0, "refund");
        vm.assertEq(usd.balanceOf(holder), PRICE, "nothing came back");
    }

    function test_Settle_AtTheEndOfTheWindowMeetsNoReport() public {
        cancelMetered();
        skip(6 hours);
        uint256 moment = vm.snapshotState();
        report(metered, 900); // skipped
        uint256 reported = market.settle(metered, holder);
        vm.revertToState(moment);
        vm.assertEq(market.settle(metered, holder), reported, "both orders");
        report(metered, 900); // skipped
        vm.assertEq(reported, HELD - 3 * DAY, "refund");
    }

    function test_Settle_ByAStrangerCannotPayWhoHasPassedTheLicenceOn() public {
        suspend(modelId);
        confirm(modelId);
        skip(90 days);
        transferTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, timed, outsider));
        vm.prank(outsider);
        market.settle(timed, holder);
        market.settle(timed, friend);
        vm.assertEq(usd.balanceOf(friend), PRICE + HELD - 3 * DAY, "who holds it");
    }

    // ------------------------------------------------------------------ renewing meets the rest

    function test_Renew_AndCollectCommute() public {
        expectCommutes(renewTimed, collectBoth);
        expectCommutes(renewMetered, collectBoth);
    }

    function test_Renew_AndTransferCommute() public {
        expectCommutes(renewTimed, transferTimed);
    }

    /// A metered licence is renewed by who holds it then: not by who has passed it on.
    function test_Transfer_TakesTheRenewalAlong() public {
        transferMetered();
        keeper = holder;
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, metered, holder));
        renewMetered();
        keeper = friend;
        renewMetered();
        vm.assertEq(state(metered).calls, 2_000, "calls");
    }

    function test_Renew_AndFeeChangeCommute() public {
        expectCommutes(renewTimed, changeFee);
    }

    function test_Renew_AndReportDifferAsStated() public {
        uint256 moment = vm.snapshotState();
        reportMetered(); // 400 of 1,000 in the old term
        renewMetered();
        LicenceState memory after_ = state(metered);
        vm.assertEq(after_.amount, HELD * 6 / 10 + HELD, "six tenths are carried over");
        vm.assertEq(after_.base, 400, "base");
        vm.assertEq(after_.vested, 0, "vested");

        vm.revertToState(moment);
        renewMetered(); // three days had vested, 50 were used
        reportMetered(); // 350 of 1,950 in the new term
        LicenceState memory before = state(metered);
        vm.assertEq(before.amount, (HELD - 3 * DAY) + HELD, "nine tenths are carried over");
        vm.assertEq(before.base, 50, "base");
        vm.assertEq(before.vested, uint256(before.amount) * 350 / 1_950, "vested");
    }

    function test_Renew_AfterASuspensionPauseOrRetirementIsRefused() public {
        uint256 moment = vm.snapshotState();
        suspendModel();
        expectError(abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId));
        renewMetered();
        vm.revertToState(moment);
        pause();
        expectError(abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
        renewMetered();
        vm.revertToState(moment);
        retirePlans();
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, metered >> 32));
        renewMetered();
    }

    function test_Renew_BeforeASuspensionPauseOrRetirementStands() public {
        renewMetered();
        suspendModel();
        pause();
        retirePlans();
        vm.assertEq(state(metered).calls, 2_000, "calls");
        resumeModel();
        vm.assertTrue(market.isValid(metered), "valid");
    }

    function test_Renew_ByTwoPayersAddsTwoTerms() public {
        renewTimed();
        renewTimed();
        vm.assertEq(state(timed).expiry, START + 90 days, "expiry");
        vm.assertEq(state(timed).amount, (HELD - 3 * DAY) + 2 * HELD, "amount");
    }

    // ------------------------------------------------------------------ delivering meets the rest

    function test_Deliver_AndCollectCommute() public {
        expectCommutes(deliverTimed, collectBoth);
        expectCommutes(deliverMetered, collectBoth);
    }

    function test_Deliver_AndReportCommute() public {
        expectCommutes(deliverMetered, reportMetered);
    }

    function test_Deliver_AndRetireCommute() public {
        expectCommutes(deliverTimed, retirePlans);
    }

    /// The buyer of a licence at a known fingerprint is not surprised by a delivery.
    function test_Deliver_BeforeATransferChangesTheFingerprint() public {
        bytes32 fingerprint = market.getStateFingerprint(timed);
        deliverTimed();
        vm.assertNotEq(market.getStateFingerprint(timed), fingerprint, "fingerprint");
        transferTimed();
        vm.assertEq(state(timed).vested, HELD, "the new holder gets no refund");
    }

    function test_Deliver_AfterATransferIsRefused() public {
        bytes memory signature = sign("holder", deliverDigest(timed, "key", START + 3 days));
        transferTimed();
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, friend));
        vm.prank(publisher);
        market.deliver(timed, "key", START + 3 days, signature, "wrapped");
    }

    function test_Deliver_AfterASuspensionIsRefused() public {
        bytes memory signature = sign("holder", deliverDigest(timed, "key", START + 3 days));
        suspendModel();
        expectError(abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId));
        vm.prank(publisher);
        market.deliver(timed, "key", START + 3 days, signature, "wrapped");
    }

    function test_Deliver_AndRenewDifferAsStated() public {
        uint256 moment = vm.snapshotState();
        deliverTimed();
        renewTimed();
        vm.assertEq(state(timed).amount, HELD, "the new term is held");
        vm.assertEq(state(timed).vested, 0, "and vests from now");
        vm.revertToState(moment);
        renewTimed();
        deliverTimed();
        vm.assertEq(state(timed).amount, (HELD - 3 * DAY) + HELD, "both terms");
        vm.assertEq(state(timed).vested, (HELD - 3 * DAY) + HELD, "have vested");
    }

    // ------------------------------------------------------------------ reporting, selling and sharing meet the rest

    function test_Report_AndTransferCommute() public {
        expectCommutes(reportMetered, transferMetered);
    }

    function test_Report_AndSuspendCommute() public {
        expectCommutes(reportMetered, suspendModel);
    }

    function test_Report_AfterTheOperatorIsDisabledOrRotatedIsSkipped() public {
        uint256 moment = vm.snapshotState();
        disableOperator();
        reportMetered();
        vm.assertEq(state(metered).used, 50, "disabled");
        vm.revertToState(moment);
        rotateOperator();
        reportMetered();
        vm.assertEq(state(metered).used, 50, "rotated");
        vm.revertToState(moment);
        reportMetered();
        disableOperator();
        vm.assertEq(state(metered).used, 400, "what was reported before stays");
    }

    function test_Report_OfTwoCountsLeavesTheHigherInBothOrders() public {
        uint256 moment = vm.snapshotState();
        report(metered, 300);
        report(metered, 500);
        bytes32 result = outcome();
        vm.revertToState(moment);
        report(metered, 500);
        report(metered, 300);
        vm.assertEq(outcome(), result, "both orders");
    }

    function test_Collect_AndSplitShareTheSameInTheEnd() public {
        uint256 moment = vm.snapshotState();
        collectBoth();
        splitBoth();
        bytes32 result = outcome();
        vm.revertToState(moment);
        splitBoth();
        collectBoth();
        splitBoth();
        vm.assertEq(outcome(), result, "both orders, once all is split");
    }

    function test_Collect_AndTransferCommute() public {
        expectCommutes(collectBoth, transferTimed);
    }

    function test_Collect_AndSuspendCommute() public {
        expectCommutes(collectBoth, suspendModel);
    }

    function test_Collect_AndResumeCommute() public {
        suspend(modelId);
        skip(5 days);
        expectCommutes(collectBoth, resumeModel);
    }

    /// One place is left: who comes first has it, and the other keeps the money.
    function test_Buy_OfTheLastPlaceGoesToTheFirst() public {
        buyMetered();
        uint256 before = usd.balanceOf(buyer);
        expectError(abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, metered >> 32, 2));
        buyMetered();
        vm.assertEq(usd.balanceOf(buyer), before, "nothing was paid");
        cancelMetered(); // had this come first, there would have been two places
        buyMetered();
        vm.assertEq(market.balanceOf(friend), 2, "licences");
    }

    function test_Buy_AndFeeChangeCommute() public {
        expectCommutes(buyMetered, changeFee);
    }

    function test_Buy_AfterARetirementIsRefused() public {
        retirePlans();
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, metered >> 32));
        buyMetered();
    }

    function test_Buy_BeforeARetirementStands() public {
        buyMetered();
        retirePlans();
        vm.assertEq(market.balanceOf(friend), 1, "licences");
        vm.assertTrue(market.isValid(metered), "valid");
    }
}
