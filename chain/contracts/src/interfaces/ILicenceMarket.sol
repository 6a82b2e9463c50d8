// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice One row of a model's price list. It never changes.
/// @param modelId The model, a token of the registry.
/// @param token The ERC-20 that pays; the zero address stands for the chain's native coin.
/// @param price In the token's smallest unit. Zero is a free licence.
/// @param period Seconds of validity from the purchase, on the model clock; 0 is perpetual, at most `MAX_PERIOD`.
/// @param vesting Seconds in which the price vests; 0 is at once. On a timed plan 0 or `period` (it vests until the
/// licence expires), on a perpetual one 0 or 1 hour to 90 days.
/// @param calls How many calls each purchase and each renewal adds; 0 is unmetered. Below 2^31.
/// @param supply The most licences of this plan in existence at once; never 0.
/// @param feeBps The protocol's fee: `feeBps()` of the market when the plan is added.
/// @param operatorId Whose attestations of use count, and who earns the service share. 0 is none; a metered plan has one.
/// @param serviceBps The operator's share of the income, at most 5,000; 0 without an operator.
/// @param entryBps The part of the price that vests at once, at most 2,000.
/// @param flags A sum of RUN 1, DOWNLOAD 2, TRANSFERABLE 4 and RENEWABLE 8, with at least one of the first two.
/// RENEWABLE needs a period or calls.
struct PlanTerms {
    uint256 modelId;
    address token;
    uint96 price;
    uint32 period;
    uint32 vesting;
    uint32 calls;
    uint24 supply;
    uint16 feeBps;
    uint32 operatorId;
    uint16 serviceBps;
    uint16 entryBps;
    uint8 flags;
}

/// @notice How a plan sells and what it earned.
/// @param live Licences in existence that were not cancelled.
/// @param sold Licences ever sold, which is the last serial.
/// @param retired Whether the sale was stopped.
/// @param earned All that vested or came as an entry share since the plan exists, in the token's smallest unit.
/// @param split How much of `earned` was credited to those who share it.
struct PlanState {
    uint24 live;
    uint24 sold;
    bool retired;
    uint128 earned;
    uint128 split;
}

/// @notice A licence as of the block that is asked. All zero where there is no such licence.
/// @param expiry Block time at which it ends, as far as suspensions are known now; it is valid before, not at it.
/// 0 is perpetual.
/// @param used Calls used over the licence's life, as reported by the operator.
/// @param calls Calls bought over the licence's life; 0 is unmetered.
/// @param base What `used` was at the start of the present term: use vests by `(used - base) / (calls - base)`. 0 on
/// plans that vest at once.
/// @param flags Those of the plan.
/// @param valid Exists, is not cancelled, not expired, its model not suspended, calls left.
/// @param suspended Whether its model is suspended now.
/// @param settleAt 0, or, for a cancelled metered licence, the block time from which `settle` pays.
/// @param amount What this term holds against vesting, in the token's smallest unit.
/// @param taken How much of `amount` was moved to the plan's income.
/// @param vested How much of `amount` has vested by now; `amount - vested` is what would come back.
/// @param start Block time from which `amount` vests, shifted like `expiry`; 0 where nothing vests over time.
struct LicenceState {
    bool exists;
    address owner;
    uint256 planId;
    uint256 modelId;
    uint64 expiry;
    uint32 used;
    uint32 calls;
    uint32 base;
    uint8 flags;
    bool valid;
    bool suspended;
    uint64 settleAt;
    uint96 amount;
    uint96 taken;
    uint96 vested;
    uint64 start;
}

/// @notice An operator of workers.
/// @param owner Who registered it, and alone may change key and payee.
/// @param key Attests use and anchors receipts.
/// @param payee Is credited with the service shares.
/// @param disabled Set by the guardian, for ever: its reports do not count any more.
struct Operator {
    address owner;
    address key;
    address payee;
    bool disabled;
}

/// @notice The part of an EIP-3009 authorization that the buyer chooses; the market derives the rest.
/// @param payer Whose tokens pay.
/// @param validAfter Block time after which it holds.
/// @param validBefore Block time before which it holds.
/// @param salt Anything that the payer did not use before with the same purchase.
struct Authorization {
    address payer;
    uint256 validAfter;
    uint256 validBefore;
    bytes32 salt;
}

