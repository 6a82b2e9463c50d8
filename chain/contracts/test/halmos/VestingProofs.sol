// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vesting} from "../../src/libraries/Vesting.sol";

/// @title What halmos proves of vesting, for every input of these widths.
/// @notice Monotony is proven for given amounts and durations, between any two points of time and use.
contract VestingProofs {
    /// @notice Nor does anything in it panic.
    /// @custom:halmos --panic-error-codes 0x01,0x11,0x12
    function check_Vested_IsAtMostTheAmount(uint96 amount, uint32 elapsed, uint32 duration, uint32 used, uint32 calls)
        external
        pure
    {
        if (duration == 0) return;
        assert(Vesting.vested(amount, elapsed, duration, used, calls) <= amount);
    }

    /// @notice The library does not check its arithmetic; here the same is computed with checks, and none fails.
    /// @custom:halmos --panic-error-codes 0x01,0x11,0x12
    function check_Vested_IsWhatCheckedArithmeticSays(
        uint96 amount,
        uint32 elapsed,
        uint32 duration,
        uint32 used,
        uint32 calls
    ) external pure {
        if (duration == 0 || calls == 0 || elapsed >= duration || used >= calls) return;
        uint256 byTime = uint256(amount) * elapsed / duration;
        uint256 byUse = uint256(amount) * used / calls;
        assert(Vesting.vested(amount, elapsed, duration, used, calls) == (byTime > byUse ? byTime : byUse));
    }

    function check_Vested_IsNothingAtTheStart(uint96 amount, uint32 duration, uint32 calls) external pure {
        if (duration == 0) return;
        assert(Vesting.vested(amount, 0, duration, 0, calls) == 0);
    }

    function check_Vested_IsAllAtTheEnd(uint96 amount, uint32 elapsed, uint32 duration, uint32 used, uint32 calls)
        external
        pure
    {
        if (duration == 0 || elapsed < duration) return;
        assert(Vesting.vested(amount, elapsed, duration, used, calls) == amount);
    }

    function check_Vested_IsAllWhenAllIsUsed(uint96 amount, uint32 elapsed, uint32 duration, uint32 used, uint32 calls)
        external
        pure
    {
        if (duration == 0 || calls == 0 || used < calls) return;
        assert(Vesting.vested(amount, elapsed, duration, used, calls) == amount);
    }

    function check_VestedOfAnEther_NeverFalls(uint32 elapsed, uint32 later, uint32 used, uint32 more) external pure {
        _neverFalls(1 ether, 30 days, [elapsed, later, used, more]);
    }

    function check_VestedOfADollar_NeverFalls(uint32 elapsed, uint32 later, uint32 used, uint32 more) external pure {
        _neverFalls(1e6, 90 days, [elapsed, later, used, more]);
    }

    function check_VestedOfTheMost_NeverFalls(uint32 elapsed, uint32 later, uint32 used, uint32 more) external pure {
        _neverFalls(type(uint96).max, 3650 days, [elapsed, later, used, more]);
    }

    function _neverFalls(uint256 amount, uint256 duration, uint32[4] memory points) private pure {
        if (points[1] < points[0] || points[3] < points[2]) return;
        assert(
            Vesting.vested(amount, points[0], duration, points[2], 1000)
                <= Vesting.vested(amount, points[1], duration, points[3], 1000)
        );
    }
}
