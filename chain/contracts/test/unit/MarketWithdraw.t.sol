// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {GreedyReceiver, RejectingReceiver} from "../helpers/Receivers.sol";

contract MarketWithdrawTest is MarketTest {
    address internal treasury = actor("treasury");

    function test_Withdraw_PaysTheWholeCreditInCoin() public {
        uint256 planId = addPlan(nativeTerms());
        buy(planId);
        buy(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.IncomeWithdrawn(modelId, address(0), treasury, 0.2 ether);
        vm.prank(publisher);
        uint256 amount = market.withdraw(modelId, address(0), treasury);

        vm.assertEq(amount, 0.2 ether, "amount");
        vm.assertEq(treasury.balance, 0.2 ether, "received");
        vm.assertEq(address(market).balance, 0, "left");
        vm.assertEq(market.credit(modelId, address(0)), 0, "credit");
    }

    function test_Withdraw_PaysOneTokenAndLeavesTheOther() public {
        buy(addPlan(nativeTerms()));
        buy(addPlan(usdTerms()));
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), treasury);

        vm.assertEq(usd.balanceOf(treasury), 25_000_000, "received");
        vm.assertEq(market.credit(modelId, address(usd)), 0, "credit");
        vm.assertEq(market.credit(modelId, address(0)), 0.1 ether, "the coin stays");
    }

    function test_Withdraw_LeavesTheIncomeOfOtherModels() public {
        buy(addPlan(nativeTerms()));
        PlanTerms memory foreign = nativeTerms();
        vm.prank(outsider);
        foreign.modelId = registry.publish(keccak256("foreign"));
        buy(addPlan(foreign));

        vm.prank(outsider);
        market.withdraw(foreign.modelId, address(0), outsider);
        vm.assertEq(market.credit(modelId, address(0)), 0.1 ether, "credit");
        vm.assertEq(address(market).balance, 0.1 ether, "balance");
    }

    function test_Withdraw_FollowsTheModelsToken() public {
        buy(addPlan(nativeTerms()));
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, publisher));
        vm.prank(publisher);
        market.withdraw(modelId, address(0), publisher);

        vm.prank(friend);
        market.withdraw(modelId, address(0), friend);
        vm.assertEq(friend.balance, 0.1 ether, "received");
    }

    function test_Withdraw_GoesOnWhenTheTokenIsAllowedNoMore() public {
        buy(addPlan(usdTerms()));
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), treasury);
        vm.assertEq(usd.balanceOf(treasury), 25_000_000, "received");
    }

    function test_Withdraw_RevertsWhenTheCallerIsNotTheOwner() public {
        buy(addPlan(nativeTerms()));
        vm.prank(publisher);
        registry.setApprovalForAll(outsider, true); // an approval is for the token, not for its income
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        market.withdraw(modelId, address(0), outsider);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, admin));
        vm.prank(admin);
        market.withdraw(modelId, address(0), admin);
    }

    function test_Withdraw_RevertsWhenTheModelIsUnknown() public {
        expectError(abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
        market.withdraw(99, address(0), treasury);
    }

    function test_Withdraw_RevertsWhenThereIsNoIncome() public {
        buy(addPlan(nativeTerms()));
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, modelId, address(usd)));
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), treasury);
    }

    function test_Withdraw_RevertsWhenItIsRepeated() public {
        buy(addPlan(nativeTerms()));
        vm.startPrank(publisher);
        market.withdraw(modelId, address(0), treasury);
        expectError(abi.encodeWithSelector(ILicenceMarket.NothingToWithdraw.selector, modelId, address(0)));
        market.withdraw(modelId, address(0), treasury);
    }

    function test_Withdraw_RevertsWhenTheRecipientWouldLoseIt() public {
        buy(addPlan(usdTerms()));
        vm.startPrank(publisher);
        expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, address(0)));
        market.withdraw(modelId, address(usd), address(0));
        expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, address(market)));
        market.withdraw(modelId, address(usd), address(market));
    }

    function test_Withdraw_RevertsWhenTheReceiverRejectsAndKeepsTheCredit() public {
        buy(addPlan(nativeTerms()));
        address rejecting = address(new RejectingReceiver());
        expectError(abi.encodeWithSelector(RejectingReceiver.NoCoins.selector));
        vm.prank(publisher);
        market.withdraw(modelId, address(0), rejecting);
        vm.assertEq(market.credit(modelId, address(0)), 0.1 ether, "credit");

        vm.prank(publisher);
        market.withdraw(modelId, address(0), treasury);
        vm.assertEq(treasury.balance, 0.1 ether, "another recipient gets it");
    }

    function test_Withdraw_PaysOnceWhenTheReceiverReenters() public {
        uint256 planId = addPlan(nativeTerms());
        buy(planId);
        GreedyReceiver greedy = new GreedyReceiver();
        vm.prank(publisher);
        registry.transferFrom(publisher, address(greedy), modelId);
        vm.deal(address(market), 10 ether); // somebody else's money, worth a try
        greedy.withdraw(market, modelId);

        vm.assertTrue(greedy.triedAgain(), "the attack ran");
        bytes4 refusal = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        vm.assertEq(bytes32(greedy.answer()), bytes32(refusal), "refused by the guard");
        vm.assertEq(greedy.creditSeen(), 0, "the credit was gone before the payment");
        vm.assertEq(address(greedy).balance, 0.1 ether, "received");
    }

    function testFuzz_Withdraw_PaysTheSumOfThePrices(uint96[4] memory prices) public {
        uint256 sum;
        for (uint256 i = 0; i < prices.length; ++i) {
            PlanTerms memory terms = usdTerms();
            terms.price = prices[i];
            buy(addPlan(terms));
            sum += prices[i];
        }
        vm.assume(sum != 0);
        vm.prank(publisher);
        vm.assertEq(market.withdraw(modelId, address(usd), treasury), sum, "amount");
        vm.assertEq(usd.balanceOf(treasury), sum, "received");
        vm.assertEq(usd.balanceOf(address(market)), 0, "left");
    }
}
