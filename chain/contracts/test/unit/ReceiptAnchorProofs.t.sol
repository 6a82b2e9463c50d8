// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptAnchor} from "../../src/ReceiptAnchor.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Which receipts an anchor holds. The trees are built here as OpenZeppelin's merkle-tree library lays them out
/// (leaf type bytes32); the constants were computed with that library.
contract ReceiptAnchorProofsTest is MarketTest {
    ReceiptAnchor internal anchors;

    function setUp() public override {
        super.setUp();
        anchors = new ReceiptAnchor(market);
    }

    /// Receipts 1, 2, 3 ... as the vectors have them.
    function receipts(uint256 count) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            hashes[i] = bytes32(i + 1);
        }
    }

    function leafOf(bytes32 receipt) internal pure returns (bytes32) {
        return keccak256(abi.encode(keccak256(abi.encode(receipt))));
    }

    function pair(bytes32 a, bytes32 b) internal pure returns (bytes32) {
        return a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
    }

    /// A complete binary tree in one array, the root first, the sorted leaves at the end in reverse.
    function treeOf(bytes32[] memory hashes) internal pure returns (bytes32[] memory tree) {
        uint256 count = hashes.length;
        tree = new bytes32[](2 * count - 1);
        for (uint256 i = 0; i < count; ++i) {
            bytes32 leaf = leafOf(hashes[i]);
            uint256 slot = tree.length - 1 - i;
            for (; slot < tree.length - 1 && tree[slot + 1] > leaf; ++slot) {
                tree[slot] = tree[slot + 1];
            }
            tree[slot] = leaf;
        }
        for (uint256 i = count - 1; i > 0; --i) {
            tree[i - 1] = pair(tree[2 * i - 1], tree[2 * i]);
        }
    }

    function proofOf(bytes32[] memory tree, bytes32 node) internal pure returns (bytes32[] memory proof) {
        uint256 start = 0;
        while (tree[start] != node) ++start;
        uint256 depth = 0;
        for (uint256 i = start; i > 0; i = (i - 1) / 2) {
            ++depth;
        }
        proof = new bytes32[](depth);
        for (uint256 k = 0; k < depth; ++k) {
            proof[k] = tree[start % 2 == 1 ? start + 1 : start - 1];
            start = (start - 1) / 2;
        }
    }

    function anchor(bytes32 root, uint256 count) internal {
        vm.prank(operatorKey);
        anchors.anchor(operatorId, root, uint32(count), 0);
    }

    function verify(bytes32 root, bytes32 receipt, bytes32[] memory proof) internal view returns (bool) {
        return anchors.verify(operatorId, root, receipt, proof);
    }

    function check(bytes32[] memory hashes) internal returns (bytes32[] memory tree) {
        tree = treeOf(hashes);
        anchor(tree[0], hashes.length);
        for (uint256 i = 0; i < hashes.length; ++i) {
            bytes32[] memory proof = proofOf(tree, leafOf(hashes[i]));
            vm.assertTrue(verify(tree[0], hashes[i], proof), "a receipt of the batch");
            vm.assertFalse(verify(tree[0], bytes32(uint256(hashes[i]) ^ 1 << 255), proof), "none of the batch");
            checkInner(tree, proof);
        }
    }

    /// No inner node, and no leaf, passes for a receipt with what is left of the proof.
    function checkInner(bytes32[] memory tree, bytes32[] memory proof) internal view {
        for (uint256 i = 0; i < tree.length; ++i) {
            vm.assertFalse(verify(tree[0], tree[i], proofOf(tree, tree[i])), "an inner node");
        }
        if (proof.length == 0) return;
        bytes32[] memory shorter = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < shorter.length; ++i) {
            shorter[i] = proof[i + 1];
        }
        vm.assertFalse(verify(tree[0], proof[0], shorter), "a sibling");
    }

    function test_Verify_HoldsForOneReceipt() public {
        bytes32[] memory tree = check(receipts(1));
        vm.assertEq(tree[0], 0xb5d9d894133a730aa651ef62d26b0ffa846233c74177a591a4a896adfda97d22, "root");
    }

    function test_Verify_HoldsForTwoReceipts() public {
        bytes32[] memory tree = check(receipts(2));
        vm.assertEq(tree[0], 0xe685571b7e25a4a0391fb8daa09dc8d3fbb3382504525f89a2334fbbf8f8e92c, "root");
    }

    function test_Verify_HoldsForThreeReceipts() public {
        bytes32[] memory tree = check(receipts(3));
        vm.assertEq(tree[0], 0x6115218373392d12cc18a3d50ad2a53a2c99b391060070dfc0ebbbbe158ec944, "root");
    }

    function test_Verify_HoldsForFiveReceipts() public {
        bytes32[] memory tree = check(receipts(5));
        vm.assertEq(tree[0], 0x21abd2f655ded75d91fbd5e0b1ad35171a675fd315a077efa7f2d555a26e7094, "root");
        bytes32[] memory proof = proofOf(tree, leafOf(bytes32(uint256(2))));
        vm.assertEq(proof.length, 3, "depth");
        vm.assertEq(proof[0], 0x16db2e4b9f8dc120de98f8491964203ba76de27b27b29c2d25f85a325cd37477, "1st");
        vm.assertEq(proof[1], 0xc167b0e3c82238f4f2d1a50a8b3a44f96311d77b148c30dc0ef863e1a060dcb6, "2nd");
        vm.assertEq(proof[2], 0x1a6dbeb0d179031e5261494ac4b6ee4e284665e8d2ea3ff44f7a2ddf5ca07bb7, "3rd");
    }

    function testFuzz_Verify_HoldsForEveryReceiptOfABatch(uint256 seed, uint8 count) public {
        bytes32[] memory hashes = new bytes32[](bound(count, 1, 20));
        for (uint256 i = 0; i < hashes.length; ++i) {
            hashes[i] = keccak256(abi.encode(seed, i));
        }
        check(hashes);
    }

    /// With a single hash, the two halves of an inner node would be a leaf of 64 bytes. Hashed twice, they are not.
    function test_Verify_RefusesASecondPreimage() public {
        bytes32[] memory tree = treeOf(receipts(3));
        bytes32 forged =
            keccak256(abi.encode(tree[3] < tree[4] ? tree[3] : tree[4], tree[3] < tree[4] ? tree[4] : tree[3]));
        vm.assertEq(forged, tree[1], "the forged preimage is that of an inner node");
        anchor(tree[0], 3);
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = tree[2];
        vm.assertFalse(verify(tree[0], forged, proof), "forged");
    }

    function test_Verify_RefusesARootThatIsNotAnchored() public view {
        bytes32[] memory tree = treeOf(receipts(2));
        vm.assertFalse(verify(tree[0], bytes32(uint256(1)), proofOf(tree, leafOf(bytes32(uint256(1))))), "nobody's");
    }

    function test_Verify_RefusesAnotherOperatorsRoot() public {
        bytes32[] memory tree = check(receipts(2));
        bytes32[] memory proof = proofOf(tree, leafOf(bytes32(uint256(1))));
        vm.assertFalse(anchors.verify(operatorId + 1, tree[0], bytes32(uint256(1)), proof), "another operator's");
    }

    function testFuzz_Verify_NeverReverts(uint256 id, bytes32 root, bytes32 receipt, bytes32[] calldata proof) public {
        bytes32[] memory tree = check(receipts(3));
        anchors.verify(id, root, receipt, proof);
        vm.assertFalse(verify(tree[0], keccak256(abi.encode(receipt)), proof), "any proof");
    }

    /// What an operator signed stays its own: after a new key, and after it was disabled.
    function test_Verify_HoldsAfterTheOperatorIsRotatedAndDisabled() public {
        bytes32[] memory tree = check(receipts(2));
        bytes32[] memory proof = proofOf(tree, leafOf(bytes32(uint256(1))));
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, friend);
        vm.assertTrue(verify(tree[0], bytes32(uint256(1)), proof), "rotated");
        vm.prank(guardian);
        market.disableOperator(operatorId);
        vm.assertTrue(verify(tree[0], bytes32(uint256(1)), proof), "disabled");
    }
}