/// @notice Who may do what at the market. `admin` is its owner and hands over in two steps.
/// @param guardian Suspends models and disables operators; address 0 for nobody.
/// @param pauser Pauses sales; address 0 for nobody.
/// @param treasury Is credited with the protocol's fee.
struct Roles {
    address admin;
    address guardian;
    address pauser;
    address treasury;
}

/// @notice Why an entry of a report was left out.
enum SkipReason {
    Unknown, // no such licence, or it was settled
    Unmetered,
    Foreign, // another operator's plan
    Disabled,
    Closed, // cancelled, and the time for reports is over
    NotHigher,
    AboveTotal
}

/// @title The market of licences.
/// @notice A licence is an ERC-721 token, bought under a plan. `planId = modelId << 32 | n` and
/// `licenceId = planId << 32 | serial`, with `n` and `serial` counting from 1.
///
/// The price is the holder's until it vests. What has vested moves to the plan's income (`collect`), the plan's income
/// is shared out to credits (`split`), and credits are paid to who asks for their own (`withdraw`, `withdrawAccount`).
/// A holder may `cancel` at any time and takes along what has not vested. Nobody else can end a licence, and nothing
/// ever stops cancel, settle, collect, split or a withdrawal: neither pausing nor suspension.
///
/// Times of a licence run on its model's clock: block time less the seconds for which the model was suspended.
///
/// The market also is ERC-2981 (advisory), ERC-4906, ERC-5646 and ERC-7572.
/// @dev What is assumed of an allowed token, and checked where it can be: it has code; a payment moves exactly the
/// price (measured); its balances change by transfers only (no rebasing: not checked); at least 6 decimals
/// (not checked). Tokens that return nothing are fine, tokens that return false are refused. An issuer
/// that freezes the market's account freezes the money in that token, and no other.
interface ILicenceMarket {
    // ------------------------------------------------------------------ events: plans and licences

    /// @notice Comes before anything else that names the plan.
    event PlanAdded(uint256 indexed planId, uint256 indexed modelId, PlanTerms terms, bytes32 planHash);

    /// @notice The plan is not sold or renewed any more. Its licences go on.
    event PlanRetired(uint256 indexed planId);

    /// @notice Comes before the token's `Transfer`.
    /// @param holder Who received the licence.
    /// @param payer Who paid.
    /// @param price In the smallest unit of the plan's token.
    /// @param entry The part of it that is the plan's income at once; the rest is held for the holder.
    /// @param expiry On the model clock, unix seconds; 0 is perpetual.
    event LicenceBought(
        uint256 indexed licenceId,
        uint256 indexed planId,
        address indexed holder,
        address payer,
        uint96 price,
        uint96 entry,
        uint64 expiry,
        uint32 calls
    );

    /// @notice A new term began. What the old term had not vested is in `amount`.
    /// @param payer Who paid.
    /// @param price What was paid now.
    /// @param entry The part of it that is the plan's income at once.
    /// @param amount What is held for the holder from now on.
    /// @param expiry On the model clock; 0 is perpetual.
    /// @param calls The total over the licence's life; 0 is unmetered.
    event LicenceRenewed(
        uint256 indexed licenceId,
        address indexed payer,
        uint96 price,
        uint96 entry,
        uint96 amount,
        uint64 expiry,
        uint32 calls
    );

    /// @notice The licence ended: by its holder, or settled after a suspension of `SETTLE_AFTER`.
    /// @param settleAt Block time from which `settle` pays; 0 where it was settled in the same transaction.
    event LicenceCancelled(uint256 indexed licenceId, address indexed holder, uint64 settleAt);

    /// @notice The licence's token is burned and what had not vested is paid. Comes before the burn's `Transfer`.
    event LicenceSettled(uint256 indexed licenceId, address indexed holder, address to, uint96 refund);

    /// @notice `amount` of what the licence held has vested and is the plan's income now.
    event IncomeVested(uint256 indexed licenceId, uint96 amount);

    /// @notice The operator attests that `used` calls were used over the licence's life.
    event UsageReported(uint256 indexed licenceId, uint32 used);

    /// @notice An entry of a report did not count.
    event UsageSkipped(uint256 indexed licenceId, uint32 used, SkipReason reason);

