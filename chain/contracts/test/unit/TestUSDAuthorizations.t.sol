// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009, IERC3009Cancel} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {TransferAuthorizations} from "../../src/TransferAuthorizations.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice A wallet that is a contract: its owner's signature is its own (ERC-1271).
contract OwnedWallet {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        address signer = ecrecover(hash, uint8(signature[64]), bytes32(signature[:32]), bytes32(signature[32:64]));
        return signer == _owner ? this.isValidSignature.selector : bytes4(0);
    }
}

/// @notice ERC-3009, in both forms of signature.
contract TestUSDAuthorizationsTest is TestBase {
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
    bytes32 internal constant NONCE = keccak256("any nonce");
    string internal constant FIELDS =
        "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

    struct Terms {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    TestUSD internal usd;
    address internal holder = actor("holder");
    address internal payee = actor("payee");
    address internal outsider = actor("outsider");

    function setUp() public {
        vm.warp(NOW);
        usd = new TestUSD();
        usd.mint(holder, 100);
    }

    function terms() internal view returns (Terms memory) {
        return Terms(holder, payee, 40, NOW - 1, NOW + 1, NONCE);
    }

    function digestOf(bytes32 domain, bytes memory inner) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, keccak256(inner)));
    }

    function signedTransfer(Terms memory t) internal view returns (bytes memory) {
        bytes32 kind = keccak256(abi.encodePacked("TransferWithAuthorization", FIELDS));
        return sign("holder", digestOf(usd.DOMAIN_SEPARATOR(), abi.encode(kind, t)));
    }

    function signedReceive(Terms memory t) internal view returns (bytes memory) {
        bytes32 kind = keccak256(abi.encodePacked("ReceiveWithAuthorization", FIELDS));
        return sign("holder", digestOf(usd.DOMAIN_SEPARATOR(), abi.encode(kind, t)));
    }

    function signedCancel(address authorizer, bytes32 nonce) internal view returns (bytes memory) {
        bytes32 kind = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
        return sign("holder", digestOf(usd.DOMAIN_SEPARATOR(), abi.encode(kind, authorizer, nonce)));
    }

    function split(bytes memory signature) internal pure returns (uint8 v, bytes32 r, bytes32 s) {
        assembly ("memory-safe") {
            r := mload(add(signature, 32))
            s := mload(add(signature, 64))
            v := byte(0, mload(add(signature, 96)))
        }
    }

    function doTransfer(Terms memory t, bytes memory signature) internal {
        usd.transferWithAuthorization(t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce, signature);
    }

    function doReceive(address caller, Terms memory t, bytes memory signature) internal {
        vm.prank(caller);
        usd.receiveWithAuthorization(t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce, signature);
    }

    function refusedSignature(address authorizer) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(TransferAuthorizations.AuthorizationSignatureInvalid.selector, authorizer);
    }

    function spent(address authorizer) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(TransferAuthorizations.AuthorizationSpent.selector, authorizer, NONCE);
    }

    function assertPaid(uint256 amount) internal view {
        vm.assertEq(usd.balanceOf(payee), amount, "payee");
        vm.assertEq(usd.balanceOf(holder), 100 - amount, "holder");
        vm.assertEq(usd.authorizationState(holder, NONCE) ? 1 : 0, amount == 0 ? 0 : 1, "state");
    }

    // ------------------------------------------------------------------ what works

    function test_Transfer_IsCarriedOutByAnyone() public {
        bytes memory signature = signedTransfer(terms());
        vm.expectEmit(address(usd));
        emit IERC3009.AuthorizationUsed(holder, NONCE);
        vm.expectEmit(address(usd));
        emit IERC20.Transfer(holder, payee, 40);
        vm.prank(outsider);
        doTransfer(terms(), signature);
        assertPaid(40);
        vm.assertEq(usd.nonces(holder), 0, "permits count by themselves");
    }

    function test_Transfer_TakesTheSignatureInParts() public {
        (uint8 v, bytes32 r, bytes32 s) = split(signedTransfer(terms()));
        usd.transferWithAuthorization(holder, payee, 40, NOW - 1, NOW + 1, NONCE, v, r, s);
        assertPaid(40);
    }

    function test_Receive_IsCarriedOutByThePayee() public {
        bytes memory signature = signedReceive(terms());
        vm.expectEmit(address(usd));
        emit IERC3009.AuthorizationUsed(holder, NONCE);
        doReceive(payee, terms(), signature);
        assertPaid(40);
    }

    function test_Receive_TakesTheSignatureInParts() public {
        (uint8 v, bytes32 r, bytes32 s) = split(signedReceive(terms()));
        vm.prank(payee);
        usd.receiveWithAuthorization(holder, payee, 40, NOW - 1, NOW + 1, NONCE, v, r, s);
        assertPaid(40);
    }

    function test_Cancel_SpendsTheNonce() public {
        bytes memory signature = signedCancel(holder, NONCE);
        vm.expectEmit(address(usd));
        emit IERC3009Cancel.AuthorizationCanceled(holder, NONCE);
        usd.cancelAuthorization(holder, NONCE, signature);
        vm.assertTrue(usd.authorizationState(holder, NONCE), "spent");

        signature = signedTransfer(terms());
        vm.expectRevert(spent(holder));
        doTransfer(terms(), signature);
    }

    function test_Cancel_TakesTheSignatureInParts() public {
        (uint8 v, bytes32 r, bytes32 s) = split(signedCancel(holder, NONCE));
        usd.cancelAuthorization(holder, NONCE, v, r, s);
        vm.assertTrue(usd.authorizationState(holder, NONCE), "spent");
    }

    /// The wallet's owner signs; the wallet pays.
    function test_AllForms_TakeTheSignatureOfAContractWallet() public {
        Terms memory t = terms();
        t.from = address(new OwnedWallet(holder));
        usd.mint(t.from, 200);
        doTransfer(t, signedTransfer(t));
        (t.nonce, t.value) = (bytes32(uint256(1)), 50);
        doReceive(payee, t, signedReceive(t));
        usd.cancelAuthorization(t.from, bytes32(uint256(2)), signedCancel(t.from, bytes32(uint256(2))));

        t.nonce = bytes32(uint256(3));
        (uint8 v, bytes32 r, bytes32 s) = split(signedTransfer(t));
        usd.transferWithAuthorization(t.from, t.to, t.value, t.validAfter, t.validBefore, t.nonce, v, r, s);
        vm.assertEq(usd.balanceOf(payee), 140, "paid");
    }

    function testFuzz_Transfer_TakesNoncesInAnyOrder(bytes32 first, bytes32 second) public {
        vm.assume(first != second);
        Terms memory t = terms();
        (t.value, t.nonce) = (1, first);
        doTransfer(t, signedTransfer(t));
        t.nonce = second;
        doTransfer(t, signedTransfer(t));
        vm.assertEq(usd.balanceOf(payee), 2, "both");
    }

    // ------------------------------------------------------------------ what is refused

    function test_Transfer_RevertsWhenItIsUsedAgain() public {
        bytes memory signature = signedTransfer(terms());
        doTransfer(terms(), signature);
        vm.expectRevert(spent(holder));
        doTransfer(terms(), signature);
    }

    /// One nonce counts for both kinds.
    function test_Receive_RevertsWhenATransferSpentItsNonce() public {
        doTransfer(terms(), signedTransfer(terms()));
        bytes memory signature = signedReceive(terms());
        vm.expectRevert(spent(holder));
        doReceive(payee, terms(), signature);
    }

    function test_Cancel_RevertsWhenTheNonceIsSpent() public {
        doTransfer(terms(), signedTransfer(terms()));
        bytes memory signature = signedCancel(holder, NONCE);
        vm.expectRevert(spent(holder));
        usd.cancelAuthorization(holder, NONCE, signature);
    }

    function test_Cancel_RevertsWhenAnotherSigned() public {
        bytes memory signature = signedCancel(outsider, NONCE);
        vm.expectRevert(refusedSignature(outsider));
        usd.cancelAuthorization(outsider, NONCE, signature);
    }

    function test_Transfer_RevertsWhenItIsTooEarly() public {
        Terms memory t = terms();
        t.validAfter = NOW;
        bytes memory signature = signedTransfer(t);
        vm.expectRevert(abi.encodeWithSelector(TransferAuthorizations.AuthorizationNotYetValid.selector, NOW));
        doTransfer(t, signature);

        vm.warp(NOW + 1);
        t.validBefore = NOW + 2;
        doTransfer(t, signedTransfer(t));
    }

    function test_Transfer_RevertsWhenItIsTooLate() public {
        Terms memory t = terms();
        t.validBefore = NOW;
        bytes memory signature = signedTransfer(t);
        vm.expectRevert(abi.encodeWithSelector(TransferAuthorizations.AuthorizationExpired.selector, NOW));
        doTransfer(t, signature);
    }

    function test_Receive_RevertsWhenItIsTooEarly() public {
        Terms memory t = terms();
        t.validAfter = NOW;
        bytes memory signature = signedReceive(t);
        vm.expectRevert(abi.encodeWithSelector(TransferAuthorizations.AuthorizationNotYetValid.selector, NOW));
        doReceive(payee, t, signature);
    }

    /// What is taken out of the mempool and sent first, by anyone but the payee, moves nothing and spends nothing.
    function test_Receive_RevertsWhenTheCallerIsNotThePayee() public {
        bytes memory signature = signedReceive(terms());
        vm.expectRevert(abi.encodeWithSelector(TransferAuthorizations.CallerNotPayee.selector, outsider, payee));
        doReceive(outsider, terms(), signature);
        (uint8 v, bytes32 r, bytes32 s) = split(signature);
        vm.expectRevert(abi.encodeWithSelector(TransferAuthorizations.CallerNotPayee.selector, outsider, payee));
        vm.prank(outsider);
        usd.receiveWithAuthorization(holder, payee, 40, NOW - 1, NOW + 1, NONCE, v, r, s);

        doReceive(payee, terms(), signature);
        assertPaid(40);
    }

    /// An authorization to receive is none to transfer: the front-runner cannot take the other door.
    function test_Transfer_RevertsWhenItWasSignedToReceive() public {
        bytes memory signature = signedReceive(terms());
        vm.expectRevert(refusedSignature(holder));
        doTransfer(terms(), signature);
        assertPaid(0);
    }

    function test_Receive_RevertsWhenItWasSignedToTransfer() public {
        bytes memory signature = signedTransfer(terms());
        vm.expectRevert(refusedSignature(holder));
        doReceive(payee, terms(), signature);
    }

    /// Every field is signed.
    function testFuzz_Transfer_RevertsWhenAFieldDiffers(uint8 field, uint256 other) public {
        bytes memory signature = signedTransfer(terms());
        Terms memory t = terms();
        field = field % 6;
        if (field == 0) t.from = vm.addr(bound(other, 1, ORDER - 1));
        if (field == 1) t.to = address(uint160(bound(other, 1, type(uint160).max)));
        if (field == 2) t.value = other;
        if (field == 3) t.validAfter = other % NOW;
        if (field == 4) t.validBefore = bound(other, NOW + 1, type(uint256).max);
        if (field == 5) t.nonce = bytes32(other);
        vm.assume(keccak256(abi.encode(t)) != keccak256(abi.encode(terms())));
        vm.expectRevert(refusedSignature(t.from));
        doTransfer(t, signature);
    }

    function test_Transfer_RevertsWhenTheDomainIsAnotherTokens() public {
        bytes32 kind = keccak256(abi.encodePacked("TransferWithAuthorization", FIELDS));
        bytes32 domain = new TestUSD().DOMAIN_SEPARATOR();
        bytes memory signature = sign("holder", digestOf(domain, abi.encode(kind, terms())));
        vm.expectRevert(refusedSignature(holder));
        doTransfer(terms(), signature);
    }

    function test_Transfer_RevertsWhenTheChainIsAnother() public {
        bytes memory signature = signedTransfer(terms());
        vm.chainId(1337);
        vm.expectRevert(refusedSignature(holder));
        doTransfer(terms(), signature);
    }

    /// The other signature that the curve allows for the same key and message.
    function test_Transfer_RevertsWhenTheSignatureIsMirrored() public {
        (uint8 v, bytes32 r, bytes32 s) = split(signedTransfer(terms()));
        s = bytes32(ORDER - uint256(s));
        vm.assertEq(ecrecover(transferDigest(), v ^ 7, r, s), holder, "valid on the curve");
        vm.expectRevert(refusedSignature(holder));
        usd.transferWithAuthorization(holder, payee, 40, NOW - 1, NOW + 1, NONCE, v ^ 7, r, s);
        vm.expectRevert(refusedSignature(holder));
        doTransfer(terms(), abi.encodePacked(r, s, v ^ 7));
    }

    function transferDigest() internal view returns (bytes32) {
        bytes32 kind = keccak256(abi.encodePacked("TransferWithAuthorization", FIELDS));
        return digestOf(usd.DOMAIN_SEPARATOR(), abi.encode(kind, terms()));
    }

    /// Recovery fails to address 0, which must not be an authorizer.
    function test_Transfer_RevertsWhenNobodySigned() public {
        Terms memory t = terms();
        t.from = address(0);
        vm.expectRevert(refusedSignature(address(0)));
        doTransfer(t, new bytes(65));
        vm.expectRevert(refusedSignature(address(0)));
        usd.transferWithAuthorization(address(0), payee, 0, NOW - 1, NOW + 1, NONCE, 0, 0, 0);
        vm.expectRevert(refusedSignature(holder));
        doTransfer(terms(), "");
    }

    function test_Transfer_RevertsWhenTheContractWalletRefuses() public {
        Terms memory t = terms();
        t.from = address(new OwnedWallet(outsider));
        usd.mint(t.from, 40);
        bytes memory signature = signedTransfer(t);
        vm.expectRevert(refusedSignature(t.from));
        doTransfer(t, signature);
    }

    /// A contract that knows nothing of signatures authorizes nothing.
    function test_Transfer_RevertsWhenTheHolderIsAnyContract() public {
        Terms memory t = terms();
        t.from = address(usd);
        usd.mint(t.from, 40);
        bytes memory signature = signedTransfer(t);
        vm.expectRevert(refusedSignature(t.from));
        doTransfer(t, signature);
    }

    function test_Transfer_RevertsWhenTheHolderHasTooLittle() public {
        Terms memory t = terms();
        t.value = 101;
        bytes memory signature = signedTransfer(t);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, holder, 100, 101));
        doTransfer(t, signature);
        vm.assertFalse(usd.authorizationState(holder, NONCE), "the nonce is good still");
    }
}
