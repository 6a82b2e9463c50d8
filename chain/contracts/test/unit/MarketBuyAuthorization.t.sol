// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {TransferAuthorizations} from "../../src/TransferAuthorizations.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {SigningWallet} from "../helpers/Receivers.sol";

/// @notice Buying with an EIP-3009 authorization that a relayer carries. The buyer has approved nothing.
contract MarketBuyAuthorizationTest is MarketTest {
    bytes32 internal constant SALT = keccak256("salt");
    address internal relayer = actor("relayer");
    uint256 internal planId;
    bytes32 internal agreed;

    function setUp() public override {
        super.setUp();
        vm.prank(buyer);
        usd.approve(address(market), 0);
        planId = addPlan(terms());
        agreed = market.planHash(planId);
    }

    /// The nonce as the interface states it, made by hand.
    function nonceOf(uint256 plan, bytes32 hash, address recipient, uint96 price, bytes32 salt)
        internal
        view
        returns (bytes32)
    {
        bytes32 operation = keccak256("Weighhouse.buy");
        return
            keccak256(
                abi.encode(operation, vm.getChainId(), address(market), plan, hash, recipient, uint256(price), salt)
            );
    }

    function authorization() internal view returns (Authorization memory) {
        return Authorization(buyer, START - 1, START + 1 hours, SALT);
    }

    /// The buyer's signature under EIP-3009 for a purchase of `planId` for the holder.
    function signed(string memory name, Authorization memory a, uint256 value) internal view returns (bytes memory) {
        return sign(name, authorizationDigest(a, value, nonceOf(planId, agreed, holder, PRICE, a.salt)));
    }

    function authorizationDigest(Authorization memory a, uint256 value, bytes32 nonce) internal view returns (bytes32) {
        bytes32 kind = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 inner = keccak256(abi.encode(kind, a.payer, address(market), value, a.validAfter, a.validBefore, nonce));
        return keccak256(abi.encodePacked(hex"1901", usd.DOMAIN_SEPARATOR(), inner));
    }

    /// Both forms, by the relayer.
    function relay(Authorization memory a, bytes memory signature, address recipient, bool asBytes)
        internal
        returns (uint256)
    {
        vm.prank(relayer);
        if (asBytes) return market.buyWithWalletAuthorization(planId, agreed, recipient, a, signature);
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        return market.buyWithAuthorization(planId, agreed, recipient, a, v, r, s);
    }

    function parts(bytes memory signature) internal pure returns (bytes32 r, bytes32 s, uint8 v) {
        assembly {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    /// Neither form takes it, and nothing is left behind.
    function expectBothRefused(Authorization memory a, bytes memory signature, address recipient, bytes memory refusal)
        internal
    {
        uint256 before = usd.balanceOf(buyer);
        for (uint256 form = 0; form < 2; ++form) {
            expectError(refusal);
            relay(a, signature, recipient, form == 1);
        }
        vm.assertEq(usd.balanceOf(buyer), before, "nothing was paid");
        vm.assertEq(market.balanceOf(recipient), 0, "no licence");
    }

    /// What the token says of a signature that is not one of exactly this payment.
    function notSignedBy(address payer) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(TransferAuthorizations.AuthorizationSignatureInvalid.selector, payer);
    }

    function buysFor(bool asBytes) internal {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        uint256 before = usd.balanceOf(buyer);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceBought(
            planId << 32 | 1, planId, holder, buyer, PRICE, ENTRY, uint64(START + 30 days), 0
        );
        relay(authorization(), signature, holder, asBytes);
        vm.assertEq(market.ownerOf(planId << 32 | 1), holder, "holder");
        vm.assertEq(before - usd.balanceOf(buyer), PRICE, "the signer paid");
        vm.assertEq(usd.balanceOf(address(market)), PRICE, "the market holds it");
    }

    function test_BuyWithAuthorization_IsPaidByTheSigner() public {
        buysFor(false);
    }

    function test_BuyWithWalletAuthorization_IsPaidByTheSigner() public {
        buysFor(true);
    }

    function testFuzz_AuthorizationNonce_BindsThePurchase(bytes32 hash, address recipient, bytes32 salt) public view {
        vm.assertEq(
            market.authorizationNonce(planId, hash, recipient, salt),
            nonceOf(planId, hash, recipient, PRICE, salt),
            "nonce"
        );
    }

    function test_AuthorizationNonce_DiffersByPlanMarketAndChain() public {
        bytes32 nonce = market.authorizationNonce(planId, agreed, holder, SALT);
        uint256 other = addPlan(terms());
        vm.assertNotEq(market.authorizationNonce(other, agreed, holder, SALT), nonce, "plan");
        vm.chainId(31_338);
        vm.assertNotEq(market.authorizationNonce(planId, agreed, holder, SALT), nonce, "chain");
        vm.assertEq(
            market.authorizationNonce(planId, agreed, holder, SALT),
            nonceOf(planId, agreed, holder, PRICE, SALT),
            "chain, by hand"
        );
    }

    /// Nobody is named as the payer of a free licence who did not sign for it.
    function test_BuyWithAuthorization_OfAFreePlanNeedsTheSignatureAsWell() public {
        PlanTerms memory plan = terms();
        plan.price = 0;
        planId = addPlan(plan);
        agreed = market.planHash(planId);
        Authorization memory a = authorization();
        expectBothRefused(a, signed("outsider", a, 0), holder, notSignedBy(buyer));
        bytes memory signature = sign("buyer", authorizationDigest(a, 0, nonceOf(planId, agreed, holder, 0, SALT)));
        vm.assertTrue(market.isValid(relay(a, signature, holder, false)), "free");
    }

    function test_BuyWithAuthorization_RevertsWhenThePayerTookItBack() public {
        Authorization memory a = authorization();
        bytes memory signature = signed("buyer", a, PRICE);
        bytes32 nonce = nonceOf(planId, agreed, holder, PRICE, SALT);
        bytes32 kind = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        bytes32 inner = keccak256(abi.encode(kind, buyer, nonce));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", usd.DOMAIN_SEPARATOR(), inner));
        usd.cancelAuthorization(buyer, nonce, sign("buyer", digest));
        bytes4 spent = TransferAuthorizations.AuthorizationSpent.selector;
        expectBothRefused(a, signature, holder, abi.encodeWithSelector(spent, buyer, nonce));
    }

    // ------------------------------------------------------------------ what a relayer cannot change

    function test_BuyWithAuthorization_RevertsWhenTheRelayerNamesAnotherRecipient() public {
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE), relayer, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenTheRelayerNamesAnotherSalt() public {
        Authorization memory a = authorization();
        bytes memory signature = signed("buyer", a, PRICE);
        a.salt = keccak256("other");
        expectBothRefused(a, signature, holder, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenTheRelayerNamesOtherTimes() public {
        Authorization memory a = authorization();
        bytes memory signature = signed("buyer", a, PRICE);
        a.validBefore += 1;
        expectBothRefused(a, signature, holder, notSignedBy(buyer));
        a = authorization();
        a.validAfter -= 1;
        expectBothRefused(a, signature, holder, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenTheRelayerNamesAnotherPlanOfTheSamePrice() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        PlanTerms memory worse = terms();
        worse.period = 1 days;
        worse.vesting = 1 days;
        planId = addPlan(worse);
        agreed = market.planHash(planId);
        expectBothRefused(authorization(), signature, holder, notSignedBy(buyer));
    }

    /// The terms are the same and so are their hashes: the plan's id is bound as well.
    function test_BuyWithAuthorization_RevertsWhenTheRelayerNamesATwinOfThePlan() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        planId = addPlan(terms());
        vm.assertEq(market.planHash(planId), agreed, "a twin");
        expectBothRefused(authorization(), signature, holder, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenTheSignedAmountIsNotThePrice() public {
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE + 1), holder, notSignedBy(buyer));
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE - 1), holder, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenAnotherSigned() public {
        expectBothRefused(authorization(), signed("outsider", authorization(), PRICE), holder, notSignedBy(buyer));
    }

    function test_BuyWithAuthorization_RevertsWhenThePayerIsAnother() public {
        usd.mint(friend, PRICE);
        Authorization memory a = authorization();
        bytes memory signature = signed("buyer", a, PRICE);
        a.payer = friend;
        expectBothRefused(a, signature, holder, notSignedBy(friend));
        vm.assertEq(usd.balanceOf(friend), PRICE, "untouched");
    }

    function test_BuyWithAuthorization_RevertsWhenPlanHashDiffers() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        bytes32 actual = agreed;
        agreed = keccak256("other");
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanHashDiffers.selector, planId, actual, agreed);
        expectBothRefused(authorization(), signature, holder, refusal);
    }

    // ------------------------------------------------------------------ once, and in its time

    function test_BuyWithAuthorization_RevertsWhenItIsReplayedInEitherForm() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        bytes32 nonce = market.authorizationNonce(planId, agreed, holder, SALT);
        uint256 start = vm.snapshotState();
        for (uint256 first = 0; first < 2; ++first) {
            relay(authorization(), signature, holder, first == 1);
            for (uint256 form = 0; form < 2; ++form) {
                expectError(abi.encodeWithSelector(TransferAuthorizations.AuthorizationSpent.selector, buyer, nonce));
                relay(authorization(), signature, holder, form == 1);
            }
            vm.assertEq(market.balanceOf(holder), 1, "one licence");
            vm.revertToState(start);
        }
    }

    function test_BuyWithAuthorization_WorksAgainWithAnotherSalt() public {
        Authorization memory a = authorization();
        relay(a, signed("buyer", a, PRICE), holder, false);
        a.salt = keccak256("second");
        relay(a, signed("buyer", a, PRICE), holder, true);
        vm.assertEq(market.balanceOf(holder), 2, "two licences");
    }

    /// Whoever copies the call from the mempool buys the licence for the same holder at the same price.
    function test_BuyWithAuthorization_GivesAFrontRunnerNothing() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        vm.prank(outsider);
        market.buyWithAuthorization(planId, agreed, holder, authorization(), v, r, s);
        vm.assertEq(market.balanceOf(holder), 1, "the holder has the licence");
        vm.assertEq(market.balanceOf(outsider), 0, "the front-runner has nothing");
    }

    /// `receiveWithAuthorization` takes the payee alone: the signature cannot be spent around the market.
    function test_BuyWithAuthorization_CannotBeSpentAtTheTokenItself() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        (bytes32 r, bytes32 s, uint8 v) = parts(signature);
        bytes32 nonce = nonceOf(planId, agreed, holder, PRICE, SALT);
        vm.startPrank(outsider);
        bytes4 refusal = TransferAuthorizations.CallerNotPayee.selector;
        expectError(abi.encodeWithSelector(refusal, outsider, address(market)));
        usd.receiveWithAuthorization(buyer, address(market), PRICE, START - 1, START + 1 hours, nonce, v, r, s);
        expectError(notSignedBy(buyer)); // the type of the transfer differs
        usd.transferWithAuthorization(buyer, address(market), PRICE, START - 1, START + 1 hours, nonce, v, r, s);
        vm.stopPrank();
        relay(authorization(), signature, holder, false);
    }

    function test_BuyWithAuthorization_HoldsStrictlyBetweenItsTimes() public {
        Authorization memory a = authorization();
        bytes memory signature = signed("buyer", a, PRICE);
        vm.warp(a.validAfter);
        bytes4 early = TransferAuthorizations.AuthorizationNotYetValid.selector;
        expectBothRefused(a, signature, holder, abi.encodeWithSelector(early, a.validAfter));
        vm.warp(a.validBefore);
        bytes4 late = TransferAuthorizations.AuthorizationExpired.selector;
        expectBothRefused(a, signature, holder, abi.encodeWithSelector(late, a.validBefore));
        vm.warp(a.validBefore - 1);
        relay(a, signature, holder, false);
    }

    // ------------------------------------------------------------------ contract wallets

    function test_BuyWithWalletAuthorization_IsPaidByAContractWallet() public {
        SigningWallet wallet = new SigningWallet(buyer);
        usd.mint(address(wallet), PRICE);
        Authorization memory a = authorization();
        a.payer = address(wallet);
        uint256 licenceId = relay(a, signed("buyer", a, PRICE), holder, true);
        vm.assertEq(market.ownerOf(licenceId), holder, "holder");
        vm.assertEq(usd.balanceOf(address(wallet)), 0, "the wallet paid");
    }

    function test_BuyWithWalletAuthorization_RevertsWhenTheWalletDoesNotAgree() public {
        SigningWallet wallet = new SigningWallet(friend);
        usd.mint(address(wallet), PRICE);
        Authorization memory a = authorization();
        a.payer = address(wallet);
        expectBothRefused(a, signed("buyer", a, PRICE), holder, notSignedBy(address(wallet)));
        vm.assertEq(usd.balanceOf(address(wallet)), PRICE, "untouched");
    }

    // ------------------------------------------------------------------ the duties of every purchase

    function test_BuyWithAuthorization_RevertsWhenThePlanIsUnknown() public {
        bytes memory signature = signed("buyer", authorization(), PRICE);
        planId = modelId << 32 | 9;
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId);
        expectBothRefused(authorization(), signature, holder, refusal);
    }

    function test_BuyWithAuthorization_RevertsWhenThePlanIsRetired() public {
        vm.prank(publisher);
        market.retirePlan(planId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId);
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE), holder, refusal);
    }

    function test_BuyWithAuthorization_RevertsWhenSalesArePaused() public {
        vm.prank(pauser);
        market.setPaused(true);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector);
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE), holder, refusal);
    }

    function test_BuyWithAuthorization_RevertsWhenTheModelIsSuspended() public {
        suspend(modelId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.ModelIsSuspended.selector, modelId);
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE), holder, refusal);
    }

    function test_BuyWithAuthorization_RevertsWhenTheTokenIsAllowedNoMore() public {
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd));
        expectBothRefused(authorization(), signed("buyer", authorization(), PRICE), holder, refusal);
    }

    function test_BuyWithAuthorization_RevertsWhenTheSupplyIsExhausted() public {
        PlanTerms memory plan = terms();
        plan.supply = 1;
        planId = addPlan(plan);
        agreed = market.planHash(planId);
        Authorization memory a = authorization();
        bytes memory first = signed("buyer", a, PRICE);
        relay(a, first, holder, false);
        a.salt = keccak256("second");
        bytes memory second = signed("buyer", a, PRICE);
        for (uint256 form = 0; form < 2; ++form) {
            expectError(abi.encodeWithSelector(ILicenceMarket.SupplyExhausted.selector, planId, 1));
            relay(a, second, holder, form == 1);
        }
    }

    function test_BuyWithAuthorization_RevertsWhenThePlanIsPaidInTheCoin() public {
        planId = addPlan(nativeTerms());
        agreed = market.planHash(planId);
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(0));
        expectBothRefused(authorization(), signed("buyer", authorization(), 0.3 ether), holder, refusal);
    }

    function test_BuyWithAuthorization_TakesNoCoin() public {
        (bytes32 r, bytes32 s, uint8 v) = parts(signed("buyer", authorization(), PRICE));
        bytes memory data =
            abi.encodeCall(market.buyWithAuthorization, (planId, agreed, holder, authorization(), v, r, s));
        vm.deal(relayer, 1);
        vm.prank(relayer);
        (bool done,) = address(market).call{value: 1}(data);
        vm.assertFalse(done, "not payable");
    }
}
