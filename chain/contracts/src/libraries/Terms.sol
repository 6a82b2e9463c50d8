// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice What a licence allows, in the 96 bits beside its owner: cancelled 1 | calls 31 | used 32 | expiry 32.
type Term is uint96;

using Terms for Term global;

/// @title Reading and writing a `Term`.
library Terms {
    uint256 private constant CANCELLED = 1 << 95;
    uint256 private constant USED = (2 ** 32 - 1) << 32;
    uint256 private constant CALLS = 2 ** 31 - 1;

    /// @param end The expiry on the model clock, below 2^32; 0 is perpetual.
    /// @param count Calls used, below 2^32.
    /// @param total Calls bought, below 2^31; 0 is unmetered.
    function pack(uint256 end, uint256 count, uint256 total) internal pure returns (Term) {
        return Term.wrap(uint96(total << 64 | count << 32 | end));
    }

    function expiry(Term term) internal pure returns (uint32) {
        return uint32(Term.unwrap(term));
    }

    function used(Term term) internal pure returns (uint32) {
        return uint32(Term.unwrap(term) >> 32);
    }

    function calls(Term term) internal pure returns (uint32) {
        return uint32((Term.unwrap(term) >> 64) & CALLS);
    }

    function isCancelled(Term term) internal pure returns (bool) {
        return Term.unwrap(term) & CANCELLED != 0;
    }

    /// @param count Below 2^32.
    function withUsed(Term term, uint32 count) internal pure returns (Term) {
        return Term.wrap(uint96((Term.unwrap(term) & ~USED) | uint256(count) << 32));
    }

    function cancelled(Term term) internal pure returns (Term) {
        return Term.wrap(uint96(Term.unwrap(term) | CANCELLED));
    }
}
