// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title How much of what a licence holds has vested.
library Vesting {
    /// @notice The larger of what vests by time and what vests by use, each rounded down.
    /// @param amount What is held, in the token's smallest unit; below 2^96, so that no product overflows.
    /// @param elapsed Seconds since the term began. Beyond `duration` all has vested.
    /// @param duration Seconds in which all vests; not 0.
    /// @param used Calls used in the term. Beyond `calls` all has vested.
    /// @param calls Calls of the term; 0 is unmetered, and then only time vests.
    /// @return At most `amount`. Never falls while `elapsed` and `used` grow.
    function vested(uint256 amount, uint256 elapsed, uint256 duration, uint256 used, uint256 calls)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            uint256 byTime = elapsed < duration ? amount * elapsed / duration : amount;
            if (calls == 0) return byTime;
            uint256 byUse = used < calls ? amount * used / calls : amount;
            return byTime > byUse ? byTime : byUse;
        }
    }
}
