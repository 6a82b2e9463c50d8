// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {NoValueERC721} from "../../src/NoValueERC721.sol";
import {IModelRegistry, Share} from "../../src/interfaces/IModelRegistry.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {TestBase} from "../helpers/TestBase.sol";

contract ModelRegistryTest is TestBase {
    ModelRegistry internal registry;
    Share[] internal none;
    address internal publisher = actor("publisher");
    address internal outsider = actor("outsider");
    bytes32 internal constant FIRST = keccak256("first");
    bytes32 internal constant SECOND = keccak256("second");

    function setUp() public {
        registry = new ModelRegistry();
    }

    function publish() internal returns (uint256 modelId) {
        return publishAs(publisher, FIRST);
    }

    function publishAs(address owner, bytes32 digest) internal returns (uint256 modelId) {
        vm.prank(owner);
        return registry.publish(digest, none, 0);
    }

    function test_Publish_MintsTheModelToTheCaller() public {
        uint256 modelId = publish();

        vm.assertEq(modelId, 1, "ids count from 1");
        vm.assertEq(registry.ownerOf(1), publisher, "owner");
        vm.assertEq(registry.latestDigest(1), FIRST, "digest");
        vm.assertEq(registry.releaseCount(1), 1, "releases");
        vm.assertEq(registry.modelCount(), 1, "models");
    }

    function test_Publish_EmitsTheModelThenTheReleaseThenTheTransfer() public {
        vm.expectEmit(address(registry));
        emit IModelRegistry.ModelPublished(1, publisher, FIRST);
        vm.expectEmit(address(registry));
        emit IModelRegistry.ReleasePublished(1, 1, FIRST);
        vm.expectEmit(address(registry));
        emit ERC721.Transfer(address(0), publisher, 1);
        publish();
    }

    function test_Publish_TakesADigestThatIsPublishedAlready() public {
        publish();
        uint256 copy = publishAs(outsider, FIRST);

        vm.assertEq(copy, 2, "id");
        vm.assertEq(registry.ownerOf(1), publisher, "the first stays with its publisher");
    }

    function test_Publish_RevertsWhenTheDigestIsZero() public {
        vm.expectRevert(IModelRegistry.DigestZero.selector);
        registry.publish(0, none, 0);
    }

    function test_Release_AppendsAndAnnounces() public {
        publish();
        vm.expectEmit(address(registry));
        emit IModelRegistry.ReleasePublished(1, 2, SECOND);
        vm.expectEmit(address(registry));
        emit ModelRegistry.MetadataUpdate(1);
        vm.prank(publisher);
        registry.release(1, SECOND);

        vm.assertEq(registry.latestDigest(1), SECOND, "digest");
        vm.assertEq(registry.releaseCount(1), 2, "releases");
        vm.assertEq(registry.ownerOf(1), publisher, "the owner beside the counter stays");
    }

    function test_Release_RevertsWhenTheCallerIsNotTheOwner() public {
        publish();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, 1, outsider));
        vm.prank(outsider);
        registry.release(1, SECOND);
    }

    function test_Release_RevertsWhenTheCallerIsOnlyApproved() public {
        publish();
        vm.startPrank(publisher);
        registry.approve(outsider, 1);
        registry.setApprovalForAll(outsider, true);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, 1, outsider));
        vm.prank(outsider);
        registry.release(1, SECOND);
    }

    function test_Release_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, 7, publisher));
        vm.prank(publisher);
        registry.release(7, SECOND);
    }

    function test_Release_RevertsWhenTheDigestIsZero() public {
        publish();
        vm.expectRevert(IModelRegistry.DigestZero.selector);
        vm.prank(publisher);
        registry.release(1, 0);
    }

    function test_Release_FollowsTheTokenToItsNewOwner() public {
        publish();
        vm.startPrank(publisher);
        registry.release(1, SECOND);
        registry.transferFrom(publisher, outsider, 1);
        vm.stopPrank();
        vm.assertEq(registry.releaseCount(1), 2, "the counter survives a transfer");
        vm.prank(outsider);
        registry.release(1, FIRST);
        vm.assertEq(registry.releaseCount(1), 3, "releases");

        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, 1, publisher));
        vm.prank(publisher);
        registry.release(1, SECOND);
    }

    function test_Release_RevertsWhenItsNumberDoesNotFit() public {
        publish();
        // The slot of token 1 in Solady's layout; the number is the 32 bits above the owner.
        bytes32 slot = bytes32(uint256(keccak256(abi.encodePacked(bytes28(0), bytes4(0x7d882553)))) + 2);
        uint256 packed = uint256(vm.load(address(registry), slot));
        vm.assertEq(address(uint160(packed)), publisher, "the owner is in this slot");
        packed |= uint256(type(uint32).max - 1) << 160;
        vm.store(address(registry), slot, bytes32(packed & ~uint256(1 << 160)));
        vm.startPrank(publisher);
        registry.release(1, SECOND);
        vm.assertEq(registry.releaseCount(1), type(uint32).max, "the last number");

        vm.expectRevert(abi.encodeWithSignature("Panic(uint256)", 0x11));
        registry.release(1, FIRST);
    }

    function test_Publish_RevertsWhenTheIdDoesNotFit() public {
        vm.store(address(registry), bytes32(0), bytes32(uint256(type(uint32).max) - 1));
        vm.assertEq(publish(), type(uint32).max, "the last id");

        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 32, 1 << 32));
        publish();
    }

    function test_LatestDigest_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        registry.latestDigest(1);
    }

    function test_ReleaseCount_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        registry.releaseCount(1);
    }

    function test_TokenURI_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        registry.tokenURI(1);
    }

    function test_DerivativeBps_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        registry.derivativeBps(1);
    }

    function test_Ancestors_RevertsWhenTheModelIsUnknown() public {
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, 1));
        registry.ancestors(1);
    }

    function test_ContractURI_IsADataUriOfJson() public view {
        vm.assertEq(
            registry.contractURI(),
            "data:application/json;base64,"
            "eyJuYW1lIjoiV2VpZ2hob3VzZSBtb2RlbHMiLCJzeW1ib2wiOiJNT0RFTCIsImRlc2NyaXB0aW9uIjoi"
            "RWFjaCB0b2tlbiBpcyBhbiBBSSBtb2RlbC4gSXRzIG93bmVyIHB1Ymxpc2hlcyB0aGUgcmVsZWFzZXMgYW5kIG93bnMgdGhlIGluY29t"
            "ZS4ifQ==",
            "uri"
        );
    }

    function test_TokenURI_SpellsTheRootCidOfTheNewestRelease() public {
        publish();
        // Digest and CID of a UnixFS tree on which two independent implementations agree.
        vm.prank(publisher);
        registry.release(1, 0x1989207888f5ee0e1448788d1d6df7184dd52b537e2aaf861b99c7d616ea4559);
        vm.assertEq(
            registry.tokenURI(1),
            "ipfs://bafybeiazreqhrchv5yhbisdyruow35yyjxkswu36fkxymg4zy7lbn2sfle/manifest.json",
            "uri"
        );
    }

    function test_TokenURI_SpellsTheExtremesOfADigest() public {
        publishAs(publisher, bytes32(uint256(1)));
        publishAs(publisher, bytes32(type(uint256).max));
        vm.assertEq(
            registry.tokenURI(1),
            "ipfs://bafybeiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaae/manifest.json",
            "1"
        );
        vm.assertEq(
            registry.tokenURI(2),
            "ipfs://bafybeih777777777777777777777777777777777777777777777777774/manifest.json",
            "max"
        );
    }

    function test_Approve_RevertsWhenACoinIsSentAlong() public {
        publish();
        vm.deal(publisher, 1);
        vm.expectRevert(abi.encodeWithSelector(NoValueERC721.ValueNotTaken.selector, 1));
        vm.prank(publisher);
        registry.approve{value: 1}(outsider, 1);
    }

    function test_Transfer_RevertsWhenACoinIsSentAlong() public {
        publish();
        vm.deal(publisher, 2);
        bytes memory refusal = abi.encodeWithSelector(NoValueERC721.ValueNotTaken.selector, 2);
        vm.startPrank(publisher);
        vm.expectRevert(refusal);
        registry.transferFrom{value: 2}(publisher, outsider, 1);
        vm.expectRevert(refusal);
        registry.safeTransferFrom{value: 2}(publisher, outsider, 1);
        vm.expectRevert(refusal);
        registry.safeTransferFrom{value: 2}(publisher, outsider, 1, "");
    }

    function test_SupportsInterface_KnowsItsStandards() public view {
        vm.assertTrue(registry.supportsInterface(0x01ffc9a7), "ERC-165");
        vm.assertTrue(registry.supportsInterface(0x80ac58cd), "ERC-721");
        vm.assertTrue(registry.supportsInterface(0x5b5e139f), "ERC-721 metadata");
        vm.assertTrue(registry.supportsInterface(0x49064906), "ERC-4906");
        vm.assertFalse(registry.supportsInterface(0xffffffff), "nothing else");
    }

    function testFuzz_Publish_CountsIdsAndKeepsEachOwner(address[8] memory owners, bytes32 digest) public {
        vm.assume(digest != 0);
        for (uint256 i = 0; i < owners.length; ++i) {
            vm.assume(owners[i] != address(0) && owners[i] != address(vm));
            vm.assertEq(publishAs(owners[i], digest), i + 1, "id");
        }
        for (uint256 i = 0; i < owners.length; ++i) {
            vm.assertEq(registry.ownerOf(i + 1), owners[i], "owner");
        }
    }
}
