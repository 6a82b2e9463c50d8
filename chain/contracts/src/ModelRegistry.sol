// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {NoValueERC721} from "./NoValueERC721.sol";
import {IModelRegistry, Share} from "./interfaces/IModelRegistry.sol";
import {Cid} from "./libraries/Cid.sol";
import {Lineage} from "./libraries/Lineage.sol";

/// @title ModelRegistry
/// @notice See `IModelRegistry`.
contract ModelRegistry is IModelRegistry, NoValueERC721 {
    using Lineage for Lineage.List;

    /// @notice ERC-4906: the metadata of a token changed.
    event MetadataUpdate(uint256 _tokenId);
    /// @notice ERC-4906: never emitted here, part of the standard's interface.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    /// @notice The most ancestors of a model, and the most that they get together.
    uint256 public constant MAX_ANCESTORS = Lineage.MOST;
    uint16 public constant MAX_ANCESTOR_BPS = 5000;
    /// @notice The most that a model asks of its children.
    uint16 public constant MAX_DERIVATIVE_BPS = 5000;

    /// @notice How many models there are, which is the id of the newest. Stays below 2^32.
    uint256 public modelCount;

    // Beside a token's owner, from the lowest bit: number of the newest release 32 | derivativeBps 16 | ancestors 8.
    uint96 private constant BPS_AT = 32;
    uint96 private constant COUNT_AT = 48;

    mapping(uint256 modelId => bytes32) private _latestDigest;
    mapping(uint256 modelId => uint256[2]) private _lineage;

    modifier onlyModelOwner(uint256 modelId) {
        if (_ownerOf(modelId) != msg.sender) revert NotModelOwner(modelId, msg.sender);
        _;
    }

    function publish(bytes32 digest, Share[] calldata parents, uint16 bps) external returns (uint256 modelId) {
        if (digest == 0) revert DigestZero();
        _checkDerivativeBps(bps);
        if (parents.length > MAX_ANCESTORS) revert TooManyAncestors(MAX_ANCESTORS);
        modelId = SafeCast.toUint32(++modelCount);
        _latestDigest[modelId] = digest;
        emit ModelPublished(modelId, msg.sender, digest);
        emit ReleasePublished(modelId, 1, digest);
        uint256 count = parents.length == 0 ? 0 : _storeLineage(modelId, parents);
        if (bps != 0) emit DerivativeBpsSet(modelId, bps);
        // The id is new, and no receiver hook is called.
        _mintAndSetExtraDataUnchecked(msg.sender, modelId, uint96(count << COUNT_AT | uint256(bps) << BPS_AT | 1));
    }

    function release(uint256 modelId, bytes32 digest) external onlyModelOwner(modelId) {
        if (digest == 0) revert DigestZero();
        uint96 packed = _getExtraData(modelId);
        uint32 number = uint32(packed) + 1;
        _setExtraData(modelId, packed >> BPS_AT << BPS_AT | number);
        _latestDigest[modelId] = digest;
        emit ReleasePublished(modelId, number, digest);
        emit MetadataUpdate(modelId);
    }

    function setDerivativeBps(uint256 modelId, uint16 bps) external onlyModelOwner(modelId) {
        _checkDerivativeBps(bps);
        uint96 others = _getExtraData(modelId) & ~(uint96(type(uint16).max) << BPS_AT);
        _setExtraData(modelId, others | uint96(bps) << BPS_AT);
        emit DerivativeBpsSet(modelId, bps);
    }

    function latestDigest(uint256 modelId) public view returns (bytes32 digest) {
        digest = _latestDigest[modelId];
        if (digest == 0) revert ModelUnknown(modelId);
    }

    function releaseCount(uint256 modelId) external view returns (uint256) {
        return uint32(_packed(modelId));
    }

    function derivativeBps(uint256 modelId) public view returns (uint16) {
        return uint16(_packed(modelId) >> BPS_AT);
    }

    function ancestors(uint256 modelId) public view returns (Share[] memory) {
        return Lineage.unpack(_lineage[modelId], uint8(_packed(modelId) >> COUNT_AT));
    }

    /// @notice `ipfs://<root CID of the newest release>/manifest.json`.
    function tokenURI(uint256 modelId) public view override returns (string memory) {
        return string.concat("ipfs://", Cid.dagPb(latestDigest(modelId)), "/manifest.json");
    }

    function getStateFingerprint(uint256 modelId) external view returns (bytes32) {
        return keccak256(abi.encode(modelId, latestDigest(modelId), _getExtraData(modelId)));
    }

    function contractURI() external pure returns (string memory) {
        return string.concat(
            "data:application/json;base64,",
            Base64.encode(
                '{"name":"Weighhouse models","symbol":"MODEL","description":"Each token is an AI model. '
                'Its owner publishes the releases and owns the income."}'
            )
        );
    }

    function name() public pure override returns (string memory) {
        return "Weighhouse model";
    }

    function symbol() public pure override returns (string memory) {
        return "MODEL";
    }

    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == 0x49064906 /* ERC-4906 */ || interfaceId == 0xf5112315 /* ERC-5646 */
            || super.supportsInterface(interfaceId);
    }

    /// @dev Merges the parents and what they stored, in the order given: each parent, then its ancestors.
    function _storeLineage(uint256 modelId, Share[] calldata parents) private returns (uint256) {
        Lineage.List memory list = Lineage.empty();
        for (uint256 i = 0; i < parents.length; ++i) {
            Share memory parent = parents[i];
            uint16 asked = derivativeBps(parent.modelId);
            if (parent.bps < asked) revert ParentShareTooSmall(parent.modelId, asked, parent.bps);
            _add(list, parent);
            Share[] memory inherited = ancestors(parent.modelId);
            for (uint256 k = 0; k < inherited.length; ++k) {
                _add(list, inherited[k]);
            }
        }
        Share[] memory merged = list.trim();
        uint256 sum = Lineage.sum(merged);
        if (sum > MAX_ANCESTOR_BPS) revert AncestorSharesTooLarge(sum, MAX_ANCESTOR_BPS);
        uint256[2] memory words = Lineage.pack(merged);
        if (words[0] != 0) _lineage[modelId][0] = words[0];
        if (words[1] != 0) _lineage[modelId][1] = words[1];
        emit LineageStored(modelId, parents, merged);
        return merged.length;
    }

    function _add(Lineage.List memory list, Share memory share) private pure {
        if (!list.add(share)) revert TooManyAncestors(MAX_ANCESTORS);
    }

    function _checkDerivativeBps(uint16 bps) private pure {
        if (bps > MAX_DERIVATIVE_BPS) revert DerivativeBpsTooLarge(bps, MAX_DERIVATIVE_BPS);
    }

    function _packed(uint256 modelId) private view returns (uint96) {
        if (!_exists(modelId)) revert ModelUnknown(modelId);
        return _getExtraData(modelId);
    }
}
