"""Why this module exists: ``swarm.pem`` is who a peer is; lose it and its credits belong to nobody.

The file is a libp2p protobuf ``PrivateKey {Type = 1 (varint), Data = 2 (bytes)}`` as p2pd reads it, whatever its name
says. Two types can be identities here:

    secp256k1 (2)  32 bytes of key, file of 36 bytes; new identities. Its peer id contains the public key, so records
                   verify from the peer id alone and a contract checks it with ``ecrecover``.
    RSA (0)        PKCS#1 DER, 2048 bits, e = 65537: files made by hivemind's ``P2P.generate_identity`` and by upstream.

Peer ids follow https://github.com/libp2p/specs/blob/master/peer-ids/peer-ids.md: the multihash of the protobuf public
key, identity-hashed up to 42 bytes, SHA-256 above.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from pathlib import Path

import coincurve
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from identity.files import create_private, read_private
from protocol.errors import BadRecord, IdentityError
from protocol.ids import PeerId, parse_peer_id, peer_id_from_bytes

FILE_CAP = 8192
"""Bytes. An RSA-2048 file has about 1200."""

RSA_BITS = 2048
RSA_EXPONENT = 65537
SECP256K1_ID_HEAD = bytes.fromhex("002508021221")
"""A secp256k1 peer id is this and the compressed public key (33 bytes)."""

_WHAT = "The identity file"
_MARKER = "peer_id"
_TRACES = (_MARKER, "wallet.json")


class KeyType(IntEnum):
    """libp2p's numbers of key types."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


class IdentityKey:
    """A loaded identity. ``public_key``: libp2p protobuf; ``peer``: its id. ``repr`` shows no secret."""

    def __init__(self, kind: KeyType, secret: bytes, public_key: bytes, multihash: bytes) -> None:
        self.kind = kind
        self.public_key = public_key
        self.peer: PeerId = peer_id_from_bytes(multihash)
        self._secret = secret

    @property
    def secret(self) -> bytes:
        """The key itself: 32 bytes (secp256k1) or PKCS#1 DER (RSA). For signing only; never print or send it."""
        return self._secret

    def __repr__(self) -> str:
        return f"IdentityKey({self.kind.name}, {self.peer})"


def parse_key(data: bytes) -> IdentityKey:
    """The identity in the bytes of a key file.

    Raises ``IdentityError`` in words for PEM text, another key type, and anything cut off or damaged. Pure.
    """
    if data.lstrip().startswith(b"-----BEGIN"):
        raise IdentityError(
            "The identity file holds PEM text; despite its name, swarm.pem is a libp2p key file (protobuf).",
            "No peer id can be read from it.",
            "Put back the file that this program, hivemind or upstream's RL Swarm made; or move this one away and "
            "start again to get a new identity.",
        )
    kind, body = _parse_protobuf(data)
    if kind == KeyType.SECP256K1:
        return _secp256k1(body)
    if kind == KeyType.RSA:
        return _rsa(body)
    name = KeyType(kind).name if kind in list(KeyType) else f"number {kind}"
    raise IdentityError(
        f"The identity file holds a key of type {name}; only secp256k1 and RSA can be registered on the chain.",
        "It would join the network, but could never be paid.",
        "Use a secp256k1 or RSA file; without one, move this file away and start again to get a new identity.",
    )


def load_key(path: Path) -> IdentityKey:
    """The identity in a file that only its owner can read (0600, 0400). Raises ``IdentityError`` otherwise."""
    return parse_key(read_private(path, _WHAT, cap=FILE_CAP))


def create_key(path: Path, *, secret: bytes | None = None) -> IdentityKey:
    """A new secp256k1 identity at ``path`` (0600), and beside it a file ``peer_id`` that remembers it existed.

    ``secret``: 32 bytes to use instead of fresh ones from the operating system (tests, restoring a backup). Raises
    ``IdentityError`` when the file exists, or when something beside it says that it once did (``refuse_second``).
    """
    refuse_second(path)
    body = coincurve.PrivateKey().secret if secret is None else secret
    key = _secp256k1(body)
    create_private(path, b"\x08\x02\x12\x20" + body, _WHAT)
    create_private(path.with_name(_MARKER), key.peer.encode() + b"\n", "The note of this peer's id")
    return key


