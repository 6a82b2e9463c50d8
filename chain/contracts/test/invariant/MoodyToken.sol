// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice An ERC-20 that misbehaves by its mood. It always moves what it says that it moves, or fails, except that it
/// may give the market too little or too much of a payment: such a payment must be refused.
contract MoodyToken {
    enum Mood {
        HONEST,
        ANSWERS_NOTHING,
        ANSWERS_FALSE,
        REVERTS,
        SHORT,
        GENEROUS
    }

    error Moody();

    Mood public mood;
    address public market;
    mapping(address => uint256) public balanceOf;

    function setMarket(address market_) external {
        market = market_;
    }

    function setMood(Mood mood_) external {
        mood = mood_;
    }

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        return _move(msg.sender, to, amount);
    }

    /// No allowances: what this token does to its own holders is not the market's business.
    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        return _move(from, to, amount);
    }

    function _move(address from, address to, uint256 amount) private returns (bool) {
        if (mood == Mood.REVERTS) revert Moody();
        if (mood == Mood.ANSWERS_FALSE) return false;
        uint256 received = amount;
        if (to == market && mood == Mood.SHORT) received -= 1;
        if (to == market && mood == Mood.GENEROUS) received += 1;
        balanceOf[from] -= amount;
        balanceOf[to] += received;
        if (mood != Mood.ANSWERS_NOTHING) return true;
        assembly {
            return(0, 0)
        }
    }
}
