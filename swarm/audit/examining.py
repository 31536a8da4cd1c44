"""Why this module exists: anybody may check anybody's work, without being asked and without being a member.

What ``swarm verify`` does, on any transport and engine: find the record, do level 0 anew, then do the work again.
"""

from __future__ import annotations

import asyncio
import contextlib

import msgspec

from identity.names import nickname
from protocol.codec import content_id
from protocol.errors import BadRecord, ConfigError, VerificationError
from protocol.ids import ContentId, PeerId
from protocol.messages import Difference, Finding
from protocol.run import RunSpec
from swarm.audit.casework import Casework, finding_of
from swarm.audit.replay import replay
from swarm.dht.transport import RecordKey, Transport
from swarm.member.presence import KIND as PRESENCE
from swarm.policy.base import Engine, Replayable
from swarm.rounds.engine_room import EngineRoom
from swarm.rounds.inbox import CONTRIBUTION
from swarm.rounds.timing import Now


class Examined(msgspec.Struct, frozen=True):
    """What an examination came to. ``verdict``: as in records; ``level``: how far it went; ``bytes``: fetched for it.

    ``why``: in words, where the level is lower than what was asked for."""

    round: int
    peer: PeerId
    nickname: str
    content: ContentId | None
    verdict: Finding
    level: int
    first_difference: Difference | None
    time_s: float
    bytes: int
    why: str = ""


async def name_peer(
    transport: Transport, run: RunSpec, round_number: int, name: str, *, patience_s: float = 5.0
) -> PeerId:
    """The contributor of a round that is called ``name``: a nickname or a peer id.

    Raises ``ConfigError`` when nobody of that name contributed, as far as can be seen within ``patience_s``."""
    peers: list[PeerId] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            while len(peers) != 1:
                found = await transport.collect(RecordKey(run.id, CONTRIBUTION, round_number))
                peers = [peer for peer in found if name in (peer, nickname(peer))]
                await asyncio.sleep(0 if peers else 0.5)
    if len(peers) != 1:
        found = await transport.collect(RecordKey(run.id, CONTRIBUTION, round_number))
        known = ", ".join(sorted(nickname(peer) for peer in found)) or "nobody"
        raise ConfigError(
            f"No contribution of {name[:128]} to round {round_number} can be seen.",
            "Nothing was checked.",
            f"Contributors of that round are: {known}.",
        )
    return peers[0]


async def examine(
    casework: Casework,
    transport: Transport,
    engine: Engine,
    room: EngineRoom,
    run: RunSpec,
    round_number: int,
    peer: PeerId,
    *,
    level: int,
    now: Now,
) -> Examined:
    """Check ``peer``'s contribution of a round up to ``level``, all of its rollouts included."""
    started_at, num_bytes, content = now(), 0, None
    reached, difference, finding, why = 0, None, Finding.MATCH, ""
    try:
        envelope = await casework.find(round_number, peer)
        content = content_id(envelope.payload)
        present = await transport.collect(RecordKey(run.id, PRESENCE, 0))
        case = await casework.reopen(envelope, [*present])
        num_bytes = case.num_bytes
        if level > 0 and isinstance(engine, Replayable):
            everything = range(case.num_rollouts)
            reached, difference = await room.call(replay, engine, case, everything, run.learn.num_external, level=level)
        elif level > 0:
            why = f"What the {run.audit.engine} engine computes cannot be done again: only scores were checked."
    except (BadRecord, VerificationError) as error:
        finding, difference = finding_of(error), Difference(error.what[:300])
    if difference is not None and finding is Finding.MATCH:
        finding = Finding.MISMATCH
    return Examined(
        round=round_number,
        peer=peer,
        nickname=nickname(peer),
        content=content,
        verdict=finding,
        level=reached,
        first_difference=difference,
        time_s=round(now() - started_at, 3),
        bytes=num_bytes,
        why=why,
    )
