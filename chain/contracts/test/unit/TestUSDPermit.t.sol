// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice ERC-2612: an approval by signature.
contract TestUSDPermitTest is TestBase {
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    TestUSD internal usd;
    address internal holder = actor("holder");
    address internal spender = actor("spender");

    function setUp() public {
        vm.warp(NOW);
        usd = new TestUSD();
    }

    function digestOf(uint256 nonce, bytes32 domain) internal view returns (bytes32) {
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 inner = keccak256(abi.encode(kind, holder, spender, 5, nonce, NOW));
        return keccak256(abi.encodePacked(hex"1901", domain, inner));
    }

    function signed(string memory name, bytes32 domain) internal view returns (uint8 v, bytes32 r, bytes32 s) {
        return vm.sign(keyOf(name), digestOf(0, domain));
    }

    /// What the token recovers from a signature of something else: nobody that anyone knows.
    function refusal(uint256 nonce, uint8 v, bytes32 r, bytes32 s) internal view returns (bytes memory) {
        address stranger = ecrecover(digestOf(nonce, usd.DOMAIN_SEPARATOR()), v, r, s);
        return abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, stranger, holder);
    }

    function test_Permit_ApprovesUntilItsDeadline() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", usd.DOMAIN_SEPARATOR());
        usd.permit(holder, spender, 5, NOW, v, r, s);
        vm.assertEq(usd.allowance(holder, spender), 5, "allowance");
        vm.assertEq(usd.nonces(holder), 1, "nonce");
    }

    function test_Permit_RevertsWhenItIsUsedAgain() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", usd.DOMAIN_SEPARATOR());
        usd.permit(holder, spender, 5, NOW, v, r, s);
        vm.expectRevert(refusal(1, v, r, s));
        usd.permit(holder, spender, 5, NOW, v, r, s);
    }

    function test_Permit_RevertsWhenItExpired() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", usd.DOMAIN_SEPARATOR());
        vm.warp(NOW + 1);
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612ExpiredSignature.selector, NOW));
        usd.permit(holder, spender, 5, NOW, v, r, s);
    }

    function test_Permit_RevertsWhenAnotherSigned() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("spender", usd.DOMAIN_SEPARATOR());
        vm.expectRevert(abi.encodeWithSelector(ERC20Permit.ERC2612InvalidSigner.selector, spender, holder));
        usd.permit(holder, spender, 5, NOW, v, r, s);
    }

    function test_Permit_RevertsWhenTheDomainIsAnotherTokens() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", new TestUSD().DOMAIN_SEPARATOR());
        vm.expectRevert(refusal(0, v, r, s));
        usd.permit(holder, spender, 5, NOW, v, r, s);
    }

    function test_Permit_RevertsWhenTheChainIsAnother() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", usd.DOMAIN_SEPARATOR());
        vm.chainId(1337);
        vm.expectRevert(refusal(0, v, r, s));
        usd.permit(holder, spender, 5, NOW, v, r, s);
    }

    /// The other signature that the curve allows for the same key and message.
    function test_Permit_RevertsWhenTheSignatureIsMirrored() public {
        (uint8 v, bytes32 r, bytes32 s) = signed("holder", usd.DOMAIN_SEPARATOR());
        bytes32 mirrored = bytes32(ORDER - uint256(s));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, mirrored));
        usd.permit(holder, spender, 5, NOW, v ^ 7, r, mirrored);
    }
}
