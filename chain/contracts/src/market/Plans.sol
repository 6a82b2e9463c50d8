// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../ModelRegistry.sol";
import {PlanTerms} from "../interfaces/ILicenceMarket.sol";
import {ModelClock} from "./ModelClock.sol";
import {Operators} from "./Operators.sol";

/// @title The price lists.
abstract contract Plans is Operators, ModelClock {
    /// @dev Two slots.
    struct PlanRow {
        uint96 price;
        uint32 period;
        uint32 vesting;
        uint32 calls;
        uint32 operatorId;
        uint16 feeBps;
        uint16 entryBps;
        address token;
        uint24 supply;
        uint24 live;
        uint24 sold;
        uint16 serviceBps;
        uint8 flags; // with RETIRED
    }

    /// @notice Ten years, so that an expiry fits 32 bits until the year 2096.
    uint32 public constant MAX_PERIOD = 3650 days;
    /// @notice The shortest and the longest vesting of a perpetual plan that does not vest at once.
    uint32 public constant MIN_VESTING = 1 hours;
    uint32 public constant MAX_VESTING = 90 days;
    /// @notice The most calls of a plan, and of a licence over its life.
    uint32 public constant MAX_CALLS = 2 ** 31 - 1;
    /// @notice The highest service and entry shares.
    uint16 public constant MAX_SERVICE_BPS = 5000;
    uint16 public constant MAX_ENTRY_BPS = 2000;
    uint8 internal constant RUN = 1;
    uint8 internal constant DOWNLOAD = 2;
    uint8 internal constant TRANSFERABLE = 4;
    uint8 internal constant RENEWABLE = 8;
    uint8 internal constant RETIRED = 128; // not one of the terms

    /// @notice Where the models live.
    ModelRegistry public immutable registry;

    mapping(uint256 planId => PlanRow) internal _plans;

    constructor(ModelRegistry registry_) {
        registry = registry_;
    }

    function addPlan(PlanTerms memory terms) external returns (uint256 planId) {
        _requireModelOwner(terms.modelId);
        _requireToken(terms.token);
        _checkTerms(terms);

        planId = terms.modelId << 32 | ++_models[terms.modelId].planCount;
        PlanRow storage row = _plans[planId];
        (row.price, row.period, row.vesting) = (terms.price, terms.period, terms.vesting);
        (row.calls, row.operatorId, row.feeBps) = (terms.calls, terms.operatorId, terms.feeBps);
        (row.entryBps, row.token, row.supply) = (terms.entryBps, terms.token, terms.supply);
        (row.serviceBps, row.flags) = (terms.serviceBps, terms.flags);
        emit PlanAdded(planId, terms.modelId, terms, keccak256(abi.encode(terms)));
    }

    function retirePlan(uint256 planId) external {
        _requireModelOwner(planId >> 32);
        PlanRow storage row = _plan(planId);
        _requireOnSale(planId, row);
        row.flags |= RETIRED;
        ++_models[planId >> 32].retiredCount;
        emit PlanRetired(planId);
    }

    function planHash(uint256 planId) external view returns (bytes32) {
        return keccak256(abi.encode(_terms(planId, _plan(planId))));
    }

    /// @notice How many plans the model has, which is the `n` of the newest.
    function planCount(uint256 modelId) external view returns (uint32) {
        return _models[modelId].planCount;
    }

    /// @dev The plan as the buyer agreed to it, where it may be sold now.
    function _termsAgreed(uint256 planId, bytes32 agreedHash) internal view returns (PlanTerms memory terms) {
        if (paused) revert SalesPaused();
        PlanRow storage row = _plan(planId);
        _requireOnSale(planId, row);
        terms = _terms(planId, row);
        bytes32 actual = keccak256(abi.encode(terms));
        if (actual != agreedHash) revert PlanHashDiffers(planId, actual, agreedHash);
        _requireToken(terms.token);
    }

    function _checkTerms(PlanTerms memory terms) internal view {
        uint8 flags = terms.flags;
        bool renews = terms.period != 0 || terms.calls != 0;
        if (
            flags & (RUN | DOWNLOAD) == 0 || flags > (RUN | DOWNLOAD | TRANSFERABLE | RENEWABLE)
                || (flags & RENEWABLE != 0 && !renews)
        ) revert FlagsInvalid(flags);
        if (terms.supply == 0) revert SupplyZero();
        if (terms.period > MAX_PERIOD) revert PeriodTooLong(terms.period, MAX_PERIOD);
        bool vests = terms.period == 0
            ? terms.vesting >= MIN_VESTING && terms.vesting <= MAX_VESTING
            : terms.vesting == terms.period;
        if (terms.vesting != 0 && !vests) revert VestingInvalid(terms.vesting, terms.period);
        if (terms.calls > MAX_CALLS) revert CallsTooMany(terms.calls, MAX_CALLS);
        if (terms.feeBps != feeBps) revert FeeDiffers(feeBps, terms.feeBps);
        if (terms.serviceBps > MAX_SERVICE_BPS) revert BpsTooLarge(terms.serviceBps, MAX_SERVICE_BPS);
        if (terms.entryBps > MAX_ENTRY_BPS) revert BpsTooLarge(terms.entryBps, MAX_ENTRY_BPS);
        if (terms.operatorId != 0) _requireOperator(terms.operatorId);
        else if (terms.calls != 0 || terms.serviceBps != 0) revert OperatorRequired();
    }

    function _requireModelOwner(uint256 modelId) internal view {
        if (registry.ownerOf(modelId) != msg.sender) revert NotModelOwner(modelId, msg.sender);
    }

    function _requireOnSale(uint256 planId, PlanRow storage row) internal view {
        if (row.flags & RETIRED != 0) revert PlanIsRetired(planId);
    }

    function _plan(uint256 planId) internal view returns (PlanRow storage row) {
        row = _plans[planId];
        if (row.supply == 0) revert PlanUnknown(planId);
    }

    function _terms(uint256 planId, PlanRow storage row) internal view returns (PlanTerms memory) {
        return PlanTerms({
            modelId: planId >> 32,
            token: row.token,
            price: row.price,
            period: row.period,
            vesting: row.vesting,
            calls: row.calls,
            supply: row.supply,
            feeBps: row.feeBps,
            operatorId: row.operatorId,
            serviceBps: row.serviceBps,
            entryBps: row.entryBps,
            flags: row.flags & ~RETIRED
        });
    }
}
