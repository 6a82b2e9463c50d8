// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ILicenceMarket, PlanState, PlanTerms} from "../interfaces/ILicenceMarket.sol";
import {Share} from "../interfaces/IModelRegistry.sol";
import {Shares} from "../libraries/Shares.sol";
import {Plans} from "./Plans.sol";

/// @title What plans earned, who shares it, and who is owed what.
abstract contract Incomes is Plans, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Income {
        uint128 earned;
        uint128 split;
    }

    struct Credit {
        uint128 amount;
        uint128 withdrawn;
    }

    mapping(uint256 planId => Income) internal _incomes;

    mapping(uint256 modelId => mapping(address token => Credit)) internal _credits;

    /// @inheritdoc ILicenceMarket
    mapping(address account => mapping(address token => uint256)) public accountCredit;

    function split(uint256 planId) external nonReentrant {
        PlanRow storage row = _plan(planId);
        Income memory income = _incomes[planId];
        if (income.earned == income.split) return;
        _incomes[planId].split = income.earned;
        _share(planId, row, income);
    }

    function withdraw(uint256 modelId, address token, address to) external nonReentrant returns (uint256 amount) {
        _requireModelOwner(modelId);
        _requireRecipient(to);
        Credit memory row = _credits[modelId][token];
        amount = row.amount;
        if (amount == 0) revert NothingToWithdraw(token);

        _credits[modelId][token] = Credit({amount: 0, withdrawn: row.withdrawn + row.amount});
        emit IncomeWithdrawn(modelId, token, to, amount);

        _send(token, to, amount);
    }

    function withdrawAccount(address token, address to) external nonReentrant returns (uint256 amount) {
        _requireRecipient(to);
        amount = accountCredit[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw(token);

        accountCredit[msg.sender][token] = 0;
        emit AccountWithdrawn(msg.sender, token, to, amount);

        _send(token, to, amount);
    }

    function plan(uint256 planId) external view returns (PlanTerms memory terms, PlanState memory state) {
        PlanRow storage row = _plan(planId);
        Income memory income = _incomes[planId];
        terms = _terms(planId, row);
        state = PlanState(row.live, row.sold, row.flags & RETIRED != 0, income.earned, income.split);
    }

    function credit(uint256 modelId, address token) external view returns (uint256) {
        return _credits[modelId][token].amount;
    }

    function modelFingerprint(uint256 modelId, address[] calldata tokens) external view returns (bytes32 fingerprint) {
        fingerprint = keccak256(abi.encode(registry.getStateFingerprint(modelId), _models[modelId]));
        for (uint256 i = 0; i < tokens.length; ++i) {
            fingerprint = keccak256(abi.encode(fingerprint, tokens[i], _credits[modelId][tokens[i]]));
        }
    }

    /// @dev Credits the difference between the shares of all that was earned and of what was split before.
    function _share(uint256 planId, PlanRow storage row, Income memory income) internal {
        address token = row.token;
        address payee = _operators[row.operatorId].payee;
        (uint256 fee, uint256 service, uint256 rest) = _operating(row, income.earned);
        (uint256 feeBefore, uint256 serviceBefore, uint256 restBefore) = _operating(row, income.split);
        (fee, service) = (fee - feeBefore, service - serviceBefore);
        if (fee != 0) accountCredit[treasury][token] += fee;
        if (service != 0) accountCredit[payee][token] += service;
        uint256 own = _shareAncestors(planId, token, rest, restBefore);
        _credits[planId >> 32][token].amount += uint128(own);
        emit IncomeSplit(
            planId, token, income.earned - income.split, treasury, uint128(fee), payee, uint128(service), uint128(own)
        );
    }

    /// @return own What is left for the plan's own model.
    function _shareAncestors(uint256 planId, address token, uint256 rest, uint256 restBefore)
        internal
        returns (uint256 own)
    {
        Share[] memory ancestors = registry.ancestors(planId >> 32);
        uint256 left = Shares.WHOLE;
        for (uint256 i = 0; i < ancestors.length; ++i) {
            uint256 part;
            uint256 partBefore;
            (partBefore, restBefore,) = Shares.cut(restBefore, left, ancestors[i].bps);
            (part, rest, left) = Shares.cut(rest, left, ancestors[i].bps);
            part -= partBefore;
            if (part == 0) continue;
            _credits[ancestors[i].modelId][token].amount += uint128(part);
            emit AncestorCredited(planId, ancestors[i].modelId, token, uint128(part));
        }
        return rest - restBefore;
    }

    /// @return fee The protocol's part of `earned`.
    /// @return service The operator's.
    /// @return rest What ancestors and publisher share.
    function _operating(PlanRow storage row, uint256 earned)
        internal
        view
        returns (uint256 fee, uint256 service, uint256 rest)
    {
        uint256 left;
        (fee, rest, left) = Shares.cut(earned, Shares.WHOLE, row.feeBps);
        (service, rest,) = Shares.cut(rest, left, row.serviceBps);
    }

    function _send(address token, address to, uint256 amount) internal {
        if (token == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }
}
