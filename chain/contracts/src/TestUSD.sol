// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title TestUSD
/// @notice Play money for development chains: anyone mints any amount. It cannot be deployed elsewhere.
contract TestUSD is ERC20 {
    /// @notice The chain is not a development chain (31337 or 1337).
    error NotDevelopmentChain(uint256 chainId);

    constructor() ERC20("Test US dollar", "TestUSD") {
        if (block.chainid != 31337 && block.chainid != 1337) revert NotDevelopmentChain(block.chainid);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
