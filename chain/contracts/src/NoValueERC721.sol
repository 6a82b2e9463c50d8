// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "solady/tokens/ERC721.sol";

/// @title Solady's ERC-721 without payable transfers.
/// @notice Solady keeps 96 spare bits beside each owner, which saves a storage slot per token. It also marks
/// transfers and approvals payable to save gas; a coin sent along would be lost here, so it is refused.
abstract contract NoValueERC721 is ERC721 {
    /// @notice This function takes no coin.
    error ValueNotTaken(uint256 sent);

    modifier takesNoValue() {
        if (msg.value != 0) revert ValueNotTaken(msg.value);
        _;
    }

    /// @dev Both forms of `safeTransferFrom` come through here as well.
    function transferFrom(address from, address to, uint256 id) public payable override takesNoValue {
        super.transferFrom(from, to, id);
    }

    function approve(address account, uint256 id) public payable override takesNoValue {
        super.approve(account, id);
    }
}
