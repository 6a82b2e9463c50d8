// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";
import {IERC721Metadata} from "@openzeppelin/contracts/token/ERC721/extensions/IERC721Metadata.sol";
import {
    DeafContract,
    ForwardingReceiver,
    RecordingReceiver,
    RefusingReceiver,
    SilentContract,
    WrongAnswerReceiver
} from "./ERC721Receivers.sol";
import {TestBase, Vm} from "./TestBase.sol";

/// @notice What EIP-721 demands, sentence by sentence; the sentence stands above its test. For any contract: whoever
/// extends this says how a token comes to be, and perhaps how it goes.
/// @dev Source: https://eips.ethereum.org/EIPS/eip-721. The EIP leaves errors open, so any revert will do here; which
/// error it is, the contracts' own tests check.
abstract contract ERC721Conformance is TestBase {
    address internal owner721 = actor("token owner");
    address internal operator721 = actor("token operator");
    address internal approved721 = actor("token approved");
    address internal other721 = actor("token other");

    /// The contract under test.
    function nft() internal view virtual returns (IERC721Metadata);

    /// A new token of `to`, which may be transferred.
    function mintTo(address to) internal virtual returns (uint256 id);

    function unknownId() internal view virtual returns (uint256) {
        return type(uint256).max;
    }

    function mint() internal returns (uint256) {
        return mintTo(owner721);
    }

    function approve(uint256 id) internal {
        vm.startPrank(owner721);
        nft().approve(approved721, id);
        nft().setApprovalForAll(operator721, true);
        vm.stopPrank();
    }

    /// The three ways to transfer.
    function send(uint256 way, address from, address to, uint256 id) internal {
        if (way == 0) nft().transferFrom(from, to, id);
        if (way == 1) nft().safeTransferFrom(from, to, id);
        if (way == 2) nft().safeTransferFrom(from, to, id, "data");
    }

    // ------------------------------------------------------------------ ERC-165

    /// "Every ERC-721 compliant contract must implement the ERC721 and ERC165 interfaces"
    function test_Interfaces_AreAnnounced() public view {
        vm.assertTrue(nft().supportsInterface(0x01ffc9a7), "ERC-165");
        vm.assertTrue(nft().supportsInterface(0x80ac58cd), "ERC-721");
        vm.assertTrue(nft().supportsInterface(0x5b5e139f), "ERC-721 metadata");
    }

    /// ERC-165: "supportsInterface(0xffffffff) must be false" and "use less than 30,000 gas"
    function test_Interfaces_AreAnsweredAsErc165Says() public view {
        vm.assertFalse(nft().supportsInterface(0xffffffff), "the one that is none");
        uint256 before = gasleft();
        nft().supportsInterface(0x80ac58cd);
        vm.assertLe(before - gasleft(), 30_000, "gas");
    }

    // ------------------------------------------------------------------ balanceOf, ownerOf

    /// "The number of NFTs owned by `_owner`, possibly zero"
    function test_BalanceOf_CountsTokens() public {
        uint256 before = nft().balanceOf(owner721);
        mint();
        mint();
        vm.assertEq(nft().balanceOf(owner721), before + 2, "two more");
        vm.assertEq(nft().balanceOf(actor("nobody")), 0, "possibly zero");
    }

    /// "this function throws for queries about the zero address"
    function test_BalanceOf_RevertsWhenTheOwnerIsZero() public {
        IERC721Metadata token = nft();
        vm.expectRevert();
        token.balanceOf(address(0));
    }

    /// "NFTs assigned to zero address are considered invalid, and queries about them do throw"
    function test_OwnerOf_RevertsWhenThereIsNoToken() public {
        IERC721Metadata token = nft();
        uint256 id = unknownId();
        vm.expectRevert();
        token.ownerOf(id);
    }

    // ------------------------------------------------------------------ transfers

    /// "This emits when ownership of any NFT changes by any mechanism. This event emits when NFTs are created (`from` ==
    /// 0)"
    function test_Transfer_IsEmittedWhenATokenIsMade() public {
        vm.recordLogs();
        uint256 id = mint();
        vm.assertEq(transfersOf(id, address(0), owner721), 1, "one event");
        vm.assertEq(nft().ownerOf(id), owner721, "owner");
    }

    /// How many of the recorded logs say that `id` went from one to the other.
    function transfersOf(uint256 id, address from, address to) internal returns (uint256 count) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i = 0; i < logs.length; ++i) {
            bytes32[] memory topics = logs[i].topics;
            if (logs[i].emitter != address(nft()) || topics.length != 4) continue;
            if (topics[0] != IERC721.Transfer.selector || topics[3] != bytes32(id)) continue;
            bool matches = topics[1] == bytes32(uint256(uint160(from))) && topics[2] == bytes32(uint256(uint160(to)));
            vm.assertTrue(matches, "no other transfer of this token");
            ++count;
        }
    }

    /// "Throws unless `msg.sender` is the current owner, an authorized operator, or the approved address for this NFT."
    function test_Transfer_IsForOwnerOperatorAndApproved() public {
        address[3] memory senders = [owner721, operator721, approved721];
        for (uint256 way = 0; way < 3; ++way) {
            for (uint256 i = 0; i < 3; ++i) {
                uint256 id = mint();
                approve(id);
                uint256 before = nft().balanceOf(owner721);
                uint256 beforeTo = nft().balanceOf(other721);
                vm.expectEmit(address(nft()));
                emit IERC721.Transfer(owner721, other721, id);
                vm.prank(senders[i]);
                send(way, owner721, other721, id);
                vm.assertEq(nft().ownerOf(id), other721, "owner");
                vm.assertEq(nft().balanceOf(owner721), before - 1, "one less");
                vm.assertEq(nft().balanceOf(other721), beforeTo + 1, "one more");
            }
        }
    }

    function test_Transfer_RevertsWhenTheSenderMayNot() public {
        uint256 id = mint();
        uint256 theirs = mintTo(other721);
        approve(id);
        vm.prank(other721);
        nft().approve(operator721, theirs); // approved for another token, operator of another owner
        IERC721Metadata token = nft();
        for (uint256 way = 0; way < 3; ++way) {
            vm.startPrank(other721);
            vm.expectRevert();
            send(way, owner721, other721, id);
            vm.stopPrank();
            vm.startPrank(approved721);
            vm.expectRevert();
            send(way, other721, approved721, theirs);
            vm.stopPrank();
        }
        vm.assertEq(token.ownerOf(id), owner721, "owner");
    }

    /// "Throws if `_from` is not the current owner."
    function test_Transfer_RevertsWhenFromIsNotTheOwner() public {
        uint256 id = mint();
        approve(id);
        for (uint256 way = 0; way < 3; ++way) {
            vm.startPrank(operator721);
            vm.expectRevert();
            send(way, operator721, other721, id);
            vm.expectRevert();
            send(way, address(0), other721, id);
            vm.stopPrank();
        }
    }

    /// "Throws if `_to` is the zero address."
    function test_Transfer_RevertsWhenToIsZero() public {
        uint256 id = mint();
        for (uint256 way = 0; way < 3; ++way) {
            vm.startPrank(owner721);
            vm.expectRevert();
            send(way, owner721, address(0), id);
            vm.stopPrank();
        }
    }

    /// "Throws if `_tokenId` is not a valid NFT."
    function test_Transfer_RevertsWhenThereIsNoToken() public {
        uint256 id = unknownId();
        for (uint256 way = 0; way < 3; ++way) {
            vm.startPrank(owner721);
            vm.expectRevert();
            send(way, owner721, other721, id);
            vm.expectRevert();
            send(way, address(0), other721, id);
            vm.stopPrank();
        }
    }

    /// A transfer to oneself is one: nothing is lost, nothing doubled, the approval is gone.
    function test_Transfer_ToOneselfKeepsTheToken() public {
        uint256 id = mint();
        approve(id);
        uint256 before = nft().balanceOf(owner721);
        vm.prank(owner721);
        nft().transferFrom(owner721, owner721, id);
        vm.assertEq(nft().ownerOf(id), owner721, "owner");
        vm.assertEq(nft().balanceOf(owner721), before, "balance");
        vm.assertEq(nft().getApproved(id), address(0), "approval");
    }

    /// "At the time of any transfer, the approved address for that NFT (if any) is reset to none."
    function test_Transfer_ResetsTheApproval() public {
        for (uint256 way = 0; way < 3; ++way) {
            uint256 id = mint();
            approve(id);
            vm.prank(owner721);
            send(way, owner721, other721, id);
            vm.assertEq(nft().getApproved(id), address(0), "reset");
            vm.startPrank(approved721);
            vm.expectRevert();
            nft().transferFrom(other721, approved721, id);
            vm.stopPrank();
        }
    }

    /// "transferFrom ... the caller is responsible to confirm that `_to` is capable of receiving NFTs"
    function test_TransferFrom_CallsNobody() public {
        uint256 id = mint();
        address deaf = address(new DeafContract());
        vm.prank(owner721);
        nft().transferFrom(owner721, deaf, id);
        vm.assertEq(nft().ownerOf(id), deaf, "owner");
    }

    // ------------------------------------------------------------------ safe transfers

    /// "When transfer is complete, this function checks if `_to` is a smart contract (code size > 0). If so, it calls
    /// `onERC721Received` on `_to`", with "the address which called `safeTransferFrom`", "the address which previously
    /// owned the token", the token, and "additional data with no specified format".
    function test_SafeTransfer_TellsTheReceiver() public {
        uint256 id = mint();
        approve(id);
        RecordingReceiver receiver = new RecordingReceiver();
        vm.prank(operator721);
        nft().safeTransferFrom(owner721, address(receiver), id, hex"00c0ffee");
        vm.assertEq(receiver.calls(), 1, "one call");
        vm.assertEq(receiver.token(), address(nft()), "the contract is the sender of the message");
        vm.assertEq(receiver.operator(), operator721, "operator");
        vm.assertEq(receiver.from(), owner721, "from");
        vm.assertEq(receiver.id(), id, "id");
        vm.assertEq(receiver.data(), hex"00c0ffee", "data");
        vm.assertEq(receiver.ownerThen(), address(receiver), "the transfer was complete");
    }

    /// "This works identically to the other function with an extra data parameter, except this function just sets data
    /// to ''."
    function test_SafeTransfer_HasNoDataByDefault() public {
        uint256 id = mint();
        RecordingReceiver receiver = new RecordingReceiver();
        vm.prank(owner721);
        nft().safeTransferFrom(owner721, address(receiver), id);
        vm.assertEq(receiver.calls(), 1, "one call");
        vm.assertEq(receiver.data().length, 0, "no data");
    }

    function testFuzz_SafeTransfer_PassesAnyData(bytes calldata data) public {
        uint256 id = mint();
        RecordingReceiver receiver = new RecordingReceiver();
        vm.prank(owner721);
        nft().safeTransferFrom(owner721, address(receiver), id, data);
        vm.assertEq(receiver.data(), data, "data");
    }

    /// "Return of other than the magic value MUST result in the transaction being reverted."
    function test_SafeTransfer_RevertsWhenTheReceiverDoesNotAgree() public {
        address[6] memory receivers = [
            address(new WrongAnswerReceiver(0x150b7a03)),
            address(new WrongAnswerReceiver(0)),
            address(new RefusingReceiver()),
            address(new DeafContract()),
            address(new SilentContract()),
            address(nft())
        ];
        uint256 id = mint();
        for (uint256 way = 1; way < 3; ++way) {
            for (uint256 i = 0; i < receivers.length; ++i) {
                vm.startPrank(owner721);
                vm.expectRevert();
                send(way, owner721, receivers[i], id);
                vm.stopPrank();
                vm.assertEq(nft().ownerOf(id), owner721, "owner");
            }
        }
    }

    function test_SafeTransfer_ShowsWhyTheReceiverRefuses() public {
        uint256 id = mint();
        address refusing = address(new RefusingReceiver());
        vm.startPrank(owner721);
        vm.expectRevert(abi.encodeWithSelector(RefusingReceiver.NoTokens.selector, id));
        nft().safeTransferFrom(owner721, refusing, id);
    }

    function test_SafeTransfer_LetsTheReceiverPassTheTokenOn() public {
        uint256 id = mint();
        address forwarding = address(new ForwardingReceiver(other721));
        vm.prank(owner721);
        nft().safeTransferFrom(owner721, forwarding, id);
        vm.assertEq(nft().ownerOf(id), other721, "owner");
        vm.assertEq(nft().balanceOf(forwarding), 0, "nothing is left between");
    }

    // ------------------------------------------------------------------ approvals

    /// "This emits when the approved address for an NFT is changed or reaffirmed." "The zero address indicates there is
    /// no approved address."
    function test_Approve_ChangesReaffirmsAndClears() public {
        uint256 id = mint();
        address[4] memory sequence = [approved721, approved721, other721, address(0)];
        for (uint256 i = 0; i < sequence.length; ++i) {
            vm.expectEmit(address(nft()));
            emit IERC721.Approval(owner721, sequence[i], id);
            vm.prank(owner721);
            nft().approve(sequence[i], id);
            vm.assertEq(nft().getApproved(id), sequence[i], "approved");
        }
    }

    /// "Throws unless `msg.sender` is the current NFT owner, or an authorized operator of the current owner."
    function test_Approve_IsForAnOperatorToo() public {
        uint256 id = mint();
        approve(id);
        vm.expectEmit(address(nft()));
        emit IERC721.Approval(owner721, other721, id);
        vm.prank(operator721);
        nft().approve(other721, id);
        vm.assertEq(nft().getApproved(id), other721, "approved");
    }

    function test_Approve_RevertsWhenTheSenderMayNot() public {
        uint256 id = mint();
        approve(id);
        IERC721Metadata token = nft();
        address[2] memory senders = [approved721, other721]; // an approved address may move, not approve
        for (uint256 i = 0; i < senders.length; ++i) {
            vm.startPrank(senders[i]);
            vm.expectRevert();
            token.approve(other721, id);
            vm.stopPrank();
        }
    }

    function test_Approve_RevertsWhenThereIsNoToken() public {
        IERC721Metadata token = nft();
        uint256 id = unknownId();
        vm.startPrank(owner721);
        vm.expectRevert();
        token.approve(other721, id);
    }

    /// "Throws if `_tokenId` is not a valid NFT."
    function test_GetApproved_RevertsWhenThereIsNoToken() public {
        IERC721Metadata token = nft();
        uint256 id = unknownId();
        vm.expectRevert();
        token.getApproved(id);
    }

    /// "Emits the ApprovalForAll event. The contract MUST allow multiple operators per owner."
    function test_SetApprovalForAll_AllowsManyOperators() public {
        address[3] memory operators = [operator721, other721, approved721];
        for (uint256 i = 0; i < operators.length; ++i) {
            vm.expectEmit(address(nft()));
            emit IERC721.ApprovalForAll(owner721, operators[i], true);
            vm.prank(owner721);
            nft().setApprovalForAll(operators[i], true);
        }
        vm.expectEmit(address(nft()));
        emit IERC721.ApprovalForAll(owner721, other721, false);
        vm.prank(owner721);
        nft().setApprovalForAll(other721, false);
        vm.assertTrue(nft().isApprovedForAll(owner721, operator721), "first");
        vm.assertFalse(nft().isApprovedForAll(owner721, other721), "revoked");
        vm.assertTrue(nft().isApprovedForAll(owner721, approved721), "third");
        vm.assertFalse(nft().isApprovedForAll(operator721, owner721), "not the other way round");
    }

    /// An operator's right is over the owner's tokens: those that came later it moves, those that left it does not.
    function test_SetApprovalForAll_FollowsTheOwner() public {
        vm.prank(owner721);
        nft().setApprovalForAll(operator721, true);
        uint256 id = mint();
        vm.prank(operator721);
        nft().transferFrom(owner721, other721, id);
        vm.startPrank(operator721);
        vm.expectRevert();
        nft().transferFrom(other721, owner721, id);
    }

    // ------------------------------------------------------------------ metadata

    /// "A descriptive name for a collection of NFTs", "An abbreviated name", "A distinct URI for a given asset"
    function test_Metadata_IsThere() public {
        vm.assertGe(bytes(nft().name()).length, 1, "name");
        vm.assertGe(bytes(nft().symbol()).length, 1, "symbol");
        vm.assertGe(bytes(nft().tokenURI(mint())).length, 1, "uri");
    }

    /// "Throws if `_tokenId` is not a valid NFT."
    function test_TokenURI_RevertsWhenThereIsNoToken() public {
        IERC721Metadata token = nft();
        uint256 id = unknownId();
        vm.expectRevert();
        token.tokenURI(id);
    }
}
