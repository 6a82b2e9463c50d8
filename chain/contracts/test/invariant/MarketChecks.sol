// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {LicenceState, Operator, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {TestBase} from "../helpers/TestBase.sol";
import {Ghost} from "./Ghost.sol";
import {MarketHandler} from "./MarketHandler.sol";
import {MoneyActions} from "./MoneyActions.sol";

/// @notice That the market's views and the accounts' balances are those that the handler computed by itself.
abstract contract MarketChecks is TestBase {
    LicenceMarket internal market;
    ModelRegistry internal registry;
    MarketHandler internal handler;

    function _checkAll() internal view {
        vm.assertEq(handler.violation(), "", "violation");
        _checkAccountsHaveWhatTheyShould();
        _checkMoneyAddsUp();
        _checkCredits();
        _checkLicences();
        _checkTokensThatExist();
        _checkPlans();
        _checkShares();
        _checkModels();
        _checkRolesAndOperators();
    }

    // ------------------------------------------------------------------ money

    /// The market's balance among them: it covers what it owes, with nothing but gifts beside.
    function _checkAccountsHaveWhatTheyShould() private view {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            for (uint256 i = 0; i < handler.castSize(); ++i) {
                address who = handler.cast(i);
                vm.assertEq(handler.balance(token, who), handler.ledger(token, who), "an account's balance");
            }
            vm.assertEq(
                handler.balance(token, address(market)), handler.ledger(token, address(market)), "the market's balance"
            );
        }
    }

    /// By the market's own views: paid = refunded + withdrawn + owed + held, and the balance covers the last two.
    function _checkMoneyAddsUp() private view {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            uint256 held = _held(token);
            uint256 owed = _unsplit(token) + _credits(token);
            vm.assertEq(held, handler.heldIn(token), "held by licences");
            vm.assertEq(_unsplit(token), handler.unsplitIn(token), "income to split");
            uint256 out = handler.refunded(token) + handler.withdrawn(token);
            vm.assertEq(handler.paidIn(token), out + owed + held, "paid = refunded + withdrawn + owed + held");
            vm.assertGe(handler.balance(token, address(market)), owed + held, "balance >= owed + held");
        }
    }

    function _held(address token) private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.licenceCount(); ++i) {
            uint256 licenceId = handler.licenceIds(i);
            if (handler.planOf(licenceId >> 32).terms.token != token) continue;
            LicenceState memory state = _state(licenceId);
            sum += state.amount - state.taken;
        }
    }

    function _unsplit(address token) private view returns (uint256 sum) {
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            (PlanTerms memory terms, PlanState memory state) = market.plan(handler.planIds(i));
            if (terms.token == token) sum += state.earned - state.split;
        }
    }

    function _credits(address token) private view returns (uint256 sum) {
        for (uint256 modelId = 1; modelId <= handler.modelCount(); ++modelId) {
            sum += market.credit(modelId, token);
        }
        for (uint256 i = 0; i < handler.castSize(); ++i) {
            sum += market.accountCredit(handler.cast(i), token);
        }
    }

    /// What a model earned is what one split of everything would have given it, however often anybody split.
    function _checkCredits() private view {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            for (uint256 modelId = 1; modelId <= handler.modelCount(); ++modelId) {
                uint256 got = market.credit(modelId, token) + handler.modelWithdrawn(modelId, token);
                vm.assertEq(got, handler.modelEarned(modelId, token), "a model's income");
            }
            for (uint256 i = 0; i < handler.castSize(); ++i) {
                address who = handler.cast(i);
                uint256 got = market.accountCredit(who, token) + handler.accountWithdrawn(who, token);
                vm.assertEq(got, handler.accountCredited(who, token), "an account's income");
            }
        }
    }

    /// As the credits rose with each split, and at most what the protocol promises.
    function _checkShares() private view {
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            uint256 planId = handler.planIds(i);
            Ghost.PlanGhost memory p = handler.planOf(planId);
            MoneyActions.Got memory got = handler.gotOf(planId);
            uint256[] memory parts = handler.sharesOf(planId, p.split);
            uint256 rest = p.split - got.fee - got.service;
            vm.assertEq(got.fee, parts[0], "fee");
            vm.assertEq(got.service, parts[1], "service");
            vm.assertEq(got.publisher, parts[parts.length - 1], "publisher");
            vm.assertEq(got.ancestors + got.publisher, rest, "nothing is lost in a split");
            vm.assertLe(got.fee * 20, p.split, "fee <= 5 %");
            vm.assertLe(got.ancestors * 2, rest, "ancestors <= 50 %");
        }
    }

    // ------------------------------------------------------------------ licences

    function _checkLicences() private view {
        for (uint256 i = 0; i < handler.licenceCount(); ++i) {
            uint256 licenceId = handler.licenceIds(i);
            Ghost.LicenceGhost memory l = handler.licence(licenceId);
            vm.assertEq(l.paid, l.earned + l.refunded + l.amount - l.taken, "paid = earned + refunded + held");
            vm.assertTrue(market.isValid(licenceId) == handler.mayUse(licenceId), "valid");
            LicenceState memory state = _state(licenceId);
            vm.assertTrue(state.exists == (l.holder != address(0)), "exists");
            if (state.exists) _checkLicence(licenceId, l, state);
        }
    }

    function _checkLicence(uint256 licenceId, Ghost.LicenceGhost memory l, LicenceState memory state) private view {
        PlanTerms memory terms = handler.planOf(l.planId).terms;
        uint256 behind = block.timestamp - handler.clockOf(licenceId >> 64);
        vm.assertEq(state.owner, l.holder, "holder");
        vm.assertEq(state.planId, l.planId, "plan");
        vm.assertEq(state.modelId, terms.modelId, "model");
        vm.assertEq(state.flags, terms.flags, "flags");
        vm.assertEq(state.expiry, l.expiry == 0 ? 0 : l.expiry + behind, "expiry");
        vm.assertEq(state.used, l.used, "used");
        vm.assertEq(state.calls, l.calls, "calls");
        vm.assertTrue(state.valid == handler.mayUse(licenceId), "valid");
        vm.assertTrue(state.suspended == (handler.suspendedSince(licenceId >> 64) != 0), "suspended");
        vm.assertEq(state.settleAt, l.cancelledAt == 0 ? 0 : l.cancelledAt + 6 hours, "settles at");
        vm.assertEq(state.amount, l.amount, "amount");
        vm.assertEq(state.taken, l.taken, "taken");
        vm.assertEq(state.amount - state.vested, handler.claimOf(licenceId), "refund");
        if (terms.vesting == 0) return;
        vm.assertEq(state.base, l.base, "base");
        vm.assertEq(state.start, l.cancelledAt == 0 ? l.start + behind : 0, "start");
    }

    /// Walks the token ids, beyond the last that was sold: what exists was bought, and supply is what exists.
    function _checkTokensThatExist() private view {
        uint256 existing;
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            uint256 planId = handler.planIds(i);
            uint256 live;
            for (uint256 serial = 0; serial <= handler.planOf(planId).sold + 2; ++serial) {
                LicenceState memory state = _state(planId << 32 | serial);
                if (state.exists) ++existing;
                if (state.exists && state.settleAt == 0) ++live;
            }
            (PlanTerms memory terms, PlanState memory plan) = market.plan(planId);
            vm.assertEq(plan.live, live, "live = licences that were not cancelled");
            vm.assertLe(plan.live, terms.supply, "live <= supply");
        }
        uint256 owned;
        for (uint256 i = 0; i < handler.castSize(); ++i) {
            owned += market.balanceOf(handler.cast(i));
        }
        vm.assertEq(owned, existing, "every licence has its holder");
    }

    // ------------------------------------------------------------------ what people said

    function _checkPlans() private view {
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            uint256 planId = handler.planIds(i);
            Ghost.PlanGhost memory p = handler.planOf(planId);
            (PlanTerms memory terms, PlanState memory state) = market.plan(planId);
            bytes32 added = keccak256(abi.encode(p.terms));
            vm.assertEq(keccak256(abi.encode(terms)), added, "terms");
            vm.assertEq(market.planHash(planId), added, "hash");
            vm.assertTrue(state.retired == p.retired, "retired");
            vm.assertEq(state.sold, p.sold, "sold");
            vm.assertEq(state.earned, p.earned, "earned");
            vm.assertEq(state.split, p.split, "split");
        }
    }

    function _checkModels() private view {
        for (uint256 modelId = 1; modelId <= handler.modelCount(); ++modelId) {
            Ghost.ModelGhost memory m = handler.model(modelId);
            vm.assertEq(registry.ownerOf(modelId), m.owner, "owner of a model");
            vm.assertEq(registry.derivativeBps(modelId), m.derivativeBps, "derivative bps");
            vm.assertEq(registry.releaseCount(modelId), m.releases, "releases");
            vm.assertEq(market.planCount(modelId), m.plans, "plans of a model");
            bytes32 ancestors = keccak256(abi.encode(registry.ancestors(modelId)));
            vm.assertEq(ancestors, keccak256(abi.encode(m.ancestors)), "ancestors");
            (uint64 time, uint64 suspendedAt) = market.modelClock(modelId);
            vm.assertEq(time, handler.clockOf(modelId), "clock");
            vm.assertEq(suspendedAt, handler.suspendedSince(modelId), "suspended since");
        }
        vm.assertEq(registry.modelCount(), handler.modelCount(), "models");
    }

    function _checkRolesAndOperators() private view {
        vm.assertEq(market.owner(), handler.admin(), "admin");
        vm.assertEq(market.guardian(), handler.guardian(), "guardian");
        vm.assertEq(market.pauser(), handler.pauser(), "pauser");
        vm.assertEq(market.treasury(), handler.treasury(), "treasury");
        vm.assertEq(market.feeBps(), handler.feeBps(), "fee");
        vm.assertTrue(market.paused() == handler.paused(), "paused");
        vm.assertEq(market.operatorCount(), handler.operatorCount(), "operators");
        for (uint256 operatorId = 1; operatorId <= handler.operatorCount(); ++operatorId) {
            Operator memory stored = market.operator(operatorId);
            bytes32 told = keccak256(abi.encode(handler.operatorOf(operatorId)));
            vm.assertEq(keccak256(abi.encode(stored)), told, "operator");
        }
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            vm.assertTrue(market.tokenAllowed(token) == handler.allowed(token), "token allowed");
        }
    }

    function _state(uint256 licenceId) internal view returns (LicenceState memory) {
        return market.licenceStates(one(licenceId))[0];
    }
}
