// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Share} from "../interfaces/IModelRegistry.sol";

/// @title Lists of ancestors, merged in memory and packed for storage.
/// @notice Five shares to a word, the first in its lowest bits; each is `bps` 16 | `modelId` 32.
library Lineage {
    /// @notice The most ancestors of a model.
    uint256 internal constant MOST = 8;

    uint256 private constant PER_WORD = 5;
    uint256 private constant BITS = 48;
    uint256 private constant BPS_BITS = 16;

    /// @notice Ancestors found so far: the first `count` of `shares`, which has room for `MOST`.
    struct List {
        Share[] shares;
        uint256 count;
    }

    function empty() internal pure returns (List memory) {
        return List({shares: new Share[](MOST), count: 0});
    }

    /// @notice Adds a share. Of several for one model the largest counts, at the place of the first; 0 is dropped.
    /// @return fits False where it would be one model more than `MOST`.
    function add(List memory list, Share memory share) internal pure returns (bool fits) {
        if (share.bps == 0) return true;
        for (uint256 i = 0; i < list.count; ++i) {
            Share memory known = list.shares[i];
            if (known.modelId == share.modelId) {
                if (share.bps > known.bps) known.bps = share.bps;
                return true;
            }
        }
        if (list.count == MOST) return false;
        list.shares[list.count++] = Share({modelId: share.modelId, bps: share.bps});
        return true;
    }

    /// @notice All of `list` in an array of its length.
    function trim(List memory list) internal pure returns (Share[] memory shares) {
        shares = new Share[](list.count);
        for (uint256 i = 0; i < shares.length; ++i) {
            shares[i] = list.shares[i];
        }
    }

    /// @notice The sum of the shares.
    function sum(Share[] memory shares) internal pure returns (uint256 bps) {
        for (uint256 i = 0; i < shares.length; ++i) {
            bps += shares[i].bps;
        }
    }

    /// @notice At most `MOST` shares in two words. Model ids have at most 32 bits.
    function pack(Share[] memory shares) internal pure returns (uint256[2] memory words) {
        for (uint256 i = 0; i < shares.length; ++i) {
            uint256 packed = shares[i].modelId << BPS_BITS | shares[i].bps;
            words[i / PER_WORD] |= packed << (i % PER_WORD * BITS);
        }
    }

    /// @notice The first `count` shares of two words.
    function unpack(uint256[2] storage words, uint256 count) internal view returns (Share[] memory shares) {
        shares = new Share[](count);
        uint256 word;
        for (uint256 i = 0; i < count; ++i) {
            word = i % PER_WORD == 0 ? words[i / PER_WORD] : word >> BITS;
            shares[i] = Share({modelId: uint32(word >> BPS_BITS), bps: uint16(word)});
        }
    }
}
