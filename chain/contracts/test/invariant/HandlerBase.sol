// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {Ghost} from "./Ghost.sol";
import {MoodyToken} from "./MoodyToken.sol";

/// @notice The cast, the dice, and how an action is tried and written down.
/// @dev Each action picks at random who acts on what, also who must not; says from the ghost whether it must succeed;
/// tries it; and compares. The first difference sets `violation`.
abstract contract HandlerBase is Ghost {
    /// What was last seen of a licence, through the market's own views.
    struct Seen {
        uint256 earned; // paid less what would come back
        uint256 expiry; // on the model's clock
        uint256 used;
        uint256 calls;
        address owner;
        bool cancelled;
    }

    struct Count {
        uint256 done;
        uint256 refused;
    }

    uint256 internal constant WEALTH = 1e36;

    ILicenceMarket public immutable market;
    IModelRegistry public immutable registry;
    TestUSD internal immutable usd;
    MoodyToken internal immutable moody;

    string public violation;
    address[] public cast;
    address[3] public tokens;
    string[] public kinds;
    mapping(string kind => Count) private _counts;
    mapping(string kind => bool) private _known;
    mapping(address account => string) internal _nameOf;
    mapping(string name => address) private _addressOf;
    mapping(address account => uint256) internal _allowance; // in TestUSD, to the market
    mapping(uint256 licenceId => Seen) private _seen;
    uint256 private _dice;

    // Roles and settings as the admin set them.
    address public admin;
    address public guardian;
    address public pauser;
    address public treasury;
    uint16 public feeBps;
    bool public paused;
    mapping(address token => bool) public allowed;

    modifier step(uint256 seed) {
        _dice = seed;
        _;
        _watch();
    }

    constructor(ILicenceMarket market_, IModelRegistry registry_, TestUSD usd_, MoodyToken moody_) {
        (market, registry, usd, moody) = (market_, registry_, usd_, moody_);
        tokens = [address(0), address(usd_), address(moody_)];
        string[20] memory names = [
            "petra",
            "paul",
            "anna",
            "ben",
            "carla",
            "dora",
            "otto",
            "olga",
            "key one",
            "key two",
            "key three",
            "payee one",
            "payee two",
            "admin",
            "guardian",
            "pauser",
            "treasury one",
            "treasury two",
            "deputy",
            "outsider"
        ];
        for (uint256 i = 0; i < names.length; ++i) {
            address who = actor(names[i]);
            (_nameOf[who], _addressOf[names[i]]) = (names[i], who);
            cast.push(who);
            vm.deal(who, WEALTH);
            usd_.mint(who, WEALTH);
            moody_.mint(who, WEALTH);
            for (uint256 t = 0; t < tokens.length; ++t) {
                ledger[tokens[t]][who] = WEALTH;
            }
            if (i == 5) continue; // dora pays by permits and authorizations
            vm.prank(who);
            usd_.approve(address(market_), type(uint256).max);
            _allowance[who] = type(uint256).max;
        }
        (admin, guardian, pauser, treasury) =
        (actor("admin"), actor("guardian"), actor("pauser"), actor("treasury one"));
        (allowed[address(0)], allowed[tokens[1]], allowed[tokens[2]]) = (true, true, true);
    }

    // ------------------------------------------------------------------ for tests

    function castSize() external view returns (uint256) {
        return cast.length;
    }

    function kindCount() external view returns (uint256) {
        return kinds.length;
    }

    function countOf(string calldata kind) external view returns (uint256 done, uint256 refused) {
        return (_counts[kind].done, _counts[kind].refused);
    }

    function balance(address token, address account) public view returns (uint256) {
        return token == address(0) ? account.balance : TestUSD(token).balanceOf(account);
    }

    // ------------------------------------------------------------------ dice

    /// As `actor`, which is slow: it multiplies on the curve.
    function _named(string memory name) internal view returns (address) {
        return _addressOf[name];
    }

    function _roll(uint256 sides) internal returns (uint256) {
        _dice = uint256(keccak256(abi.encode(_dice)));
        return _dice % sides;
    }

    function _chance(uint256 percent) internal returns (bool) {
        return _roll(100) < percent;
    }

    function _anyone() internal returns (address) {
        return cast[_roll(cast.length)];
    }

    /// One of those who buy and hold.
    function _buyer() internal returns (address) {
        return cast[2 + _roll(4)];
    }

    function _mostly(address right) internal returns (address) {
        return _chance(80) ? right : _anyone();
    }

    function _anyToken() internal returns (address) {
        return tokens[_roll(tokens.length)];
    }

    function _anyModel() internal returns (uint256) {
        return 1 + _roll(modelCount);
    }

    function _anyPlan() internal returns (uint256) {
        return planIds[_roll(planIds.length)];
    }

    /// Mostly one that exists; 0 where none was ever sold.
    function _anyLicence() internal returns (uint256 licenceId) {
        for (uint256 i = 0; i < 6 && licenceIds.length != 0; ++i) {
            licenceId = licenceIds[_roll(licenceIds.length)];
            if (_licences[licenceId].holder != address(0)) return licenceId;
        }
    }

    /// Where money may go: mostly somewhere, at times where it must not.
    function _anyTarget(address right) internal returns (address) {
        uint256 roll = _roll(20);
        if (roll == 0) return address(0);
        if (roll == 1) return address(market);
        return roll < 8 ? _anyone() : right;
    }

    // ------------------------------------------------------------------ trying

    function _try(address who, bytes memory data) internal returns (bool done) {
        (done,) = _tryWith(who, 0, data);
    }

    function _tryWith(address who, uint256 value, bytes memory data) internal returns (bool done, bytes memory answer) {
        vm.prank(who);
        return address(market).call{value: value}(data);
    }

    /// Counts the try, and compares what happened with what must happen.
    function _expect(string memory kind, bool done, bool may) internal {
        if (!_known[kind]) {
            _known[kind] = true;
            kinds.push(kind);
        }
        if (done) ++_counts[kind].done;
        else ++_counts[kind].refused;
        if (done != may) _must(false, string.concat(kind, may ? ": was stopped" : ": must not succeed"));
    }

    function _must(bool holds, string memory what) internal {
        if (!holds && bytes(violation).length == 0) violation = what;
    }

    // ------------------------------------------------------------------ money

    /// Whether a transfer of `amount` out of the market goes through.
    function _pays(address token, uint256 amount) internal view returns (bool) {
        if (token != tokens[2] || amount == 0) return true;
        MoodyToken.Mood mood = moody.mood();
        return mood != MoodyToken.Mood.REVERTS && mood != MoodyToken.Mood.ANSWERS_FALSE;
    }

    /// Whether the market gets exactly `amount`.
    function _isPaid(address token, uint256 amount) internal view returns (bool) {
        MoodyToken.Mood mood = moody.mood();
        bool exact = mood != MoodyToken.Mood.SHORT && mood != MoodyToken.Mood.GENEROUS;
        return _pays(token, amount) && (token != tokens[2] || amount == 0 || exact);
    }

    function _payIn(address token, address payer, uint256 amount) internal {
        ledger[token][payer] -= amount;
        ledger[token][address(market)] += amount;
        paidIn[token] += amount;
        if (token == tokens[1] && _allowance[payer] != type(uint256).max) _allowance[payer] -= amount;
    }

    function _payOut(address token, address to, uint256 amount) internal {
        ledger[token][address(market)] -= amount;
        ledger[token][to] += amount;
    }

    function _valid(address to) internal view returns (bool) {
        return to != address(0) && to != address(market);
    }

    function _value(PlanTerms storage t) internal view returns (uint256) {
        return t.token == address(0) ? t.price : 0;
    }

    function _agreed(uint256 planId) internal view returns (bytes32) {
        return keccak256(abi.encode(_plans[planId].terms));
    }

    /// The EIP-712 digest of `structHash` under the market's domain.
    function _marketDigest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Weighhouse"),
                keccak256("1"),
                block.chainid,
                address(market)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    // ------------------------------------------------------------------ what never goes back

    /// After each action: what a holder has used up or been given never shrinks, and bound licences stay.
    function _watch() private {
        LicenceState[] memory states = market.licenceStates(licenceIds);
        for (uint256 i = 0; i < states.length; ++i) {
            uint256 licenceId = licenceIds[i];
            if (states[i].exists) _watchOne(licenceId, states[i]);
        }
    }

    function _watchOne(uint256 licenceId, LicenceState memory state) private {
        Seen storage last = _seen[licenceId];
        uint256 earned = _licences[licenceId].paid - (state.amount - state.vested);
        uint256 behind = block.timestamp - clockOf(licenceId >> 64);
        uint256 expiry = state.expiry == 0 ? 0 : state.expiry - behind;
        _must(state.taken <= state.vested && state.vested <= state.amount, "taken <= vested <= amount");
        _must(earned >= last.earned, "lifetime vested never falls");
        _must(expiry >= last.expiry, "expiry never falls");
        _must(state.used >= last.used && state.calls >= last.calls, "use and calls never fall");
        _must(state.calls == 0 || state.used <= state.calls, "used <= calls");
        _must(!last.cancelled || state.settleAt != 0, "cancelled for good");
        if (last.owner != address(0) && state.owner != last.owner) {
            _must(!last.cancelled && state.flags & TRANSFERABLE != 0, "bound or cancelled licences never move");
        }
        _seen[licenceId] = Seen(earned, expiry, state.used, state.calls, state.owner, state.settleAt != 0);
    }
}
