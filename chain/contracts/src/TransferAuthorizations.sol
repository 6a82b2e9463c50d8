// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009, IERC3009Cancel} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

/// @title Transfers that the holder signs and anybody carries out, as ERC-3009 says.
/// @notice Nonces are any 32 bytes, in any order. Each function also takes the signature as bytes, as USDC does, and
/// contract wallets sign by ERC-1271 in either form.
/// @dev OpenZeppelin's own version does not do: its form with bytes takes sequential nonces only.
abstract contract TransferAuthorizations is ERC20, EIP712, IERC3009, IERC3009Cancel {
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,"
        "uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant RECEIVE_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,"
        "uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 private constant CANCEL_TYPEHASH = keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");

    struct Payment {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }

    /// @notice The authorization holds after this block time, not at it.
    error AuthorizationNotYetValid(uint256 validAfter);
    /// @notice The authorization holds before this block time, not at it.
    error AuthorizationExpired(uint256 validBefore);
    /// @notice The nonce was used or cancelled.
    error AuthorizationSpent(address authorizer, bytes32 nonce);
    /// @notice Not the authorizer's signature of exactly this.
    error AuthorizationSignatureInvalid(address authorizer);
    /// @notice Only the payee receives with an authorization.
    error CallerNotPayee(address caller, address payee);

    mapping(address authorizer => mapping(bytes32 nonce => bool)) private _spent;

    /// @notice Whether the nonce was used or cancelled.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return _spent[authorizer][nonce];
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        _pay(TRANSFER_TYPEHASH, Payment(from, to, value, validAfter, validBefore, nonce), abi.encodePacked(r, s, v));
    }

    /// @notice The same with the signature as bytes.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _pay(TRANSFER_TYPEHASH, Payment(from, to, value, validAfter, validBefore, nonce), signature);
    }

    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        _receive(Payment(from, to, value, validAfter, validBefore, nonce), abi.encodePacked(r, s, v));
    }

    /// @notice The same with the signature as bytes.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _receive(Payment(from, to, value, validAfter, validBefore, nonce), signature);
    }

    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        _cancel(authorizer, nonce, abi.encodePacked(r, s, v));
    }

    /// @notice The same with the signature as bytes.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _cancel(authorizer, nonce, signature);
    }

    /// @dev Whoever copies a payee's call out of the mempool pays nobody: that is what this form is for.
    function _receive(Payment memory payment, bytes memory signature) private {
        if (payment.to != msg.sender) revert CallerNotPayee(msg.sender, payment.to);
        _pay(RECEIVE_TYPEHASH, payment, signature);
    }

    function _pay(bytes32 typeHash, Payment memory payment, bytes memory signature) private {
        if (block.timestamp <= payment.validAfter) revert AuthorizationNotYetValid(payment.validAfter);
        if (block.timestamp >= payment.validBefore) revert AuthorizationExpired(payment.validBefore);
        _spend(payment.from, payment.nonce, keccak256(abi.encode(typeHash, payment)), signature);
        emit AuthorizationUsed(payment.from, payment.nonce);
        _transfer(payment.from, payment.to, payment.value);
    }

    function _cancel(address authorizer, bytes32 nonce, bytes memory signature) private {
        _spend(authorizer, nonce, keccak256(abi.encode(CANCEL_TYPEHASH, authorizer, nonce)), signature);
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @dev Uses up the nonce, once, with a signature of `structHash`.
    function _spend(address authorizer, bytes32 nonce, bytes32 structHash, bytes memory signature) private {
        if (_spent[authorizer][nonce]) revert AuthorizationSpent(authorizer, nonce);
        _spent[authorizer][nonce] = true;
        if (!SignatureChecker.isValidSignatureNow(authorizer, _hashTypedDataV4(structHash), signature)) {
            revert AuthorizationSignatureInvalid(authorizer);
        }
    }
}
