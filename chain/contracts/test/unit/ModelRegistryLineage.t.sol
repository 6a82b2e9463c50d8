// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {IModelRegistry, Share} from "../../src/interfaces/IModelRegistry.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice What a model asks of its children, and whom a child's income pays.
contract ModelRegistryLineageTest is TestBase {
    ModelRegistry internal registry;
    address internal publisher = actor("publisher");
    address internal outsider = actor("outsider");
    bytes32 internal constant DIGEST = keccak256("release");

    function setUp() public {
        registry = new ModelRegistry();
    }

    function publish(Share[] memory parents, uint16 bps) internal returns (uint256) {
        vm.prank(publisher);
        return registry.publish(DIGEST, parents, bps);
    }

    function root(uint16 bps) internal returns (uint256) {
        return publish(new Share[](0), bps);
    }

    function roots(uint256 count) internal returns (uint256[] memory ids) {
        ids = new uint256[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = root(0);
        }
    }

    function shares(uint256 id, uint16 bps) internal pure returns (Share[] memory list) {
        list = new Share[](1);
        list[0] = Share(id, bps);
    }

    function shares(uint256 id, uint16 bps, uint256 id2, uint16 bps2) internal pure returns (Share[] memory list) {
        list = new Share[](2);
        list[0] = Share(id, bps);
        list[1] = Share(id2, bps2);
    }

    function sharesOf(uint256[] memory ids, uint16 bps) internal pure returns (Share[] memory list) {
        list = new Share[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            list[i] = Share(ids[i], bps);
        }
    }

    function assertAncestors(uint256 modelId, Share[] memory expected) internal view {
        Share[] memory actual = registry.ancestors(modelId);
        vm.assertEq(abi.encode(actual), abi.encode(expected), "ancestors");
    }

    // ------------------------------------------------------------------ what a model asks

    function test_Publish_KeepsWhatTheModelAsks() public {
        vm.assertEq(registry.derivativeBps(root(5000)), 5000, "the most");
        vm.assertEq(registry.derivativeBps(root(0)), 0, "nothing");
    }

    function test_Publish_RevertsWhenTheModelAsksTooMuch() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.DerivativeBpsTooLarge.selector, 5001, 5000));
        root(5001);
    }

    function test_SetDerivativeBps_ChangesWhatChildrenToComeOwe() public {
        uint256 parent = root(100);
        uint256 child = publish(shares(parent, 100), 0);
        vm.expectEmit(address(registry));
        emit IModelRegistry.DerivativeBpsSet(parent, 300);
        vm.prank(publisher);
        registry.setDerivativeBps(parent, 300);

        vm.assertEq(registry.derivativeBps(parent), 300, "asked");
        assertAncestors(child, shares(parent, 100));
        assertAncestors(publish(shares(parent, 300), 0), shares(parent, 300));
    }

    function test_SetDerivativeBps_RevertsWhenTheCallerIsNotTheOwner() public {
        uint256 modelId = root(0);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        registry.setDerivativeBps(modelId, 1);
    }

    function test_SetDerivativeBps_RevertsWhenTheCallerIsOnlyApproved() public {
        uint256 modelId = root(0);
        vm.startPrank(publisher);
        registry.approve(outsider, modelId);
        registry.setApprovalForAll(outsider, true);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        registry.setDerivativeBps(modelId, 1);
    }

    function test_SetDerivativeBps_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, 7, publisher));
        vm.prank(publisher);
        registry.setDerivativeBps(7, 1);
    }

    function test_SetDerivativeBps_RevertsWhenItIsTooMuch() public {
        uint256 modelId = root(0);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.DerivativeBpsTooLarge.selector, 5001, 5000));
        vm.prank(publisher);
        registry.setDerivativeBps(modelId, 5001);
    }

    // ------------------------------------------------------------------ whom a child pays

    function test_Publish_AnnouncesTheLineageBeforeTheTransfer() public {
        uint256 parent = root(0);
        Share[] memory given = shares(parent, 250);
        vm.expectEmit(address(registry));
        emit IModelRegistry.ModelPublished(2, publisher, DIGEST);
        vm.expectEmit(address(registry));
        emit IModelRegistry.ReleasePublished(2, 1, DIGEST);
        vm.expectEmit(address(registry));
        emit IModelRegistry.LineageStored(2, given, given);
        vm.expectEmit(address(registry));
        emit IModelRegistry.DerivativeBpsSet(2, 100);
        vm.expectEmit(address(registry));
        emit ERC721.Transfer(address(0), publisher, 2);
        publish(given, 100);
    }

    function test_Publish_AnnouncesNeitherLineageNorShareWithoutThem() public {
        vm.recordLogs();
        root(0);
        vm.assertEq(vm.getRecordedLogs().length, 3, "model, release, transfer");
    }

    function test_Publish_PaysAParentMoreThanItAsksWhereTheChildWantsTo() public {
        assertAncestors(publish(shares(root(100), 150), 0), shares(1, 150));
    }

    function test_Publish_InheritsEachAncestorAtItsStoredShareInOrder() public {
        uint256 grandparent = root(0);
        uint256 parent = publish(shares(grandparent, 300), 0);
        uint256 child = publish(shares(parent, 200), 0);

        assertAncestors(child, shares(parent, 200, grandparent, 300));
        assertAncestors(publish(shares(child, 0), 0), shares(parent, 200, grandparent, 300));
    }

    function test_Publish_DropsAParentWithoutAShareButNotItsAncestors() public {
        uint256 grandparent = root(0);
        uint256 parent = publish(shares(grandparent, 300), 0);
        Share[] memory given = shares(parent, 0);
        vm.expectEmit(address(registry));
        emit IModelRegistry.LineageStored(3, given, shares(grandparent, 300));
        assertAncestors(publish(given, 0), shares(grandparent, 300));
    }

    function test_Publish_TakesTheLargerOfTwoSharesInEitherOrder() public {
        uint256 parent = root(100);
        assertAncestors(publish(shares(parent, 100, parent, 250), 0), shares(parent, 250));
        assertAncestors(publish(shares(parent, 250, parent, 100), 0), shares(parent, 250));
    }

    function test_Publish_CountsADiamondOnce() public {
        uint256 top = root(0);
        uint256 left = publish(shares(top, 400), 0);
        uint256 right = publish(shares(top, 700), 0);
        uint256 bottom = publish(shares(left, 10, right, 20), 0);

        Share[] memory expected = new Share[](3);
        (expected[0], expected[1], expected[2]) = (Share(left, 10), Share(top, 700), Share(right, 20));
        assertAncestors(bottom, expected);
    }

    /// Eight generations fill the list; the ninth has no room for another one, unless it takes no part.
    function test_Publish_KeepsEightGenerations() public {
        uint256 newest = root(0);
        for (uint256 depth = 1; depth <= 8; ++depth) {
            newest = publish(shares(newest, 10), 0);
            vm.assertEq(registry.ancestors(newest).length, depth, "ancestors");
        }
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TooManyAncestors.selector, 8));
        publish(shares(newest, 10), 0);
        vm.assertEq(registry.ancestors(publish(shares(newest, 0), 0)).length, 8, "passed on");
    }

    function test_Publish_TakesEightParentsOfTheMostTogether() public {
        Share[] memory given = sharesOf(roots(8), 625);
        assertAncestors(publish(given, 0), given);
    }

    function test_Publish_KeepsEveryFieldOfTheLargestIds() public {
        vm.store(address(registry), bytes32(0), bytes32(uint256(type(uint32).max) - 9));
        Share[] memory given = sharesOf(roots(8), 1);
        for (uint256 i = 0; i < 8; ++i) {
            given[i].bps = uint16(i + 1);
        }
        given[4].bps = 4968; // the last place of the first word; 4,999 together
        uint256 child = publish(given, 5000);

        vm.assertEq(child, type(uint32).max, "the largest id");
        assertAncestors(child, given);
        vm.assertEq(registry.derivativeBps(child), 5000, "asked");
        vm.assertEq(registry.releaseCount(child), 1, "releases");
    }

    function test_Publish_RevertsWhenTheParentIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 7));
        publish(shares(7, 100), 0);
    }

    function test_Publish_RevertsWhenTheSecondParentIsUnknown() public {
        uint256 known = root(0);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1 << 32 | known));
        publish(shares(known, 100, 1 << 32 | known, 100), 0);
    }

    function test_Publish_RevertsWhenAModelIsItsOwnParent() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        publish(shares(1, 100), 0);
    }

    function test_Publish_RevertsWhenTheParentAsksForMore() public {
        uint256 parent = root(101);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ParentShareTooSmall.selector, parent, 101, 100));
        publish(shares(parent, 100), 0);
    }

    /// The parent is named twice: each time with what it asks, whatever the other says.
    function test_Publish_RevertsWhenOneOfTwoSharesIsTooSmall() public {
        uint256 parent = root(100);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ParentShareTooSmall.selector, parent, 100, 99));
        publish(shares(parent, 100, parent, 99), 0);
    }

    /// Raising the share in front of a child's transaction makes it fail; it does not make the child pay more.
    function test_Publish_RevertsWhenTheParentRaisedItsShareBefore() public {
        uint256 parent = root(100);
        vm.prank(publisher);
        registry.setDerivativeBps(parent, 5000);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ParentShareTooSmall.selector, parent, 5000, 100));
        publish(shares(parent, 100), 0);
    }

    function test_Publish_RevertsWhenThereAreNineParents() public {
        Share[] memory given = sharesOf(roots(9), 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.TooManyAncestors.selector, 8));
        publish(given, 0);
    }

    function test_Publish_RevertsWhenTheSharesAreTooMuch() public {
        uint256[] memory ids = roots(2);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AncestorSharesTooLarge.selector, 5001, 5000));
        publish(shares(ids[0], 2500, ids[1], 2501), 0);
    }

    function test_Publish_RevertsWhenInheritedSharesMakeItTooMuch() public {
        uint256 parent = publish(shares(root(0), 4000), 1000);
        publish(shares(parent, 1000), 0);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AncestorSharesTooLarge.selector, 5001, 5000));
        publish(shares(parent, 1001), 0);
    }

    function test_Publish_RevertsWhenTheLargestSharesAreTooMuch() public {
        uint256[] memory ids = roots(4);
        Share[] memory given = sharesOf(ids, type(uint16).max);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.AncestorSharesTooLarge.selector, 4 * 65535, 5000));
        publish(given, 0);
    }

    function test_Publish_LeavesNothingWhenItReverts() public {
        root(101);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ParentShareTooSmall.selector, 1, 101, 0));
        publish(shares(1, 0), 0);
        vm.assertEq(registry.modelCount(), 1, "models");
        vm.assertEq(root(0), 2, "the id is free");
    }

    /// Release number, share and lineage lie in one word with the owner; none disturbs another.
    function testFuzz_Fields_KeepApart(uint16 asked, uint16 later, uint8 releases, uint8 parents) public {
        asked = uint16(bound(asked, 0, 5000));
        later = uint16(bound(later, 0, 5000));
        Share[] memory given = sharesOf(roots(bound(parents, 0, 8)), 7);
        uint256 modelId = publish(given, asked);
        vm.assertEq(registry.derivativeBps(modelId), asked, "asked");

        vm.startPrank(publisher);
        registry.setDerivativeBps(modelId, later);
        for (uint256 i = 0; i < releases % 8; ++i) {
            registry.release(modelId, DIGEST);
        }
        registry.transferFrom(publisher, outsider, modelId);
        vm.stopPrank();

        vm.assertEq(registry.derivativeBps(modelId), later, "asked later");
        vm.assertEq(registry.releaseCount(modelId), 1 + releases % 8, "releases");
        vm.assertEq(registry.ownerOf(modelId), outsider, "owner");
        assertAncestors(modelId, given);
    }
}
