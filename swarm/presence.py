"""Why this module exists: people want to see who is online, and a second process with the same identity must notice.

A peer says every few seconds that it is here. Nothing in a round depends on it.
"""

from __future__ import annotations

import asyncio

from protocol.codec import decode, encode
from protocol.errors import BadRecord, NetworkError
from protocol.events import PeerSeen
from protocol.ids import PeerId
from protocol.messages import Presence
from swarm.dht.transport import RecordKey
from swarm.observe.eventlog import EventLog
from swarm.work import Bench

EVERY_S = 10.0
TTL_S = 45.0
KIND = "presence"

AGAIN_S = 60.0
"""What a peer says it does is told so often at most, or it could fill the log."""

MAX_TOLD = 1024


async def announce(bench: Bench, events: EventLog) -> None:
    """Publish this peer's presence and tell when others' presence changes, until cancelled."""
    told: dict[PeerId, tuple[tuple[str, int], float]] = {}
    key = RecordKey(bench.run.id, KIND, 0)
    while True:
        try:
            present = Presence(bench.transport.addresses, 0, "online", int(bench.now() * 1000))
            envelope = bench.signer.seal(bench.run.id, KIND, 0, encode(present), bench.contracts)
            await bench.transport.publish(envelope, ttl_s=TTL_S)
            for peer, found in (await bench.transport.collect(key)).items():
                presence = decode(found.payload, Presence)
                state = (presence.phase[:32], presence.round)
                before, told_at = told.get(peer, (None, -AGAIN_S))
                if peer != bench.signer.peer and before != state and bench.now() - told_at >= AGAIN_S:
                    told[peer] = (state, bench.now())
                    events.append(PeerSeen(peer, *state))
                while len(told) > MAX_TOLD:
                    del told[next(iter(told))]
        except (NetworkError, BadRecord):
            pass  # the round's own traffic reports a network that is away
        await asyncio.sleep(EVERY_S)