def open_key(path: Path) -> IdentityKey:
    """The identity at ``path``, created if this folder never had one. What a starting peer calls.

    Raises ``IdentityError`` when the file is missing though it once existed, cannot be used, or is another peer's than
    the one that this folder belongs to.
    """
    if not path.exists() and not path.is_symlink():
        return create_key(path)
    key = load_key(path)
    expected = _remembered(path)
    if expected is not None and expected != key.peer:
        raise IdentityError(
            f"{path} is the identity of {key.peer}, but this folder belongs to {expected}.",
            "Credits, wallet and rounds here belong to the other peer.",
            f"Put back the file of {expected}, or start with another --home; remove {path.with_name(_MARKER)} only if "
            "you want this folder to go on under the new identity.",
        )
    return key


def refuse_second(path: Path) -> None:
    """Raises ``IdentityError`` when files beside ``path`` show that an identity existed here and is now missing."""
    traces = [name for name in _TRACES if path.with_name(name).exists()]
    if path.exists() or not traces:
        return
    who = _remembered(path)
    raise IdentityError(
        f"{path} is missing, but {' and '.join(traces)} beside it show that this peer had an identity"
        + (f" ({who})." if who else "."),
        "A new identity would have none of its credits, so none was made.",
        f"Put your backup of swarm.pem back; or, to start as a new peer, use another --home or move "
        f"{' and '.join(traces)} away.",
    )


def _remembered(path: Path) -> PeerId | None:
    marker = path.with_name(_MARKER)
    if not marker.exists():
        return None
    try:
        return parse_peer_id(read_private(marker, "The note of this peer's id", cap=256).decode("ascii").strip())
    except (BadRecord, UnicodeDecodeError) as error:
        raise IdentityError(
            f"{marker} does not hold a peer id.",
            "It cannot be told whether swarm.pem is the one that belongs here.",
            f"Compare with your backup, then remove {marker}.",
        ) from error


def _secp256k1(body: bytes) -> IdentityKey:
    try:
        if len(body) != 32:
            raise ValueError(f"a secp256k1 key has 32 bytes, not {len(body)}")
        point = coincurve.PrivateKey(body).public_key.format(compressed=True)
    except ValueError as error:
        raise _damaged(str(error) or "not a secp256k1 key") from error
    return IdentityKey(KeyType.SECP256K1, body, SECP256K1_ID_HEAD[2:] + point, SECP256K1_ID_HEAD + point)


def _rsa(body: bytes) -> IdentityKey:
    try:
        key = load_der_private_key(body, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _damaged("its RSA key is cut off or damaged") from error
    if not isinstance(key, RSAPrivateKey):
        raise _damaged("it says RSA and holds another key")
    if key.key_size != RSA_BITS or key.public_key().public_numbers().e != RSA_EXPONENT:
        raise IdentityError(
            f"The identity file holds an RSA key of {key.key_size} bits; the registry contract checks only keys of "
            f"{RSA_BITS} bits with exponent {RSA_EXPONENT}.",
            "It could never be registered, so never be paid.",
            "Use the file that hivemind or upstream's RL Swarm made, or move it away to get a new identity.",
        )
    if key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()) != body:
        raise _damaged("its RSA key is not in the form (PKCS#1 DER) that libp2p reads")
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public_key = b"\x08\x00\x12" + _varint(len(info)) + info
    return IdentityKey(KeyType.RSA, body, public_key, b"\x12\x20" + hashlib.sha256(public_key).digest())


def _parse_protobuf(data: bytes) -> tuple[int, bytes]:
    """Type and Data of a libp2p key message, each exactly once, in any order, and nothing else."""
    kind: int | None = None
    body: bytes | None = None
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value, at = _read_varint(data, at)
        if tag == 0x08 and kind is None:
            kind = value
        elif tag == 0x12 and body is None and value <= len(data) - at:
            body, at = data[at : at + value], at + value
        else:
            raise _damaged("it is not a libp2p key message, or it is cut off")
    if kind is None or body is None:
        raise _damaged("it is cut off")
    return kind, body


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise _damaged("it is cut off")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise _damaged("it is not a libp2p key message")


def _varint(value: int) -> bytes:
    low = bytearray()
    while value >= 0x80:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*low, value])


def _damaged(why: str) -> IdentityError:
    return IdentityError(
        f"The identity file cannot be used: {why}.",
        "Without it this peer has no name and earns nothing.",
        "Put your backup of swarm.pem in its place; it is never written again after it was made.",
    )
