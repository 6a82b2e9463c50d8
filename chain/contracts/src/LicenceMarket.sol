// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ModelRegistry} from "./ModelRegistry.sol";
import {NoValueERC721} from "./NoValueERC721.sol";
import {IERC3009} from "./interfaces/IERC3009.sol";
import {
    Authorization,
    ILicenceMarket,
    LicenceState,
    Operator,
    PlanState,
    PlanTerms,
    Roles,
    SkipReason
} from "./interfaces/ILicenceMarket.sol";
import {Share} from "./interfaces/IModelRegistry.sol";
import {Shares} from "./libraries/Shares.sol";
import {Vesting} from "./libraries/Vesting.sol";
import {MarketRoles} from "./market/MarketRoles.sol";
import {ModelClock} from "./market/ModelClock.sol";
import {Operators} from "./market/Operators.sol";

/// @title LicenceMarket
/// @notice See `ILicenceMarket`. The admin is `owner()`, which hands over in two steps.
contract LicenceMarket is Operators, ModelClock, NoValueERC721, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice ERC-4906: what the licence allows changed.
    event MetadataUpdate(uint256 _tokenId);
    /// @notice ERC-4906: never emitted here, part of the standard's interface.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

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

    /// @dev The 96 bits beside a licence's owner.
    struct Term {
        uint256 expiry; // 32 bits, on the model clock; 0 is perpetual
        uint256 used; // 32 bits
        uint256 calls; // 31 bits; 0 is unmetered
        bool cancelled;
    }

    /// @dev One slot, written only where something vests over time or use.
    struct Holding {
        uint96 amount;
        uint96 taken;
        uint32 start; // on the model clock; of a cancelled licence, the block time of that
        uint32 base;
    }

    struct Income {
        uint128 earned;
        uint128 split;
    }

    struct Credit {
        uint128 amount;
        uint128 withdrawn;
    }

    uint32 public constant MAX_PERIOD = 3650 days;
    uint32 public constant MIN_VESTING = 1 hours;
    uint32 public constant MAX_VESTING = 90 days;
    uint32 public constant MAX_CALLS = 2 ** 31 - 1;
    uint16 public constant MAX_SERVICE_BPS = 5000;
    uint16 public constant MAX_ENTRY_BPS = 2000;
    uint16 public constant ROYALTY_BPS = 500;
    /// @notice How long after a cancel calls may be reported, in block time: sequencers fail for hours.
    uint32 public constant REPORT_WINDOW = 6 hours;
    /// @notice The most entries of a batch.
    uint256 public constant BATCH = 50;

    uint8 private constant RUN = 1;
    uint8 private constant DOWNLOAD = 2;
    uint8 private constant TRANSFERABLE = 4;
    uint8 private constant RENEWABLE = 8;
    uint8 private constant RETIRED = 128; // not one of the terms

    bytes32 private constant BUY_OPERATION = keccak256("Weighhouse.buy");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("Weighhouse");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    bytes32 private constant CANCEL_TYPEHASH = keccak256("Cancel(uint256 licenceId,address to,uint256 deadline)");
    bytes32 private constant DELIVER_TYPEHASH =
        keccak256("Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)");

    /// @notice Where the models live.
    ModelRegistry public immutable registry;

    /// @inheritdoc ILicenceMarket
    mapping(address account => mapping(address token => uint256)) public accountCredit;

    mapping(uint256 planId => PlanRow) private _plans;
    mapping(uint256 planId => Income) private _incomes;
    mapping(uint256 licenceId => Holding) private _holdings;
    mapping(uint256 modelId => mapping(address token => Credit)) private _credits;
    mapping(bytes32 digest => bool) private _requestUsed;

    constructor(ModelRegistry registry_, Roles memory roles) MarketRoles(roles) {
        registry = registry_;
    }

    // ------------------------------------------------------------------ plans

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

    // ------------------------------------------------------------------ buying

    function buy(uint256 planId, bytes32 agreedHash, address recipient)
        external
        payable
        nonReentrant
        returns (uint256 licenceId)
    {
        PlanTerms memory terms;
        (licenceId, terms) = _sell(planId, agreedHash, recipient, msg.sender);
        _pay(terms);
    }

    function buyWithPermit(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (uint256 licenceId) {
        PlanTerms memory terms;
        (licenceId, terms) = _sell(planId, agreedHash, recipient, msg.sender);
        _requireERC20(terms.token);
        // Somebody may have taken the permit out of the mempool: then the allowance is there, and the pull decides.
        try IERC20Permit(terms.token).permit(msg.sender, address(this), terms.price, deadline, v, r, s) {} catch {}
        _pay(terms);
    }

    function buyWithAuthorization(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external nonReentrant returns (uint256 licenceId) {
        Receipt memory receipt;
        (licenceId, receipt) = _sellAuthorized(planId, agreedHash, recipient, authorization);
        IERC3009(receipt.token)
            .receiveWithAuthorization(
                authorization.payer,
                address(this),
                receipt.price,
                authorization.validAfter,
                authorization.validBefore,
                receipt.nonce,
                v,
                r,
                s
            );
        _requireReceived(receipt.token, receipt.price, receipt.before);
    }

    function buyWithWalletAuthorization(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization,
        bytes calldata signature
    ) external nonReentrant returns (uint256 licenceId) {
        Receipt memory receipt;
        (licenceId, receipt) = _sellAuthorized(planId, agreedHash, recipient, authorization);
        IERC3009(receipt.token)
            .receiveWithAuthorization(
                authorization.payer,
                address(this),
                receipt.price,
                authorization.validAfter,
                authorization.validBefore,
                receipt.nonce,
                signature
            );
        _requireReceived(receipt.token, receipt.price, receipt.before);
    }

    function renew(uint256 licenceId, bytes32 agreedHash) external payable nonReentrant {
        uint256 planId = licenceId >> 32;
        _holder(licenceId);
        PlanRow storage row = _plan(planId);
        PlanTerms memory terms = _termsAgreed(planId, row, agreedHash);
        if (terms.flags & RENEWABLE == 0) revert NotRenewable(planId);
        Term memory term = _term(licenceId);
        if (term.cancelled) revert LicenceIsCancelled(licenceId);
        uint256 clock = _runningClock(terms.modelId);

        Holding memory holding = _vest(licenceId, row, term);
        uint96 entry = _entry(planId, terms);
        if (terms.vesting != 0) {
            holding.amount = SafeCast.toUint96(uint256(holding.amount) - holding.taken + terms.price - entry);
            (holding.taken, holding.start, holding.base) = (0, SafeCast.toUint32(clock), uint32(term.used));
            _holdings[licenceId] = holding;
        }
        term.calls += terms.calls;
        if (term.calls > MAX_CALLS) revert CallsTooMany(term.calls, MAX_CALLS);
        if (terms.period != 0) {
            term.expiry = SafeCast.toUint32((clock > term.expiry ? clock : term.expiry) + terms.period);
        }
        _setTerm(licenceId, term);
        emit LicenceRenewed(
            licenceId, msg.sender, terms.price, entry, holding.amount, uint64(term.expiry), uint32(term.calls)
        );
        emit MetadataUpdate(licenceId);

        _pay(terms);
    }

    function authorizationNonce(uint256 planId, bytes32 agreedHash, address recipient, bytes32 salt)
        public
        view
        returns (bytes32)
    {
        uint96 price = _plan(planId).price;
        return
            keccak256(
                abi.encode(BUY_OPERATION, block.chainid, address(this), planId, agreedHash, recipient, price, salt)
            );
    }

    // ------------------------------------------------------------------ leaving

    function cancel(uint256 licenceId, address to) external nonReentrant {
        address holder = _holder(licenceId);
        if (msg.sender != holder) revert NotHolder(licenceId, msg.sender);
        _cancel(licenceId, holder, to);
    }

    function cancelBySig(uint256 licenceId, address to, uint256 deadline, bytes calldata signature)
        external
        nonReentrant
    {
        address holder = _holder(licenceId);
        _requireSigned(holder, deadline, keccak256(abi.encode(CANCEL_TYPEHASH, licenceId, to, deadline)), signature);
        _cancel(licenceId, holder, to);
    }

    function settle(uint256 licenceId, address to) external nonReentrant returns (uint96 refund) {
        address holder = _holder(licenceId);
        if (msg.sender != holder && to != holder) revert NotHolder(licenceId, msg.sender);
        _requireRecipient(to);
        Term memory term = _term(licenceId);
        uint256 settleAt = term.cancelled ? uint256(_holdings[licenceId].start) + REPORT_WINDOW : 0;
        if ((settleAt == 0 || block.timestamp < settleAt) && !_suspendedLong(licenceId >> 64)) {
            revert SettlesLater(licenceId, uint64(settleAt));
        }

        if (!term.cancelled) {
            --_plans[licenceId >> 32].live;
            emit LicenceCancelled(licenceId, holder, 0);
        }
        return _close(licenceId, holder, to, term);
    }

    // ------------------------------------------------------------------ use

    function reportUsage(uint256[] calldata licenceIds, uint32[] calldata used) external {
        _requireBatch(licenceIds.length);
        if (licenceIds.length != used.length) revert BatchInvalid(used.length, licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            (uint256 licenceId, uint32 count) = (licenceIds[i], used[i]);
            Term memory term = _term(licenceId);
            (bool counts, SkipReason reason) = _reportCheck(licenceId, term, count);
            if (counts) {
                term.used = count;
                _setTerm(licenceId, term);
                emit UsageReported(licenceId, count);
            } else {
                emit UsageSkipped(licenceId, count, reason);
            }
        }
    }

    function deliver(
        uint256 licenceId,
        bytes32 recipientKey,
        uint256 deadline,
        bytes calldata holderSignature,
        bytes32 wrappedKeyHash
    ) external nonReentrant {
        address holder = _holder(licenceId);
        PlanRow storage row = _plans[licenceId >> 32];
        if (row.flags & DOWNLOAD == 0) revert NotDownloadable(licenceId >> 32);
        Term memory term = _term(licenceId);
        if (term.cancelled) revert LicenceIsCancelled(licenceId);
        uint256 clock = _runningClock(licenceId >> 64);
        if (term.expiry != 0 && clock >= term.expiry) revert LicenceExpired(licenceId);
        _requireDeliverer(licenceId, row);
        bytes32 request = keccak256(abi.encode(DELIVER_TYPEHASH, licenceId, recipientKey, deadline));
        bytes32 digest = _requireSigned(holder, deadline, request, holderSignature);
        if (_requestUsed[digest]) revert RequestUsed(digest);

        _requestUsed[digest] = true;
        Holding storage holding = _holdings[licenceId];
        _take(licenceId, holding, holding.amount);
        emit KeyDelivered(licenceId, holder, recipientKey, wrappedKeyHash);
        emit MetadataUpdate(licenceId);
    }

    // ------------------------------------------------------------------ income

    function collect(uint256[] calldata licenceIds) external nonReentrant {
        _requireBatch(licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            uint256 licenceId = licenceIds[i];
            if (_exists(licenceId)) _vest(licenceId, _plans[licenceId >> 32], _term(licenceId));
        }
    }

    function split(uint256 planId) external nonReentrant {
        PlanRow storage row = _plan(planId);
        Income memory income = _incomes[planId];
        if (income.earned == income.split) return;
        _incomes[planId].split = income.earned;
        _share(planId, row, income);
    }

    function withdraw(uint256 modelId, address token, address to) external nonReentrant returns (uint256 amount) {
        _requireModelOwner(modelId);
        _requireRecipient(to);
        Credit memory row = _credits[modelId][token];
        amount = row.amount;
        if (amount == 0) revert NothingToWithdraw(token);

        _credits[modelId][token] = Credit({amount: 0, withdrawn: row.withdrawn + row.amount});
        emit IncomeWithdrawn(modelId, token, to, amount);

        _send(token, to, amount);
    }

    function withdrawAccount(address token, address to) external nonReentrant returns (uint256 amount) {
        _requireRecipient(to);
        amount = accountCredit[msg.sender][token];
        if (amount == 0) revert NothingToWithdraw(token);

        accountCredit[msg.sender][token] = 0;
        emit AccountWithdrawn(msg.sender, token, to, amount);

        _send(token, to, amount);
    }

    // ------------------------------------------------------------------ views

    function plan(uint256 planId) external view returns (PlanTerms memory terms, PlanState memory state) {
        PlanRow storage row = _plan(planId);
        Income memory income = _incomes[planId];
        terms = _terms(planId, row);
        state = PlanState(row.live, row.sold, row.flags & RETIRED != 0, income.earned, income.split);
    }

    function planHash(uint256 planId) external view returns (bytes32) {
        return keccak256(abi.encode(_terms(planId, _plan(planId))));
    }

    /// @notice How many plans the model has, which is the `n` of the newest.
    function planCount(uint256 modelId) external view returns (uint32) {
        return _models[modelId].planCount;
    }

    function isValid(uint256 licenceId) external view returns (bool) {
        return _state(licenceId).valid;
    }

    function licenceStates(uint256[] calldata licenceIds) external view returns (LicenceState[] memory states) {
        states = new LicenceState[](licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            states[i] = _state(licenceIds[i]);
        }
    }

    /// @notice The EIP-712 domain of the requests that holders sign: name "Weighhouse", version "1".
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(this)));
    }

    function credit(uint256 modelId, address token) external view returns (uint256) {
        return _credits[modelId][token].amount;
    }

    function getStateFingerprint(uint256 licenceId) external view returns (bytes32) {
        return keccak256(
            abi.encode(
                licenceId,
                _exists(licenceId),
                _getExtraData(licenceId),
                _holdings[licenceId],
                _suspension(licenceId >> 64)
            )
        );
    }

    function modelFingerprint(uint256 modelId, address[] calldata tokens) external view returns (bytes32 fingerprint) {
        fingerprint = keccak256(abi.encode(registry.getStateFingerprint(modelId), _models[modelId]));
        for (uint256 i = 0; i < tokens.length; ++i) {
            fingerprint = keccak256(abi.encode(fingerprint, tokens[i], _credits[modelId][tokens[i]]));
        }
    }

    function royaltyInfo(uint256 licenceId, uint256 salePrice)
        external
        view
        returns (address receiver, uint256 amount)
    {
        return (registry.ownerOf(licenceId >> 64), salePrice / (Shares.WHOLE / ROYALTY_BPS));
    }

    /// @notice The metadata of the model's newest release; a licence has none of its own.
    function tokenURI(uint256 licenceId) public view override returns (string memory) {
        if (!_exists(licenceId)) revert TokenDoesNotExist();
        return registry.tokenURI(licenceId >> 64);
    }

    function contractURI() external pure returns (string memory) {
        return 'data:application/json,{"name":"Weighhouse licences"}';
    }

    function name() public pure override returns (string memory) {
        return "Weighhouse licence";
    }

    function symbol() public pure override returns (string memory) {
        return "LICENCE";
    }

    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == 0x49064906 /* ERC-4906 */ || interfaceId == 0x2a55205a /* ERC-2981 */
            || interfaceId == 0xf5112315 /* ERC-5646 */ || super.supportsInterface(interfaceId);
    }

    // ------------------------------------------------------------------ selling

    /// @dev Terms of a payment by authorization, and the balance before it.
    struct Receipt {
        address token;
        uint96 price;
        bytes32 nonce;
        uint256 before;
    }

    function _sell(uint256 planId, bytes32 agreedHash, address recipient, address payer)
        private
        returns (uint256 licenceId, PlanTerms memory terms)
    {
        PlanRow storage row = _plan(planId);
        terms = _termsAgreed(planId, row, agreedHash);
        (uint24 live, uint24 sold) = (row.live, row.sold);
        if (live >= terms.supply || sold == type(uint24).max) revert SupplyExhausted(planId, terms.supply);
        uint256 clock = _runningClock(terms.modelId);

        (row.live, row.sold) = (live + 1, sold + 1);
        licenceId = planId << 32 | (sold + 1);
        uint96 entry = _entry(planId, terms);
        if (terms.vesting != 0) {
            _holdings[licenceId] =
                Holding({amount: terms.price - entry, taken: 0, start: SafeCast.toUint32(clock), base: 0});
        }
        uint32 expiry = terms.period == 0 ? 0 : SafeCast.toUint32(clock + terms.period);
        emit LicenceBought(licenceId, planId, recipient, payer, terms.price, entry, expiry, terms.calls);
        _mintAndSetExtraDataUnchecked(recipient, licenceId, _pack(Term(expiry, 0, terms.calls, false)));
    }

    function _sellAuthorized(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization
    ) private returns (uint256 licenceId, Receipt memory receipt) {
        PlanTerms memory terms;
        (licenceId, terms) = _sell(planId, agreedHash, recipient, authorization.payer);
        _requireERC20(terms.token);
        receipt = Receipt({
            token: terms.token,
            price: terms.price,
            nonce: authorizationNonce(planId, agreedHash, recipient, authorization.salt),
            before: IERC20(terms.token).balanceOf(address(this))
        });
    }

    /// @dev The plan as the buyer agreed to it, where it may be sold now.
    function _termsAgreed(uint256 planId, PlanRow storage row, bytes32 agreedHash)
        private
        view
        returns (PlanTerms memory terms)
    {
        if (paused) revert SalesPaused();
        _requireOnSale(planId, row);
        terms = _terms(planId, row);
        bytes32 actual = keccak256(abi.encode(terms));
        if (actual != agreedHash) revert PlanHashDiffers(planId, actual, agreedHash);
        _requireToken(terms.token);
    }

    /// @dev Makes the entry share income at once; the whole price where nothing vests later.
    function _entry(uint256 planId, PlanTerms memory terms) private returns (uint96 entry) {
        entry = terms.vesting == 0 ? terms.price : uint96(uint256(terms.price) * terms.entryBps / Shares.WHOLE);
        if (entry != 0) _incomes[planId].earned += entry;
    }

    function _pay(PlanTerms memory terms) private {
        uint256 value = terms.token == NATIVE ? terms.price : 0;
        if (msg.value != value) revert ValueDiffers(value, msg.value);
        if (terms.token == NATIVE || terms.price == 0) return;
        IERC20 token = IERC20(terms.token);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), terms.price);
        _requireReceived(terms.token, terms.price, before);
    }

    /// @dev Measured, because an issuer can switch on a fee later. The guard makes the difference this payment's own.
    function _requireReceived(address token, uint256 price, uint256 before) private view {
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != price) revert PaymentDiffers(token, price, received);
    }

    // ------------------------------------------------------------------ vesting and leaving

    /// @dev Moves what has vested to the plan's income.
    function _vest(uint256 licenceId, PlanRow storage row, Term memory term) private returns (Holding memory holding) {
        Holding storage stored = _holdings[licenceId];
        holding = stored;
        holding.taken = _take(licenceId, stored, _vested(licenceId, row, term, holding));
    }

    function _take(uint256 licenceId, Holding storage holding, uint96 vested) private returns (uint96) {
        uint96 fresh = vested - holding.taken;
        if (fresh != 0) {
            holding.taken = vested;
            _incomes[licenceId >> 32].earned += fresh;
            emit IncomeVested(licenceId, fresh);
        }
        return vested;
    }

    function _vested(uint256 licenceId, PlanRow storage row, Term memory term, Holding memory holding)
        private
        view
        returns (uint96)
    {
        if (holding.amount == holding.taken) return holding.amount;
        (uint256 elapsed, uint256 duration) = (0, 1); // once cancelled, time vests no more
        if (!term.cancelled) {
            (uint256 clock,) = _clock(licenceId >> 64);
            elapsed = clock - holding.start;
            duration = term.expiry == 0 ? row.vesting : term.expiry - holding.start;
        }
        (uint256 used, uint256 calls) = term.calls == 0 ? (0, 0) : (term.used - holding.base, term.calls - holding.base);
        uint256 vested = Vesting.vested(holding.amount, elapsed, duration, used, calls);
        return vested > holding.taken ? uint96(vested) : holding.taken;
    }

    function _cancel(uint256 licenceId, address holder, address to) private {
        _requireRecipient(to);
        Term memory term = _term(licenceId);
        if (term.cancelled) revert LicenceIsCancelled(licenceId);
        PlanRow storage row = _plans[licenceId >> 32];
        --row.live;
        if (term.calls == 0) {
            emit LicenceCancelled(licenceId, holder, 0);
            _close(licenceId, holder, to, term);
        } else {
            _vest(licenceId, row, term);
            _holdings[licenceId].start = uint32(block.timestamp);
            term.cancelled = true;
            _setTerm(licenceId, term);
            emit LicenceCancelled(licenceId, holder, uint64(block.timestamp + REPORT_WINDOW));
            emit MetadataUpdate(licenceId);
        }
    }

    /// @dev Burns the token and pays what has not vested.
    function _close(uint256 licenceId, address holder, address to, Term memory term) private returns (uint96 refund) {
        PlanRow storage row = _plans[licenceId >> 32];
        Holding memory holding = _vest(licenceId, row, term);
        refund = holding.amount - holding.taken;
        delete _holdings[licenceId];
        _setExtraData(licenceId, 0);
        emit LicenceSettled(licenceId, holder, to, refund);
        _burn(licenceId);

        if (refund != 0) _send(row.token, to, refund);
    }

    function _send(address token, address to, uint256 amount) private {
        if (token == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    function _suspendedLong(uint256 modelId) private view returns (bool) {
        (, uint256 suspendedAt) = _clock(modelId);
        return suspendedAt != 0 && block.timestamp >= suspendedAt + SETTLE_AFTER;
    }

    /// @dev A mint has `from` 0, a burn `to` 0. A caller who passes either in a transfer fails in the token.
    function _beforeTokenTransfer(address from, address to, uint256 licenceId) internal view override {
        if (from == address(0) || to == address(0)) return;
        if (_plans[licenceId >> 32].flags & TRANSFERABLE == 0) revert LicenceBound(licenceId);
        if (_term(licenceId).cancelled) revert LicenceIsCancelled(licenceId);
    }

    // ------------------------------------------------------------------ use

    function _reportCheck(uint256 licenceId, Term memory term, uint32 used) private view returns (bool, SkipReason) {
        if (!_exists(licenceId)) return (false, SkipReason.Unknown);
        if (term.calls == 0) return (false, SkipReason.Unmetered);
        Operator storage reporter = _operators[_plans[licenceId >> 32].operatorId];
        if (reporter.key != msg.sender) return (false, SkipReason.Foreign);
        if (reporter.disabled) return (false, SkipReason.Disabled);
        if (term.cancelled && block.timestamp >= uint256(_holdings[licenceId].start) + REPORT_WINDOW) {
            return (false, SkipReason.Closed);
        }
        if (used <= term.used) return (false, SkipReason.NotHigher);
        if (used > term.calls) return (false, SkipReason.AboveTotal);
        return (true, SkipReason.Unknown);
    }

    function _requireDeliverer(uint256 licenceId, PlanRow storage row) private view {
        Operator storage deliverer = _operators[row.operatorId];
        if (msg.sender == deliverer.key && !deliverer.disabled) return;
        if (registry.ownerOf(licenceId >> 64) != msg.sender) revert NotDeliverer(licenceId, msg.sender);
    }

    // ------------------------------------------------------------------ income

    /// @dev Credits the difference between the shares of all that was earned and of what was split before.
    function _share(uint256 planId, PlanRow storage row, Income memory income) private {
        address token = row.token;
        address payee = _operators[row.operatorId].payee;
        (uint256 fee, uint256 service, uint256 rest) = _operating(row, income.earned);
        (uint256 feeBefore, uint256 serviceBefore, uint256 restBefore) = _operating(row, income.split);
        (fee, service) = (fee - feeBefore, service - serviceBefore);
        if (fee != 0) accountCredit[treasury][token] += fee;
        if (service != 0) accountCredit[payee][token] += service;
        uint256 own = _shareAncestors(planId, token, rest, restBefore);
        _credits[planId >> 32][token].amount += uint128(own);
        emit IncomeSplit(
            planId, token, income.earned - income.split, treasury, uint128(fee), payee, uint128(service), uint128(own)
        );
    }

    /// @return own What is left for the plan's own model.
    function _shareAncestors(uint256 planId, address token, uint256 rest, uint256 restBefore)
        private
        returns (uint256 own)
    {
        Share[] memory ancestors = registry.ancestors(planId >> 32);
        uint256 left = Shares.WHOLE;
        for (uint256 i = 0; i < ancestors.length; ++i) {
            uint256 part;
            uint256 partBefore;
            (partBefore, restBefore,) = Shares.cut(restBefore, left, ancestors[i].bps);
            (part, rest, left) = Shares.cut(rest, left, ancestors[i].bps);
            part -= partBefore;
            if (part == 0) continue;
            _credits[ancestors[i].modelId][token].amount += uint128(part);
            emit AncestorCredited(planId, ancestors[i].modelId, token, uint128(part));
        }
        return rest - restBefore;
    }

    /// @return fee The protocol's part of `earned`.
    /// @return service The operator's.
    /// @return rest What ancestors and publisher share.
    function _operating(PlanRow storage row, uint256 earned)
        private
        view
        returns (uint256 fee, uint256 service, uint256 rest)
    {
        uint256 left;
        (fee, rest, left) = Shares.cut(earned, Shares.WHOLE, row.feeBps);
        (service, rest,) = Shares.cut(rest, left, row.serviceBps);
    }

    // ------------------------------------------------------------------ checks

    function _checkTerms(PlanTerms memory terms) private view {
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

    function _requireModelOwner(uint256 modelId) private view {
        if (registry.ownerOf(modelId) != msg.sender) revert NotModelOwner(modelId, msg.sender);
    }

    function _requireOnSale(uint256 planId, PlanRow storage row) private view {
        if (row.flags & RETIRED != 0) revert PlanIsRetired(planId);
    }

    function _requireERC20(address token) private pure {
        if (token == NATIVE) revert TokenNotAllowed(NATIVE);
    }

    function _requireBatch(uint256 length) private pure {
        if (length > BATCH) revert BatchInvalid(length, BATCH);
    }

    function _requireSigned(address signer, uint256 deadline, bytes32 structHash, bytes calldata signature)
        private
        view
        returns (bytes32 digest)
    {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline);
        digest = MessageHashUtils.toTypedDataHash(DOMAIN_SEPARATOR(), structHash);
        if (!SignatureChecker.isValidSignatureNowCalldata(signer, digest, signature)) revert SignatureInvalid(signer);
    }

    // ------------------------------------------------------------------ reading rows

    function _plan(uint256 planId) private view returns (PlanRow storage row) {
        row = _plans[planId];
        if (row.supply == 0) revert PlanUnknown(planId);
    }

    function _terms(uint256 planId, PlanRow storage row) private view returns (PlanTerms memory) {
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

    function _holder(uint256 licenceId) private view returns (address holder) {
        holder = _ownerOf(licenceId);
        if (holder == address(0)) revert LicenceUnknown(licenceId);
    }

    /// @dev Beside the owner: cancelled 1 | calls 31 | used 32 | expiry 32.
    function _term(uint256 licenceId) private view returns (Term memory) {
        uint96 packed = _getExtraData(licenceId);
        return Term({
            expiry: uint32(packed),
            used: uint32(packed >> 32),
            calls: (packed >> 64) & MAX_CALLS,
            cancelled: packed >> 95 != 0
        });
    }

    function _setTerm(uint256 licenceId, Term memory term) private {
        _setExtraData(licenceId, _pack(term));
    }

    function _pack(Term memory term) private pure returns (uint96) {
        return uint96((term.cancelled ? 1 << 95 : 0) | term.calls << 64 | term.used << 32 | term.expiry);
    }

    /// @dev What the clock of the model depends on, for a fingerprint.
    function _suspension(uint256 modelId) private view returns (uint256) {
        ModelRow storage row = _models[modelId];
        return uint256(row.suspendedAt) << 64 | uint256(row.suspendedUntil) << 32 | row.suspendedSeconds;
    }

    function _state(uint256 licenceId) private view returns (LicenceState memory state) {
        address holder = _ownerOf(licenceId);
        if (holder == address(0)) return state;
        PlanRow storage row = _plans[licenceId >> 32];
        Term memory term = _term(licenceId);
        Holding memory holding = _holdings[licenceId];
        (uint256 clock, uint256 suspendedAt) = _clock(licenceId >> 64);
        uint256 behind = block.timestamp - clock;

        (state.exists, state.owner) = (true, holder);
        (state.planId, state.modelId, state.flags) = (licenceId >> 32, licenceId >> 64, row.flags & ~RETIRED);
        (state.used, state.calls, state.base) = (uint32(term.used), uint32(term.calls), holding.base);
        (state.amount, state.taken) = (holding.amount, holding.taken);
        state.vested = _vested(licenceId, row, term, holding);
        state.suspended = suspendedAt != 0;
        if (term.expiry != 0) state.expiry = uint64(term.expiry + behind);
        if (term.cancelled) state.settleAt = uint64(holding.start) + REPORT_WINDOW;
        else if (holding.start != 0) state.start = uint64(holding.start + behind);
        state.valid = !term.cancelled && suspendedAt == 0 && (term.expiry == 0 || clock < term.expiry)
            && (term.calls == 0 || term.used < term.calls);
    }
}
