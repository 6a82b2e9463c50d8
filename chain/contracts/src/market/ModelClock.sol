// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {MarketRoles} from "./MarketRoles.sol";

/// @title Suspension, and the clock that stands still for it.
/// @notice Everything that a licence counts by time runs on its model's clock, so that a suspension takes no time away
/// from a holder and gives no vesting to a publisher.
abstract contract ModelClock is MarketRoles {
    /// @dev One slot. `suspendedSeconds` leaves out the suspension that `suspendedAt` speaks of, also when it lapsed.
    struct ModelRow {
        uint32 suspendedAt;
        uint32 suspendedUntil;
        uint32 suspendedSeconds;
        uint32 planCount;
        uint32 retiredCount;
    }

    /// @notice How long a suspension lasts that the admin does not confirm.
    uint32 public constant SUSPENSION = 14 days;
    /// @notice How long a model has been suspended when anyone may have its licences settled.
    uint32 public constant SETTLE_AFTER = 90 days;

    uint32 private constant UNTIL_RESUMED = type(uint32).max;

    mapping(uint256 modelId => ModelRow) internal _models;

    function suspend(uint256 modelId, bytes32 reason) external {
        _requireGuardian();
        (uint256 time, uint256 suspendedAt) = _clock(modelId);
        if (suspendedAt != 0) revert SuspendedAlready(modelId);
        ModelRow storage row = _models[modelId];
        row.suspendedSeconds = uint32(block.timestamp - time); // with one that lapsed, if there was one
        row.suspendedAt = uint32(block.timestamp);
        row.suspendedUntil = SafeCast.toUint32(block.timestamp + SUSPENSION);
        emit ModelSuspended(modelId, reason, uint64(block.timestamp + SUSPENSION));
    }

    function confirmSuspension(uint256 modelId) external onlyOwner {
        _requireSuspended(modelId);
        _models[modelId].suspendedUntil = UNTIL_RESUMED;
        emit SuspensionConfirmed(modelId);
    }

    function resume(uint256 modelId) external {
        ModelRow storage row = _models[modelId];
        bool guardians = msg.sender == guardian && row.suspendedUntil != UNTIL_RESUMED;
        if (!guardians && msg.sender != owner()) revert NotAllowed(msg.sender);
        uint256 time = _requireSuspended(modelId);
        row.suspendedSeconds = uint32(block.timestamp - time);
        row.suspendedAt = 0;
        row.suspendedUntil = 0;
        emit ModelResumed(modelId, uint64(block.timestamp - time));
    }

    function modelClock(uint256 modelId) external view returns (uint64 time, uint64 suspendedAt) {
        (uint256 time_, uint256 suspendedAt_) = _clock(modelId);
        return (uint64(time_), uint64(suspendedAt_));
    }

    /// @dev See `modelClock`. A suspension lapses without a transaction, so its end is found here.
    function _clock(uint256 modelId) internal view returns (uint256 time, uint256 suspendedAt) {
        ModelRow storage row = _models[modelId];
        suspendedAt = row.suspendedAt;
        uint256 until = row.suspendedUntil;
        time = block.timestamp - row.suspendedSeconds;
        if (suspendedAt == 0) return (time, 0);
        if (block.timestamp < until) return (time - (block.timestamp - suspendedAt), suspendedAt);
        return (time - (until - suspendedAt), 0);
    }

    /// @dev The clock where sales and access need it to run.
    function _runningClock(uint256 modelId) internal view returns (uint256 time) {
        uint256 suspendedAt;
        (time, suspendedAt) = _clock(modelId);
        if (suspendedAt != 0) revert ModelIsSuspended(modelId);
    }

    function _requireSuspended(uint256 modelId) private view returns (uint256 time) {
        uint256 suspendedAt;
        (time, suspendedAt) = _clock(modelId);
        if (suspendedAt == 0) revert NotSuspended(modelId);
    }
}