    /// @notice The holder asked for the release key, and everything held has vested.
    /// @param recipientKey The holder's X25519 public key.
    /// @param wrappedKeyHash keccak256 of the wrapped key that will be handed over.
    event KeyDelivered(uint256 indexed licenceId, address indexed holder, bytes32 recipientKey, bytes32 wrappedKeyHash);

    // ------------------------------------------------------------------ events: money

    /// @notice `amount` of the plan's income was credited: fee, service share, ancestors, and the rest to the model.
    /// @param treasury Is credited with `fee`.
    /// @param payee The operator's payee, credited with `service`; address 0 without an operator.
    /// @param publisher What the plan's own model is credited with. Its ancestors' parts come before, as `AncestorCredited`.
    event IncomeSplit(
        uint256 indexed planId,
        address indexed token,
        uint128 amount,
        address treasury,
        uint128 fee,
        address payee,
        uint128 service,
        uint128 publisher
    );

    /// @notice A part of that split was credited to the ancestor `modelId`. Not emitted for 0.
    event AncestorCredited(uint256 indexed planId, uint256 indexed modelId, address indexed token, uint128 amount);

    /// @notice The model's whole credit in `token` was paid to `to`.
    event IncomeWithdrawn(uint256 indexed modelId, address indexed token, address indexed to, uint256 amount);

    /// @notice The whole credit of an operator's payee or a treasury in `token` was paid to `to`.
    event AccountWithdrawn(address indexed account, address indexed token, address indexed to, uint256 amount);

    // ------------------------------------------------------------------ events: operators, models, roles

    /// @notice Comes before anything else that names the operator.
    event OperatorRegistered(uint256 indexed operatorId, address indexed owner, address key, address payee);

    /// @notice The operator's owner changed its key, its payee or both.
    event OperatorChanged(uint256 indexed operatorId, address key, address payee);

    /// @notice The guardian disabled the operator, for ever.
    event OperatorDisabled(uint256 indexed operatorId);

    /// @notice The model's clock stands, sales and access stop.
    /// @param reason Digest of a document that says why.
    /// @param until Block time at which the suspension lapses unless the admin confirms it.
    event ModelSuspended(uint256 indexed modelId, bytes32 reason, uint64 until);

    /// @notice The suspension does not lapse any more.
    event SuspensionConfirmed(uint256 indexed modelId);

    /// @notice The model's clock runs on. A suspension that lapsed has no such event.
    /// @param suspendedSeconds For how long the model was suspended over its life, which is how far its clock is behind.
    event ModelResumed(uint256 indexed modelId, uint64 suspendedSeconds);

    /// @notice Plans may, or may no longer, be priced in `token`.
    event TokenAllowed(address indexed token, bool allowed);
    /// @notice Plans added from now on carry this fee.
    event FeeSet(uint16 feeBps);
    /// @notice Fees that are split from now on are credited to this account.
    event TreasurySet(address indexed treasury);
    event GuardianSet(address indexed guardian);
    event PauserSet(address indexed pauser);
    /// @notice Buying and renewing stopped, or goes on.
    event PausedSet(bool paused);

    // ------------------------------------------------------------------ errors: plans

    /// @notice Only the model's owner prices it and withdraws its income: not an approved address.
    error NotModelOwner(uint256 modelId, address caller);
    /// @notice The admin has not allowed this token, or has withdrawn that.
    error TokenNotAllowed(address token);
    /// @notice A token to allow must be a contract.
    error TokenWithoutCode(address token);
    /// @notice A plan needs RUN or DOWNLOAD, no unknown bit, and RENEWABLE only with a period or calls.
    error FlagsInvalid(uint8 flags);
    /// @notice A plan needs a supply of at least 1.
    error SupplyZero();
    /// @notice A period is at most `MAX_PERIOD` seconds; longer is perpetual, 0.
    error PeriodTooLong(uint32 period, uint32 longest);
    /// @notice A timed plan vests at once or over its period, a perpetual one at once or over 1 hour to 90 days.
    error VestingInvalid(uint32 vesting, uint32 period);
    /// @notice A plan, and a licence over its life, has at most `most` calls.
    error CallsTooMany(uint256 calls, uint256 most);
    /// @notice The plan's fee must be the protocol's fee of the moment, so that nobody is surprised by a change.
    error FeeDiffers(uint16 actual, uint16 given);
    /// @notice A share is above its cap.
    error BpsTooLarge(uint16 bps, uint16 most);
    /// @notice A metered plan, and a service share, need an operator.
    error OperatorRequired();
    /// @notice No such operator.
    error OperatorUnknown(uint256 operatorId);
    /// @notice The guardian has disabled the operator.
    error OperatorIsDisabled(uint256 operatorId);
    /// @notice No such plan.
    error PlanUnknown(uint256 planId);
    /// @notice The plan was retired.
    error PlanIsRetired(uint256 planId);

