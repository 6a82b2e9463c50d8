// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NoValueERC721} from "../../src/NoValueERC721.sol";
import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What a licence is to whoever looks at it, and how its token moves.
contract MarketLicencesTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;

    // ------------------------------------------------------------------ validity and state

    function test_IsValid_HoldsBeforeTheExpiryAndNotAtIt() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 30 days - 1);
        vm.assertTrue(market.isValid(licenceId), "the last second");
        vm.assertTrue(state(licenceId).valid, "the last second, batched");
        vm.warp(START + 30 days);
        vm.assertFalse(market.isValid(licenceId), "at expiry");
        vm.assertFalse(state(licenceId).valid, "at expiry, batched");
        vm.assertTrue(state(licenceId).exists, "an expired licence exists");
    }

    function testFuzz_IsValid_EndsAtTheExpiry(uint32 period, uint40 elapsed) public {
        PlanTerms memory plan = terms();
        plan.period = uint32(bound(period, 1, market.MAX_PERIOD()));
        plan.vesting = plan.period;
        uint256 licenceId = buy(addPlan(plan));
        vm.warp(START + elapsed);
        vm.assertTrue(market.isValid(licenceId) == (elapsed < plan.period), "valid");
    }

    function testFuzz_IsValid_HoldsForEverWhenPerpetual(uint64 elapsed) public {
        uint256 licenceId = buy(addPlan(downloadTerms()));
        vm.warp(START + elapsed);
        vm.assertTrue(market.isValid(licenceId), "valid");
        vm.assertEq(state(licenceId).expiry, 0, "expiry");
    }

    function test_IsValid_EndsWithASuspensionAndReturnsWhenItLapses() public {
        uint256 licenceId = buy(addPlan(terms()));
        suspend(modelId);
        vm.assertFalse(market.isValid(licenceId), "suspended");
        vm.assertTrue(state(licenceId).suspended, "and it says so");
        vm.warp(START + 14 days - 1);
        vm.assertFalse(market.isValid(licenceId), "the last second");
        vm.warp(START + 14 days);
        vm.assertTrue(market.isValid(licenceId), "lapsed");
        vm.assertFalse(state(licenceId).suspended, "and it says so");
    }

    function test_IsValid_OfAnExpiredLicenceStaysFalseThroughASuspension() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.warp(START + 30 days);
        suspend(modelId);
        skip(20 days);
        vm.assertFalse(market.isValid(licenceId), "what had ended does not come back");
    }

    function test_LicenceStates_AnswersInTheOrderAsked() public {
        uint256 planId = addPlan(meteredTerms());
        uint256[] memory ids = new uint256[](3);
        (ids[0], ids[1], ids[2]) = (buyFor(planId, friend), 424242, buy(planId));
        LicenceState[] memory states = market.licenceStates(ids);

        vm.assertEq(states.length, 3, "length");
        vm.assertEq(states[0].owner, friend, "first");
        vm.assertFalse(states[1].exists, "unknown");
        vm.assertEq(states[2].owner, holder, "third");
        vm.assertEq(states[2].planId, planId, "plan");
        vm.assertEq(states[2].modelId, modelId, "model");
        vm.assertEq(states[2].expiry, START + 30 days, "expiry");
        vm.assertEq(states[2].calls, 1_000, "calls");
        vm.assertEq(states[2].flags, RUN | TRANSFERABLE | RENEWABLE, "flags");
        vm.assertEq(states[2].start, START, "start");
        vm.assertEq(states[2].settleAt, 0, "settles");
    }

    function test_LicenceStates_ShowTheFlagsOfARetiredPlanUnchanged() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        vm.assertEq(state(licenceId).flags, RUN | TRANSFERABLE | RENEWABLE, "flags");
        vm.assertTrue(market.isValid(licenceId), "licences go on");
    }

    function testFuzz_LicenceStates_AreAllZeroForUnknownIds(uint256[] memory ids) public {
        uint256 known = buy(addPlan(terms()));
        LicenceState[] memory states = market.licenceStates(ids);
        LicenceState memory nothing;
        for (uint256 i = 0; i < ids.length; ++i) {
            vm.assume(ids[i] != known);
            vm.assertFalse(market.isValid(ids[i]), "valid");
            vm.assertEq(keccak256(abi.encode(states[i])), keccak256(abi.encode(nothing)), "all zero");
        }
    }

    function test_Plan_RevertsWhenItIsUnknown() public {
        uint256 planId = addPlan(terms()) + 1;
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId);
        expectError(refusal);
        market.plan(planId);
        expectError(refusal);
        market.planHash(planId);
    }

    /// Serials have 24 bits. When they are used up the plan sells no more, whoever left.
    function test_Buy_RevertsWhenAllSerialsAreUsed() public {
        uint256 planId = addPlan(terms());
        bytes32 slot = salesSlot(planId);
        uint256 packed = uint256(vm.load(address(market), slot));
        vm.store(address(market), slot, bytes32(packed | (uint256(type(uint24).max) - 1) << 208));
        uint256 last = buy(planId);
        vm.assertEq(uint32(last), type(uint24).max, "the last serial");
        cancel(last);

        bytes32 agreed = market.planHash(planId);
        expectError(abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, planId, 100));
        vm.prank(buyer);
        market.buy(planId, agreed, holder);
        (, PlanState memory progress) = market.plan(planId);
        vm.assertEq(progress.live, 0, "though nobody is there");
    }

    /// Where the plan keeps token 160 | supply 24 | live 24 | sold 24: found by what stands in it.
    function salesSlot(uint256 planId) internal view returns (bytes32 slot) {
        uint256 expected = uint256(uint160(address(usd))) | uint256(100) << 160;
        for (uint256 base = 0; base < 64; ++base) {
            slot = bytes32(uint256(keccak256(abi.encode(planId, base))) + 1);
            if (uint256(vm.load(address(market), slot)) << 48 == expected << 48) return slot;
        }
        revert("the layout of plans has changed");
    }

    // ------------------------------------------------------------------ transfer

    function test_Transfer_CarriesEverythingAlong() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        vm.warp(START + 3 days);
        report(licenceId, 200);
        market.collect(one(licenceId));
        LicenceState memory before = state(licenceId);
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);

        LicenceState memory moved = state(licenceId);
        vm.assertEq(moved.owner, friend, "owner");
        moved.owner = holder;
        vm.assertEq(keccak256(abi.encode(moved)), keccak256(abi.encode(before)), "all else");
    }

    function test_Transfer_PassesTheRightToLeaveOn() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, holder));
        vm.prank(holder);
        market.cancel(licenceId, holder);
        vm.warp(START + 15 days);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(friend), HELD / 2, "the new holder is refunded");
    }

    function test_Transfer_GoesOnWhilePausedSuspendedRetiredAndExpired() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(publisher);
        market.retirePlan(licenceId >> 32);
        vm.prank(pauser);
        market.setPaused(true);
        suspend(modelId);
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        skip(100 days);
        vm.prank(friend);
        market.transferFrom(friend, holder, licenceId);
        vm.assertEq(market.ownerOf(licenceId), holder, "there and back");
    }

    function test_Transfer_RevertsWhenTheLicenceIsBound() public {
        PlanTerms memory plan = terms();
        plan.flags = RUN | RENEWABLE;
        uint256 licenceId = buy(addPlan(plan));
        expectNoTransfer(licenceId, abi.encodeWithSelector(ILicenceMarket.LicenceBound.selector, licenceId));
    }

    function test_Transfer_RevertsWhenTheLicenceIsCancelled() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        cancel(licenceId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId);
        expectNoTransfer(licenceId, refusal);
        skip(7 hours);
        expectNoTransfer(licenceId, refusal);
    }

    /// By none of the three forms, and by no approved account.
    function expectNoTransfer(uint256 licenceId, bytes memory refusal) internal {
        vm.startPrank(holder);
        market.setApprovalForAll(outsider, true);
        market.approve(friend, licenceId);
        expectError(refusal);
        market.transferFrom(holder, friend, licenceId);
        expectError(refusal);
        market.safeTransferFrom(holder, friend, licenceId);
        expectError(refusal);
        market.safeTransferFrom(holder, friend, licenceId, "data");
        vm.stopPrank();
        address[2] memory approved = [outsider, friend];
        for (uint256 i = 0; i < 2; ++i) {
            expectError(refusal);
            vm.prank(approved[i]);
            market.transferFrom(holder, approved[i], licenceId);
        }
        vm.assertEq(market.ownerOf(licenceId), holder, "holder");
    }

    function testFuzz_Transfer_IsAllowedByTheTransferableFlagAlone(uint8 rights, bool transferable) public {
        PlanTerms memory plan = terms();
        plan.flags = uint8(bound(rights, 1, 3)) | (transferable ? TRANSFERABLE : 0);
        uint256 licenceId = buy(addPlan(plan));
        if (!transferable) expectError(abi.encodeWithSelector(ILicenceMarket.LicenceBound.selector, licenceId));
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        vm.assertEq(market.ownerOf(licenceId), transferable ? friend : holder, "holder");
    }

    function test_Transfer_WorksByApprovalWhichEndsWithIt() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.prank(holder);
        market.approve(outsider, licenceId);
        vm.prank(outsider);
        market.transferFrom(holder, friend, licenceId);
        vm.assertEq(market.getApproved(licenceId), address(0), "approval");
        expectError(abi.encodeWithSelector(ERC721.NotOwnerNorApproved.selector));
        vm.prank(outsider);
        market.transferFrom(friend, outsider, licenceId);
    }

    function test_Transfer_RevertsWhenTheSenderIsGivenAsAnother() public {
        uint256 licenceId = buy(addPlan(terms()));
        address[2] memory senders = [address(0), friend];
        for (uint256 i = 0; i < 2; ++i) {
            expectError(abi.encodeWithSelector(ERC721.TransferFromIncorrectOwner.selector));
            vm.prank(holder);
            market.transferFrom(senders[i], friend, licenceId);
        }
    }

    function test_Transfer_RevertsWhenTheRecipientIsZero() public {
        uint256 licenceId = buy(addPlan(meteredTerms()));
        expectError(abi.encodeWithSelector(ERC721.TransferToZeroAddress.selector));
        vm.prank(holder);
        market.transferFrom(holder, address(0), licenceId);
        cancel(licenceId);
        expectError(abi.encodeWithSelector(ERC721.TransferToZeroAddress.selector));
        vm.prank(holder);
        market.transferFrom(holder, address(0), licenceId);
    }

    function test_Transfer_RevertsWhenACoinIsSentAlong() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.deal(holder, 4);
        vm.startPrank(holder);
        bytes memory refusal = abi.encodeWithSelector(NoValueERC721.ValueNotTaken.selector, 1);
        expectError(refusal);
        market.transferFrom{value: 1}(holder, friend, licenceId);
        expectError(refusal);
        market.approve{value: 1}(friend, licenceId);
        vm.stopPrank();
    }

    function test_Transfer_RevertsWhenTheReceiverTakesNoTokens() public {
        uint256 licenceId = buy(addPlan(terms()));
        expectError(abi.encodeWithSelector(ERC721.TransferToNonERC721ReceiverImplementer.selector));
        vm.prank(holder);
        market.safeTransferFrom(holder, address(usd), licenceId);
    }

    function test_NoRole_EndsOrMovesALicence() public {
        uint256 licenceId = buy(addPlan(terms()));
        address[7] memory roles = [admin, guardian, pauser, treasury, publisher, operatorKey, operatorOwner];
        for (uint256 i = 0; i < roles.length; ++i) {
            vm.startPrank(roles[i]);
            expectError(abi.encodeWithSelector(ERC721.NotOwnerNorApproved.selector));
            market.transferFrom(holder, roles[i], licenceId);
            expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, roles[i]));
            market.cancel(licenceId, roles[i]);
            expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, roles[i]));
            market.settle(licenceId, roles[i]);
            expectError(abi.encodeWithSelector(ILicenceMarket.SettlesLater.selector, licenceId, 0));
            market.settle(licenceId, holder);
            vm.stopPrank();
        }
    }

    // ------------------------------------------------------------------ the standards beside ERC-721

    function test_TokenURI_IsThatOfTheModel() public {
        uint256 licenceId = buy(addPlan(terms()));
        vm.assertEq(market.tokenURI(licenceId), registry.tokenURI(modelId), "uri");
        vm.prank(publisher);
        registry.release(modelId, keccak256("second release"));
        vm.assertEq(market.tokenURI(licenceId), registry.tokenURI(modelId), "uri of the newest release");
    }

    function test_TokenURI_RevertsWhenTheLicenceIsUnknown() public {
        uint256 licenceId = buy(addPlan(terms()));
        cancel(licenceId);
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        market.tokenURI(licenceId);
    }

    function testFuzz_RoyaltyInfo_IsATwentiethToTheOwnerOfTheModel(uint256 price) public {
        uint256 licenceId = buy(addPlan(terms()));
        (address receiver, uint256 amount) = market.royaltyInfo(licenceId, price);
        vm.assertEq(receiver, publisher, "receiver");
        vm.assertEq(amount, price / 20, "amount");
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        (receiver,) = market.royaltyInfo(licenceId, price);
        vm.assertEq(receiver, friend, "who bought the model");
        (, amount) = market.royaltyInfo(licenceId, type(uint256).max);
        vm.assertEq(amount, type(uint256).max / 20, "no price is too large");
    }

    function test_SupportsInterface_NamesTheStandards() public view {
        vm.assertTrue(market.supportsInterface(0x01ffc9a7), "ERC-165");
        vm.assertTrue(market.supportsInterface(0x80ac58cd), "ERC-721");
        vm.assertTrue(market.supportsInterface(0x5b5e139f), "ERC-721 metadata");
        vm.assertTrue(market.supportsInterface(0x49064906), "ERC-4906");
        vm.assertTrue(market.supportsInterface(market.royaltyInfo.selector), "ERC-2981");
        vm.assertTrue(market.supportsInterface(market.getStateFingerprint.selector), "ERC-5646");
        vm.assertFalse(market.supportsInterface(0xffffffff), "nothing");
        vm.assertFalse(market.supportsInterface(0x780e9d63), "not ERC-721 enumerable");
    }
}
