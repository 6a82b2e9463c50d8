// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ILicenceMarket, Operator} from "./interfaces/ILicenceMarket.sol";
import {IReceiptAnchor} from "./interfaces/IReceiptAnchor.sol";

/// @title ReceiptAnchor
/// @notice See `IReceiptAnchor`. Nobody can change or remove an anchor.
contract ReceiptAnchor is IReceiptAnchor {
    struct Batch {
        uint64 time;
        uint32 count;
    }

    /// @notice Where the operators are registered.
    ILicenceMarket public immutable market;

    /// @inheritdoc IReceiptAnchor
    mapping(uint256 operatorId => mapping(bytes32 root => Batch)) public anchored;

    constructor(ILicenceMarket market_) {
        market = market_;
    }

    function anchor(uint256 operatorId, bytes32 root, uint32 count, bytes32 cid) external {
        Operator memory operator = market.operator(operatorId);
        if (operator.key != msg.sender || operator.disabled) revert NotOperatorKey(operatorId, msg.sender);
        if (root == 0 || count == 0) revert BatchEmpty();
        if (anchored[operatorId][root].count != 0) revert AnchoredAlready(operatorId, root);
        anchored[operatorId][root] = Batch({time: uint64(block.timestamp), count: count});
        emit Anchored(operatorId, root, count, cid);
    }

    function verify(uint256 operatorId, bytes32 root, bytes32 receiptHash, bytes32[] calldata proof)
        external
        view
        returns (bool)
    {
        if (anchored[operatorId][root].count == 0) return false;
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(receiptHash))));
        return MerkleProof.verifyCalldata(proof, root, leaf);
    }
}
