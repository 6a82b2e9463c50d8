// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {TransferAuthorizations} from "./TransferAuthorizations.sol";

/// @title TestUSD
/// @notice Play money for development chains: anyone mints any amount. It cannot be deployed elsewhere.
/// Like USDC it has 6 decimals, ERC-2612 permits and ERC-3009 authorizations, under the EIP-712 domain
/// ("Test US dollar", "1").
contract TestUSD is ERC20Permit, TransferAuthorizations {
    /// @notice The chain is not a development chain (31337 or 1337).
    error NotDevelopmentChain(uint256 chainId);

    constructor() ERC20("Test US dollar", "TestUSD") ERC20Permit("Test US dollar") {
        if (block.chainid != 31337 && block.chainid != 1337) revert NotDevelopmentChain(block.chainid);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    /// @notice The version of the EIP-712 domain, as USDC answers it.
    function version() external pure returns (string memory) {
        return "1";
    }
}
