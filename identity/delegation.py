"""Why this module exists: an identity names the account that signs for it, so that readers need no chain to tell.

An RSA peer id hides its key: its signing key is derived from the RSA key (HKDF-SHA256, RFC 5869), so that ``swarm.pem``
alone restores everything. A secp256k1 identity signs for itself until its signing key is rotated. The delegation is the
identity key's signature over the EIP-712 registration digest (peer id, signing account, wallet, nonce), for RSA the
same that the registry contract checks; it travels with every record. Whether that account still counts is what the
chain says: who checks a member's record compares the account with it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

import coincurve
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_der_private_key

from chain.base import Contracts
from chain.keys import (
    address_of_public_key,
    checksum_address,
    peer_of_rsa,
    recover_signer,
    rsa_modulus,
    sign_digest,
    signer_of_peer,
)
from chain.typed_data import registration_digest
from identity.keyfile import RSA_EXPONENT, IdentityKey, KeyType
from protocol.errors import BadRecord
from protocol.ids import Address, PeerId, parse_address, peer_id_bytes
from protocol.messages import Delegation

_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_HKDF_SALT = b"rl-swarm/signing-key/1"


def signing_secret(key: IdentityKey) -> bytes:
    """The 32-byte secp256k1 key that signs for an identity: itself, or derived from an RSA key.

    Derivation: 48 bytes of HKDF-SHA256 over the key file's PKCS#1 DER, reduced into 1 .. n-1 (bias below 2**-127).
    """
    if key.kind is KeyType.SECP256K1:
        return key.secret
    stream = HKDF(algorithm=SHA256(), length=48, salt=_HKDF_SALT, info=b"secp256k1").derive(key.secret)
    return (int.from_bytes(stream, "big") % (_CURVE_ORDER - 1) + 1).to_bytes(32, "big")


def delegate(
    key: IdentityKey, contracts: Contracts, wallet: Address, nonce: int = 0, *, signer: Address | None = None
) -> Delegation:
    """The identity ``key``, owned by ``wallet`` on the chain of ``contracts``, names the account ``signer`` (``None``:
    the one derived from an RSA key).

    A secp256k1 identity signs for itself and names only others (``ValueError``).
    """
    own = address_of_public_key(coincurve.PrivateKey(signing_secret(key)).public_key.format())
    if key.kind is not KeyType.RSA and signer in (None, own):
        raise ValueError("A secp256k1 identity needs no delegation to itself.")
    account = signer or own
    digest = registration_digest(contracts, key.peer, account, wallet, nonce)
    if key.kind is KeyType.RSA:
        rsa = cast(RSAPrivateKey, load_der_private_key(key.secret, password=None))
        signature = rsa.sign(digest, PKCS1v15(), SHA256())
    else:
        signature = sign_digest(key.secret, digest)
    return Delegation(public_key=key.public_key, signer=account, signature=signature, wallet=wallet, nonce=nonce)


def is_canonical(address: str) -> bool:
    """Whether ``address`` is written the one way that counts in signed records (EIP-55)."""
    try:
        return address == checksum_address(bytes.fromhex(parse_address(address)[2:]))
    except BadRecord:
        return False


@lru_cache(maxsize=4096)
def check_delegation(delegation: Delegation, peer: PeerId, contracts: Contracts) -> None:
    """Whether ``peer`` itself delegated to ``delegation.signer``. Successes are remembered.

    Raises ``BadRecord``: ``malformed`` (not an RSA-2048 key, bad fields), ``wrong_owner`` (another identity's key),
    ``wrong_signature``.
    """
    own = signer_of_peer(peer)
    modulus = rsa_modulus(delegation.public_key) if own is None else b""
    if not (is_canonical(delegation.signer) and is_canonical(delegation.wallet)):
        raise BadRecord("malformed", "The delegation's accounts are not addresses with their checksum.")
    if own is None and peer_of_rsa(delegation.public_key) != peer:
        raise BadRecord("wrong_owner", "The delegation was made by another identity.")
    if own is not None and (delegation.public_key != _public_key_of(peer) or delegation.signer == own):
        raise BadRecord("malformed", "A secp256k1 identity delegates to another account, under its own key.")
    try:
        digest = registration_digest(contracts, peer, delegation.signer, delegation.wallet, delegation.nonce)
    except OverflowError as error:
        raise BadRecord("malformed", "The delegation's nonce does not fit.") from error
    if own is not None:
        if recover_signer(digest, delegation.signature) != own:
            raise BadRecord("wrong_signature", "The delegation was not signed by this identity.")
        return
    try:
        rsa = RSAPublicNumbers(RSA_EXPONENT, int.from_bytes(modulus, "big")).public_key()
        rsa.verify(delegation.signature, digest, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError) as error:
        raise BadRecord("wrong_signature", "The delegation was not signed by this identity.") from error


def _public_key_of(peer: PeerId) -> bytes:
    """The libp2p public key inside a secp256k1 peer id."""
    return peer_id_bytes(peer)[2:]
