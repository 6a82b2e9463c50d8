// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice Does on its owner's behalf what the owner asks, as any contract account.
abstract contract Account {
    function execute(address callee, bytes calldata data) external payable returns (bytes memory answer) {
        bool done;
        (done, answer) = callee.call{value: msg.value}(data);
        if (!done) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }
}

/// @notice Takes no coin, and says why.
contract RejectingReceiver is Account {
    error NoCoins();

    receive() external payable {
        revert NoCoins();
    }
}

/// @notice On receiving coins, makes the calls that a test chose, and keeps what came back.
contract GreedyReceiver is Account {
    address public callee;
    bytes[] public calls;
    bool[] public succeeded;
    bytes[] public answers;
    uint256 public received;

    function addCall(address callee_, bytes calldata data) external {
        callee = callee_;
        calls.push(data);
    }

    function callCount() external view returns (uint256) {
        return answers.length;
    }

    receive() external payable {
        ++received;
        for (uint256 i = 0; i < calls.length; ++i) {
            (bool done, bytes memory answer) = callee.call(calls[i]);
            succeeded.push(done);
            answers.push(answer);
        }
        delete calls;
    }
}

/// @notice A contract wallet that signs by ERC-1271 what its owner's key signs.
contract SigningWallet is Account, IERC1271 {
    address public immutable owner;
    bool public locked;

    constructor(address owner_) {
        owner = owner_;
    }

    /// From now on, nothing is signed.
    function lock() external {
        locked = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        bool valid = !locked && ECDSA.recoverCalldata(digest, signature) == owner;
        return valid ? IERC1271.isValidSignature.selector : bytes4(0);
    }

    receive() external payable {}
}