    // ------------------------------------------------------------------ errors: licences

    /// @notice The plan is not what the buyer agreed to: another plan has this id on this fork of the chain.
    error PlanHashDiffers(uint256 planId, bytes32 actual, bytes32 given);
    /// @notice All licences of the plan are out.
    error SupplyExhausted(uint256 planId, uint24 supply);
    /// @notice The native coin sent with the call must be exactly this: the price, or 0 where a token pays.
    error ValueDiffers(uint256 required, uint256 sent);
    /// @notice The token moved another amount than the price: it takes a fee, or lies.
    error PaymentDiffers(address token, uint256 price, uint256 received);
    /// @notice Buying and renewing are paused.
    error SalesPaused();
    /// @notice The model is suspended.
    error ModelIsSuspended(uint256 modelId);
    /// @notice No such licence, or it was settled.
    error LicenceUnknown(uint256 licenceId);
    /// @notice Only the holder may: not an approved address.
    error NotHolder(uint256 licenceId, address caller);
    /// @notice The plan sells licences that stay with who received them.
    error LicenceBound(uint256 licenceId);
    /// @notice The licence was cancelled: it cannot be moved, renewed, delivered or cancelled again.
    error LicenceIsCancelled(uint256 licenceId);
    /// @notice The licence has expired.
    error LicenceExpired(uint256 licenceId);
    /// @notice The plan has no RENEWABLE.
    error NotRenewable(uint256 planId);
    /// @notice The plan has no DOWNLOAD.
    error NotDownloadable(uint256 planId);
    /// @notice Neither the plan's operator (not disabled) nor the model's owner.
    error NotDeliverer(uint256 licenceId, address caller);
    /// @notice The licence is not settled before this block time; 0: before it is cancelled.
    error SettlesLater(uint256 licenceId, uint64 settleAt);
    /// @notice The signed request is not valid any more.
    error DeadlinePassed(uint256 deadline);
    /// @notice Not the holder's signature of this request.
    error SignatureInvalid(address holder);
    /// @notice The signed request was carried out before.
    error RequestUsed(bytes32 digest);
    /// @notice A batch has at most `most` entries, and as many of each kind.
    error BatchInvalid(uint256 length, uint256 most);

    // ------------------------------------------------------------------ errors: money and roles

    /// @notice There is no income to withdraw.
    error NothingToWithdraw(address token);
    /// @notice Not the zero address, and not the market itself, where money would be lost.
    error RecipientInvalid(address to);
    /// @notice The caller lacks the role that this needs.
    error NotAllowed(address caller);
    /// @notice The model is suspended already.
    error SuspendedAlready(uint256 modelId);
    /// @notice The model is not suspended.
    error NotSuspended(uint256 modelId);

    // ------------------------------------------------------------------ plans

    /// @notice Adds a plan, for good.
    /// @param terms Of a model that the caller owns, in the native coin or an allowed token.
    /// @return planId `modelId << 32 | n`.
    function addPlan(PlanTerms calldata terms) external returns (uint256 planId);

    /// @notice Stops the sale and renewal of a plan, for good. By the model's owner.
    function retirePlan(uint256 planId) external;

    // ------------------------------------------------------------------ buying

    /// @notice Buys one licence of a plan for `recipient`, paid by the caller. An approval of the price must be in
    /// place where a token pays; the value sent is the price in the native coin, else 0.
    /// @param planId The plan.
    /// @param agreedHash The `planHash` that the buyer agreed to. It binds the price, so the caller risks no other.
    /// @param recipient The holder. No receiver hook is called: it must be able to use an ERC-721 token.
    /// @return licenceId The new token.
    function buy(uint256 planId, bytes32 agreedHash, address recipient) external payable returns (uint256 licenceId);

