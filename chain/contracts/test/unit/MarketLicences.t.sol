// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NoValueERC721} from "../../src/NoValueERC721.sol";
import {ILicenceMarket, LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketLicencesTest is MarketTest {
    function transferablePlan() internal returns (uint256) {
        PlanTerms memory terms = nativeTerms();
        terms.flags = RUN | TRANSFERABLE;
        return addPlan(terms);
    }

    function test_IsValid_HoldsBeforeTheExpiryAndNotAtIt() public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        vm.warp(START + 30 days - 1);
        vm.assertTrue(market.isValid(licenceId), "the last second");
        vm.assertTrue(state(licenceId).valid, "the last second, batched");
        vm.warp(START + 30 days);
        vm.assertFalse(market.isValid(licenceId), "at expiry");
        vm.assertFalse(state(licenceId).valid, "at expiry, batched");
        vm.assertTrue(state(licenceId).exists, "an expired licence exists");
    }

    function testFuzz_IsValid_EndsAtTheExpiry(uint32 period, uint40 elapsed) public {
        PlanTerms memory terms = nativeTerms();
        terms.period = uint32(bound(period, 1, market.MAX_PERIOD()));
        uint256 licenceId = buy(addPlan(terms));
        vm.warp(START + elapsed);
        vm.assertTrue(market.isValid(licenceId) == (elapsed < terms.period), "valid");
    }

    function testFuzz_IsValid_HoldsForEverWhenPerpetual(uint64 elapsed) public {
        PlanTerms memory terms = nativeTerms();
        terms.period = 0;
        uint256 licenceId = buy(addPlan(terms));
        vm.warp(START + elapsed);
        vm.assertTrue(market.isValid(licenceId), "valid");
        vm.assertEq(state(licenceId).expiry, 0, "expiry");
    }

    function test_LicenceStates_AnswersInTheOrderAsked() public {
        PlanTerms memory terms = nativeTerms();
        terms.calls = 12;
        uint256 planId = addPlan(terms);
        uint256[] memory ids = new uint256[](3);
        ids[0] = buyFor(planId, friend);
        ids[1] = 424242;
        ids[2] = buy(planId);
        LicenceState[] memory states = market.licenceStates(ids);

        vm.assertEq(states.length, 3, "length");
        vm.assertEq(states[0].owner, friend, "first");
        vm.assertFalse(states[1].exists, "unknown");
        vm.assertEq(states[2].owner, buyer, "third");
        vm.assertEq(states[2].planId, planId, "plan");
        vm.assertEq(states[2].modelId, modelId, "model");
        vm.assertEq(states[2].expiry, START + 30 days, "expiry");
        vm.assertEq(states[2].calls, 12, "calls");
        vm.assertEq(states[2].flags, RUN, "flags");
    }

    function testFuzz_LicenceStates_AreAllZeroForUnknownIds(uint256[] memory ids) public {
        uint256 known = buy(addPlan(nativeTerms()));
        LicenceState[] memory states = market.licenceStates(ids);
        LicenceState memory nothing;
        for (uint256 i = 0; i < ids.length; ++i) {
            vm.assume(ids[i] != known);
            vm.assertFalse(market.isValid(ids[i]), "valid");
            vm.assertEq(keccak256(abi.encode(states[i])), keccak256(abi.encode(nothing)), "all zero");
        }
    }

    function test_Transfer_RevertsWhenTheLicenceIsBound() public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.LicenceBound.selector, licenceId);
        vm.prank(buyer);
        market.setApprovalForAll(outsider, true);
        vm.startPrank(buyer);
        expectError(refusal);
        market.transferFrom(buyer, friend, licenceId);
        expectError(refusal);
        market.safeTransferFrom(buyer, friend, licenceId);
        expectError(refusal);
        market.safeTransferFrom(buyer, friend, licenceId, "data");
        vm.stopPrank();
        expectError(refusal);
        vm.prank(outsider);
        market.transferFrom(buyer, friend, licenceId);
    }

    function testFuzz_Transfer_IsAllowedByTheTransferableFlagAlone(uint8 rights, bool transferable) public {
        PlanTerms memory terms = nativeTerms();
        terms.flags = uint8(bound(rights, 1, 3)) | (transferable ? TRANSFERABLE : 0);
        uint256 licenceId = buy(addPlan(terms));
        if (!transferable) expectError(abi.encodeWithSelector(ILicenceMarket.LicenceBound.selector, licenceId));
        vm.prank(buyer);
        market.transferFrom(buyer, friend, licenceId);
        vm.assertEq(market.ownerOf(licenceId), transferable ? friend : buyer, "holder");
    }

    function test_Transfer_RevertsWhenTheSenderIsGivenAsZero() public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        expectError(abi.encodeWithSelector(ERC721.TransferFromIncorrectOwner.selector));
        vm.prank(buyer);
        market.transferFrom(address(0), friend, licenceId);
    }

    function test_Transfer_CarriesTermAndCallsAlong() public {
        uint256 licenceId = buy(transferablePlan());
        LicenceState memory before = state(licenceId);
        vm.prank(buyer);
        market.transferFrom(buyer, friend, licenceId);

        LicenceState memory moved = state(licenceId);
        vm.assertEq(moved.owner, friend, "owner");
        moved.owner = buyer;
        vm.assertEq(keccak256(abi.encode(moved)), keccak256(abi.encode(before)), "all else");
    }

    function test_Transfer_RevertsWhenTheCallerIsAnOutsider() public {
        uint256 licenceId = buy(transferablePlan());
        expectError(abi.encodeWithSelector(ERC721.NotOwnerNorApproved.selector));
        vm.prank(outsider);
        market.transferFrom(buyer, outsider, licenceId);
    }

    function test_Transfer_RevertsWhenACoinIsSentAlong() public {
        uint256 licenceId = buy(transferablePlan());
        expectError(abi.encodeWithSelector(NoValueERC721.ValueNotTaken.selector, 1));
        vm.prank(buyer);
        market.transferFrom{value: 1}(buyer, friend, licenceId);
    }

    function test_TokenURI_IsThatOfTheModel() public {
        uint256 licenceId = buy(addPlan(nativeTerms()));
        vm.assertEq(market.tokenURI(licenceId), registry.tokenURI(modelId), "uri");
    }

    function test_TokenURI_RevertsWhenTheLicenceIsUnknown() public {
        uint256 planId = addPlan(nativeTerms());
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        market.tokenURI(planId << 32 | 1);
    }

    function test_NoRole_EndsOrMovesALicence() public {
        uint256 licenceId = buy(transferablePlan());
        bytes memory refusal = abi.encodeWithSelector(ERC721.NotOwnerNorApproved.selector);
        expectError(refusal);
        vm.prank(admin);
        market.transferFrom(buyer, admin, licenceId);
        expectError(refusal);
        vm.prank(publisher);
        market.transferFrom(buyer, publisher, licenceId);
    }
}
