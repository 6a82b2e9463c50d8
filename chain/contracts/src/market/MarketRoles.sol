// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {ILicenceMarket, Roles} from "../interfaces/ILicenceMarket.sol";

/// @title Who may do what at the market, and the settings that they keep.
abstract contract MarketRoles is ILicenceMarket, Ownable2Step {
    /// @notice The highest fee that a plan can carry.
    uint16 public constant MAX_FEE_BPS = 500;

    /// @dev Stands for the native coin in every place that takes a token.
    address internal constant NATIVE = address(0);

    /// @notice See `Roles`.
    address public guardian;
    /// @notice See `Roles`.
    address public pauser;
    // The next three share a slot, which every purchase reads.
    /// @notice See `Roles`.
    address public treasury;
    /// @notice The fee of plans that are added now.
    uint16 public feeBps;
    /// @notice Whether buying and renewing are stopped.
    bool public paused;

    mapping(address token => bool) private _tokenAllowed;

    constructor(Roles memory roles) Ownable(roles.admin) {
        _setGuardian(roles.guardian);
        _setPauser(roles.pauser);
        _setTreasury(roles.treasury);
    }

    function setTokenAllowed(address token, bool allowed) external onlyOwner {
        if (allowed && token.code.length == 0) revert TokenWithoutCode(token);
        _tokenAllowed[token] = allowed;
        emit TokenAllowed(token, allowed);
    }

    function setFeeBps(uint16 bps) external onlyOwner {
        if (bps > MAX_FEE_BPS) revert BpsTooLarge(bps, MAX_FEE_BPS);
        feeBps = bps;
        emit FeeSet(bps);
    }

    function setTreasury(address account) external onlyOwner {
        _setTreasury(account);
    }

    function setGuardian(address account) external onlyOwner {
        _setGuardian(account);
    }

    function setPauser(address account) external onlyOwner {
        _setPauser(account);
    }

    function setPaused(bool stopped) external {
        if (msg.sender != pauser && msg.sender != owner()) revert NotAllowed(msg.sender);
        paused = stopped;
        emit PausedSet(stopped);
    }

    function tokenAllowed(address token) public view returns (bool) {
        return token == NATIVE || _tokenAllowed[token];
    }

    function _requireGuardian() internal view {
        if (msg.sender != guardian) revert NotAllowed(msg.sender);
    }

    function _requireRecipient(address to) internal view {
        if (to == address(0) || to == address(this)) revert RecipientInvalid(to);
    }

    function _requireToken(address token) internal view {
        if (!tokenAllowed(token)) revert TokenNotAllowed(token);
    }

    function _setGuardian(address account) private {
        guardian = account;
        emit GuardianSet(account);
    }

    function _setPauser(address account) private {
        pauser = account;
        emit PauserSet(account);
    }

    function _setTreasury(address account) private {
        _requireRecipient(account);
        treasury = account;
        emit TreasurySet(account);
    }
}
