"""Why this module exists: peer ids, public keys and accounts are three names of one key; this is how they translate.

A secp256k1 peer id contains its public key, hence its signing account. An RSA peer id is only a hash, so its signing
account is found on the chain (or in a ``Delegation``). Signatures are 65 bytes r, s, v with v in {27, 28} and a low s.
"""

from __future__ import annotations

import hashlib

from coincurve import PrivateKey, PublicKey
from eth_hash.auto import keccak

from protocol.errors import BadRecord
from protocol.ids import Address, PeerId, peer_id_bytes, peer_id_from_bytes

SECP256K1_ID_PREFIX = bytes.fromhex("002508021221")
"""Identity multihash of 37 bytes, protobuf key type 2 (secp256k1), 33 bytes of key."""

RSA_KEY_PREFIX = bytes.fromhex("080012a60230820122300d06092a864886f70d01010105000382010f003082010a0282010100")
"""libp2p protobuf (type 0, 294 bytes) and DER headers of a 2048-bit RSA public key, up to its modulus."""

RSA_KEY_SUFFIX = bytes.fromhex("0203010001")
"""DER of the exponent 65537, the only one that the registry accepts."""

RSA_MODULUS_BYTES = 256
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def peer_key(peer: PeerId) -> bytes:
    """The 32-byte name of a peer in contracts and Merkle leaves: Keccak-256 of its multihash."""
    return keccak(peer_id_bytes(peer))


def peer_of_secp256k1(public_key: bytes) -> PeerId:
    """The peer id of a compressed secp256k1 public key (33 bytes)."""
    return peer_id_from_bytes(SECP256K1_ID_PREFIX + public_key)


def secp256k1_of_peer(peer: PeerId) -> bytes | None:
    """The compressed public key inside a secp256k1 peer id, ``None`` for other kinds of identity."""
    raw = peer_id_bytes(peer)
    return raw[len(SECP256K1_ID_PREFIX) :] if len(raw) == 39 and raw.startswith(SECP256K1_ID_PREFIX) else None


def signer_of_peer(peer: PeerId) -> Address | None:
    """The signing account of a secp256k1 peer id, ``None`` when it cannot be read off the id (RSA).

    Raises ``BadRecord('malformed')`` when the bytes in the id are not a point on the curve.
    """
    public_key = secp256k1_of_peer(peer)
    return address_of_public_key(public_key) if public_key is not None else None


def address_of_public_key(public_key: bytes) -> Address:
    """The EVM account of a secp256k1 public key, compressed (33 bytes) or not (65 bytes)."""
    return checksum_address(keccak(public_key_xy(public_key))[12:])


def public_key_xy(public_key: bytes) -> bytes:
    """The 64 bytes x, y of a public key. Raises ``BadRecord('malformed')`` when it is not a point on the curve."""
    try:
        return PublicKey(public_key).format(compressed=False)[1:]
    except ValueError as error:
        raise BadRecord("malformed", "Not a point on the secp256k1 curve.") from error


def peer_of_rsa(public_key: bytes) -> PeerId:
    """The peer id of a libp2p protobuf RSA public key: its SHA-256 multihash."""
    return peer_id_from_bytes(b"\x12\x20" + hashlib.sha256(public_key).digest())


def rsa_public_key(modulus: bytes) -> bytes:
    """The libp2p protobuf public key (299 bytes) with this 2048-bit modulus and exponent 65537."""
    return RSA_KEY_PREFIX + modulus + RSA_KEY_SUFFIX


def rsa_modulus(public_key: bytes) -> bytes:
    """The modulus (256 bytes) in a libp2p protobuf RSA-2048 public key.

    Raises ``BadRecord('malformed')`` for any other size, exponent or encoding: the registry contract rebuilds exactly
    these bytes to compute the peer id.
    """
    modulus = public_key[len(RSA_KEY_PREFIX) : -len(RSA_KEY_SUFFIX)]
    if len(modulus) != RSA_MODULUS_BYTES or modulus[0] < 0x80 or rsa_public_key(modulus) != public_key:
        raise BadRecord("malformed", "Not a libp2p RSA-2048 public key with exponent 65537.")
    return modulus


def checksum_address(raw: bytes) -> Address:
    """20 bytes as an EVM address with the EIP-55 letter case."""
    text = raw.hex()
    mask = keccak(text.encode()).hex()
    return Address("0x" + "".join(c.upper() if int(m, 16) >= 8 else c for c, m in zip(text, mask, strict=False)))


def sign_digest(private_key: bytes, digest: bytes) -> bytes:
    """65 bytes r, s, v by a 32-byte private key over a 32-byte digest (RFC 6979, low s)."""
    signature = PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    return signature[:64] + bytes([27 + signature[64]])


def recover_signer(digest: bytes, signature: bytes) -> Address:
    """The account whose key made ``signature`` over ``digest``.

    Raises ``BadRecord('wrong_signature')`` for anything that the contracts would refuse too.
    """
    _require_canonical(signature)
    try:
        recovered = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except ValueError as error:
        raise BadRecord("wrong_signature", "The signature belongs to no key.") from error
    return checksum_address(keccak(recovered.format(compressed=False)[1:])[12:])


def compact_signature(signature: bytes) -> tuple[bytes, bytes]:
    """The two words (r, s with the parity on top) of ERC-2098. Raises ``BadRecord('wrong_signature')``."""
    _require_canonical(signature)
    s_and_parity = int.from_bytes(signature[32:64], "big") | (signature[64] - 27) << 255
    return signature[:32], s_and_parity.to_bytes(32, "big")


def _require_canonical(signature: bytes) -> None:
    """65 bytes, v in {27, 28}, and a low s: a high one would be a second signature for the same digest."""
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise BadRecord("wrong_signature", "A signature has 65 bytes, the last one 27 or 28.")
    if int.from_bytes(signature[32:64], "big") > _CURVE_ORDER // 2:
        raise BadRecord("wrong_signature", "The signature's s is in the upper half of the curve order.")
