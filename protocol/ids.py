"""Why this module exists: the names of things (peers, runs, contents, accounts) are parsed once, at the edge.

All ids are plain strings at run time, so that they print, sort and serialise without ceremony; the ``NewType``s keep
them apart for the type checker. Their patterns hold whenever a struct is decoded: an id from outside has the shape of
one before anything of ours sees it (and can never be, say, a path). The ``parse`` functions check what patterns cannot.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, NewType

import base58
import msgspec

from protocol.errors import BadRecord

PeerId = NewType("PeerId", Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z]{1,128}\Z")])
"""libp2p peer id in base58btc: ``Qm…`` (RSA), ``16Uiu2HA…`` (secp256k1) or ``12D3KooW…`` (Ed25519)."""

ContentId = NewType("ContentId", Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")])
"""SHA-256 of some bytes as 64 lower-case hex digits. States, blobs, prompts, runs and Merkle roots are named so."""

ZERO_ROOT = ContentId("0" * 64)
"""Stands where a root (or a seed) is meant before there is one: the root of an empty list."""

Address = NewType("Address", Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")])
"""EVM account as ``0x`` and 40 hex digits with the EIP-55 checksum."""

_HEX32 = re.compile(r"[0-9a-f]{64}")
_HEX20 = re.compile(r"0x[0-9a-fA-F]{40}")


class Stage(StrEnum):
    """The three stages of a round, in playing order."""

    ANSWER = "answer"
    CRITIQUE = "critique"
    DECIDE = "decide"


STAGES: tuple[Stage, ...] = (Stage.ANSWER, Stage.CRITIQUE, Stage.DECIDE)


def parse_content_id(text: str) -> ContentId:
    """``text`` as a content id. Raises ``BadRecord('malformed')`` for anything but 64 lower-case hex digits."""
    if not _HEX32.fullmatch(text):
        raise BadRecord("malformed", f"{text[:80]!r} is not a SHA-256 in lower-case hex.")
    return ContentId(text)


def parse_peer_id(text: str) -> PeerId:
    """``text`` as a peer id, checked to be a multihash. Raises ``BadRecord('malformed')`` otherwise.

    Accepted: SHA-256 multihashes (34 bytes, ``12 20 …``) and identity multihashes of up to 64 bytes (``00 len …``).
    """
    if len(text) > 128:
        raise BadRecord("malformed", "A peer id is never longer than 128 characters.")
    try:
        raw = base58.b58decode(text)
    except ValueError as error:
        raise BadRecord("malformed", f"{text[:80]!r} is not base58.") from error
    is_sha256 = len(raw) == 34 and raw[:2] == b"\x12\x20"
    is_identity = 2 < len(raw) <= 66 and raw[0] == 0 and raw[1] == len(raw) - 2
    if not (is_sha256 or is_identity) or base58.b58encode(raw).decode() != text:
        raise BadRecord("malformed", f"{text[:80]!r} is not a libp2p peer id.")
    return PeerId(text)


def peer_id_bytes(peer: PeerId) -> bytes:
    """The multihash behind a peer id: what libp2p and the registry contract work with."""
    return base58.b58decode(peer)


def peer_id_from_bytes(multihash: bytes) -> PeerId:
    """The printed form of a multihash. Raises ``BadRecord('malformed')`` when it is not one a peer may have."""
    return parse_peer_id(base58.b58encode(multihash).decode())


def parse_address(text: str) -> Address:
    """``text`` as an EVM address. Raises ``BadRecord('malformed')``; does not check the EIP-55 letter case."""
    if not _HEX20.fullmatch(text):
        raise BadRecord("malformed", f"{text[:80]!r} is not an EVM address.")
    return Address(text)
