"""Why this module exists: a record counts only for the peer, run, round and slot that it was signed for.

Pure, and needs nothing but the envelope itself: the public key of a secp256k1 identity is in its peer id, that of an
RSA identity, and of any identity with another signing key, in the ``Delegation`` that the record carries. Recovered
signatures are remembered, so that polling the same slots again costs hashes only.
"""

from __future__ import annotations

from functools import lru_cache

from chain.base import Contracts
from chain.keys import recover_signer, signer_of_peer
from chain.typed_data import record_digest
from identity.delegation import check_delegation
from protocol.codec import content_id
from protocol.errors import BadRecord
from protocol.ids import Address, ContentId, PeerId, parse_content_id, parse_peer_id
from protocol.messages import WIRE_VERSION, Envelope

_MAX_ROUND = 2**64 - 1


def verify(
    envelope: Envelope,
    domain: Contracts,
    *,
    run: ContentId | None = None,
    kind: str | None = None,
    round: int | None = None,
    peer: PeerId | None = None,
) -> Address:
    """Check that the envelope's peer signed it on this chain, and that it is what was expected; returns the account
    that signed: the peer's own, or one that it delegated to. Whether that one still counts is for the chain to say.

    ``run``, ``kind``, ``round``, ``peer``: where it was found; ``None`` leaves that to the caller. Raises
    ``BadRecord``, in this order: ``wrong_version``, ``wrong_run``, ``wrong_round`` (a replay), ``wrong_owner`` (claims
    to be, or delegates for, somebody else), ``malformed`` (filed under another kind, or fields that are none),
    ``unsigned`` (no signature, or an RSA identity without delegation), ``wrong_signature``. Does not decode or judge
    the payload, and does not know who is a member.
    """
    if envelope.version != WIRE_VERSION:
        raise BadRecord("wrong_version", f"It is of wire version {envelope.version}, not {WIRE_VERSION}.")
    if run is not None and envelope.run != run:
        raise BadRecord("wrong_run", f"It belongs to run {envelope.run[:16]}.")
    if round is not None and envelope.round != round:
        raise BadRecord("wrong_round", f"It was signed for round {envelope.round}, not {round}.")
    if peer is not None and envelope.peer != peer:
        raise BadRecord("wrong_owner", f"It was written by {envelope.peer[:64]}, not by {peer}.")
    if kind is not None and envelope.kind != kind:
        raise BadRecord("malformed", f"It was signed as {envelope.kind[:32]!r}, not as {kind!r}.")
    signer = signer_of(envelope, domain)
    if _recovered(_digest_of(envelope, domain), envelope.signature) != signer:
        raise BadRecord("wrong_signature", f"Its signature is not by {envelope.peer}.")
    return signer


def signer_of(envelope: Envelope, domain: Contracts) -> Address:
    """The account that signs for the envelope's peer: named by its peer id, or by its (checked) delegation.

    Raises ``BadRecord``: ``malformed`` (no peer id), ``unsigned``, and what ``check_delegation`` raises.
    """
    own = _own_signer(envelope.peer)
    if not envelope.signature:
        raise BadRecord("unsigned", "It has no signature.")
    if envelope.delegation is None:
        if own is not None:
            return own
        raise BadRecord("unsigned", "The peer id hides its key and the record carries no delegation.")
    check_delegation(envelope.delegation, envelope.peer, domain)
    return envelope.delegation.signer


def _digest_of(envelope: Envelope, domain: Contracts) -> bytes:
    if not 0 <= envelope.round <= _MAX_ROUND:
        raise BadRecord("malformed", "Its round does not fit in 64 bits.")
    run = parse_content_id(envelope.run)
    return record_digest(domain, run, envelope.kind, envelope.round, content_id(envelope.payload))


@lru_cache(maxsize=4096)
def _own_signer(peer: PeerId) -> Address | None:
    return signer_of_peer(parse_peer_id(peer))


_recovered = lru_cache(maxsize=16384)(recover_signer)
