// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ModelRegistry} from "./ModelRegistry.sol";
import {NoValueERC721} from "./NoValueERC721.sol";
import {ILicenceMarket, LicenceState, PlanTerms} from "./interfaces/ILicenceMarket.sol";

/// @title LicenceMarket
/// @notice See `ILicenceMarket`. The admin is `owner()`, which hands over in two steps.
contract LicenceMarket is ILicenceMarket, NoValueERC721, Ownable2Step, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @dev Two slots; `live` joins `sold` when licences can end, and 80 bits of the first slot are free.
    struct PlanRow {
        uint96 price;
        uint32 period;
        uint32 calls;
        uint8 flags;
        bool retired;
        address token;
        uint32 supply;
        uint32 sold;
    }

    uint8 private constant RUN = 1;
    uint8 private constant DOWNLOAD = 2;
    uint8 private constant TRANSFERABLE = 4;
    /// @dev Stands for the native coin in every place that takes a token.
    address private constant NATIVE = address(0);

    /// @notice The longest period of a plan, ten years, so that an expiry fits 32 bits until the year 2096.
    uint32 public constant MAX_PERIOD = 3650 days;

    /// @notice Where the models live.
    ModelRegistry public immutable registry;

    /// @notice How many plans the model has, which is the `n` of the newest.
    mapping(uint256 modelId => uint32) public planCount;
    /// @inheritdoc ILicenceMarket
    mapping(uint256 modelId => mapping(address token => uint256)) public credit;

    mapping(uint256 planId => PlanRow) private _plans;
    mapping(address token => bool) private _tokenAllowed;

    constructor(ModelRegistry registry_, address admin) Ownable(admin) {
        registry = registry_;
    }

    modifier onlyModelOwner(uint256 modelId) {
        if (registry.ownerOf(modelId) != msg.sender) revert NotModelOwner(modelId, msg.sender);
        _;
    }

    function addPlan(PlanTerms calldata terms) external onlyModelOwner(terms.modelId) returns (uint256 planId) {
        if (!tokenAllowed(terms.token)) revert TokenNotAllowed(terms.token);
        if (terms.flags & (RUN | DOWNLOAD) == 0 || terms.flags > (RUN | DOWNLOAD | TRANSFERABLE)) {
            revert FlagsInvalid(terms.flags);
        }
        if (terms.supply == 0) revert SupplyZero();
        if (terms.period > MAX_PERIOD) revert PeriodTooLong(terms.period, MAX_PERIOD);

        planId = terms.modelId << 32 | ++planCount[terms.modelId];
        _plans[planId] = PlanRow({
            price: terms.price,
            period: terms.period,
            calls: terms.calls,
            flags: terms.flags,
            retired: false,
            token: terms.token,
            supply: terms.supply,
            sold: 0
        });
        emit PlanAdded(planId, terms.modelId, terms, keccak256(abi.encode(terms)));
    }

    function retirePlan(uint256 planId) external onlyModelOwner(planId >> 32) {
        PlanRow storage row = _plan(planId);
        if (row.retired) revert PlanIsRetired(planId);
        row.retired = true;
        emit PlanRetired(planId);
    }

    function buy(uint256 planId, bytes32 agreedHash, address recipient)
        external
        payable
        nonReentrant
        returns (uint256 licenceId)
    {
        PlanRow storage row = _plan(planId);
        PlanTerms memory terms = _terms(planId, row);
        if (row.retired) revert PlanIsRetired(planId);
        bytes32 actualHash = keccak256(abi.encode(terms));
        if (actualHash != agreedHash) revert PlanHashDiffers(planId, actualHash, agreedHash);
        uint32 sold = row.sold;
        if (sold >= terms.supply) revert SupplyExhausted(planId, terms.supply);
        if (!tokenAllowed(terms.token)) revert TokenNotAllowed(terms.token);
        uint256 value = terms.token == NATIVE ? terms.price : 0;
        if (msg.value != value) revert ValueDiffers(value, msg.value);

        row.sold = ++sold;
        licenceId = planId << 32 | sold;
        credit[terms.modelId][terms.token] += terms.price;
        uint32 expiry = terms.period == 0 ? 0 : SafeCast.toUint32(block.timestamp + terms.period);
        emit LicenceBought(licenceId, planId, recipient, msg.sender, terms.price, expiry, terms.calls);
        _mintAndSetExtraDataUnchecked(recipient, licenceId, _pack(expiry, terms.calls));

        if (terms.token != NATIVE && terms.price != 0) _pull(IERC20(terms.token), terms.price);
    }

    function withdraw(uint256 modelId, address token, address to)
        external
        nonReentrant
        onlyModelOwner(modelId)
        returns (uint256 amount)
    {
        if (to == address(0) || to == address(this)) revert RecipientInvalid(to);
        amount = credit[modelId][token];
        if (amount == 0) revert NothingToWithdraw(modelId, token);

        credit[modelId][token] = 0;
        emit IncomeWithdrawn(modelId, token, to, amount);

        if (token == NATIVE) Address.sendValue(payable(to), amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    function setTokenAllowed(address token, bool allowed) external onlyOwner {
        if (allowed && token.code.length == 0) revert TokenWithoutCode(token);
        _tokenAllowed[token] = allowed;
        emit TokenAllowed(token, allowed);
    }

    function plan(uint256 planId)
        external
        view
        returns (PlanTerms memory terms, uint32 live, uint32 sold, bool retired)
    {
        PlanRow storage row = _plan(planId);
        // No licence ends before its token can be burned, so every one sold is live.
        return (_terms(planId, row), row.sold, row.sold, row.retired);
    }

    function planHash(uint256 planId) external view returns (bytes32) {
        return keccak256(abi.encode(_terms(planId, _plan(planId))));
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

    function tokenAllowed(address token) public view returns (bool) {
        return token == NATIVE || _tokenAllowed[token];
    }

    /// @notice The metadata of the model's newest release; a licence has none of its own.
    function tokenURI(uint256 licenceId) public view override returns (string memory) {
        if (!_exists(licenceId)) revert TokenDoesNotExist();
        return registry.tokenURI(licenceId >> 64);
    }

    function name() public pure override returns (string memory) {
        return "Weighhouse licence";
    }

    function symbol() public pure override returns (string memory) {
        return "LICENCE";
    }

    /// @dev A mint has `from` 0. A caller who passes 0 in a transfer fails in the token: nobody's licence is there.
    function _beforeTokenTransfer(address from, address, uint256 licenceId) internal view override {
        if (from != address(0) && _plans[licenceId >> 32].flags & TRANSFERABLE == 0) revert LicenceBound(licenceId);
    }

    /// @dev Measured, because an issuer can switch on a fee later. The guard makes the difference this payment's own.
    function _pull(IERC20 token, uint256 price) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), price);
        uint256 received = token.balanceOf(address(this)) - before;
        if (received != price) revert PaymentDiffers(address(token), price, received);
    }

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
            calls: row.calls,
            supply: row.supply,
            flags: row.flags
        });
    }

    function _state(uint256 licenceId) private view returns (LicenceState memory state) {
        address holder = _ownerOf(licenceId);
        if (holder == address(0)) return state;
        uint96 packed = _getExtraData(licenceId);
        state.exists = true;
        state.owner = holder;
        state.planId = licenceId >> 32;
        state.modelId = licenceId >> 64;
        state.expiry = uint32(packed);
        state.calls = uint32(packed >> 64);
        state.flags = _plans[state.planId].flags;
        state.valid = state.expiry == 0 || block.timestamp < state.expiry;
    }

    /// @dev Beside the owner: expiry 32 | free 32, for the calls used | calls bought 32.
    function _pack(uint32 expiry, uint32 calls) private pure returns (uint96) {
        return uint96(calls) << 64 | expiry;
    }
}
