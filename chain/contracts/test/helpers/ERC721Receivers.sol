// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721} from "@openzeppelin/contracts/token/ERC721/IERC721.sol";

/// @notice Takes tokens, and notes what it was told.
contract RecordingReceiver {
    address public token;
    address public operator;
    address public from;
    uint256 public id;
    bytes public data;
    address public ownerThen;
    uint256 public calls;

    function onERC721Received(address operator_, address from_, uint256 id_, bytes calldata data_)
        external
        returns (bytes4)
    {
        (token, operator, from, id, data) = (msg.sender, operator_, from_, id_, data_);
        ownerThen = IERC721(msg.sender).ownerOf(id_);
        ++calls;
        return this.onERC721Received.selector;
    }
}

/// @notice Answers, but not with what means yes.
contract WrongAnswerReceiver {
    bytes4 private immutable _answer;

    constructor(bytes4 answer) {
        _answer = answer;
    }

    function onERC721Received(address, address, uint256, bytes calldata) external view returns (bytes4) {
        return _answer;
    }
}

/// @notice Refuses, and says why.
contract RefusingReceiver {
    error NoTokens(uint256 id);

    function onERC721Received(address, address, uint256 id, bytes calldata) external pure returns (bytes4) {
        revert NoTokens(id);
    }
}

/// @notice Passes the token on while it receives it.
contract ForwardingReceiver {
    address private immutable _next;

    constructor(address next) {
        _next = next;
    }

    function onERC721Received(address, address, uint256 id, bytes calldata) external returns (bytes4) {
        IERC721(msg.sender).transferFrom(address(this), _next, id);
        return this.onERC721Received.selector;
    }
}

/// @notice Knows nothing of tokens.
contract DeafContract {
    uint256 public constant NOTHING = 0;
}

/// @notice Answers every call with success and nothing.
contract SilentContract {
    fallback() external payable {}
}
