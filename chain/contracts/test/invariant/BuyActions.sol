// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {HandlerBase} from "./HandlerBase.sol";

/// @notice Buying in four forms, and renewing.
abstract contract BuyActions is HandlerBase {
    struct Signature {
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// The purchase that somebody signed an authorization for, and what a relayer makes of it.
    struct Purchase {
        uint256 planId;
        address payer;
        address recipient;
        bytes32 salt;
        uint256 validBefore;
        bool holds; // and its nonce was not used
    }

    uint256 private _salt;
    mapping(address payer => Purchase) private _authorized;
    mapping(address payer => Signature) private _signed;

    function buy(uint256 seed) external step(seed) {
        if (licenceIds.length >= 30) return;
        uint256 planId = _chance(20) ? _soldOut() : _onOffer();
        PlanTerms storage t = _plans[planId].terms;
        address payer = _buyer();
        address recipient = _chance(70) ? payer : _anyone();
        (uint256 value, bool exact) = _anyValue(t);
        (bytes32 agreed, bool right) = _anyHash(planId);
        bool may = _mayBuy(planId) && exact && right && _funded(t, payer);
        bytes memory call = abi.encodeCall(market.buy, (planId, agreed, recipient));
        (bool done, bytes memory answer) = _tryWith(payer, value, call);
        _expect("buy", done, may);
        if (done) _bought(planId, abi.decode(answer, (uint256)), payer, recipient);
    }

    function buyWithPermit(uint256 seed) external step(seed) {
        if (licenceIds.length >= 30) return;
        uint256 planId = _planInUsd();
        PlanTerms storage t = _plans[planId].terms;
        address payer = _chance(70) ? _named("dora") : _buyer();
        address recipient = _anyone();
        uint256 deadline = _chance(90) ? block.timestamp : block.timestamp - 1;
        Signature memory permit = _permit(payer, t.price, deadline);
        // dora alone: a permit would take the others' unlimited allowance away.
        bool genuine = payer == _named("dora") && t.token == tokens[1] && deadline >= block.timestamp;
        if (!genuine) permit.s = bytes32(uint256(permit.s) ^ 1);
        if (genuine && _chance(30)) {
            // Somebody takes the permit out of the mempool, to spoil the purchase.
            usd.permit(payer, address(market), t.price, deadline, permit.v, permit.r, permit.s);
            _allowance[payer] = t.price;
        }
        uint256 allowance = genuine ? t.price : _allowance[payer];
        bool paid = t.token != address(0) && _isPaid(t.token, t.price) && (t.token != tokens[1] || allowance >= t.price);
        bool may = _mayBuy(planId) && paid;
        (bool done, bytes memory answer) = _tryWith(payer, 0, _permitCall(planId, recipient, deadline, permit));
        _expect("buy with a permit", done, may);
        if (!done) return;
        if (genuine) _allowance[payer] = t.price;
        _bought(planId, abi.decode(answer, (uint256)), payer, recipient);
    }

    /// A relayer carries out what a payer signed: as it was signed, changed, or twice.
    function buyWithAuthorization(uint256 seed) external step(seed) {
        if (licenceIds.length >= 30) return;
        address payer = _buyer();
        if (_authorized[payer].planId == 0 || _chance(60)) _authorize(payer);
        Purchase memory wanted = _authorized[payer];
        if (_chance(15)) wanted.recipient = _anyone();
        if (_chance(5)) wanted.planId = _anyPlan();
        if (_chance(5)) wanted.payer = _buyer();
        bool genuine = wanted.holds && keccak256(abi.encode(wanted)) == keccak256(abi.encode(_authorized[payer]));
        PlanTerms storage t = _plans[wanted.planId].terms;
        bool may = _mayBuy(wanted.planId) && genuine && t.token == tokens[1] && block.timestamp < wanted.validBefore;
        (bool done, bytes memory answer) = _tryWith(_anyone(), 0, _authorizedCall(wanted, _signed[payer]));
        _expect("buy with an authorization", done, may);
        if (!done) return;
        _authorized[payer].holds = false; // its nonce is used
        // A token's transfer by authorization needs no allowance, and uses none.
        uint256 allowance = _allowance[wanted.payer];
        _allowance[wanted.payer] = type(uint256).max;
        _bought(wanted.planId, abi.decode(answer, (uint256)), wanted.payer, wanted.recipient);
        _allowance[wanted.payer] = allowance;
    }

    /// Anybody renews for the holder, but a metered licence its holder alone.
    function renew(uint256 seed) external step(seed) {
        uint256 licenceId = _anyRenewable();
        if (licenceId == 0) return;
        PlanTerms storage t = _plans[licenceId >> 32].terms;
        address payer = _renewer(licenceId);
        (uint256 value, bool exact) = _anyValue(t);
        (bytes32 agreed, bool right) = _anyHash(licenceId >> 32);
        bool may = exact && right && _funded(t, payer) && _mayRenew(licenceId, payer);
        bytes32 before = market.getStateFingerprint(licenceId);
        (bool done,) = _tryWith(payer, value, abi.encodeCall(market.renew, (licenceId, agreed)));
        _expect("renew", done, may);
        if (!done) return;
        _vest(licenceId);
        _beginTerm(licenceId);
        _payIn(t.token, payer, t.price);
        _must(market.getStateFingerprint(licenceId) != before, "renew: the fingerprint changes");
    }

    // ------------------------------------------------------------------ when it must succeed

    function _onSale(uint256 planId) private view returns (bool) {
        PlanGhost storage p = _plans[planId];
        return !paused && !p.retired && allowed[p.terms.token] && suspendedSince(planId >> 32) == 0;
    }

    function _mayBuy(uint256 planId) private view returns (bool) {
        return _onSale(planId) && liveOf(planId) < _plans[planId].terms.supply;
    }

    function _mayRenew(uint256 licenceId, address payer) private view returns (bool) {
        LicenceGhost storage l = _licences[licenceId];
        PlanTerms storage t = _plans[l.planId].terms;
        bool open = l.holder != address(0) && l.cancelledAt == 0 && (t.calls == 0 || payer == l.holder);
        return open && _onSale(l.planId) && t.flags & RENEWABLE != 0 && l.calls + t.calls < 2 ** 31;
    }

    function _funded(PlanTerms storage t, address payer) private view returns (bool) {
        return _isPaid(t.token, t.price) && (t.token != tokens[1] || _allowance[payer] >= t.price);
    }

    function _bought(uint256 planId, uint256 licenceId, address payer, address recipient) private {
        PlanGhost storage p = _plans[planId];
        _must(licenceId == (planId << 32 | ++p.sold), "licence ids are consecutive");
        licenceIds.push(licenceId);
        LicenceGhost storage l = _licences[licenceId];
        (l.planId, l.holder) = (planId, recipient);
        _beginTerm(licenceId);
        _payIn(p.terms.token, payer, p.terms.price);
    }

    // ------------------------------------------------------------------ what is tried

    function _anyValue(PlanTerms storage t) private returns (uint256 value, bool exact) {
        value = _value(t);
        if (_chance(92)) return (value, true);
        uint256 other = _chance(50) ? value + 1 : _roll(value + 2);
        return (other, other == value);
    }

    function _anyHash(uint256 planId) private returns (bytes32 agreed, bool right) {
        agreed = _agreed(planId);
        if (_chance(92)) return (agreed, true);
        PlanTerms memory other = _plans[planId].terms;
        uint256 field = _roll(12);
        if (field == 0) other.modelId += 1;
        if (field == 1) other.token = address(uint160(other.token) + 1);
        if (field == 2) other.price += 1;
        if (field == 3) other.period += 1;
        if (field == 4) other.vesting += 1;
        if (field == 5) other.calls += 1;
        if (field == 6) other.supply += 1;
        if (field == 7) other.feeBps += 1;
        if (field == 8) other.operatorId += 1;
        if (field == 9) other.serviceBps += 1;
        if (field == 10) other.entryBps += 1;
        if (field == 11) other.flags ^= 4;
        return (keccak256(abi.encode(other)), false);
    }

    function _onOffer() private returns (uint256 planId) {
        planId = _anyPlan();
        for (uint256 i = 0; i < 3 && !_mayBuy(planId); ++i) {
            planId = _anyPlan();
        }
    }

    /// Mostly a plan of which all licences are out.
    function _soldOut() private returns (uint256 planId) {
        planId = _anyPlan();
        for (uint256 i = 0; i < 12 && liveOf(planId) < _plans[planId].terms.supply; ++i) {
            planId = _anyPlan();
        }
    }

    /// Mostly a plan in TestUSD, which has permits and authorizations.
    function _planInUsd() private returns (uint256 planId) {
        for (uint256 i = 0; i < 8; ++i) {
            planId = _anyPlan();
            if (_plans[planId].terms.token == tokens[1] && _mayBuy(planId)) return planId;
        }
    }

    function _renewer(uint256 licenceId) private returns (address) {
        address holder = _licences[licenceId].holder;
        return holder != address(0) && _chance(60) ? holder : _buyer();
    }

    /// Mostly a licence that can be renewed.
    function _anyRenewable() private returns (uint256 licenceId) {
        for (uint256 i = 0; i < 5; ++i) {
            licenceId = _anyLicence();
            uint256 planId = licenceId >> 32;
            if (_onSale(planId) && _plans[planId].terms.flags & RENEWABLE != 0) return licenceId;
        }
    }

    function _permit(address payer, uint256 price, uint256 deadline) private view returns (Signature memory) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(kind, payer, address(market), price, usd.nonces(payer), deadline));
        return _signUsd(payer, structHash);
    }

    function _permitCall(uint256 planId, address recipient, uint256 deadline, Signature memory permit)
        private
        view
        returns (bytes memory)
    {
        bytes32 agreed = _agreed(planId);
        return abi.encodeCall(market.buyWithPermit, (planId, agreed, recipient, deadline, permit.v, permit.r, permit.s));
    }

    function _authorize(address payer) private {
        Purchase memory wanted =
            Purchase(_planInUsd(), payer, _anyone(), bytes32(++_salt), block.timestamp + _roll(20 days), true);
        PlanTerms storage t = _plans[wanted.planId].terms;
        bytes32 kind = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 nonce = keccak256(
            abi.encode(
                keccak256("Weighhouse.buy"),
                block.chainid,
                address(market),
                wanted.planId,
                _agreed(wanted.planId),
                wanted.recipient,
                t.price,
                wanted.salt
            )
        );
        bytes32 structHash = keccak256(
            abi.encode(kind, payer, address(market), uint256(t.price), uint256(0), wanted.validBefore, nonce)
        );
        _authorized[payer] = wanted;
        _signed[payer] = _signUsd(payer, structHash);
    }

    function _authorizedCall(Purchase memory p, Signature memory signed) private returns (bytes memory) {
        Authorization memory authorization = Authorization(p.payer, 0, p.validBefore, p.salt);
        bytes32 agreed = _agreed(p.planId);
        if (_chance(50)) {
            return abi.encodeCall(
                market.buyWithAuthorization,
                (p.planId, agreed, p.recipient, authorization, signed.v, signed.r, signed.s)
            );
        }
        bytes memory packed = abi.encodePacked(signed.r, signed.s, signed.v);
        return abi.encodeCall(market.buyWithWalletAuthorization, (p.planId, agreed, p.recipient, authorization, packed));
    }

    function _signUsd(address who, bytes32 structHash) private view returns (Signature memory signed) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", usd.DOMAIN_SEPARATOR(), structHash));
        (signed.v, signed.r, signed.s) = vm.sign(keyOf(_nameOf[who]), digest);
    }
}
