// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {HandlerBase} from "./HandlerBase.sol";
import {MoodyToken} from "./MoodyToken.sol";

/// @notice Reports of use, and the way of income: collect, split, withdraw.
abstract contract MoneyActions is HandlerBase {
    /// What the shares of a plan got, as the market's credits rose.
    struct Got {
        uint256 fee;
        uint256 service;
        uint256 ancestors;
        uint256 publisher;
    }

    mapping(uint256 planId => Got) private _got;

    function gotOf(uint256 planId) external view returns (Got memory) {
        return _got[planId];
    }

    function report(uint256 seed) external step(seed) {
        uint256[] memory ids = new uint256[](1 + _roll(4));
        uint32[] memory used = new uint32[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = _anyMetered();
            used[i] = _anyUse(ids[i]);
        }
        address who = _reporter(ids[0]);
        bool done = _try(who, abi.encodeCall(market.reportUsage, (ids, used)));
        _expect("report", done, true);
        for (uint256 i = 0; i < ids.length; ++i) {
            LicenceGhost storage l = _licences[ids[i]];
            bool counts = _counts(l, who, used[i]);
            _expect("report an entry", counts, counts);
            if (counts) l.used = used[i];
        }
    }

    function collect(uint256 seed) external step(seed) {
        uint256[] memory ids = new uint256[](1 + _roll(6));
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = _chance(75) ? _anyLicence() : _roll(FOREVER);
            if (licenceIds.length != 0 && _chance(25)) ids[i] = licenceIds[_roll(licenceIds.length)]; // settled, often
        }
        bool done = _try(_anyone(), abi.encodeCall(market.collect, (ids)));
        _expect("collect", done, true);
        for (uint256 i = 0; i < ids.length; ++i) {
            if (_licences[ids[i]].holder != address(0)) _vest(ids[i]);
        }
    }

    function split(uint256 seed) external step(seed) {
        uint256 planId = _anyPlan();
        for (uint256 i = 0; i < 6 && _plans[planId].earned == _plans[planId].split; ++i) {
            planId = _anyPlan();
        }
        PlanGhost storage p = _plans[planId];
        uint256[] memory before = _creditsOf(planId);
        bool done = _try(_anyone(), abi.encodeCall(market.split, (planId)));
        _expect("split", done, true);
        _noteGot(planId, before, _creditsOf(planId));
        uint256[] memory parts = sharesOf(planId, p.earned);
        uint256[] memory already = sharesOf(planId, p.split);
        p.split = p.earned;
        accountCredited[treasury][p.terms.token] += parts[0] - already[0];
        if (p.terms.operatorId == 0) return;
        accountCredited[_operators[p.terms.operatorId - 1].payee][p.terms.token] += parts[1] - already[1];
    }

    function withdraw(uint256 seed) external step(seed) {
        (uint256 modelId, address token, uint256 owed) = _anyIncome();
        address owner = _models[modelId].owner;
        address who = _mostly(owner);
        address to = _anyTarget(owner);
        bytes32 before = _fingerprint(modelId, token);
        bool done = _try(who, abi.encodeCall(market.withdraw, (modelId, token, to)));
        _expect("withdraw", done, who == owner && owed != 0 && _valid(to) && _pays(token, owed));
        if (!done) return;
        modelWithdrawn[modelId][token] += owed;
        withdrawn[token] += owed;
        _payOut(token, to, owed);
        _must(_fingerprint(modelId, token) != before, "withdraw: the model's fingerprint changes");
    }

    function withdrawAccount(uint256 seed) external step(seed) {
        (address who, address token, uint256 owed) = _anyCredit();
        address to = _anyTarget(who);
        bool done = _try(who, abi.encodeCall(market.withdrawAccount, (token, to)));
        _expect("withdraw from an account", done, owed != 0 && _valid(to) && _pays(token, owed));
        if (!done) return;
        accountWithdrawn[who][token] += owed;
        withdrawn[token] += owed;
        _payOut(token, to, owed);
    }

    function changeMood(uint256 seed) external step(seed) {
        // Honest half of the time, or nothing happens in this token.
        moody.setMood(MoodyToken.Mood(_chance(50) ? 0 : _roll(6)));
    }

    /// A gift, as by selfdestruct or a plain transfer: it is nobody's, and must change nothing.
    function donate(uint256 seed) external step(seed) {
        address token = _anyToken();
        uint256 amount = _roll(1e18);
        given[token] += amount;
        ledger[token][address(market)] += amount;
        if (token == address(0)) vm.deal(address(market), address(market).balance + amount);
        else TestUSD(token).mint(address(market), amount);
    }

    // ------------------------------------------------------------------ reports

    function _counts(LicenceGhost storage l, address who, uint256 used) private view returns (bool) {
        if (l.holder == address(0) || l.calls == 0) return false;
        OperatorGhost storage o = _operators[_plans[l.planId].terms.operatorId - 1];
        bool open = l.cancelledAt == 0 || block.timestamp < l.cancelledAt + WINDOW;
        return o.key == who && !o.disabled && open && used > l.used && used <= l.calls;
    }

    function _anyMetered() private returns (uint256 licenceId) {
        for (uint256 i = 0; i < 6; ++i) {
            licenceId = _anyLicence();
            if (_licences[licenceId].calls != 0) return licenceId;
        }
    }

    /// More, mostly; or the same, all, less, too many.
    function _anyUse(uint256 licenceId) private returns (uint32) {
        LicenceGhost storage l = _licences[licenceId];
        uint256 left = l.calls - l.used;
        uint256 roll = _roll(10);
        if (roll == 0) return uint32(l.used);
        if (roll == 1) return uint32(l.calls);
        if (roll == 2) return uint32(l.calls + 1);
        if (roll == 3) return uint32(_roll(l.used + 1));
        return uint32(l.used + _min(left, 1 + _roll(1 + left / 3)));
    }

    function _reporter(uint256 licenceId) private returns (address) {
        uint256 operatorId = _plans[licenceId >> 32].terms.operatorId;
        return operatorId == 0 ? _anyone() : _mostly(_operators[operatorId - 1].key);
    }

    // ------------------------------------------------------------------ credits

    /// A model and a token, mostly with income to withdraw.
    function _anyIncome() private returns (uint256 modelId, address token, uint256 owed) {
        for (uint256 i = 0; i < 10 && owed == 0; ++i) {
            (modelId, token) = (_anyModel(), _anyToken());
            owed = modelEarned(modelId, token) - modelWithdrawn[modelId][token];
        }
    }

    /// An account and a token, mostly with something to withdraw.
    function _anyCredit() private returns (address who, address token, uint256 owed) {
        string[4] memory names = ["payee one", "payee two", "treasury one", "treasury two"];
        for (uint256 i = 0; i < 10 && owed == 0; ++i) {
            (who, token) = (_chance(90) ? _named(names[_roll(4)]) : _anyone(), _anyToken());
            owed = accountCredited[who][token] - accountWithdrawn[who][token];
        }
    }

    /// What treasury, payee, ancestors and publisher could withdraw, in the order of `sharesOf`.
    function _creditsOf(uint256 planId) private view returns (uint256[] memory credits) {
        PlanTerms storage t = _plans[planId].terms;
        Share[] storage ancestors = _models[t.modelId].ancestors;
        credits = new uint256[](ancestors.length + 3);
        credits[0] = market.accountCredit(treasury, t.token);
        if (t.operatorId != 0) credits[1] = market.accountCredit(_operators[t.operatorId - 1].payee, t.token);
        for (uint256 i = 0; i < ancestors.length; ++i) {
            credits[2 + i] = market.credit(ancestors[i].modelId, t.token);
        }
        credits[credits.length - 1] = market.credit(t.modelId, t.token);
    }

    function _noteGot(uint256 planId, uint256[] memory before, uint256[] memory after_) private {
        Got storage got = _got[planId];
        got.fee += after_[0] - before[0];
        got.service += after_[1] - before[1];
        for (uint256 i = 2; i < before.length - 1; ++i) {
            got.ancestors += after_[i] - before[i];
        }
        got.publisher += after_[before.length - 1] - before[before.length - 1];
    }

    function _fingerprint(uint256 modelId, address token) private view returns (bytes32) {
        address[] memory list = new address[](1);
        list[0] = token;
        return market.modelFingerprint(modelId, list);
    }
}
