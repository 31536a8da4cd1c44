"""Why this module exists: what a peer says of somebody's work it signs once, and says again byte for byte."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from protocol.codec import encode
from protocol.ids import ContentId
from protocol.messages import Envelope, Review, Verdict
from swarm.rounds.work import RECORD_TTL_S, Bench

Find = Callable[[], Awaitable[Verdict | Review | None]]
"""Finds out what there is to say; ``None``: nothing."""


async def say(bench: Bench, kind: str, round_number: int, about: ContentId, find: Find) -> Envelope | None:
    """Publish what this peer says in a round ``about`` something: what it said before, or else what it finds now,
    signed and on disk before anybody sees it. The published record; ``None`` where there is nothing to say.

    Raises ``NetworkError`` when nobody takes the record: then it is kept, and the next call publishes it; and whatever
    ``find`` raises.
    """
    kept = bench.journal.read(round_number, kind, about=about)
    if kept is not None:
        envelope = kept[0]
    else:
        found = await find()
        if found is None:
            return None
        envelope = bench.signer.seal(bench.run.id, kind, round_number, encode(found), bench.contracts)
        bench.journal.write(envelope, about=about)
    await bench.transport.publish(envelope, ttl_s=RECORD_TTL_S)
    return envelope
