// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {GreedyReceiver, RejectingReceiver} from "../helpers/Receivers.sol";

/// @notice Refunds in the native coin to contracts that refuse them, or call back.
contract HostileTokensReceiversTest is MarketTest {
    uint96 internal constant HELD = 0.285 ether;

    RejectingReceiver internal rejecting;
    GreedyReceiver internal greedy;
    uint256 internal planId;
    uint256 internal metered;

    function setUp() public override {
        super.setUp();
        rejecting = new RejectingReceiver();
        greedy = new GreedyReceiver();
        planId = addPlan(nativeTerms());
        PlanTerms memory plan = nativeTerms();
        plan.calls = 1_000;
        metered = addPlan(plan);
    }

    function test_Cancel_RevertsWhenTheReceiverRefusesAndKeepsTheLicence() public {
        uint256 licenceId = buyFor(planId, address(rejecting));
        expectError(abi.encodeWithSelector(RejectingReceiver.NoCoins.selector));
        rejecting.execute(address(market), abi.encodeCall(market.cancel, (licenceId, address(rejecting))));
        vm.assertTrue(market.isValid(licenceId), "valid");

        rejecting.execute(address(market), abi.encodeCall(market.cancel, (licenceId, friend)));
        vm.assertEq(friend.balance, HELD, "another account takes it");
    }

    /// Nobody can stop the holder, and nobody else can send the refund elsewhere.
    function test_Settle_WaitsForTheHolderWhenTheHolderRefusesCoins() public {
        uint256 licenceId = buyFor(metered, address(rejecting));
        rejecting.execute(address(market), abi.encodeCall(market.cancel, (licenceId, friend)));
        skip(6 hours);
        expectError(abi.encodeWithSelector(RejectingReceiver.NoCoins.selector));
        market.settle(licenceId, address(rejecting));
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, address(this)));
        market.settle(licenceId, friend);
        rejecting.execute(address(market), abi.encodeCall(market.settle, (licenceId, friend)));
        vm.assertEq(friend.balance, HELD, "refund");
    }

    /// The calls by which a receiver could try to be paid twice. It holds another licence, the model, and an operator.
    function attack(uint256 i, uint256 licenceId, uint256 other) internal view returns (bytes memory) {
        bytes32 agreed = market.planHash(planId);
        address self = address(greedy);
        Authorization memory a = Authorization(buyer, 0, START, 0);
        if (i == 0) return abi.encodeCall(market.cancel, (licenceId, self));
        if (i == 1) return abi.encodeCall(market.settle, (licenceId, self));
        if (i == 2) return abi.encodeCall(market.cancel, (other, self));
        if (i == 3) return abi.encodeCall(market.settle, (other, self));
        if (i == 4) return abi.encodeCall(market.cancelBySig, (licenceId, self, START, ""));
        if (i == 5) return abi.encodeCall(market.collect, (one(licenceId)));
        if (i == 6) return abi.encodeCall(market.renew, (licenceId, agreed));
        if (i == 7) return abi.encodeCall(market.split, (planId));
        if (i == 8) return abi.encodeCall(market.withdraw, (modelId, address(0), self));
        if (i == 9) return abi.encodeCall(market.withdrawAccount, (address(0), self));
        if (i == 10) return abi.encodeCall(market.buy, (planId, agreed, self));
        if (i == 11) return abi.encodeCall(market.buyWithAuthorization, (planId, agreed, self, a, 27, 0, 0));
        return abi.encodeCall(market.deliver, (other, 0, START, "", 0));
    }

    function test_Cancel_RefusesEveryCallOfAReceiverAndPaysOnce() public {
        (uint256 licenceId, uint256 other) = (buyFor(planId, address(greedy)), buyFor(planId, address(greedy)));
        market.split(planId);
        vm.prank(publisher);
        registry.transferFrom(publisher, address(greedy), modelId);
        for (uint256 i = 0; i < 13; ++i) {
            greedy.addCall(address(market), attack(i, licenceId, other));
        }
        greedy.execute(address(market), abi.encodeCall(market.cancel, (licenceId, address(greedy))));
        expectAllGuarded(13);
        vm.assertEq(address(greedy).balance, HELD, "one refund");
        vm.assertEq(market.ownerOf(other), address(greedy), "the other licence is untouched");
    }

    function test_Settle_RefusesEveryCallOfAReceiverAndPaysOnce() public {
        (uint256 licenceId, uint256 other) = (buyFor(metered, address(greedy)), buyFor(metered, address(greedy)));
        greedy.execute(address(market), abi.encodeCall(market.cancel, (licenceId, address(greedy))));
        greedy.execute(address(market), abi.encodeCall(market.cancel, (other, address(greedy))));
        skip(6 hours);
        for (uint256 i = 0; i < 13; ++i) {
            greedy.addCall(address(market), attack(i, licenceId, other));
        }
        market.settle(licenceId, address(greedy));
        expectAllGuarded(13);
        vm.assertEq(address(greedy).balance, HELD, "one refund");
        vm.assertEq(address(market).balance, 2 * 0.3 ether - HELD, "the other's money is there");
    }

    function expectAllGuarded(uint256 count) internal view {
        vm.assertEq(greedy.callCount(), count, "the attacks ran");
        bytes4 refusal = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        for (uint256 i = 0; i < count; ++i) {
            vm.assertFalse(greedy.succeeded(i), vm.toString(i));
            vm.assertEq(greedy.answers(i), abi.encodeWithSelector(refusal), vm.toString(i));
        }
    }

    /// What is open to re-entry shows the licence as gone already.
    function test_Cancel_HasBurnedTheLicenceBeforeItPays() public {
        uint256 licenceId = buyFor(planId, address(greedy));
        greedy.addCall(
            address(market),
            abi.encodeWithSignature("transferFrom(address,address,uint256)", address(greedy), friend, licenceId)
        );
        greedy.addCall(address(market), abi.encodeCall(market.isValid, (licenceId)));
        greedy.execute(address(market), abi.encodeCall(market.cancel, (licenceId, address(greedy))));
        vm.assertFalse(greedy.succeeded(0), "moved");
        vm.assertEq(greedy.answers(0), abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector), "no such token");
        vm.assertTrue(greedy.succeeded(1), "asked");
        vm.assertFalse(abi.decode(greedy.answers(1), (bool)), "valid");
    }
}
