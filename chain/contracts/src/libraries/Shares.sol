// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title How income is shared out.
/// @notice Shares are cut one after another from what is left, each rounded down. Of all income of a plan so far, a
/// cut gives a total that never falls as income grows and that depends on nothing else. So the difference of two such
/// totals is what a share earned in between, however often somebody asks.
/// @dev Rounding every share down from the whole and leaving the rest to one would not do: when several shares grow by
/// one unit at once, that rest falls.
library Shares {
    /// @notice Ten thousand basis points.
    uint256 internal constant WHOLE = 10_000;

    /// @notice Cuts `bps` of the whole from `rest`, which is `left` bps of the whole.
    /// @param rest In the token's smallest unit, below 2^128.
    /// @param left At least `bps`, and not 0.
    /// @return part The share, rounded down. What earlier cuts rounded down is in `rest`, so that a later share may be a few
    /// units more than `bps` of the whole.
    /// @return restAfter What is left of `rest`.
    /// @return leftAfter What is left of `left`.
    function cut(uint256 rest, uint256 left, uint256 bps)
        internal
        pure
        returns (uint256 part, uint256 restAfter, uint256 leftAfter)
    {
        unchecked {
            part = rest * bps / left;
            return (part, rest - part, left - bps);
        }
    }
}
