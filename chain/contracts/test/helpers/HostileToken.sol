// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice An ERC-20 that misbehaves in the way that a test chooses.
contract HostileToken {
    enum Mode {
        HONEST,
        RETURNS_FALSE,
        RETURNS_NOTHING,
        RETURNS_GARBAGE,
        TAKES_FEE,
        PAYS_NOTHING,
        PAYS_MORE,
        TAKES_BACK,
        REVERTS
    }

    error Spiteful();

    Mode public mode;
    mapping(address => uint256) public balanceOf;
    address public callee;
    bytes public callback;
    bool public callbackSucceeded;
    bytes public callbackAnswer;

    function setMode(Mode mode_) external {
        mode = mode_;
    }

    /// Makes the next transfer or permit call `callee_` once, before any balance moves.
    function setCallback(address callee_, bytes calldata data) external {
        callee = callee_;
        callback = data;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    /// Ignores allowances: what a hostile token does to its own holders is not the market's business.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {
        _callBack();
        if (mode == Mode.REVERTS) revert Spiteful();
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        uint8,
        bytes32,
        bytes32
    ) external {
        _move(from, to, value);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256,
        uint256,
        bytes32,
        bytes calldata
    ) external {
        _move(from, to, value);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        _callBack();
        if (mode == Mode.REVERTS) revert Spiteful();
        if (mode == Mode.RETURNS_FALSE) return false;
        uint256 received = amount;
        if (mode == Mode.TAKES_FEE) received = amount - amount / 100 - 1;
        if (mode == Mode.PAYS_NOTHING) received = 0;
        if (mode == Mode.PAYS_MORE) received = amount + 1;
        balanceOf[from] -= amount;
        balanceOf[to] += received;
        if (mode == Mode.TAKES_BACK) balanceOf[to] -= received + 1;
        if (mode == Mode.RETURNS_NOTHING) {
            assembly {
                return(0, 0)
            }
        }
        if (mode == Mode.RETURNS_GARBAGE) {
            assembly {
                mstore(0, 2)
                return(0, 32)
            }
        }
        return true;
    }

    function _callBack() private {
        if (callee == address(0)) return;
        address once = callee;
        callee = address(0);
        (callbackSucceeded, callbackAnswer) = once.call(callback);
    }
}
