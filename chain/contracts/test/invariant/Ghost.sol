// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice What must be true of the market, kept apart from it: written from the specification, in whole numbers, and
/// never read from the contract's own counters. Money is counted by what accounts gave and got.
abstract contract Ghost is TestBase {
    struct Suspension {
        uint256 from;
        uint256 end; // the largest number: until it is resumed
        bool confirmed;
    }

    struct ModelGhost {
        address owner;
        uint16 derivativeBps;
        uint256 releases;
        uint256 plans;
        Share[] ancestors; // in the order of the registry; as a set, checked when the model is published
    }

    struct PlanGhost {
        PlanTerms terms;
        bool retired;
        uint256 sold;
        uint256 earned;
        uint256 split;
        address[] creditors; // who was ever credited with fee or service
    }

    struct LicenceGhost {
        uint256 planId;
        address holder; // 0 once settled
        address approved;
        uint256 cancelledAt; // block time; 0 is not cancelled
        uint256 paid; // over its life
        uint256 earned; // by the plan, over its life
        uint256 refunded;
        // The present term.
        uint256 amount;
        uint256 taken;
        uint256 start; // on the model's clock, as expiry is
        uint256 expiry;
        uint256 base;
        uint256 used;
        uint256 calls;
    }

    struct OperatorGhost {
        address owner;
        address key;
        address payee;
        bool disabled;
    }

    uint256 internal constant FOREVER = type(uint256).max;
    uint256 internal constant WHOLE = 10_000;
    uint256 internal constant WINDOW = 6 hours;
    uint256 internal constant LAPSE = 14 days;
    uint256 internal constant LONG = 90 days;
    uint8 internal constant RUN = 1;
    uint8 internal constant DOWNLOAD = 2;
    uint8 internal constant TRANSFERABLE = 4;
    uint8 internal constant RENEWABLE = 8;

    uint256 public modelCount;
    uint256[] public planIds;
    uint256[] public licenceIds;
    OperatorGhost[] internal _operators; // operator id less 1
    mapping(uint256 modelId => ModelGhost) internal _models;
    mapping(uint256 modelId => Suspension[]) internal _suspensions;
    mapping(uint256 planId => PlanGhost) internal _plans;
    mapping(uint256 licenceId => LicenceGhost) internal _licences;

    // Money: what each account must have, and totals of a token.
    mapping(address token => mapping(address account => uint256)) public ledger;
    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public refunded;
    mapping(address token => uint256) public withdrawn;
    mapping(address token => uint256) public given;
    mapping(uint256 modelId => mapping(address token => uint256)) public modelWithdrawn;
    mapping(address account => mapping(address token => uint256)) public accountCredited;
    mapping(address account => mapping(address token => uint256)) public accountWithdrawn;

    // ------------------------------------------------------------------ for tests

    function planCount() external view returns (uint256) {
        return planIds.length;
    }

    function licenceCount() external view returns (uint256) {
        return licenceIds.length;
    }

    function operatorCount() external view returns (uint256) {
        return _operators.length;
    }

    function model(uint256 modelId) external view returns (ModelGhost memory) {
        return _models[modelId];
    }

    function planOf(uint256 planId) external view returns (PlanGhost memory) {
        return _plans[planId];
    }

    function licence(uint256 licenceId) external view returns (LicenceGhost memory) {
        return _licences[licenceId];
    }

    function operatorOf(uint256 operatorId) external view returns (OperatorGhost memory) {
        return _operators[operatorId - 1];
    }

    // ------------------------------------------------------------------ time

    /// @notice Block time less the seconds under suspension, added up one suspension after another.
    function clockOf(uint256 modelId) public view returns (uint256 time) {
        time = block.timestamp;
        Suspension[] storage all = _suspensions[modelId];
        for (uint256 i = 0; i < all.length; ++i) {
            time -= _min(all[i].end, block.timestamp) - all[i].from;
        }
    }

    /// @return since Block time; 0 where it is not suspended now.
    function suspendedSince(uint256 modelId) public view returns (uint256 since) {
        Suspension[] storage all = _suspensions[modelId];
        if (all.length == 0) return 0;
        Suspension storage last = all[all.length - 1];
        return block.timestamp < last.end ? last.from : 0;
    }

    function isExpired(uint256 licenceId) public view returns (bool) {
        LicenceGhost storage l = _licences[licenceId];
        return l.expiry != 0 && clockOf(licenceId >> 64) >= l.expiry;
    }

    function mayUse(uint256 licenceId) public view returns (bool) {
        LicenceGhost storage l = _licences[licenceId];
        return l.holder != address(0) && l.cancelledAt == 0 && !isExpired(licenceId)
            && suspendedSince(licenceId >> 64) == 0 && (l.calls == 0 || l.used < l.calls);
    }

    // ------------------------------------------------------------------ vesting

    /// @notice What would come back to the holder now: the smallest of what was not taken, what time has left and what
    /// use has left, each rounded up.
    function claimOf(uint256 licenceId) public view returns (uint256 left) {
        LicenceGhost storage l = _licences[licenceId];
        left = l.amount - l.taken;
        if (l.cancelledAt == 0) {
            uint256 term = l.expiry == 0 ? _plans[l.planId].terms.vesting : l.expiry - l.start;
            left = _min(left, _unvested(l.amount, clockOf(licenceId >> 64) - l.start, term));
        }
        if (l.calls != 0) left = _min(left, _unvested(l.amount, l.used - l.base, l.calls - l.base));
    }

    function _unvested(uint256 amount, uint256 done, uint256 all) private pure returns (uint256) {
        if (done >= all) return 0;
        return (amount * (all - done) + all - 1) / all;
    }

    /// Moves what has vested to the plan's income.
    function _vest(uint256 licenceId) internal {
        LicenceGhost storage l = _licences[licenceId];
        _take(l, l.amount - claimOf(licenceId));
    }

    function _take(LicenceGhost storage l, uint256 vested) internal {
        l.earned += vested - l.taken;
        _plans[l.planId].earned += vested - l.taken;
        l.taken = vested;
    }

    /// A purchase or a renewal: the entry share is income at once, the rest joins what is held.
    function _beginTerm(uint256 licenceId) internal {
        LicenceGhost storage l = _licences[licenceId];
        PlanTerms storage t = _plans[l.planId].terms;
        uint256 entry = t.vesting == 0 ? t.price : uint256(t.price) * t.entryBps / WHOLE;
        uint256 clock = clockOf(t.modelId);
        l.paid += t.price;
        l.earned += entry;
        _plans[l.planId].earned += entry;
        l.amount = l.amount - l.taken + t.price - entry;
        l.taken = 0;
        l.start = clock;
        l.base = l.used;
        l.calls += t.calls;
        if (t.period != 0) l.expiry = (clock > l.expiry ? clock : l.expiry) + t.period;
    }

    // ------------------------------------------------------------------ shares

    /// @notice Who has how much of the plan's income `earned`: fee, service, the ancestors in order, the publisher.
    /// They are taken one after another from what is left.
    function sharesOf(uint256 planId, uint256 earned) public view returns (uint256[] memory parts) {
        PlanTerms storage t = _plans[planId].terms;
        Share[] storage ancestors = _models[t.modelId].ancestors;
        parts = new uint256[](ancestors.length + 3);
        parts[0] = earned * t.feeBps / WHOLE;
        parts[1] = (earned - parts[0]) * t.serviceBps / (WHOLE - t.feeBps);
        uint256 rest = earned - parts[0] - parts[1];
        uint256 left = WHOLE;
        for (uint256 i = 0; i < ancestors.length; ++i) {
            parts[2 + i] = rest * ancestors[i].bps / left;
            rest -= parts[2 + i];
            left -= ancestors[i].bps;
        }
        parts[parts.length - 1] = rest;
    }

    /// @notice All that the model has earned in a token: as if each plan had been split once, at the last split.
    function modelEarned(uint256 modelId, address token) public view returns (uint256 sum) {
        for (uint256 i = 0; i < planIds.length; ++i) {
            PlanGhost storage p = _plans[planIds[i]];
            if (p.terms.token != token) continue;
            uint256[] memory parts = sharesOf(planIds[i], p.split);
            Share[] storage ancestors = _models[p.terms.modelId].ancestors;
            for (uint256 k = 0; k < ancestors.length; ++k) {
                if (ancestors[k].modelId == modelId) sum += parts[2 + k];
            }
            if (p.terms.modelId == modelId) sum += parts[parts.length - 1];
        }
    }

    // ------------------------------------------------------------------ counting

    /// @notice Licences of the plan that exist and were not cancelled.
    function liveOf(uint256 planId) public view returns (uint256 live) {
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            LicenceGhost storage l = _licences[licenceIds[i]];
            if (l.planId == planId && l.holder != address(0) && l.cancelledAt == 0) ++live;
        }
    }

    /// @notice What licences in a token hold that was not moved to income.
    function heldIn(address token) public view returns (uint256 sum) {
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            LicenceGhost storage l = _licences[licenceIds[i]];
            if (_plans[l.planId].terms.token == token) sum += l.amount - l.taken;
        }
    }

    /// @notice Income of plans in a token that was not split.
    function unsplitIn(address token) public view returns (uint256 sum) {
        for (uint256 i = 0; i < planIds.length; ++i) {
            PlanGhost storage p = _plans[planIds[i]];
            if (p.terms.token == token) sum += p.earned - p.split;
        }
    }

    function _min(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }
}
