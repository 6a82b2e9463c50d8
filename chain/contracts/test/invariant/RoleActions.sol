// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceState} from "../../src/interfaces/ILicenceMarket.sol";
import {HandlerBase} from "./HandlerBase.sol";

/// @notice What admin, guardian, pauser and operators do, and time. None of it may change what a user could take out
/// at that moment: `claimsKept` compares before and after.
abstract contract RoleActions is HandlerBase {
    modifier claimsKept() {
        bytes32 before = _claims();
        _;
        _must(_claims() == before, "no role changes a claim");
    }

    function suspend(uint256 seed) external step(seed) claimsKept {
        uint256 modelId = _anyModel();
        if (suspendedSince(modelId) == 0 && _chance(50)) return; // or nothing is sold any more
        address who = _mostly(guardian);
        if (who == address(0)) return;
        bool done = _try(who, abi.encodeCall(market.suspend, (modelId, keccak256("reason"))));
        _expect("suspend", done, who == guardian && suspendedSince(modelId) == 0);
        if (done) _suspensions[modelId].push(Suspension(block.timestamp, block.timestamp + LAPSE, false));
    }

    function confirmSuspension(uint256 seed) external step(seed) claimsKept {
        uint256 modelId = _anySuspended();
        address who = _mostly(admin);
        bool done = _try(who, abi.encodeCall(market.confirmSuspension, (modelId)));
        _expect("confirm a suspension", done, who == admin && suspendedSince(modelId) != 0);
        if (!done) return;
        Suspension storage last = _suspensions[modelId][_suspensions[modelId].length - 1];
        (last.end, last.confirmed) = (FOREVER, true);
    }

    function resume(uint256 seed) external step(seed) claimsKept {
        uint256 modelId = _anySuspended();
        address who = _chance(50) ? admin : _mostly(guardian);
        if (who == address(0)) return;
        bool suspended = suspendedSince(modelId) != 0;
        if (suspended && _chance(15)) return; // some must last for long
        bool may = suspended
            && (who == admin || (who == guardian && !_suspensions[modelId][_suspensions[modelId].length - 1].confirmed));
        bool done = _try(who, abi.encodeCall(market.resume, (modelId)));
        _expect("resume", done, may);
        if (done) _suspensions[modelId][_suspensions[modelId].length - 1].end = block.timestamp;
    }

    /// So long that licences are settled for it, or one second less.
    function sufferSuspension(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0 || guardian == address(0) || _chance(50)) return;
        uint256 modelId = licenceId >> 64;
        if (suspendedSince(modelId) == 0) {
            _expect("suspend", _try(guardian, abi.encodeCall(market.suspend, (modelId, keccak256("reason")))), true);
            _suspensions[modelId].push(Suspension(block.timestamp, block.timestamp + LAPSE, false));
        }
        Suspension storage last = _suspensions[modelId][_suspensions[modelId].length - 1];
        if (!last.confirmed) {
            _expect("confirm a suspension", _try(admin, abi.encodeCall(market.confirmSuspension, (modelId))), true);
            (last.end, last.confirmed) = (FOREVER, true);
        }
        if (last.from + LONG > block.timestamp) vm.warp(last.from + LONG - 1 + _roll(2));
        _expect("a model is suspended for long", true, true);
    }

    function pause(uint256 seed) external step(seed) claimsKept {
        address who = _chance(50) ? admin : _mostly(pauser);
        if (who == address(0)) return;
        bool stop = _chance(25);
        bool done = _try(who, abi.encodeCall(market.setPaused, (stop)));
        _expect(stop ? "pause" : "go on after a pause", done, who == admin || who == pauser);
        if (done) paused = stop;
    }

    function changeSettings(uint256 seed) external step(seed) claimsKept {
        address who = _mostly(admin);
        uint256 roll = _roll(5);
        if (roll == 0) _changeFee(who);
        if (roll == 1) _changeTreasury(who);
        if (roll == 2) _changeGuardian(who);
        if (roll == 3) _changePauser(who);
        if (roll == 4) _changeToken(who);
    }

    function changeOperator(uint256 seed) external step(seed) claimsKept {
        uint256 roll = _roll(8);
        if (roll == 0 && _operators.length < 4) _registerOperator(_anyone(), _anyKey(), _anyPayee());
        else if (roll < 3 && _operators.length != 0) _disableOperator();
        else if (_operators.length != 0) _rotateOperator();
    }

    function passTime(uint256 seed) external step(seed) {
        uint256[6] memory most = [uint256(60), 2 hours, 12 hours, 3 days, 20 days, 60 days];
        vm.warp(block.timestamp + 1 + _roll(most[_roll(6)]));
        _expect("time passes", true, true);
    }

    /// Onto the second at which something ends, and to its neighbours: nowhere else is a boundary seen.
    function passTimeToABoundary(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0) return;
        uint256 boundary = _boundary(licenceId);
        if (boundary <= block.timestamp + 1) return;
        vm.warp(boundary - 1 + _roll(3));
        _expect("time passes to a boundary", true, true);
    }

    // ------------------------------------------------------------------ settings

    function _changeFee(address who) private {
        uint16 bps = uint16(_chance(80) ? _roll(501) : 501 + _roll(1000));
        bool done = _try(who, abi.encodeCall(market.setFeeBps, (bps)));
        _expect("set the fee", done, who == admin && bps <= 500);
        if (done) feeBps = bps;
    }

    function _changeTreasury(address who) private {
        // Never a payee: what a split credits to each is told apart by account.
        address to = _chance(90) ? _named(_chance(50) ? "treasury one" : "treasury two") : address(market);
        bool done = _try(who, abi.encodeCall(market.setTreasury, (to)));
        _expect("set the treasury", done, who == admin && _valid(to));
        if (done) treasury = to;
    }

    function _changeGuardian(address who) private {
        address to = _chance(10) ? address(0) : _named(_chance(50) ? "guardian" : "deputy");
        bool done = _try(who, abi.encodeCall(market.setGuardian, (to)));
        _expect("set the guardian", done, who == admin);
        if (done) guardian = to;
    }

    function _changePauser(address who) private {
        address to = _chance(10) ? address(0) : _named(_chance(50) ? "pauser" : "deputy");
        bool done = _try(who, abi.encodeCall(market.setPauser, (to)));
        _expect("set the pauser", done, who == admin);
        if (done) pauser = to;
    }

    function _changeToken(address who) private {
        address token = tokens[1 + _roll(2)];
        bool yes = _chance(75);
        bool done = _try(who, abi.encodeCall(market.setTokenAllowed, (token, yes)));
        _expect("allow or stop a token", done, who == admin);
        if (done) allowed[token] = yes;
    }

    // ------------------------------------------------------------------ operators

    function _registerOperator(address who, address key, address payee) internal {
        (bool done, bytes memory answer) = _tryWith(who, 0, abi.encodeCall(market.registerOperator, (key, payee)));
        _expect("register an operator", done, _valid(key) && _valid(payee));
        if (!done) return;
        _operators.push(OperatorGhost(who, key, payee, false));
        _must(abi.decode(answer, (uint256)) == _operators.length, "operator ids are consecutive");
    }

    function _rotateOperator() private {
        uint256 operatorId = 1 + _roll(_operators.length);
        OperatorGhost storage o = _operators[operatorId - 1];
        address who = _mostly(o.owner);
        (address key, address payee) = (_chance(40) ? _anyKey() : o.key, _chance(95) ? _anyPayee() : address(market));
        bool done = _try(who, abi.encodeCall(market.setOperator, (operatorId, key, payee)));
        _expect("change an operator", done, who == o.owner && _valid(key) && _valid(payee));
        if (done) (o.key, o.payee) = (key, payee);
    }

    function _disableOperator() private {
        uint256 operatorId = 1 + _roll(_operators.length + 1);
        if (operatorId == 1) return; // one is left to report
        bool known = operatorId <= _operators.length;
        address who = _mostly(guardian);
        if (who == address(0)) return;
        bool may = who == guardian && known && !_operators[operatorId - 1].disabled;
        bool done = _try(who, abi.encodeCall(market.disableOperator, (operatorId)));
        _expect("disable an operator", done, may);
        if (done) _operators[operatorId - 1].disabled = true;
    }

    function _anyKey() private returns (address) {
        string[3] memory names = ["key one", "key two", "key three"];
        return _named(names[_roll(3)]);
    }

    function _anyPayee() private returns (address) {
        return _named(_chance(50) ? "payee one" : "payee two");
    }

    // ------------------------------------------------------------------ time

    /// A block time at which something about the licence or its model changes.
    function _boundary(uint256 licenceId) private returns (uint256) {
        LicenceGhost storage l = _licences[licenceId];
        uint256 behind = block.timestamp - clockOf(licenceId >> 64);
        if (l.cancelledAt != 0) return l.cancelledAt + WINDOW;
        if (_chance(40)) return _endOfSuspension(_anySuspended());
        if (l.expiry == 0) return l.start + _plans[l.planId].terms.vesting + behind;
        return l.expiry + behind;
    }

    /// When it lapses, or when licences may be settled for it.
    function _endOfSuspension(uint256 modelId) private view returns (uint256) {
        if (suspendedSince(modelId) == 0) return 0;
        Suspension storage last = _suspensions[modelId][_suspensions[modelId].length - 1];
        return last.confirmed ? last.from + LONG : last.end;
    }

    /// Mostly a model that is suspended.
    function _anySuspended() private returns (uint256 modelId) {
        for (uint256 i = 0; i < 12; ++i) {
            modelId = _anyModel();
            if (suspendedSince(modelId) != 0) return modelId;
        }
    }

    // ------------------------------------------------------------------ claims

    /// Everything that users could take out now, as the market's views say.
    function _claims() private view returns (bytes32 digest) {
        LicenceState[] memory states = market.licenceStates(licenceIds);
        for (uint256 i = 0; i < states.length; ++i) {
            (states[i].valid, states[i].suspended) = (false, false);
        }
        digest = keccak256(abi.encode(states));
        for (uint256 modelId = 1; modelId <= modelCount; ++modelId) {
            for (uint256 t = 0; t < tokens.length; ++t) {
                digest = keccak256(abi.encode(digest, market.credit(modelId, tokens[t])));
            }
        }
        for (uint256 i = 0; i < cast.length; ++i) {
            for (uint256 t = 0; t < tokens.length; ++t) {
                digest = keccak256(abi.encode(digest, market.accountCredit(cast[i], tokens[t])));
            }
        }
    }
}
