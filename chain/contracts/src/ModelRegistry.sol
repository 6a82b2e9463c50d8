// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NoValueERC721} from "./NoValueERC721.sol";
import {IModelRegistry} from "./interfaces/IModelRegistry.sol";
import {Cid} from "./libraries/Cid.sol";

/// @title ModelRegistry
/// @notice See `IModelRegistry`.
contract ModelRegistry is IModelRegistry, NoValueERC721 {
    /// @notice ERC-4906: the metadata of a token changed.
    event MetadataUpdate(uint256 _tokenId);
    /// @notice ERC-4906: never emitted here, part of the standard's interface.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    /// @notice How many models there are, which is the id of the newest.
    uint256 public modelCount;

    // The number of the newest release is the low 32 of the 96 bits beside a token's owner; 64 are free.
    mapping(uint256 modelId => bytes32) private _latestDigest;

    function publish(bytes32 digest) external returns (uint256 modelId) {
        if (digest == 0) revert DigestZero();
        modelId = ++modelCount;
        _latestDigest[modelId] = digest;
        emit ModelPublished(modelId, msg.sender, digest);
        emit ReleasePublished(modelId, 1, digest);
        _mintAndSetExtraDataUnchecked(msg.sender, modelId, 1); // the id is new, and no receiver hook is called
    }

    function release(uint256 modelId, bytes32 digest) external {
        if (_ownerOf(modelId) != msg.sender) revert NotModelOwner(modelId, msg.sender);
        if (digest == 0) revert DigestZero();
        uint32 number = uint32(_getExtraData(modelId)) + 1;
        _setExtraData(modelId, number);
        _latestDigest[modelId] = digest;
        emit ReleasePublished(modelId, number, digest);
        emit MetadataUpdate(modelId);
    }

    function latestDigest(uint256 modelId) public view returns (bytes32 digest) {
        digest = _latestDigest[modelId];
        if (digest == 0) revert ModelUnknown(modelId);
    }

    function releaseCount(uint256 modelId) external view returns (uint256) {
        if (!_exists(modelId)) revert ModelUnknown(modelId);
        return uint32(_getExtraData(modelId));
    }

    /// @notice `ipfs://<root CID of the newest release>/manifest.json`.
    function tokenURI(uint256 modelId) public view override returns (string memory) {
        return string.concat("ipfs://", Cid.dagPb(latestDigest(modelId)), "/manifest.json");
    }

    function name() public pure override returns (string memory) {
        return "Weighhouse model";
    }

    function symbol() public pure override returns (string memory) {
        return "MODEL";
    }

    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == 0x49064906 /* ERC-4906 */ || super.supportsInterface(interfaceId);
    }
}
