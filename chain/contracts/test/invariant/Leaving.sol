// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ghost} from "./Ghost.sol";
import {MarketChecks} from "./MarketChecks.sol";
import {MoodyToken} from "./MoodyToken.sol";

/// @notice That whenever it stops, everybody gets out what is theirs, to the last unit.
abstract contract Leaving is MarketChecks {
    MoodyToken internal moody;

    /// At the worst moment: sales are paused, every model is suspended, no token is allowed. Every holder leaves with
    /// what the handler says, the rest is collected, split and withdrawn, and the market is left with gifts alone.
    function _everybodyLeaves() internal {
        moody.setMood(MoodyToken.Mood.HONEST);
        uint256[] memory before = _wealth();
        _stopEverything();
        uint256[] memory claims = _holdersLeave();
        vm.warp(block.timestamp + 6 hours);
        _cancelledAreSettled(claims);
        _nothingIsCollectedTwice();
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            market.split(handler.planIds(i));
        }
        _incomeIsWithdrawn();
        uint256[] memory afterwards = _wealth();
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            uint256 left = handler.balance(token, address(market));
            vm.assertEq(left, handler.given(token), "only gifts are left");
            vm.assertEq(before[t], afterwards[t], "nothing is lost");
        }
    }

    function _stopEverything() private {
        vm.startPrank(handler.admin());
        market.setPaused(true);
        market.setTokenAllowed(handler.tokens(1), false);
        market.setTokenAllowed(handler.tokens(2), false);
        market.setGuardian(actor("deputy"));
        vm.stopPrank();
        for (uint256 modelId = 1; modelId <= handler.modelCount(); ++modelId) {
            if (handler.suspendedSince(modelId) != 0) continue;
            vm.prank(actor("deputy"));
            market.suspend(modelId, keccak256("the worst moment"));
        }
    }

    function _holdersLeave() private returns (uint256[] memory claims) {
        claims = new uint256[](handler.licenceCount());
        for (uint256 i = 0; i < claims.length; ++i) {
            uint256 licenceId = handler.licenceIds(i);
            Ghost.LicenceGhost memory l = handler.licence(licenceId);
            if (l.holder == address(0)) continue;
            claims[i] = handler.claimOf(licenceId);
            if (l.cancelledAt != 0) continue;
            address token = handler.planOf(l.planId).terms.token;
            uint256 had = handler.balance(token, l.holder);
            vm.prank(l.holder);
            market.cancel(licenceId, l.holder);
            uint256 refund = handler.balance(token, l.holder) - had;
            vm.assertEq(refund, l.calls == 0 ? claims[i] : 0, "refund when leaving");
        }
    }

    function _cancelledAreSettled(uint256[] memory claims) private {
        for (uint256 i = 0; i < claims.length; ++i) {
            uint256 licenceId = handler.licenceIds(i);
            if (!_state(licenceId).exists) continue;
            address holder = market.ownerOf(licenceId);
            vm.assertEq(market.settle(licenceId, holder), claims[i], "refund of a cancelled licence");
        }
    }

    /// Whoever left has left nothing behind that still vests.
    function _nothingIsCollectedTwice() private {
        vm.warp(block.timestamp + 3650 days);
        for (uint256 i = 0; i < handler.licenceCount(); ++i) {
            market.collect(one(handler.licenceIds(i)));
        }
    }

    function _incomeIsWithdrawn() private {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            for (uint256 modelId = 1; modelId <= handler.modelCount(); ++modelId) {
                if (market.credit(modelId, token) == 0) continue;
                address owner = registry.ownerOf(modelId);
                vm.prank(owner);
                market.withdraw(modelId, token, owner);
            }
            for (uint256 i = 0; i < handler.castSize(); ++i) {
                address who = handler.cast(i);
                if (market.accountCredit(who, token) == 0) continue;
                vm.prank(who);
                market.withdrawAccount(token, who);
            }
        }
    }

    function _wealth() private view returns (uint256[] memory sums) {
        sums = new uint256[](3);
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            sums[t] = handler.balance(token, address(market));
            for (uint256 i = 0; i < handler.castSize(); ++i) {
                sums[t] += handler.balance(token, handler.cast(i));
            }
        }
    }
}
