// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Operator} from "../interfaces/ILicenceMarket.sol";
import {MarketRoles} from "./MarketRoles.sol";

/// @title The operators of workers.
abstract contract Operators is MarketRoles {
    /// @notice How many operators were registered, which is the id of the newest.
    uint32 public operatorCount;

    mapping(uint256 operatorId => Operator) internal _operators;

    function registerOperator(address key, address payee) external returns (uint256 operatorId) {
        operatorId = ++operatorCount;
        _requireAccounts(key, payee);
        _operators[operatorId] = Operator({owner: msg.sender, key: key, payee: payee, disabled: false});
        emit OperatorRegistered(operatorId, msg.sender, key, payee);
    }

    function setOperator(uint256 operatorId, address key, address payee) external {
        Operator storage row = _operators[operatorId];
        if (row.owner != msg.sender) revert NotAllowed(msg.sender);
        _requireAccounts(key, payee);
        row.key = key;
        row.payee = payee;
        emit OperatorChanged(operatorId, key, payee);
    }

    function disableOperator(uint256 operatorId) external {
        _requireGuardian();
        _requireOperator(operatorId);
        _operators[operatorId].disabled = true;
        emit OperatorDisabled(operatorId);
    }

    function operator(uint256 operatorId) external view returns (Operator memory) {
        return _operators[operatorId];
    }

    /// @dev Registered, and not disabled.
    function _requireOperator(uint256 operatorId) internal view {
        Operator storage row = _operators[operatorId];
        if (row.owner == address(0)) revert OperatorUnknown(operatorId);
        if (row.disabled) revert OperatorIsDisabled(operatorId);
    }

    function _requireAccounts(address key, address payee) private view {
        _requireRecipient(key);
        _requireRecipient(payee);
    }
}
