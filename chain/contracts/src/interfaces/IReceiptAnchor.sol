// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Anchors of receipts.
/// @notice An operator binds itself to a batch of receipts by anchoring their Merkle root: what it signed cannot be
/// denied later, and no receipt can be added with an earlier date.
/// @dev A leaf is `keccak256(bytes.concat(keccak256(abi.encode(receiptHash))))`, hashed twice so that no inner node
/// can pass for one; pairs are sorted (the tree of OpenZeppelin's merkle-tree library, leaf type bytes32).
interface IReceiptAnchor {
    /// @notice The operator anchored a batch.
    /// @param root Merkle root.
    /// @param count How many receipts.
    /// @param cid Digest of the UnixFS root under which the batch can be fetched; 0 where it is not public.
    event Anchored(uint256 indexed operatorId, bytes32 indexed root, uint32 count, bytes32 cid);

    /// @notice Only the operator's key anchors, and not once the operator is disabled.
    error NotOperatorKey(uint256 operatorId, address caller);
    /// @notice A batch has a root and at least one receipt.
    error BatchEmpty();
    /// @notice The root was anchored before.
    error AnchoredAlready(uint256 operatorId, bytes32 root);

    /// @notice Anchors a batch. By the operator's key.
    function anchor(uint256 operatorId, bytes32 root, uint32 count, bytes32 cid) external;

    /// @notice Whether the operator anchored `root` and the receipt is in it. Never reverts.
    /// @param receiptHash The receipt's EIP-712 digest; the leaf is made from it here.
    function verify(uint256 operatorId, bytes32 root, bytes32 receiptHash, bytes32[] calldata proof)
        external
        view
        returns (bool);

    /// @notice When the operator anchored `root`, in block time, and how many receipts it holds; 0 where it did not.
    function anchored(uint256 operatorId, bytes32 root) external view returns (uint64 time, uint32 count);
}
