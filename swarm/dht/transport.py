"""Why this module exists: what a peer may ask of the network, whichever network it is.

Two kinds of things travel: small signed records, published under a key that everybody can name, one per peer; and
blobs, named by their hash and fetched from the peer that announced them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef, Envelope


class RecordKey(msgspec.Struct, frozen=True):
    """Where a kind of record of a round is found. Every peer has one slot under a key; nobody can write another's."""

    run: ContentId
    kind: str
    round: int


class Transport(Protocol):
    """Publish, collect, offer, fetch. Implementations drop bad records, count them, and report each once."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Multiaddresses where others reach this peer (with ``/p2p/<peer id>``)."""
        ...

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        """Put this peer's record under (run, kind, round). Publishing the same bytes again is harmless.

        A second, different batch or contribution of a round is ``BadRecord('equivocation')``; proposals and
        attestations may be published anew; of presences the one with the latest ``at_ms`` counts.
        Raises ``NetworkError`` when no node stored it, ``BadRecord('oversized')`` above the cap.
        """
        ...

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        """The valid records under ``key`` that can be seen now. Empty when there are none; raises ``NetworkError`` only
        when the network cannot be asked."""
        ...

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        """Like ``collect``, with every proposal or attestation of a peer, not only the one that was seen last; and
        after the batch or contribution that counts, what its author signed instead of it (proof of equivocation)."""
        ...

    def offer(self, blob: bytes) -> BlobRef:
        """Serve ``blob`` to whoever asks, until the process ends or newer blobs push it out of the cache."""
        ...

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None:
        """Serve what ``find`` has under its name, too, such as blobs on disk."""
        ...

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        """The blob, from ``provider`` or else from ``others``. Raises ``BadRecord``: ``unavailable``, ``stalled`` (no
        chunk in time), ``oversized``, ``hash_mismatch``; the caller reports it, with the record that announced it."""
        ...

    async def close(self) -> None: ...
