// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ILicenceMarket} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {SigningWallet} from "../helpers/Receivers.sol";

/// @notice Leaving without gas: anyone carries the holder's signature.
contract MarketCancelBySigTest is MarketTest {
    uint96 internal constant HELD = PRICE - ENTRY;
    uint256 internal constant DEADLINE = START + 1 hours;

    uint256 internal licenceId;

    function setUp() public override {
        super.setUp();
        licenceId = buy(addPlan(terms()));
    }

    function signed(string memory name, address to) internal view returns (bytes memory) {
        return sign(name, cancelDigest(licenceId, to, DEADLINE));
    }

    function relay(address to, bytes memory signature) internal {
        vm.prank(outsider);
        market.cancelBySig(licenceId, to, DEADLINE, signature);
    }

    function expectRefused(address to, bytes memory signature) internal {
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, holder));
        relay(to, signature);
        vm.assertTrue(market.isValid(licenceId), "valid");
    }

    function test_CancelBySig_PaysWhereTheHolderSigned() public {
        skip(1 hours);
        relay(friend, signed("holder", friend));
        vm.assertEq(usd.balanceOf(friend), HELD - uint256(HELD) * 1 hours / 30 days, "refund");
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_CancelBySig_AnnouncesTheHolder() public {
        bytes memory signature = signed("holder", friend);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceCancelled(licenceId, holder, 0);
        vm.expectEmit(address(market));
        emit ILicenceMarket.LicenceSettled(licenceId, holder, friend, HELD);
        relay(friend, signature);
    }

    function test_CancelBySig_OfAMeteredLicenceOpensTheWindow() public {
        licenceId = buy(addPlan(meteredTerms()));
        relay(friend, signed("holder", friend));
        vm.assertEq(state(licenceId).settleAt, START + 6 hours, "settles");
        skip(6 hours);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotHolder.selector, licenceId, outsider));
        vm.prank(outsider);
        market.settle(licenceId, friend); // the signature named friend for the cancel alone
        market.settle(licenceId, holder);
        vm.assertEq(usd.balanceOf(holder), HELD, "refund");
    }

    function test_CancelBySig_WorksAtItsDeadline() public {
        vm.warp(DEADLINE);
        relay(friend, signed("holder", friend));
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_CancelBySig_RevertsWhenTheDeadlinePassed() public {
        bytes memory signature = signed("holder", friend);
        vm.warp(DEADLINE + 1);
        expectError(abi.encodeWithSelector(ILicenceMarket.DeadlinePassed.selector, DEADLINE));
        relay(friend, signature);
    }

    function test_CancelBySig_RevertsWhenTheRelayerNamesAnotherRecipient() public {
        expectRefused(outsider, signed("holder", friend));
    }

    function test_CancelBySig_RevertsWhenTheRelayerNamesAnotherDeadline() public {
        expectRefused(friend, sign("holder", cancelDigest(licenceId, friend, DEADLINE - 1)));
    }

    function test_CancelBySig_RevertsWhenAnotherLicenceWasMeant() public {
        uint256 other = buy(licenceId >> 32);
        expectRefused(friend, sign("holder", cancelDigest(other, friend, DEADLINE)));
    }

    function test_CancelBySig_RevertsWhenAnotherThanTheHolderSigned() public {
        string[5] memory names = ["buyer", "publisher", "admin", "operatorKey", "outsider"];
        for (uint256 i = 0; i < names.length; ++i) {
            expectRefused(friend, signed(names[i], friend));
        }
    }

    function test_CancelBySig_RevertsWhenAnApprovedAccountSigned() public {
        vm.startPrank(holder);
        market.setApprovalForAll(friend, true);
        market.approve(friend, licenceId);
        vm.stopPrank();
        expectRefused(friend, signed("friend", friend));
    }

    function test_CancelBySig_RevertsWhenTheSignatureIsBroken() public {
        bytes memory signature = signed("holder", friend);
        signature[5] ^= 0x01;
        expectRefused(friend, signature);
        expectRefused(friend, "");
        expectRefused(friend, new bytes(65));
    }

    /// The other of the two values of s that curve arithmetic allows.
    function test_CancelBySig_RevertsWhenTheSignatureWasMirrored() public {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("holder"), cancelDigest(licenceId, friend, DEADLINE));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        expectRefused(friend, abi.encodePacked(r, order - uint256(s), v == 27 ? uint8(28) : uint8(27)));
    }

    function test_CancelBySig_RevertsWhenSignedForAnotherChain() public {
        uint256 here = vm.getChainId();
        vm.chainId(here + 1);
        bytes memory elsewhere = signed("holder", friend);
        vm.chainId(here);
        expectRefused(friend, elsewhere);
    }

    /// The domain is that of the chain at the moment, not of the deployment: a fork of the chain has its own.
    function test_CancelBySig_FollowsTheChainThroughAFork() public {
        bytes memory before = signed("holder", friend);
        vm.chainId(vm.getChainId() + 1);
        expectRefused(friend, before);
        relay(friend, signed("holder", friend));
        vm.assertFalse(state(licenceId).exists, "gone");
    }

    function test_CancelBySig_RevertsWhenSignedForAnotherMarket() public {
        LicenceMarket ours = market;
        market = LicenceMarket(address(registry));
        bytes memory other = signed("holder", friend);
        market = ours;
        expectRefused(friend, other);
    }

    function test_CancelBySig_RevertsWhenADeliveryWasSigned() public {
        bytes32 sameBits = bytes32(uint256(uint160(friend)));
        expectRefused(friend, sign("holder", deliverDigest(licenceId, sameBits, DEADLINE)));
    }

    function test_CancelBySig_RevertsWhenItIsReplayed() public {
        bytes memory signature = signed("holder", friend);
        relay(friend, signature);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
        relay(friend, signature);

        licenceId = buy(addPlan(meteredTerms()));
        signature = signed("holder", friend);
        relay(friend, signature);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceIsCancelled.selector, licenceId));
        relay(friend, signature);
    }

    function test_CancelBySig_RevertsWhenTheSignerHasPassedTheLicenceOn() public {
        bytes memory signature = signed("holder", holder);
        vm.prank(holder);
        market.transferFrom(holder, friend, licenceId);
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, friend));
        relay(holder, signature);
    }

    function test_CancelBySig_RevertsWhenTheRecipientIsZeroOrTheMarket() public {
        address[2] memory recipients = [address(0), address(market)];
        for (uint256 i = 0; i < 2; ++i) {
            bytes memory signature = signed("holder", recipients[i]);
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, recipients[i]));
            relay(recipients[i], signature);
        }
    }

    function test_CancelBySig_RevertsWhenTheLicenceIsUnknown() public {
        licenceId += 1;
        bytes memory signature = signed("holder", friend);
        expectError(abi.encodeWithSelector(ILicenceMarket.LicenceUnknown.selector, licenceId));
        relay(friend, signature);
    }

    // ------------------------------------------------------------------ contract wallets

    function test_CancelBySig_TakesTheSignatureOfAContractWallet() public {
        SigningWallet wallet = new SigningWallet(friend);
        licenceId = buyFor(licenceId >> 32, address(wallet));
        relay(friend, signed("friend", friend));
        vm.assertEq(usd.balanceOf(friend), HELD, "refund");
    }

    function test_CancelBySig_RevertsWhenTheContractWalletDoesNotAgree() public {
        SigningWallet wallet = new SigningWallet(friend);
        licenceId = buyFor(licenceId >> 32, address(wallet));
        bytes memory refusal = abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, address(wallet));
        bytes memory signature = signed("outsider", friend);
        expectError(refusal);
        relay(friend, signature);
        wallet.lock();
        signature = signed("friend", friend);
        expectError(refusal);
        relay(friend, signature);
    }

    /// A contract that signs nothing cannot be spoken for.
    function test_CancelBySig_RevertsWhenTheHolderIsAContractWithoutSignatures() public {
        licenceId = buyFor(licenceId >> 32, address(registry));
        bytes memory signature = signed("holder", friend);
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, address(registry)));
        relay(friend, signature);
    }

    function test_CancelBySig_TakesNoCoin() public {
        bytes memory data = abi.encodeCall(market.cancelBySig, (licenceId, friend, DEADLINE, signed("holder", friend)));
        vm.deal(outsider, 1);
        vm.prank(outsider);
        (bool done,) = address(market).call{value: 1}(data);
        vm.assertFalse(done, "not payable");
    }
}
