// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Shares} from "../../src/libraries/Shares.sol";
import {Vesting} from "../../src/libraries/Vesting.sol";

/// @title False claims, which halmos must refute: a prover that believes them proves nothing.
contract RefutedClaims {
    function check_VestingRoundedUp_IsAtMostTheAmount(uint96 amount, uint32 elapsed, uint32 duration) external pure {
        if (duration == 0 || elapsed > duration) return;
        assert(uint256(amount) * elapsed / duration + 1 <= amount);
    }

    function check_VestingNotClamped_IsAtMostTheAmount(uint96 amount, uint32 elapsed, uint32 duration) external pure {
        if (duration == 0) return;
        assert(uint256(amount) * elapsed / duration <= amount);
    }

    function check_Vested_IsAlwaysLessThanTheAmount(uint16 amount, uint8 elapsed, uint8 duration) external pure {
        if (duration == 0 || amount == 0) return;
        assert(Vesting.vested(amount, elapsed, duration, 0, 0) < amount);
    }

    function check_Cut_KeepsTheExactFraction(uint16 rest, uint8 left, uint8 bps) external pure {
        if (left == 0 || bps > left) return;
        (, uint256 restAfter, uint256 leftAfter) = Shares.cut(rest, left, bps);
        assert(restAfter * left == uint256(rest) * leftAfter);
    }

    /// @dev The rule that was dropped: every share from the whole, the publisher the rest.
    function check_FloorsOfTheWhole_LeaveARestThatGrows(uint8 income) external pure {
        assert(_restOfFloors(income) <= _restOfFloors(uint256(income) + 1));
    }

    function _restOfFloors(uint256 income) private pure returns (uint256) {
        return income - income * 500 / Shares.WHOLE - income * 5000 / Shares.WHOLE - income * 4000 / Shares.WHOLE;
    }
}
