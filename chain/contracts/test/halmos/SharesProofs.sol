// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Shares} from "../../src/libraries/Shares.sol";

/// @title What halmos proves of a cut, for every income of 128 bits.
/// @notice That nothing is lost is proven for all basis points, the rest for the caps and for usual ones. What holds of
/// one cut holds of a sequence, since each is cut from the rest of the last.
contract SharesProofs {
    modifier whole(uint16 left, uint16 bps) {
        if (left == 0 || left > Shares.WHOLE || bps > left) return;
        _;
    }

    /// @notice Nor does anything in it panic.
    /// @custom:halmos --panic-error-codes 0x01,0x11,0x12
    function check_Cut_LosesNothing(uint128 rest, uint16 left, uint16 bps) external pure whole(left, bps) {
        (uint256 part, uint256 restAfter, uint256 leftAfter) = Shares.cut(rest, left, bps);
        assert(part + restAfter == rest);
        assert(leftAfter + bps == left);
    }

    /// @notice The library does not check its product; here the same is computed with checks, and none fails.
    /// @custom:halmos --panic-error-codes 0x01,0x11,0x12
    function check_Cut_IsWhatCheckedArithmeticSays(uint128 rest, uint16 left, uint16 bps)
        external
        pure
        whole(left, bps)
    {
        (uint256 part,,) = Shares.cut(rest, left, bps);
        assert(part == uint256(rest) * bps / left);
    }

    /// @dev So the fee is at most its basis points of the income.
    function check_Fee_IsFivePercentRoundedDown(uint128 income) external pure {
        (uint256 part,,) = Shares.cut(income, Shares.WHOLE, 500);
        assert(part * Shares.WHOLE <= uint256(income) * 500);
        assert((part + 1) * Shares.WHOLE > uint256(income) * 500);
    }

    function check_Ancestor_LeavesItsHalf(uint128 income) external pure {
        (, uint256 restAfter,) = Shares.cut(income, Shares.WHOLE, 5000);
        assert(restAfter * 2 >= income);
    }

    function check_Service_NeverFallsAtTwentyPercent(uint128 rest, uint128 more) external pure {
        if (more < rest) return;
        (uint256 part, uint256 restAfter,) = Shares.cut(rest, 9700, 2000);
        (uint256 partOfMore, uint256 restOfMore,) = Shares.cut(more, 9700, 2000);
        assert(part <= partOfMore);
        assert(restAfter <= restOfMore);
    }

    function check_Fee_NeverFallsAtFivePercent(uint128 rest, uint128 more) external pure {
        if (more < rest) return;
        (uint256 part, uint256 restAfter,) = Shares.cut(rest, Shares.WHOLE, 500);
        (uint256 partOfMore, uint256 restOfMore,) = Shares.cut(more, Shares.WHOLE, 500);
        assert(part <= partOfMore);
        assert(restAfter <= restOfMore);
    }

    function check_Ancestor_NeverFallsAtFiftyPercent(uint128 rest, uint128 more) external pure {
        if (more < rest) return;
        (uint256 part, uint256 restAfter,) = Shares.cut(rest, Shares.WHOLE, 5000);
        (uint256 partOfMore, uint256 restOfMore,) = Shares.cut(more, Shares.WHOLE, 5000);
        assert(part <= partOfMore);
        assert(restAfter <= restOfMore);
    }

    function check_Cuts_OfOneIncomeAddUpToIt(uint128 income) external pure {
        (uint256 fee, uint256 service, uint256 ancestor, uint256 own) = _cuts(income);
        assert(fee + service + ancestor + own == income);
    }

    function _cuts(uint256 income) private pure returns (uint256 fee, uint256 service, uint256 ancestor, uint256 own) {
        uint256 rest;
        uint256 left;
        (fee, rest, left) = Shares.cut(income, Shares.WHOLE, 300);
        (service, rest,) = Shares.cut(rest, left, 2000);
        (ancestor, own,) = Shares.cut(rest, Shares.WHOLE, 1000);
    }
}
