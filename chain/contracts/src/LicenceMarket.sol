// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ModelRegistry} from "./ModelRegistry.sol";
import {IERC3009} from "./interfaces/IERC3009.sol";
import {Authorization, Operator, PlanTerms, Roles, SkipReason} from "./interfaces/ILicenceMarket.sol";
import {Shares} from "./libraries/Shares.sol";
import {Term, Terms} from "./libraries/Terms.sol";
import {Licences} from "./market/Licences.sol";
import {MarketRoles} from "./market/MarketRoles.sol";
import {Plans} from "./market/Plans.sol";

/// @title LicenceMarket
/// @notice See `ILicenceMarket`. The admin is `owner()`, which hands over in two steps.
/// @dev What a holder, a buyer and an operator do is here. Beneath: `Licences` (tokens and vesting), `Incomes` (who is
/// owed what), `Plans`, `ModelClock`, `Operators`, `MarketRoles`.
contract LicenceMarket is Licences {
    using SafeERC20 for IERC20;

    /// @notice The most entries of a batch.
    uint256 public constant BATCH = 50;

    bytes32 private constant BUY_OPERATION = keccak256("Weighhouse.buy");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("Weighhouse");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    bytes32 private constant CANCEL_TYPEHASH = keccak256("Cancel(uint256 licenceId,address to,uint256 deadline)");
    bytes32 private constant DELIVER_TYPEHASH =
        keccak256("Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)");

    mapping(bytes32 digest => bool) private _requestUsed;

    constructor(ModelRegistry registry, Roles memory roles) MarketRoles(roles) Plans(registry) {}

    // ------------------------------------------------------------------ buying

    function buy(uint256 planId, bytes32 agreedHash, address recipient)
        external
        payable
        nonReentrant
        returns (uint256 licenceId)
    {
        PlanTerms memory terms = _termsAgreed(planId, agreedHash);
        licenceId = _sell(planId, terms, recipient, msg.sender);
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
        PlanTerms memory terms = _termsAgreed(planId, agreedHash);
        _requireERC20(terms.token);
        licenceId = _sell(planId, terms, recipient, msg.sender);
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
        address token;
        uint256 price;
        bytes32 nonce;
        uint256 before;
        (licenceId, token, price, nonce, before) = _sellAuthorized(planId, agreedHash, recipient, authorization);
        IERC3009(token)
            .receiveWithAuthorization(
                authorization.payer,
                address(this),
                price,
                authorization.validAfter,
                authorization.validBefore,
                nonce,
                v,
                r,
                s
            );
        _requireReceived(token, price, before);
    }

    function buyWithWalletAuthorization(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization,
        bytes calldata signature
    ) external nonReentrant returns (uint256 licenceId) {
        address token;
        uint256 price;
        bytes32 nonce;
        uint256 before;
        (licenceId, token, price, nonce, before) = _sellAuthorized(planId, agreedHash, recipient, authorization);
        IERC3009(token)
            .receiveWithAuthorization(
                authorization.payer,
                address(this),
                price,
                authorization.validAfter,
                authorization.validBefore,
                nonce,
                signature
            );
        _requireReceived(token, price, before);
    }

    function renew(uint256 licenceId, bytes32 agreedHash) external payable nonReentrant {
        uint256 planId = licenceId >> 32;
        address holder = _holder(licenceId);
        PlanTerms memory terms = _termsAgreed(planId, agreedHash);
        // What vested ahead by use or by time counts anew in a new term: only the holder may choose that.
        if (terms.calls != 0 && msg.sender != holder) revert NotHolder(licenceId, msg.sender);
        if (terms.flags & RENEWABLE == 0) revert NotRenewable(planId);
        Term term = _term(licenceId);
        if (term.isCancelled()) revert LicenceIsCancelled(licenceId);
        uint256 clock = _runningClock(terms.modelId);

        Holding memory holding = _holdings[licenceId];
        _vest(licenceId, term, holding);
        uint96 entry = _entry(planId, terms);
        if (terms.vesting != 0) {
            holding.amount = SafeCast.toUint96(uint256(holding.amount) - holding.taken + terms.price - entry);
            (holding.taken, holding.start, holding.base) = (0, SafeCast.toUint32(clock), term.used());
            _holdings[licenceId] = holding;
        }
        uint256 calls = uint256(term.calls()) + terms.calls;
        if (calls > MAX_CALLS) revert CallsTooMany(calls, MAX_CALLS);
        uint256 end = clock > term.expiry() ? clock : term.expiry();
        uint32 expiry = terms.period == 0 ? 0 : SafeCast.toUint32(end + terms.period);
        _setTerm(licenceId, Terms.pack(expiry, term.used(), calls));
        emit LicenceRenewed(licenceId, msg.sender, terms.price, entry, holding.amount, expiry, uint32(calls));
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

    /// @notice The EIP-712 domain of the requests that holders sign: name "Weighhouse", version "1".
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, DOMAIN_NAME, DOMAIN_VERSION, block.chainid, address(this)));
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
        Term term = _term(licenceId);
        uint256 settleAt = term.isCancelled() ? uint256(_holdings[licenceId].start) + REPORT_WINDOW : 0;
        if ((settleAt == 0 || block.timestamp < settleAt) && !_suspendedLong(licenceId >> 64)) {
            revert SettlesLater(licenceId, uint64(settleAt));
        }

        if (!term.isCancelled()) _end(licenceId, holder, 0);
        refund = _close(licenceId, holder, to, term);
        // Nobody else takes a licence away that would bring its holder nothing.
        if (refund == 0 && msg.sender != holder && !term.isCancelled()) revert NotHolder(licenceId, msg.sender);
    }

    // ------------------------------------------------------------------ use

    function reportUsage(uint256[] calldata licenceIds, uint32[] calldata used) external {
        _requireBatch(licenceIds.length);
        if (licenceIds.length != used.length) revert BatchInvalid(used.length, licenceIds.length);
        (uint256 planId, bool foreign, bool disabled) = (0, true, false);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            (uint256 licenceId, uint32 count) = (licenceIds[i], used[i]);
            if (licenceId >> 32 != planId) {
                planId = licenceId >> 32;
                Operator storage reporter = _operators[_plans[planId].operatorId];
                (foreign, disabled) = (reporter.key != msg.sender, reporter.disabled);
            }
            Term term = _term(licenceId);
            (bool counts, SkipReason reason) = _reportCheck(licenceId, term, count, foreign, disabled);
            if (counts) {
                _setTerm(licenceId, term.withUsed(count));
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
        Term term = _term(licenceId);
        if (term.isCancelled()) revert LicenceIsCancelled(licenceId);
        uint256 clock = _runningClock(licenceId >> 64);
        if (term.expiry() != 0 && clock >= term.expiry()) revert LicenceExpired(licenceId);
        _requireDeliverer(licenceId, row);
        bytes32 request = keccak256(abi.encode(DELIVER_TYPEHASH, licenceId, recipientKey, deadline));
        bytes32 digest = _requireSigned(holder, deadline, request, holderSignature);
        if (_requestUsed[digest]) revert RequestUsed(digest);

        _requestUsed[digest] = true;
        Holding memory holding = _holdings[licenceId];
        _take(licenceId, holding, holding.amount);
        emit KeyDelivered(licenceId, holder, recipientKey, wrappedKeyHash);
    }

    // ------------------------------------------------------------------ income

    function collect(uint256[] calldata licenceIds) external nonReentrant {
        _requireBatch(licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            uint256 licenceId = licenceIds[i];
            _vest(licenceId, _term(licenceId), _holdings[licenceId]); // of no licence, nothing
        }
    }

    // ------------------------------------------------------------------ selling

    function _sell(uint256 planId, PlanTerms memory terms, address recipient, address payer)
        private
        returns (uint256 licenceId)
    {
        uint256 clock = _runningClock(terms.modelId);
        licenceId = planId << 32 | _nextSerial(planId, terms.supply);
        uint96 entry = _entry(planId, terms);
        if (terms.vesting != 0) {
            _holdings[licenceId] =
                Holding({amount: terms.price - entry, taken: 0, start: SafeCast.toUint32(clock), base: 0});
        }
        uint32 expiry = terms.period == 0 ? 0 : SafeCast.toUint32(clock + terms.period);
        emit LicenceBought(licenceId, planId, recipient, payer, terms.price, entry, expiry, terms.calls);
        _mintAndSetExtraDataUnchecked(recipient, licenceId, Term.unwrap(Terms.pack(expiry, 0, terms.calls)));
    }

    /// @dev Takes a place in the supply.
    function _nextSerial(uint256 planId, uint24 supply) private returns (uint24 serial) {
        PlanRow storage row = _plans[planId];
        (uint24 live, uint24 sold) = (row.live, row.sold);
        if (live >= supply || sold == type(uint24).max) revert SupplyExhausted(planId, supply);
        serial = sold + 1;
        (row.live, row.sold) = (live + 1, serial);
    }

    function _sellAuthorized(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization
    ) private returns (uint256 licenceId, address token, uint256 price, bytes32 nonce, uint256 before) {
        PlanTerms memory terms = _termsAgreed(planId, agreedHash);
        (token, price) = (terms.token, terms.price);
        _requireERC20(token);
        licenceId = _sell(planId, terms, recipient, authorization.payer);
        nonce = authorizationNonce(planId, agreedHash, recipient, authorization.salt);
        before = IERC20(token).balanceOf(address(this));
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

    function _cancel(uint256 licenceId, address holder, address to) private {
        _requireRecipient(to);
        Term term = _term(licenceId);
        if (term.isCancelled()) revert LicenceIsCancelled(licenceId);
        if (term.calls() == 0) {
            _end(licenceId, holder, 0);
            _close(licenceId, holder, to, term);
        } else {
            _vest(licenceId, term, _holdings[licenceId]);
            _holdings[licenceId].start = uint32(block.timestamp);
            _setTerm(licenceId, term.cancelled());
            _end(licenceId, holder, uint64(block.timestamp + REPORT_WINDOW));
            emit MetadataUpdate(licenceId);
        }
    }

    /// @dev The licence's place in the supply is free.
    function _end(uint256 licenceId, address holder, uint64 settleAt) private {
        --_plans[licenceId >> 32].live;
        emit LicenceCancelled(licenceId, holder, settleAt);
    }

    /// @dev Burns the token and pays what has not vested.
    function _close(uint256 licenceId, address holder, address to, Term term) private returns (uint96 refund) {
        PlanRow storage row = _plans[licenceId >> 32];
        Holding memory holding = _holdings[licenceId];
        _vest(licenceId, term, holding);
        refund = holding.amount - holding.taken;
        delete _holdings[licenceId];
        _setExtraData(licenceId, 0);
        emit LicenceSettled(licenceId, holder, to, refund);
        _burn(licenceId);

        if (refund != 0) _send(row.token, to, refund);
    }

    function _suspendedLong(uint256 modelId) private view returns (bool) {
        (, uint256 suspendedAt) = _clock(modelId);
        return suspendedAt != 0 && block.timestamp >= suspendedAt + SETTLE_AFTER;
    }

    // ------------------------------------------------------------------ use

    function _reportCheck(uint256 licenceId, Term term, uint32 used, bool foreign, bool disabled)
        private
        view
        returns (bool counts, SkipReason reason)
    {
        if (term.calls() == 0) return (false, _exists(licenceId) ? SkipReason.Unmetered : SkipReason.Unknown);
        if (foreign) return (false, SkipReason.Foreign);
        if (disabled) return (false, SkipReason.Disabled);
        if (term.isCancelled() && block.timestamp >= uint256(_holdings[licenceId].start) + REPORT_WINDOW) {
            return (false, SkipReason.Closed);
        }
        if (used <= term.used()) return (false, SkipReason.NotHigher);
        if (used > term.calls()) return (false, SkipReason.AboveTotal);
        return (true, SkipReason.Unknown);
    }

    function _requireDeliverer(uint256 licenceId, PlanRow storage row) private view {
        Operator storage deliverer = _operators[row.operatorId];
        if (msg.sender == deliverer.key && !deliverer.disabled) return;
        if (registry.ownerOf(licenceId >> 64) != msg.sender) revert NotDeliverer(licenceId, msg.sender);
    }

    // ------------------------------------------------------------------ income

    // ------------------------------------------------------------------ checks

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
}
