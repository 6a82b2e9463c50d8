// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice A model and its part of the income of another.
/// @param modelId The model that is owed.
/// @param bps Hundredths of a percent of what the derived model's plans earn after fee and service.
struct Share {
    uint256 modelId;
    uint16 bps;
}

/// @title The registry of models.
/// @notice A model is an ERC-721 token. Its owner is the publisher, publishes its releases and owns its income.
/// Token ids count from 1. The registry also is ERC-4906: a new release announces that `tokenURI` changed.
/// @dev What the registry does not know: whether the content exists, whether it is the publisher's own, and whether
/// a model was derived from one that it does not declare. A digest may be published any number of times, by anyone.
/// The manifest of a release names its publisher, and readers of the chain ignore a release whose manifest names
/// another, so copying a digest out of the mempool wins nothing.
interface IModelRegistry {
    /// @notice `publisher` created model `modelId` with `digest` as its first release.
    /// @dev Comes before the token's `Transfer`: the first event that names a model is the one that introduces it.
    event ModelPublished(uint256 indexed modelId, address indexed publisher, bytes32 digest);

    /// @notice Release `number` of the model is `digest`. Numbers count from 1; the first release has this event too.
    event ReleasePublished(uint256 indexed modelId, uint256 indexed number, bytes32 digest);

    /// @notice What the model declared as its parents, and the ancestors that its income pays from now on.
    /// @dev Emitted for a model with parents only. A parent with a share of 0 is among `parents` alone.
    event LineageStored(uint256 indexed modelId, Share[] parents, Share[] ancestors);

    /// @notice Models that name this one as a parent from now on owe it at least `bps`. Not emitted for the first 0.
    event DerivativeBpsSet(uint256 indexed modelId, uint16 bps);

    /// @notice A release needs a digest.
    error DigestZero();

    /// @notice Only the model's owner may: not an approved address, and nobody for an unknown model.
    error NotModelOwner(uint256 modelId, address caller);

    /// @notice No such model.
    error ModelUnknown(uint256 modelId);

    /// @notice A model asks its children for at most `most`.
    error DerivativeBpsTooLarge(uint16 bps, uint16 most);

    /// @notice The parent asks for more than the child declared. It may have raised its share a moment ago.
    error ParentShareTooSmall(uint256 parentId, uint16 asked, uint16 given);

    /// @notice The parents are more than `most`, or they and their ancestors are more different models than that.
    error TooManyAncestors(uint256 most);

    /// @notice The ancestors' shares sum up to more than `most`.
    error AncestorSharesTooLarge(uint256 sum, uint256 most);

    /// @notice Creates a model owned by the caller, with its first release.
    /// @param digest The sha2-256 digest of the release's UnixFS root (dag-pb): `tokenURI` spells out the CID.
    /// @param parents The models that this one was made from, each with the share it gets: at least what the parent
    /// asks. Every ancestor of a parent is inherited at its stored share; of several shares for one model the largest
    /// counts, and shares of 0 are dropped. The result is at most 8 models and 5,000 bps, and never changes.
    /// @param derivativeBps What models that name this one as a parent will owe it, at most 5,000.
    /// @return modelId The new token.
    function publish(bytes32 digest, Share[] calldata parents, uint16 derivativeBps) external returns (uint256 modelId);

    /// @notice Appends a release. Earlier releases stay what they were: the log keeps all, storage the latest.
    /// @param modelId A model that the caller owns.
    /// @param digest As in `publish`.
    function release(uint256 modelId, bytes32 digest) external;

    /// @notice Changes what children to come owe the model. Children that exist owe what they owed.
    /// @param modelId A model that the caller owns.
    /// @param bps At most 5,000.
    function setDerivativeBps(uint256 modelId, uint16 bps) external;

    /// @notice The digest of the model's newest release.
    function latestDigest(uint256 modelId) external view returns (bytes32);

    /// @notice How many releases the model has, which is the number of the newest.
    function releaseCount(uint256 modelId) external view returns (uint256);

    /// @notice What a child that is published now owes the model.
    function derivativeBps(uint256 modelId) external view returns (uint16);

    /// @notice The models that the income of `modelId` pays, in the order in which their shares are taken. At most 8.
    function ancestors(uint256 modelId) external view returns (Share[] memory);

    /// @notice ERC-5646: changes with the model's releases and what it asks of its children, not with its owner. The
    /// market's `modelFingerprint` covers this and the income.
    function getStateFingerprint(uint256 modelId) external view returns (bytes32);

    /// @notice ERC-7572: what the collection is, as a data URI.
    function contractURI() external view returns (string memory);
}
