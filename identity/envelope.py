"""Why this module exists: a record counts only for the peer, run, round and slot that it was signed for.

Pure, and needs nothing but the envelope itself: the public key of a secp256k1 identity is in its peer id, that of an
RSA identity in the ``Delegation`` that the record carries. Verified signatures are remembered, so that polling the
same slots again costs one hash.
"""

from __future__ import annotations

from functools import lru_cache

from chain.base import Contracts
from chain.keys import recover_signer, signer_of_peer
from chain.typed_data import record_digest
from identity.delegation import check_delegation
from protocol.codec import content_id
from protocol.errors import BadRecord
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import WIRE_VERSION, Envelope

_MAX_ROUND = 2**64 - 1


def verify(envelope: Envelope, domain: Contracts, *, run: ContentId, kind: str, round: int, peer: PeerId) -> None:
    """Check that ``peer`` signed this record for exactly this slot; returns nothing when it did.

    Raises ``BadRecord``, in this order: ``wrong_version``, ``wrong_run``, ``wrong_round`` (a replay), ``malformed``
    (filed under another kind), ``wrong_owner`` (claims to be, or delegates for, somebody else), ``unsigned`` (no
    signature, or an RSA identity without delegation), ``wrong_signature``. Does not decode or judge the payload, and
    does not know who is a member.
    """
    if envelope.version != WIRE_VERSION:
        raise BadRecord("wrong_version", f"It is of wire version {envelope.version}, not {WIRE_VERSION}.")
    if envelope.run != run:
        raise BadRecord("wrong_run", f"It belongs to run {envelope.run[:16]}.")
    if envelope.round != round:
        raise BadRecord("wrong_round", f"It was signed for round {envelope.round}, not {round}.")
    if envelope.kind != kind:
        raise BadRecord("malformed", f"It was signed as {envelope.kind[:32]!r}, not as {kind!r}.")
    if envelope.peer != peer:
        raise BadRecord("wrong_owner", f"It was written by {envelope.peer[:64]}, not by {peer}.")
    if not envelope.signature:
        raise BadRecord("unsigned", "It has no signature.")
    digest = _digest_of(envelope, domain)
    if _recovered(digest, envelope.signature) != signer_of(envelope, domain):
        raise BadRecord("wrong_signature", f"Its signature is not by {peer}.")


def signer_of(envelope: Envelope, domain: Contracts) -> Address:
    """The account that may sign for the envelope's peer: in its peer id, or as its delegation proves.

    Raises ``BadRecord``: ``unsigned`` (RSA identity without delegation), ``malformed`` (a delegation where none may
    be), and what ``check_delegation`` raises.
    """
    own = _own_signer(envelope.peer)
    if own is not None:
        if envelope.delegation is not None:
            raise BadRecord("malformed", "A secp256k1 identity signs for itself and carries no delegation.")
        return own
    if envelope.delegation is None:
        raise BadRecord("unsigned", "The peer id hides its key and the record carries no delegation.")
    check_delegation(envelope.delegation, envelope.peer, domain)
    return envelope.delegation.signer


def _digest_of(envelope: Envelope, domain: Contracts) -> bytes:
    if not 0 <= envelope.round <= _MAX_ROUND:
        raise BadRecord("malformed", "Its round does not fit in 64 bits.")
    return record_digest(domain, envelope.run, envelope.kind, envelope.round, content_id(envelope.payload))


_own_signer = lru_cache(maxsize=4096)(signer_of_peer)
_recovered = lru_cache(maxsize=16384)(recover_signer)
