// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {HandlerBase} from "./HandlerBase.sol";

/// @notice What publishers do: models with parents, releases, sales of models, plans.
abstract contract ModelActions is HandlerBase {
    function publish(uint256 seed) external step(seed) {
        if (modelCount >= 8) return;
        address who = _chance(50) ? _named("petra") : _anyone();
        Share[] memory parents = new Share[](_roll(4));
        for (uint256 i = 0; i < parents.length; ++i) {
            uint256 parent = _anyModel();
            uint256 asked = _models[parent].derivativeBps;
            uint256 bps = _chance(90) ? asked + _roll(3) * 37 : asked - _min(asked, 1);
            parents[i] = Share(_chance(97) ? parent : modelCount + 1, uint16(bps));
        }
        uint16 derivativeBps = uint16(_chance(95) ? _roll(8) * 211 : 5001);
        _publish(who, parents, derivativeBps);
    }

    function changeModel(uint256 seed) external step(seed) {
        uint256 modelId = _anyModel();
        address who = _mostly(_models[modelId].owner);
        bool owns = who == _models[modelId].owner;
        uint256 roll = _roll(3);
        if (roll == 0) {
            uint16 bps = uint16(_roll(10) == 0 ? 5001 : _roll(2501));
            vm.prank(who);
            (bool done,) = address(registry).call(abi.encodeCall(registry.setDerivativeBps, (modelId, bps)));
            _expect("set derivative bps", done, owns && bps <= 5000);
            if (done) _models[modelId].derivativeBps = bps;
        } else if (roll == 1) {
            vm.prank(who);
            (bool done,) = address(registry).call(abi.encodeCall(registry.release, (modelId, keccak256("next"))));
            _expect("release", done, owns);
            if (done) ++_models[modelId].releases;
        } else {
            _sellModel(modelId, who);
        }
    }

    /// The model goes to another with all income that was not withdrawn.
    function _sellModel(uint256 modelId, address who) private {
        address owner = _models[modelId].owner;
        address to = _anyone();
        bytes memory call = abi.encodeWithSignature("transferFrom(address,address,uint256)", owner, to, modelId);
        vm.prank(who);
        (bool done,) = address(registry).call(call);
        _expect("sell a model", done, who == owner);
        if (done) _models[modelId].owner = to;
    }

    function addPlan(uint256 seed) external step(seed) {
        if (planIds.length >= 12) return;
        uint256 modelId = _anyModel();
        PlanTerms memory terms = _anyTerms(modelId);
        bool sound = allowed[terms.token] && (terms.operatorId == 0 || !_operators[terms.operatorId - 1].disabled);
        if (_chance(40)) sound = _spoil(terms) && sound;
        _addPlan(_mostly(_models[modelId].owner), terms, sound);
    }

    function retirePlan(uint256 seed) external step(seed) {
        uint256 planId = _anyPlan();
        if (planId % 3 != 0) return; // rarely, or soon nothing is for sale
        address owner = _models[planId >> 32].owner;
        address who = _mostly(owner);
        bool done = _try(who, abi.encodeCall(market.retirePlan, (planId)));
        _expect("retire a plan", done, who == owner && !_plans[planId].retired);
        if (done) _plans[planId].retired = true;
    }

    // ------------------------------------------------------------------ models

    function _publish(address who, Share[] memory parents, uint16 derivativeBps) internal {
        (Share[] memory ancestors, bool fits) = _lineage(parents);
        vm.prank(who);
        (bool done, bytes memory answer) =
            address(registry).call(abi.encodeCall(registry.publish, (keccak256("first"), parents, derivativeBps)));
        _expect(parents.length == 0 ? "publish" : "publish a child", done, fits && derivativeBps <= 5000);
        if (!done) return;
        uint256 modelId = abi.decode(answer, (uint256));
        _must(modelId == ++modelCount, "model ids are consecutive");
        ModelGhost storage m = _models[modelId];
        (m.owner, m.derivativeBps, m.releases) = (who, derivativeBps, 1);
        Share[] memory stored = registry.ancestors(modelId);
        _must(_sameSet(stored, ancestors), "ancestors are those declared and inherited");
        for (uint256 i = 0; i < stored.length; ++i) {
            m.ancestors.push(stored[i]);
        }
    }

    /// Of all shares that parents declare or pass on, the largest for each model.
    function _lineage(Share[] memory parents) private view returns (Share[] memory ancestors, bool fits) {
        uint256[] memory bps = new uint256[](modelCount + 1);
        fits = true;
        for (uint256 i = 0; i < parents.length; ++i) {
            uint256 parent = parents[i].modelId;
            if (parent > modelCount || parents[i].bps < _models[parent].derivativeBps) return (ancestors, false);
            if (parents[i].bps > bps[parent]) bps[parent] = parents[i].bps;
            Share[] storage theirs = _models[parent].ancestors;
            for (uint256 k = 0; k < theirs.length; ++k) {
                if (theirs[k].bps > bps[theirs[k].modelId]) bps[theirs[k].modelId] = theirs[k].bps;
            }
        }
        return _collected(bps);
    }

    function _collected(uint256[] memory bps) private pure returns (Share[] memory ancestors, bool fits) {
        uint256 count;
        uint256 sum;
        for (uint256 i = 0; i < bps.length; ++i) {
            if (bps[i] != 0) ++count;
            sum += bps[i];
        }
        ancestors = new Share[](count);
        for (uint256 i = 0; i < bps.length; ++i) {
            if (bps[i] != 0) ancestors[--count] = Share(i, uint16(bps[i]));
        }
        return (ancestors, ancestors.length <= 8 && sum <= 5000);
    }

    function _sameSet(Share[] memory left, Share[] memory right) private pure returns (bool) {
        if (left.length != right.length) return false;
        for (uint256 i = 0; i < left.length; ++i) {
            bool found;
            for (uint256 k = 0; k < right.length; ++k) {
                if (left[i].modelId == right[k].modelId && left[i].bps == right[k].bps) found = true;
            }
            if (!found) return false;
        }
        return true;
    }

    // ------------------------------------------------------------------ plans

    function _addPlan(address who, PlanTerms memory terms, bool sound) internal {
        uint256 modelId = terms.modelId;
        vm.prank(who);
        (bool done, bytes memory answer) = address(market).call(abi.encodeCall(market.addPlan, (terms)));
        _expect("add a plan", done, sound && who == _models[modelId].owner);
        if (!done) return;
        uint256 planId = abi.decode(answer, (uint256));
        _must(planId == (modelId << 32 | ++_models[modelId].plans), "plan ids are consecutive");
        _plans[planId].terms = terms;
        planIds.push(planId);
    }

    /// Terms that can be added: timed or not, metered or not, vesting or not, in any token, at any price.
    function _anyTerms(uint256 modelId) private returns (PlanTerms memory terms) {
        terms.modelId = modelId;
        terms.token = _anyToken();
        terms.price = _anyPrice();
        terms.period = _chance(60) ? uint32(1 + _roll(60 days)) : 0;
        terms.vesting = terms.period != 0 ? terms.period : uint32(1 hours + _roll(90 days - 1 hours + 1));
        if (_chance(20)) terms.vesting = 0;
        terms.supply = uint24(1 + _roll(4));
        terms.feeBps = feeBps;
        terms.entryBps = uint16(_chance(50) ? 0 : _roll(2001));
        terms.flags = uint8(1 + _roll(7));
        if (terms.flags == TRANSFERABLE) terms.flags |= RUN;
        if (_operators.length != 0 && _chance(70)) {
            terms.operatorId = uint32(1 + _roll(_operators.length));
            terms.serviceBps = uint16(_chance(50) ? 0 : _roll(5001));
            if (_chance(70)) terms.calls = _chance(90) ? uint32(1 + _roll(50)) : uint32(2 ** 31 - 1);
        }
        if ((terms.period != 0 || terms.calls != 0) && _chance(80)) terms.flags |= RENEWABLE;
    }

    function _anyPrice() private returns (uint96) {
        uint256 roll = _roll(10);
        if (roll == 0) return 0;
        if (roll < 4) return uint96(1 + _roll(1000)); // where rounding shows
        if (roll == 4) return uint96(2 ** 90 + _roll(2 ** 90));
        return uint96(_roll(1e20));
    }

    /// Makes terms that are refused, or says that they still are sound.
    function _spoil(PlanTerms memory terms) private returns (bool sound) {
        uint256 roll = _roll(13);
        if (roll == 0) terms.flags = uint8(terms.flags & (TRANSFERABLE | RENEWABLE));
        if (roll == 1) terms.flags |= uint8(16 * 2 ** _roll(4));
        if (roll == 2) terms.supply = 0;
        if (roll == 3) (terms.period, terms.vesting) = (3650 days + 1, 0);
        if (roll == 4) terms.vesting = terms.period == 0 ? uint32(90 days + 1) : terms.period - 1;
        if (roll == 5) (terms.period, terms.vesting) = (0, 1 hours - 1);
        if (roll == 6) terms.calls = 2 ** 31;
        if (roll == 7) terms.feeBps += 1;
        if (roll == 8) terms.serviceBps = 5001;
        if (roll == 9) terms.entryBps = 2001;
        if (roll == 10) terms.operatorId = uint32(_operators.length + 1);
        if (roll == 11) (terms.operatorId, terms.calls, terms.serviceBps) = (0, 1, 0);
        if (roll == 12) (terms.operatorId, terms.calls, terms.serviceBps) = (0, 0, 1);
        return roll == 4 && terms.vesting == 0; // a period of one second, vesting at once
    }
}
