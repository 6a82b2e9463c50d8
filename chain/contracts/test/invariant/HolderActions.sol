// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {HandlerBase} from "./HandlerBase.sol";

/// @notice What holders do, and what others try in their place: transfer, cancel in two forms, settle, delivery.
abstract contract HolderActions is HandlerBase {
    struct Delivery {
        uint256 licenceId;
        address signer;
        bytes32 key;
        uint256 deadline;
        bytes signature;
    }

    Delivery private _lastDelivery;
    mapping(bytes32 request => bool) private _delivered;

    function transfer(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0) return;
        LicenceGhost storage l = _licences[licenceId];
        address who = _chance(60) ? l.holder : _chance(50) ? l.approved : _anyone();
        address from = _chance(95) ? l.holder : _anyone();
        address to = _anyone();
        bytes32 before = market.getStateFingerprint(licenceId);
        bytes memory call = abi.encodeWithSignature("transferFrom(address,address,uint256)", from, to, licenceId);
        bool done = _try(who, call);
        bool movable = _plans[l.planId].terms.flags & TRANSFERABLE != 0 && l.cancelledAt == 0;
        bool may = l.holder != address(0) && from == l.holder && (who == l.holder || who == l.approved) && movable;
        _expect("transfer", done, may);
        if (!done) return;
        (l.holder, l.approved) = (to, address(0));
        _must(market.getStateFingerprint(licenceId) == before, "transfer: the fingerprint stays");
    }

    /// The approved may move a licence, and nothing else.
    function approve(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0) return;
        LicenceGhost storage l = _licences[licenceId];
        address who = _mostly(l.holder);
        address to = _anyone();
        bool done = _try(who, abi.encodeWithSignature("approve(address,uint256)", to, licenceId));
        _expect("approve", done, l.holder != address(0) && who == l.holder);
        if (done) l.approved = to;
    }

    function cancel(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0) return;
        LicenceGhost storage l = _licences[licenceId];
        address who = _chance(75) ? l.holder : _chance(40) ? l.approved : _anyone();
        address to = _anyTarget(who);
        bool done = _try(who, abi.encodeCall(market.cancel, (licenceId, to)));
        _expect("cancel", done, who == l.holder && _mayCancel(licenceId, to));
        if (done) _cancelled(licenceId, to);
    }

    function cancelBySig(uint256 seed) external step(seed) {
        uint256 licenceId = _anyLicence();
        if (licenceId == 0) return;
        LicenceGhost storage l = _licences[licenceId];
        address signer = l.holder == address(0) ? _anyone() : _mostly(l.holder);
        address to = _anyTarget(signer);
        uint256 deadline = block.timestamp + _roll(2);
        bytes32 kind = keccak256("Cancel(uint256 licenceId,address to,uint256 deadline)");
        bytes memory signature = _sign(signer, keccak256(abi.encode(kind, licenceId, to, deadline)));
        bool holds = signer == l.holder;
        uint256 roll = _roll(10);
        if (roll == 0) (to, holds) = (_named("outsider"), holds && to == _named("outsider"));
        if (roll == 1) (deadline, holds) = (deadline + 1, false);
        if (roll == 2) {
            deadline = block.timestamp - 1;
            signature = _sign(signer, keccak256(abi.encode(kind, licenceId, to, deadline)));
            holds = false;
        }
        bool done = _try(_anyone(), abi.encodeCall(market.cancelBySig, (licenceId, to, deadline, signature)));
        _expect("cancel by signature", done, holds && _mayCancel(licenceId, to));
        if (done) _cancelled(licenceId, to);
    }

    function settle(uint256 seed) external step(seed) {
        uint256 licenceId = _settleable();
        if (licenceId == 0) return;
        LicenceGhost storage l = _licences[licenceId];
        address who = _chance(50) ? l.holder : _anyone();
        address to = _anyTarget(l.holder);
        bool cancelled = l.cancelledAt != 0;
        uint256 claim = claimOf(licenceId);
        // A stranger pays a refund out, but takes no licence away that would bring nothing back.
        bool entitled = who == l.holder || (to == l.holder && (cancelled || claim != 0));
        bool may = l.holder != address(0) && _isDue(licenceId) && entitled && _valid(to)
            && _pays(_plans[l.planId].terms.token, claim);
        (bool done, bytes memory answer) = _tryWith(who, 0, abi.encodeCall(market.settle, (licenceId, to)));
        _expect(cancelled ? "settle a cancelled licence" : "settle a suspended licence", done, may);
        if (!done) return;
        _must(abi.decode(answer, (uint256)) == claim, "settle: answers the refund");
        _settled(licenceId, to);
    }

    /// The key of a release: to a holder who asked for it in writing, and once for each request.
    function deliver(uint256 seed) external step(seed) {
        Delivery memory d = _anyDelivery();
        if (d.licenceId == 0) return;
        LicenceGhost storage l = _licences[d.licenceId];
        (address who, bool entitled) = _deliverer(d.licenceId);
        bool open = l.holder != address(0) && l.cancelledAt == 0 && !isExpired(d.licenceId)
            && suspendedSince(d.licenceId >> 64) == 0 && _plans[l.planId].terms.flags & DOWNLOAD != 0;
        bytes32 request = keccak256(abi.encode(d));
        bool asked = d.signer == l.holder && block.timestamp <= d.deadline && !_delivered[request];
        if (_chance(10)) (d.key, asked) = (keccak256("another key"), false);
        bool done = _try(
            who, abi.encodeCall(market.deliver, (d.licenceId, d.key, d.deadline, d.signature, keccak256("wrapped")))
        );
        _expect("deliver", done, open && asked && entitled);
        if (!done) return;
        _delivered[request] = true;
        _take(l, l.amount);
    }

    // ------------------------------------------------------------------ what follows

    function _mayCancel(uint256 licenceId, address to) private view returns (bool) {
        LicenceGhost storage l = _licences[licenceId];
        bool paid = l.calls != 0 || _pays(_plans[l.planId].terms.token, claimOf(licenceId));
        return l.holder != address(0) && l.cancelledAt == 0 && _valid(to) && paid;
    }

    function _isDue(uint256 licenceId) private view returns (bool) {
        uint256 cancelledAt = _licences[licenceId].cancelledAt;
        uint256 since = suspendedSince(licenceId >> 64);
        return (cancelledAt != 0 && block.timestamp >= cancelledAt + WINDOW)
            || (since != 0 && block.timestamp - since >= LONG);
    }

    function _cancelled(uint256 licenceId, address to) private {
        LicenceGhost storage l = _licences[licenceId];
        if (l.calls == 0) return _settled(licenceId, to);
        _vest(licenceId);
        l.cancelledAt = block.timestamp;
    }

    function _settled(uint256 licenceId, address to) private {
        LicenceGhost storage l = _licences[licenceId];
        _vest(licenceId);
        uint256 refund = l.amount - l.taken;
        address token = _plans[l.planId].terms.token;
        _payOut(token, to, refund);
        refunded[token] += refund;
        l.refunded = refund;
        (l.amount, l.taken, l.holder, l.approved) = (0, 0, address(0), address(0));
        _must(!market.isValid(licenceId), "a settled licence is not valid");
    }

    /// Mostly a licence that is cancelled or whose model is suspended.
    function _settleable() private returns (uint256 licenceId) {
        for (uint256 i = 0; i < 20; ++i) {
            licenceId = _anyLicence();
            uint256 since = suspendedSince(licenceId >> 64);
            bool cancelled = _licences[licenceId].cancelledAt != 0;
            if (cancelled || (since != 0 && block.timestamp - since > LONG - 1 days)) return licenceId;
        }
    }

    /// Mostly a new request by the holder; at times the last one once more, or one by somebody else.
    function _anyDelivery() private returns (Delivery memory d) {
        if (_chance(15)) return _lastDelivery;
        for (uint256 i = 0; i < 12; ++i) {
            d.licenceId = _anyLicence();
            bool download = _plans[d.licenceId >> 32].terms.flags & DOWNLOAD != 0;
            if (download && (mayUse(d.licenceId) || i > 7)) break;
        }
        if (d.licenceId == 0 || _licences[d.licenceId].holder == address(0)) return d;
        d.signer = _mostly(_licences[d.licenceId].holder);
        d.key = bytes32(_roll(type(uint256).max));
        d.deadline = _chance(90) ? block.timestamp + _roll(3) * 1 days : block.timestamp - 1;
        bytes32 kind = keccak256("Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)");
        d.signature = _sign(d.signer, keccak256(abi.encode(kind, d.licenceId, d.key, d.deadline)));
        _lastDelivery = d;
    }

    function _deliverer(uint256 licenceId) private returns (address who, bool entitled) {
        uint256 operatorId = _plans[licenceId >> 32].terms.operatorId;
        address owner = _models[licenceId >> 64].owner;
        if (operatorId == 0) {
            who = _mostly(owner);
            return (who, who == owner);
        }
        OperatorGhost storage o = _operators[operatorId - 1];
        who = _chance(50) ? o.key : _mostly(owner);
        return (who, who == owner || (who == o.key && !o.disabled));
    }

    function _sign(address who, bytes32 structHash) private view returns (bytes memory) {
        return sign(_nameOf[who], _marketDigest(structHash));
    }
}