    /// @notice As `buy`, with the caller's EIP-2612 permit of exactly the price to the market. A permit that fails is
    /// ignored: somebody may have used it already, and then the allowance is there. Not for the native coin, nor are the
    /// two that follow: `TokenNotAllowed`.
    function buyWithPermit(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 licenceId);

    /// @notice As `buy`, paid by the signer of an EIP-3009 `receiveWithAuthorization`, whoever calls. Its nonce is
    /// `authorizationNonce`, which binds plan, terms, recipient and price: a relayer can change nothing.
    function buyWithAuthorization(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external returns (uint256 licenceId);

    /// @notice The same, for tokens that take the signature as bytes, as contract wallets need it.
    function buyWithWalletAuthorization(
        uint256 planId,
        bytes32 agreedHash,
        address recipient,
        Authorization calldata authorization,
        bytes calldata signature
    ) external returns (uint256 licenceId);

    /// @notice The EIP-3009 nonce of a purchase:
    /// `keccak256(abi.encode(keccak256("Weighhouse.buy"), chainid, market, planId, agreedHash, recipient, price, salt))`.
    function authorizationNonce(uint256 planId, bytes32 agreedHash, address recipient, bytes32 salt)
        external
        view
        returns (bytes32);

    /// @notice Begins a new term, paid by the caller as in `buy`. Anyone may renew for the holder, but a metered licence
    /// its holder alone: use and time count anew, which is for the holder to choose. What has vested moves to the plan's
    /// income; what has not is held on, together with the new price less its entry share, over the new term. The expiry
    /// becomes the later of itself and now, plus the period; the plan's calls are added.
    /// @param agreedHash As in `buy`.
    function renew(uint256 licenceId, bytes32 agreedHash) external payable;

    // ------------------------------------------------------------------ leaving

    /// @notice Ends a licence. By its holder alone. Its validity ends at once and its place in the supply is free.
    /// Unmetered: what has not vested is paid to `to` and the token is burned. Metered: time vests nothing more, the
    /// token is locked, the operator may report calls for `REPORT_WINDOW` of block time, then `settle` pays, to whom it
    /// names; `to` is not used then.
    function cancel(uint256 licenceId, address to) external;

    /// @notice The same, by anyone with the holder's EIP-712 signature of `Cancel(uint256 licenceId,address to,
    /// uint256 deadline)`. Contract wallets sign by ERC-1271.
    function cancelBySig(uint256 licenceId, address to, uint256 deadline, bytes calldata signature) external;

    /// @notice Pays what has not vested and burns the token: of a cancelled licence after its `REPORT_WINDOW`, and of
    /// any licence whose model has been suspended for `SETTLE_AFTER` or longer. The holder names any `to`; anyone
    /// else may have it paid to the holder, but ends no licence that was not cancelled and would bring nothing back.
    /// @return refund In the smallest unit of the plan's token.
    function settle(uint256 licenceId, address to) external returns (uint96 refund);

    // ------------------------------------------------------------------ use

    /// @notice Attests use. By the key of the operator of the licences' plans. Entries that cannot count are skipped
    /// with an event and stop nothing. It only speeds up vesting.
    /// @param licenceIds At most `BATCH`.
    /// @param used Calls used over each licence's life.
    function reportUsage(uint256[] calldata licenceIds, uint32[] calldata used) external;

    /// @notice Records that a release key is handed over, and vests all that the licence holds. By the key of the
    /// plan's operator, or by the model's owner, with the holder's EIP-712 signature of
    /// `Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)`, which works once.
    /// @param recipientKey The holder's X25519 public key.
    /// @param wrappedKeyHash keccak256 of the wrapped key, which leaves off chain when this is final.
    function deliver(
        uint256 licenceId,
        bytes32 recipientKey,
        uint256 deadline,
        bytes calldata holderSignature,
        bytes32 wrappedKeyHash
    ) external;

    // ------------------------------------------------------------------ income

    /// @notice Moves what has vested to the plans' income. By anyone. Ids without a licence are passed over.
    /// @param licenceIds At most `BATCH`.
    function collect(uint256[] calldata licenceIds) external;

    /// @notice Credits a plan's income to those who share it. By anyone. What each gets in all does not depend on how
    /// often it is called.
    function split(uint256 planId) external;

    /// @notice Pays the model's whole credit in one token to `to`. By the model's owner.
    /// @return amount In the token's smallest unit.
    function withdraw(uint256 modelId, address token, address to) external returns (uint256 amount);

    /// @notice Pays the caller's whole credit in one token, from service shares or fees, to `to`.
    /// @return amount In the token's smallest unit.
    function withdrawAccount(address token, address to) external returns (uint256 amount);

    // ------------------------------------------------------------------ operators

    /// @notice Registers an operator, owned by the caller.
    /// @return operatorId Counts from 1.
    function registerOperator(address key, address payee) external returns (uint256 operatorId);

    /// @notice Changes an operator's key and payee. By its owner. Income that is split later goes to the new payee.
    function setOperator(uint256 operatorId, address key, address payee) external;

    /// @notice Disables an operator, for ever. By the guardian.
    function disableOperator(uint256 operatorId) external;

    // ------------------------------------------------------------------ roles

    /// @notice Stops a model's clock, its sales and access. By the guardian. Lapses after `SUSPENSION` unless confirmed.
    /// @param reason Digest of a document that says why.
    function suspend(uint256 modelId, bytes32 reason) external;

    /// @notice Lets a suspension last until it is resumed. By the admin.
    function confirmSuspension(uint256 modelId) external;

    /// @notice Ends a suspension. By the admin, or by the guardian before it was confirmed.
    function resume(uint256 modelId) external;

    /// @notice Allows a token for plans, or stops that. By the admin. Stopping ends new plans, sales and renewals in
    /// the token; licences, refunds and withdrawals go on.
    function setTokenAllowed(address token, bool allowed) external;

    /// @notice The fee of plans to come, at most `MAX_FEE_BPS`. By the admin.
    function setFeeBps(uint16 feeBps) external;

    /// @notice Who is credited with fees that are split from now on. By the admin.
    function setTreasury(address treasury) external;

    /// @notice Who suspends and disables. By the admin; address 0 for nobody.
    function setGuardian(address guardian) external;

    /// @notice Who pauses. By the admin; address 0 for nobody.
    function setPauser(address pauser) external;

    /// @notice Stops buying and renewing, or lets them go on. By the pauser or the admin.
    function setPaused(bool paused) external;

    // ------------------------------------------------------------------ views

    /// @notice A plan's terms and how it does.
    function plan(uint256 planId) external view returns (PlanTerms memory terms, PlanState memory state);

    /// @notice `keccak256(abi.encode(terms))`: every field, and the model.
    function planHash(uint256 planId) external view returns (bytes32);

    /// @notice Whether the licence allows anything now. Never reverts.
    function isValid(uint256 licenceId) external view returns (bool);

    /// @notice The state of many licences in one call, in the order asked. Never reverts on an unknown id.
    function licenceStates(uint256[] calldata licenceIds) external view returns (LicenceState[] memory);

    /// @notice The clock of a model: block time less the seconds for which it was suspended.
    /// @return time Stands still while the model is suspended.
    /// @return suspendedAt Block time since which it is suspended; 0 where it is not.
    function modelClock(uint256 modelId) external view returns (uint64 time, uint64 suspendedAt);

    /// @notice What the owner of the model could withdraw in `token` now.
    function credit(uint256 modelId, address token) external view returns (uint256);

    /// @notice What `account` could withdraw in `token` with `withdrawAccount`.
    function accountCredit(address account, address token) external view returns (uint256);

    /// @notice An operator; all zero where there is none.
    function operator(uint256 operatorId) external view returns (Operator memory);

    /// @notice Whether plans may be priced in `token`. The native coin, address 0, always may.
    function tokenAllowed(address token) external view returns (bool);

    /// @notice ERC-5646: changes with everything about a licence that may change, but its holder.
    function getStateFingerprint(uint256 licenceId) external view returns (bytes32);

    /// @notice For the sale of a model's token: changes with its releases, its plans, its suspension, and its credit and
    /// withdrawals in `tokens`. Whoever buys at a known fingerprint gets the income that was there.
    function modelFingerprint(uint256 modelId, address[] calldata tokens) external view returns (bytes32);

    /// @notice ERC-2981, advisory: a twentieth of a resale to the owner of the model.
    function royaltyInfo(uint256 licenceId, uint256 salePrice) external view returns (address receiver, uint256 amount);

    /// @notice ERC-7572: what the collection is, as a data URI.
    function contractURI() external view returns (string memory);
}
