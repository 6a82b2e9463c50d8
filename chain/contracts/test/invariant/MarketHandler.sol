// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice Acts on the market at random and writes down, from what actors gave and got, what must be true.
/// @dev Nothing recorded here is read from the counter that it later checks. What an action must not do, it tries
/// as well: a success where a refusal is due (or the reverse) sets `violation`.
contract MarketHandler is TestBase {
    struct Purchase {
        uint256 planId;
        uint256 paid; // what left the payer's account, measured
        uint256 price; // what the plan said when it was added
        uint256 expiry;
        address holder; // follows transfers of transferable licences only
    }

    LicenceMarket public immutable market;
    ModelRegistry public immutable registry;
    address[3] public tokens;
    address[4] private _cast;
    address private immutable _admin;

    uint256[] public planIds;
    mapping(uint256 planId => PlanTerms) private _terms;
    mapping(uint256 planId => bool) public retired;
    uint256[] public licenceIds;
    mapping(uint256 licenceId => Purchase) private _purchases;
    mapping(uint256 modelId => bytes32[]) private _digests;
    mapping(uint256 modelId => address) public publisherOf;
    uint256 public models;

    mapping(address token => uint256) public paidIn;
    mapping(address token => uint256) public paidOut;
    mapping(address token => uint256) public donated;
    mapping(uint256 modelId => mapping(address token => uint256)) public earned;
    string public violation;

    constructor(LicenceMarket market_, ModelRegistry registry_, TestUSD usd, HostileToken hostile, address admin_) {
        market = market_;
        registry = registry_;
        tokens = [address(0), address(usd), address(hostile)];
        _cast = [actor("anna"), actor("ben"), actor("carla"), actor("dora")];
        _admin = admin_;
        for (uint256 i = 0; i < _cast.length; ++i) {
            vm.deal(_cast[i], 1e36);
            usd.mint(_cast[i], 1e36);
            hostile.mint(_cast[i], 1e36);
            vm.prank(_cast[i]);
            usd.approve(address(market_), type(uint256).max);
        }
    }

    // What a test reads.

    function planCount() external view returns (uint256) {
        return planIds.length;
    }

    function licenceCount() external view returns (uint256) {
        return licenceIds.length;
    }

    function terms(uint256 planId) external view returns (PlanTerms memory) {
        return _terms[planId];
    }

    function purchase(uint256 licenceId) external view returns (Purchase memory) {
        return _purchases[licenceId];
    }

    function digests(uint256 modelId) external view returns (bytes32[] memory) {
        return _digests[modelId];
    }

    // What happens.

    function publish(uint256 who, bytes32 digest) external {
        if (digest == 0 || models >= 4) return;
        vm.prank(_actor(who));
        uint256 modelId = registry.publish(digest);
        if (modelId != ++models) violation = "model ids are not consecutive";
        publisherOf[modelId] = _actor(who);
        _digests[modelId].push(digest);
    }

    function release(uint256 model, uint256 who, bytes32 digest) external {
        if (models == 0 || digest == 0) return;
        uint256 modelId = _model(model);
        vm.prank(_actor(who));
        (bool done,) = address(registry).call(abi.encodeCall(registry.release, (modelId, digest)));
        if (done != (_actor(who) == publisherOf[modelId])) violation = "release by the wrong person";
        if (done) _digests[modelId].push(digest);
    }

    function transferModel(uint256 model, uint256 to) external {
        if (models == 0) return;
        uint256 modelId = _model(model);
        vm.prank(publisherOf[modelId]);
        registry.transferFrom(publisherOf[modelId], _actor(to), modelId);
        publisherOf[modelId] = _actor(to);
    }

    function addPlan(uint256 model, uint256 token, PlanTerms memory wanted) external {
        if (models == 0 || planIds.length >= 8) return;
        wanted.modelId = _model(model);
        wanted.token = tokens[token % tokens.length];
        wanted.period = uint32(bound(wanted.period, 0, 40 days));
        wanted.supply = uint32(bound(wanted.supply, 1, 4));
        wanted.flags = uint8(bound(wanted.flags, 0, 1) * 4 + bound(wanted.flags / 2, 1, 3));
        if (!market.tokenAllowed(wanted.token)) return;
        vm.prank(publisherOf[wanted.modelId]);
        uint256 planId = market.addPlan(wanted);
        if (_terms[planId].supply != 0) violation = "a plan was overwritten";
        _terms[planId] = wanted;
        planIds.push(planId);
    }

    function retirePlan(uint256 plan, uint256 who) external {
        if (planIds.length == 0) return;
        uint256 planId = _plan(plan);
        // Rarely, or soon nothing is for sale.
        if (planId % 3 != 0) return;
        vm.prank(_actor(who));
        (bool done,) = address(market).call(abi.encodeCall(market.retirePlan, (planId)));
        bool may = _actor(who) == publisherOf[planId >> 32] && !retired[planId];
        if (done != may) violation = "retired by the wrong person";
        if (done) retired[planId] = true;
    }

    function buy(uint256 plan, uint256 who, uint256 recipient) external {
        if (planIds.length == 0) return;
        _buy(_plan(plan), _actor(who), _actor(recipient));
    }

    function buyAtAWrongPrice(uint256 plan, uint256 who, uint96 value) external {
        if (planIds.length == 0) return;
        uint256 planId = _plan(plan);
        if (value == _value(planId)) return;
        bytes memory call = abi.encodeCall(market.buy, (planId, keccak256(abi.encode(_terms[planId])), _actor(who)));
        vm.prank(_actor(who));
        (bool done,) = address(market).call{value: value}(call);
        if (done) violation = "bought for another value than the price";
    }

    function buyUnderAnotherHash(uint256 plan, uint256 who, uint8 field, uint32 change) external {
        if (planIds.length == 0) return;
        uint256 planId = _plan(plan);
        PlanTerms memory other = _terms[planId];
        field = field % 7;
        if (field == 0) other.modelId += change;
        if (field == 1) other.token = tokens[change % 3];
        if (field == 2) other.price = change;
        if (field == 3) other.period = change;
        if (field == 4) other.calls = change;
        if (field == 5) other.supply = change;
        if (field == 6) other.flags = uint8(change);
        bytes32 agreed = keccak256(abi.encode(other));
        if (agreed == keccak256(abi.encode(_terms[planId]))) return;
        vm.prank(_actor(who));
        (bool done,) =
            address(market).call{value: _value(planId)}(abi.encodeCall(market.buy, (planId, agreed, _actor(who))));
        if (done) violation = "bought under a hash that is not the plan's";
    }

    function withdraw(uint256 model, uint256 token, uint256 who) external {
        if (models == 0) return;
        uint256 modelId = _model(model);
        address paidToken = tokens[token % tokens.length];
        address caller = _actor(who);
        uint256 owed = earned[modelId][paidToken];
        uint256 before = balance(paidToken, caller);
        vm.prank(caller);
        (bool done,) = address(market).call(abi.encodeCall(market.withdraw, (modelId, paidToken, caller)));

        bool may = caller == publisherOf[modelId] && owed != 0 && !_misbehaves(paidToken);
        if (done != may) violation = may ? "a withdrawal was stopped" : "withdrawn by the wrong person";
        if (!done) return;
        if (balance(paidToken, caller) - before != owed) violation = "a withdrawal of another amount";
        paidOut[paidToken] += owed;
        earned[modelId][paidToken] = 0;
    }

    function transferLicence(uint256 licence, uint256 to) external {
        if (licenceIds.length == 0) return;
        uint256 licenceId = licenceIds[licence % licenceIds.length];
        address from = _purchases[licenceId].holder;
        vm.prank(from);
        (bool done,) = address(market).call(abi.encodeCall(market.transferFrom, (from, _actor(to), licenceId)));
        bool may = _terms[licenceId >> 32].flags & 4 != 0;
        if (done != may) violation = "a bound licence moved, or another did not";
        if (done) _purchases[licenceId].holder = _actor(to);
    }

    function stealLicence(uint256 licence, uint256 who) external {
        if (licenceIds.length == 0) return;
        uint256 licenceId = licenceIds[licence % licenceIds.length];
        address from = _purchases[licenceId].holder;
        address thief = who % 5 == 4 ? _admin : _actor(who);
        if (thief == from) return;
        vm.prank(thief);
        (bool done,) = address(market).call(abi.encodeCall(market.transferFrom, (from, thief, licenceId)));
        if (done) violation = "a licence was taken from its holder";
    }

    function passTime(uint32 s) external {
        vm.warp(block.timestamp + s % 20 days);
    }

    /// Onto the second at which a licence ends, and onto the one before: nowhere else is a boundary seen.
    function passTimeToAnExpiry(uint256 licence) external {
        if (licenceIds.length == 0) return;
        uint256 licenceId = licenceIds[licence % licenceIds.length];
        uint256 expiry = _purchases[licenceId].expiry;
        if (expiry <= block.timestamp) return;
        vm.warp(expiry - 1);
        if (!market.isValid(licenceId)) violation = "a licence ended early";
        vm.warp(expiry);
        if (market.isValid(licenceId)) violation = "a licence did not end";
    }

    function allowToken(uint256 token, bool allowed) external {
        vm.prank(_admin);
        market.setTokenAllowed(tokens[1 + token % 2], allowed || token % 4 != 0); // mostly allowed
    }

    function changeHostileToken(uint8 mode) external {
        // Honest half of the time, and never one that lies about success: nothing could be said about its money.
        HostileToken.Mode[6] memory modes = [
            HostileToken.Mode.HONEST,
            HostileToken.Mode.RETURNS_NOTHING,
            HostileToken.Mode.HONEST,
            HostileToken.Mode.RETURNS_FALSE,
            HostileToken.Mode.REVERTS,
            HostileToken.Mode.RETURNS_NOTHING
        ];
        HostileToken(tokens[2]).setMode(modes[mode % 6]);
    }

    function donate(uint256 token, uint96 amount) external {
        address given = tokens[token % tokens.length];
        donated[given] += amount;
        if (given == address(0)) vm.deal(address(market), address(market).balance + amount); // as by selfdestruct
        else TestUSD(given).mint(address(market), amount);
    }

    function balance(address token, address account) public view returns (uint256) {
        return token == address(0) ? account.balance : TestUSD(token).balanceOf(account);
    }

    // How it is done.

    function _buy(uint256 planId, address payer, address recipient) private {
        PlanTerms memory bought = _terms[planId];
        uint256 before = balance(bought.token, payer);
        bytes memory call = abi.encodeCall(market.buy, (planId, keccak256(abi.encode(bought)), recipient));
        vm.prank(payer);
        (bool done, bytes memory answer) = address(market).call{value: _value(planId)}(call);
        bool refusable = _refusable(planId);
        if (done == refusable) violation = done ? "a purchase that was due to fail" : "a purchase was stopped";
        if (!done) return;

        uint256 licenceId = abi.decode(answer, (uint256));
        if (_purchases[licenceId].planId != 0) violation = "a licence was sold twice";
        uint256 paid = before - balance(bought.token, payer);
        uint256 expiry = bought.period == 0 ? 0 : block.timestamp + bought.period;
        _purchases[licenceId] = Purchase(planId, paid, bought.price, expiry, recipient);
        licenceIds.push(licenceId);
        paidIn[bought.token] += paid;
        earned[bought.modelId][bought.token] += paid;
    }

    /// A purchase under the right hash for the right value fails for one of these reasons, and then it must.
    function _refusable(uint256 planId) private view returns (bool) {
        PlanTerms memory wanted = _terms[planId];
        uint256 sold;
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            if (licenceIds[i] >> 32 == planId) ++sold;
        }
        bool unpaid = _misbehaves(wanted.token) && wanted.price != 0;
        return retired[planId] || sold >= wanted.supply || !market.tokenAllowed(wanted.token) || unpaid;
    }

    function _misbehaves(address token) private view returns (bool) {
        if (token != tokens[2]) return false;
        HostileToken.Mode mode = HostileToken(token).mode();
        return mode == HostileToken.Mode.RETURNS_FALSE || mode == HostileToken.Mode.REVERTS;
    }

    function _value(uint256 planId) private view returns (uint256) {
        return _terms[planId].token == address(0) ? _terms[planId].price : 0;
    }

    function _actor(uint256 seed) private view returns (address) {
        return _cast[seed % _cast.length];
    }

    function _model(uint256 seed) private view returns (uint256) {
        return 1 + seed % models;
    }

    function _plan(uint256 seed) private view returns (uint256) {
        return planIds[seed % planIds.length];
    }
}
