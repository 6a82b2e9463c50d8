// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @notice One row of a model's price list. It never changes.
/// @param modelId The model, a token of the registry.
/// @param token The ERC-20 that pays; the zero address stands for the chain's native coin.
/// @param price In the token's smallest unit. Zero is a free licence.
/// @param period Seconds of validity from the purchase; 0 is perpetual.
/// @param calls How many calls the licence includes; 0 is unmetered.
/// @param supply The most licences of this plan in existence at once; never 0.
/// @param flags A sum of RUN 1, DOWNLOAD 2 and TRANSFERABLE 4, with at least one of the first two.
struct PlanTerms {
    uint256 modelId;
    address token;
    uint96 price;
    uint32 period;
    uint32 calls;
    uint32 supply;
    uint8 flags;
}

/// @notice What a licence allows, as of the block that is asked. All zero where there is no such licence.
/// @param expiry Unix seconds; the licence is valid before it, not at it. 0 is perpetual.
/// @param calls The total that was bought; 0 is unmetered. Use is counted by the operator, not here.
struct LicenceState {
    bool exists;
    address owner;
    uint256 planId;
    uint256 modelId;
    uint64 expiry;
    uint32 calls;
    uint8 flags;
    bool valid;
}

/// @title The market of licences.
/// @notice A licence is an ERC-721 token, bought under a plan. `planId = modelId << 32 | n` and
/// `licenceId = planId << 32 | serial`, with `n` and `serial` counting from 1. The whole price becomes the model's
/// credit at once; whoever owns the model's token withdraws it. Nothing ever stops a withdrawal.
/// @dev What is assumed of an allowed token, and checked where it can be: it has code; a purchase moves exactly the
/// price (measured); its balances change by transfers only (no rebasing: not checked); at least 6 decimals
/// (not checked). Tokens that return nothing are fine, tokens that return false are refused. An issuer
/// that freezes the market's account freezes the credits in that token, and no other.
interface ILicenceMarket {
    /// @notice Comes before anything else that names the plan.
    event PlanAdded(uint256 indexed planId, uint256 indexed modelId, PlanTerms terms, bytes32 planHash);

    /// @notice The plan is not sold any more. Its licences go on.
    event PlanRetired(uint256 indexed planId);

    /// @notice Comes before the token's `Transfer`.
    /// @param holder Who received the licence; `payer` is who called and paid.
    /// @param price In the smallest unit of the plan's token.
    /// @param expiry Unix seconds, 0 is perpetual.
    event LicenceBought(
        uint256 indexed licenceId,
        uint256 indexed planId,
        address indexed holder,
        address payer,
        uint96 price,
        uint64 expiry,
        uint32 calls
    );

    /// @notice The model's whole credit in `token` was paid to `to`.
    event IncomeWithdrawn(uint256 indexed modelId, address indexed token, address indexed to, uint256 amount);

    /// @notice Plans may, or may no longer, be priced in `token`.
    event TokenAllowed(address indexed token, bool allowed);

    /// @notice Only the model's owner prices it and withdraws its income: not an approved address.
    error NotModelOwner(uint256 modelId, address caller);
    /// @notice The admin has not allowed this token, or has withdrawn that.
    error TokenNotAllowed(address token);
    /// @notice A token to allow must be a contract.
    error TokenWithoutCode(address token);
    /// @notice A plan needs RUN or DOWNLOAD, and no bit beyond the three known ones.
    error FlagsInvalid(uint8 flags);
    /// @notice A plan needs a supply of at least 1.
    error SupplyZero();
    /// @notice A period is at most `MAX_PERIOD` seconds; longer is perpetual, 0.
    error PeriodTooLong(uint32 period, uint32 longest);
    /// @notice No such plan.
    error PlanUnknown(uint256 planId);
    /// @notice The plan was retired.
    error PlanIsRetired(uint256 planId);
    /// @notice The plan is not what the buyer agreed to: another plan has this id on this fork of the chain.
    error PlanHashDiffers(uint256 planId, bytes32 actual, bytes32 given);
    /// @notice All licences of the plan are out.
    error SupplyExhausted(uint256 planId, uint32 supply);
    /// @notice The native coin sent with the call must be exactly this: the price, or 0 where a token pays.
    error ValueDiffers(uint256 required, uint256 sent);
    /// @notice The token moved another amount than the price: it takes a fee, or lies.
    error PaymentDiffers(address token, uint256 price, uint256 received);
    /// @notice The plan sells licences that stay with who received them.
    error LicenceBound(uint256 licenceId);
    /// @notice There is no income to withdraw.
    error NothingToWithdraw(uint256 modelId, address token);
    /// @notice Income must not be sent to the zero address, nor to the market itself, where it would be lost.
    error RecipientInvalid(address to);

    /// @notice Adds a plan, for good.
    /// @param terms Of a model that the caller owns, in the native coin or an allowed token.
    /// @return planId `modelId << 32 | n`.
    function addPlan(PlanTerms calldata terms) external returns (uint256 planId);

    /// @notice Stops the sale of a plan, for good. By the model's owner.
    function retirePlan(uint256 planId) external;

    /// @notice Buys one licence of a plan for `recipient`, paid by the caller. An approval of the price must be in
    /// place where a token pays; the value sent is the price in the native coin, else 0.
    /// @param planId The plan.
    /// @param agreedHash The `planHash` that the buyer agreed to. It binds the price, so the caller risks no other.
    /// @param recipient The holder. No receiver hook is called: it must be able to use an ERC-721 token.
    /// @return licenceId The new token.
    function buy(uint256 planId, bytes32 agreedHash, address recipient) external payable returns (uint256 licenceId);

    /// @notice Pays the model's whole credit in one token to `to`. By the model's owner.
    /// @return amount In the token's smallest unit.
    function withdraw(uint256 modelId, address token, address to) external returns (uint256 amount);

    /// @notice Allows a token for plans, or stops that. By the admin. Stopping ends new plans and sales in the token;
    /// licences and withdrawals go on.
    function setTokenAllowed(address token, bool allowed) external;

    /// @notice A plan's terms and how it sells.
    /// @return terms As added.
    /// @return live Licences in existence.
    /// @return sold Licences ever sold, which is the last serial.
    /// @return retired Whether the sale was stopped.
    function plan(uint256 planId) external view returns (PlanTerms memory terms, uint32 live, uint32 sold, bool retired);

    /// @notice `keccak256(abi.encode(terms))`: every field, and the model.
    function planHash(uint256 planId) external view returns (bytes32);

    /// @notice Whether the licence exists and has not expired. Never reverts.
    function isValid(uint256 licenceId) external view returns (bool);

    /// @notice The state of many licences in one call, in the order asked. Never reverts on an unknown id.
    function licenceStates(uint256[] calldata licenceIds) external view returns (LicenceState[] memory);

    /// @notice What the owner of the model could withdraw in `token` now.
    function credit(uint256 modelId, address token) external view returns (uint256);

    /// @notice Whether plans may be priced in `token`. The native coin, address 0, always may.
    function tokenAllowed(address token) external view returns (bool);
}
