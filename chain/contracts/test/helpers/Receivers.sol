// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";

/// @notice Takes no coin, and says why.
contract RejectingReceiver {
    error NoCoins();

    receive() external payable {
        revert NoCoins();
    }
}

/// @notice Owns a model, and on receiving its income tries to take it once more.
contract GreedyReceiver {
    bool public triedAgain;
    bytes public answer;
    uint256 public creditSeen;

    function withdraw(LicenceMarket market, uint256 modelId) external {
        market.withdraw(modelId, address(0), address(this));
    }

    receive() external payable {
        LicenceMarket market = LicenceMarket(msg.sender);
        creditSeen = market.credit(1, address(0));
        bytes memory call = abi.encodeCall(market.withdraw, (1, address(0), address(this)));
        bool done;
        (done, answer) = msg.sender.call(call);
        triedAgain = true;
        require(!done, "was paid twice");
    }
}
