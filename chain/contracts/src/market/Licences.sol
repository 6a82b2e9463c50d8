// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {NoValueERC721} from "../NoValueERC721.sol";
import {LicenceState} from "../interfaces/ILicenceMarket.sol";
import {Shares} from "../libraries/Shares.sol";
import {Term} from "../libraries/Terms.sol";
import {Vesting} from "../libraries/Vesting.sol";
import {Incomes} from "./Incomes.sol";

/// @title The tokens, what they hold, and what of it has vested.
abstract contract Licences is Incomes, NoValueERC721 {
    /// @notice ERC-4906: what the licence allows changed.
    event MetadataUpdate(uint256 _tokenId);

    /// @notice ERC-4906: never emitted here, part of the standard's interface.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    /// @dev One slot, written only where something vests over time or use.
    struct Holding {
        uint96 amount;
        uint96 taken;
        uint32 start; // on the model clock; of a cancelled licence, the block time of that
        uint32 base;
    }

    /// @notice How long after a cancel calls may be reported, in block time: sequencers fail for hours.
    uint32 public constant REPORT_WINDOW = 6 hours;

    /// @notice What `royaltyInfo` says.
    uint16 public constant ROYALTY_BPS = 500;

    mapping(uint256 licenceId => Holding) internal _holdings;

    function isValid(uint256 licenceId) external view returns (bool) {
        return _state(licenceId).valid;
    }

    function licenceStates(uint256[] calldata licenceIds) external view returns (LicenceState[] memory states) {
        states = new LicenceState[](licenceIds.length);
        for (uint256 i = 0; i < licenceIds.length; ++i) {
            states[i] = _state(licenceIds[i]);
        }
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

    /// @dev A mint has `from` 0, a burn `to` 0. A caller who passes either in a transfer fails in the token.
    function _beforeTokenTransfer(address from, address to, uint256 licenceId) internal view override {
        if (from == address(0) || to == address(0)) return;
        if (_plans[licenceId >> 32].flags & TRANSFERABLE == 0) revert LicenceBound(licenceId);
        if (_term(licenceId).isCancelled()) revert LicenceIsCancelled(licenceId);
    }

    /// @dev Moves what has vested to the plan's income.
    /// @param holding As it is stored; afterwards too.
    function _vest(uint256 licenceId, Term term, Holding memory holding) internal {
        _take(licenceId, holding, _vested(licenceId, term, holding));
    }

    /// @dev Raises what was taken to `vested`, in `holding` and in storage.
    function _take(uint256 licenceId, Holding memory holding, uint96 vested) internal {
        uint96 fresh = vested - holding.taken;
        if (fresh == 0) return;
        holding.taken = vested;
        _holdings[licenceId] = holding;
        _incomes[licenceId >> 32].earned += fresh;
        emit IncomeVested(licenceId, fresh);
    }

    function _vested(uint256 licenceId, Term term, Holding memory holding) internal view returns (uint96) {
        if (holding.amount == holding.taken) return holding.amount;
        (uint256 elapsed, uint256 duration) = (0, 1); // once cancelled, time vests no more
        if (!term.isCancelled()) {
            (uint256 clock,) = _clock(licenceId >> 64);
            elapsed = clock - holding.start;
            duration = term.expiry() == 0 ? _plans[licenceId >> 32].vesting : term.expiry() - holding.start;
        }
        uint256 calls = term.calls() == 0 ? 0 : term.calls() - holding.base;
        uint256 vested = Vesting.vested(holding.amount, elapsed, duration, term.used() - holding.base, calls);
        return vested > holding.taken ? uint96(vested) : holding.taken;
    }

    function _holder(uint256 licenceId) internal view returns (address holder) {
        holder = _ownerOf(licenceId);
        if (holder == address(0)) revert LicenceUnknown(licenceId);
    }

    function _term(uint256 licenceId) internal view returns (Term) {
        return Term.wrap(_getExtraData(licenceId));
    }

    function _setTerm(uint256 licenceId, Term term) internal {
        _setExtraData(licenceId, Term.unwrap(term));
    }

    /// @dev What the clock of the model depends on, for a fingerprint.
    function _suspension(uint256 modelId) internal view returns (uint256) {
        ModelRow storage row = _models[modelId];
        return uint256(row.suspendedAt) << 64 | uint256(row.suspendedUntil) << 32 | row.suspendedSeconds;
    }

    function _state(uint256 licenceId) internal view returns (LicenceState memory state) {
        address holder = _ownerOf(licenceId);
        if (holder == address(0)) return state;
        Term term = _term(licenceId);
        Holding memory holding = _holdings[licenceId];
        (uint256 clock, uint256 suspendedAt) = _clock(licenceId >> 64);
        uint256 behind = block.timestamp - clock;

        (state.exists, state.owner) = (true, holder);
        (state.planId, state.modelId, state.flags) =
        (licenceId >> 32, licenceId >> 64, _plans[licenceId >> 32].flags & ~RETIRED);
        (state.used, state.calls, state.base) = (term.used(), term.calls(), holding.base);
        (state.amount, state.taken) = (holding.amount, holding.taken);
        state.vested = _vested(licenceId, term, holding);
        state.suspended = suspendedAt != 0;
        if (term.expiry() != 0) state.expiry = uint64(term.expiry() + behind);
        if (term.isCancelled()) state.settleAt = uint64(holding.start) + REPORT_WINDOW;
        else if (holding.start != 0) state.start = uint64(holding.start + behind);
        state.valid = !term.isCancelled() && suspendedAt == 0 && (term.expiry() == 0 || clock < term.expiry())
            && (term.calls() == 0 || term.used() < term.calls());
    }
}
