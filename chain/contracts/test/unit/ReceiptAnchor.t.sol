// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptAnchor} from "../../src/ReceiptAnchor.sol";
import {IReceiptAnchor} from "../../src/interfaces/IReceiptAnchor.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice Who anchors, and once.
contract ReceiptAnchorTest is MarketTest {
    bytes32 internal constant ROOT = keccak256("root");
    bytes32 internal constant CID = keccak256("cid");

    ReceiptAnchor internal anchors;

    function setUp() public override {
        super.setUp();
        anchors = new ReceiptAnchor(market);
    }

    function anchor(address by, uint256 id) internal {
        vm.prank(by);
        anchors.anchor(id, ROOT, 3, CID);
    }

    function expectRefused(uint256 id, address caller) internal {
        expectError(abi.encodeWithSelector(IReceiptAnchor.NotOperatorKey.selector, id, caller));
    }

    function test_Anchor_RecordsTimeAndCount() public {
        skip(7);
        vm.expectEmit(address(anchors));
        emit IReceiptAnchor.Anchored(operatorId, ROOT, 3, CID);
        anchor(operatorKey, operatorId);

        (uint64 time, uint32 count) = anchors.anchored(operatorId, ROOT);
        vm.assertEq(time, START + 7, "time");
        vm.assertEq(count, 3, "count");
        vm.assertEq(address(anchors.market()), address(market), "market");
    }

    function test_Anchored_IsZeroForWhatWasNot() public {
        anchor(operatorKey, operatorId);
        (uint64 time, uint32 count) = anchors.anchored(operatorId, CID);
        vm.assertEq(uint256(time) + count, 0, "another root");
        (time, count) = anchors.anchored(operatorId + 1, ROOT);
        vm.assertEq(uint256(time) + count, 0, "another operator");
    }

    function test_Anchor_RevertsWhenTheCallerIsNotTheKey() public {
        address[3] memory others = [operatorOwner, payee, outsider];
        for (uint256 i = 0; i < others.length; ++i) {
            expectRefused(operatorId, others[i]);
            anchor(others[i], operatorId);
        }
    }

    function test_Anchor_RevertsWhenTheOperatorIsUnknown() public {
        expectRefused(operatorId + 1, operatorKey);
        anchor(operatorKey, operatorId + 1);
    }

    function test_Anchor_RevertsWhenTheOperatorIsAnother() public {
        vm.prank(outsider);
        uint256 other = market.registerOperator(outsider, outsider);
        expectRefused(operatorId, outsider);
        anchor(outsider, operatorId);
        anchor(outsider, other);
    }

    function test_Anchor_RevertsWhenTheKeyWasReplaced() public {
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
        expectRefused(operatorId, operatorKey);
        anchor(operatorKey, operatorId);
        anchor(friend, operatorId);
    }

    function test_Anchor_RevertsWhenTheOperatorIsDisabled() public {
        vm.prank(guardian);
        market.disableOperator(operatorId);
        expectRefused(operatorId, operatorKey);
        anchor(operatorKey, operatorId);
    }

    function test_Anchor_RevertsWhenTheBatchIsEmpty() public {
        vm.startPrank(operatorKey);
        vm.expectRevert(IReceiptAnchor.BatchEmpty.selector);
        anchors.anchor(operatorId, ROOT, 0, CID);
        vm.expectRevert(IReceiptAnchor.BatchEmpty.selector);
        anchors.anchor(operatorId, 0, 3, CID);
    }

    /// Neither by the same key nor by the next one: the first time stands.
    function test_Anchor_RevertsWhenTheRootWasAnchoredBefore() public {
        anchor(operatorKey, operatorId);
        skip(1 days);
        expectError(abi.encodeWithSelector(IReceiptAnchor.AnchoredAlready.selector, operatorId, ROOT));
        anchor(operatorKey, operatorId);
        vm.prank(operatorOwner);
        market.setOperator(operatorId, friend, payee);
        expectError(abi.encodeWithSelector(IReceiptAnchor.AnchoredAlready.selector, operatorId, ROOT));
        vm.prank(friend);
        anchors.anchor(operatorId, ROOT, 99, 0);

        (uint64 time, uint32 count) = anchors.anchored(operatorId, ROOT);
        vm.assertEq(time, START, "time");
        vm.assertEq(count, 3, "count");
    }

    /// A root copied out of the mempool blocks nobody.
    function test_Anchor_TakesARootThatAnotherOperatorAnchored() public {
        vm.startPrank(outsider);
        anchors.anchor(market.registerOperator(outsider, outsider), ROOT, 1, 0);
        vm.stopPrank();
        anchor(operatorKey, operatorId);
        (, uint32 count) = anchors.anchored(operatorId, ROOT);
        vm.assertEq(count, 3, "count");
    }

    function testFuzz_Anchor_KeepsTheLargestFields(uint64 time, uint32 count, bytes32 root) public {
        vm.assume(count != 0 && root != 0);
        vm.warp(time);
        vm.prank(operatorKey);
        anchors.anchor(operatorId, root, count, CID);
        (uint64 storedTime, uint32 storedCount) = anchors.anchored(operatorId, root);
        vm.assertEq(storedTime, time, "time");
        vm.assertEq(storedCount, count, "count");
    }
}
