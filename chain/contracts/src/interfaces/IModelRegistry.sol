// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title The registry of models.
/// @notice A model is an ERC-721 token. Its owner is the publisher, publishes its releases and owns its income.
/// Token ids count from 1. The registry also is ERC-4906: a new release announces that `tokenURI` changed.
/// @dev What the registry does not know: whether the content exists, and whether it is the publisher's own. A
/// digest may be published any number of times, by anyone. The manifest of a release names its publisher, and
/// readers of the chain ignore a release whose manifest names another, so copying a digest out of the mempool
/// wins nothing.
interface IModelRegistry {
    /// @notice `publisher` created model `modelId` with `digest` as its first release.
    /// @dev Comes before the token's `Transfer`: the first event that names a model is the one that introduces it.
    event ModelPublished(uint256 indexed modelId, address indexed publisher, bytes32 digest);

    /// @notice Release `number` of the model is `digest`. Numbers count from 1; the first release has this event too.
    event ReleasePublished(uint256 indexed modelId, uint256 indexed number, bytes32 digest);

    /// @notice A release needs a digest.
    error DigestZero();

    /// @notice Only the model's owner publishes releases: not an approved address, and nobody for an unknown model.
    error NotModelOwner(uint256 modelId, address caller);

    /// @notice No such model.
    error ModelUnknown(uint256 modelId);

    /// @notice Creates a model owned by the caller, with its first release.
    /// @param digest The sha2-256 digest of the release's UnixFS root (dag-pb): `tokenURI` spells out the CID.
    /// @return modelId The new token.
    function publish(bytes32 digest) external returns (uint256 modelId);

    /// @notice Appends a release. Earlier releases stay what they were: the log keeps all, storage the latest.
    /// @param modelId A model that the caller owns.
    /// @param digest As in `publish`.
    function release(uint256 modelId, bytes32 digest) external;

    /// @notice The digest of the model's newest release.
    function latestDigest(uint256 modelId) external view returns (bytes32);

    /// @notice How many releases the model has, which is the number of the newest.
    function releaseCount(uint256 modelId) external view returns (uint256);
}
