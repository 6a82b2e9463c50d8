// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Content identifiers, as text.
/// @notice Formats: https://github.com/multiformats/cid (version 1) and RFC 4648 base32, lower case, no padding.
library Cid {
    bytes32 private constant ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
    /// CIDv1, codec dag-pb, hash sha2-256, 32 bytes of digest.
    bytes4 private constant PREFIX = 0x01701220;

    /// @notice The CIDv1 of a dag-pb block with this sha2-256 digest: "b" for base32, then 58 characters.
    function dagPb(bytes32 digest) internal pure returns (string memory) {
        bytes memory binary = abi.encodePacked(PREFIX, digest);
        bytes memory text = new bytes(59);
        text[0] = "b";
        uint256 length = 1;
        uint256 buffer = 0; // the low `bits` bits wait to be written; what is above them was written and falls off
        uint256 bits = 0;
        for (uint256 i = 0; i < binary.length; ++i) {
            buffer = (buffer << 8) | uint8(binary[i]);
            bits += 8;
            while (bits >= 5) {
                bits -= 5;
                text[length++] = ALPHABET[(buffer >> bits) & 31];
            }
        }
        // 288 bits leave 3, which the last character carries in its upper bits.
        text[length] = ALPHABET[(buffer << (5 - bits)) & 31];
        return string(text);
    }
}
