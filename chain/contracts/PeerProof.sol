// SPDX-License-Identifier: MIT
pragma solidity ^0.8.24;

import {RSA} from "@openzeppelin/contracts/utils/cryptography/RSA.sol";

/// @title Peer ids from public keys, and proofs of possession
/// @notice Rebuilds a libp2p peer id from the key that is behind it, so that nobody can claim an id without its key.
/// @dev Only the two kinds of identity that the swarm accepts: secp256k1 (the id contains the key) and RSA-2048 with
/// exponent 65537 (the id is the SHA-256 of the key's libp2p protobuf).
library PeerProof {
    /// @dev Identity multihash of 37 bytes, protobuf key type 2 (secp256k1), 33 bytes of compressed key.
    bytes6 internal constant SECP256K1_PREFIX = 0x002508021221;
    /// @dev SHA-256 multihash of 32 bytes.
    bytes2 internal constant SHA256_PREFIX = 0x1220;
    /// @dev libp2p protobuf (type 0) and DER headers of an RSA-2048 public key, up to its modulus.
    bytes internal constant RSA_KEY_PREFIX =
        hex"080012a60230820122300d06092a864886f70d01010105000382010f003082010a0282010100";
    /// @dev DER of the exponent 65537.
    bytes internal constant RSA_KEY_SUFFIX = hex"0203010001";
    bytes internal constant RSA_EXPONENT = hex"010001";
    uint256 internal constant RSA_MODULUS_BYTES = 256;

    /// @notice First byte of a compressed key (2 or 3), from the parity of y.
    function parityByte(bytes32 y) internal pure returns (uint8) {
        return 2 + uint8(uint256(y) & 1);
    }

    /// @notice The account of the public key (x, y).
    /// @dev Whoever signs as this account has shown that (x, y) is a real point: no other preimage can be found.
    function account(bytes32 x, bytes32 y) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encodePacked(x, y)))));
    }

    /// @notice SHA-256 of the libp2p public key with this modulus: what an RSA peer id is made of.
    /// @dev The caller checks the modulus with `isModulus` first.
    function rsaKeyHash(bytes calldata modulus) internal pure returns (bytes32) {
        return sha256(bytes.concat(RSA_KEY_PREFIX, modulus, RSA_KEY_SUFFIX));
    }

    /// @notice Whether `modulus` has exactly 2048 bits.
    function isModulus(bytes calldata modulus) internal pure returns (bool) {
        return modulus.length == RSA_MODULUS_BYTES && uint8(modulus[0]) >= 0x80;
    }

    /// @notice RSASSA-PKCS1-v1_5 with SHA-256 over the 32 bytes of `digest`.
    function verifyRsa(bytes32 digest, bytes calldata modulus, bytes calldata signature) internal view returns (bool) {
        return RSA.pkcs1Sha256(sha256(abi.encode(digest)), signature, RSA_EXPONENT, modulus);
    }
}
