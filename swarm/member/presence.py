"""Why this module exists: people want to see who is online, and a second process with the same identity must notice.

A peer says every few seconds that it is here. Nothing in a round depends on it. A presence of this peer that this
process did not write comes from another one: before it says anything itself, a peer listens whether that one goes on
speaking, and if so it ends. Two that run already end up with one as well: whoever was silent for a while (a machine
that slept, a network that was away) is the second, else the one with the later address.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from protocol.codec import decode, encode
from protocol.errors import BadRecord, IdentityError, NetworkError
from protocol.events import PeerSeen, Problem, Progress
from protocol.ids import PeerId
from protocol.messages import Presence
from swarm.dht.transport import RecordKey
from swarm.observe.eventlog import EventLog
from swarm.rounds.work import Bench
from swarm.settings.home import write_atomically

EVERY_S = 10.0
TTL_S = 45.0
KIND = "presence"

LISTEN_S = 1.5 * EVERY_S
"""Whoever speaks every ``EVERY_S`` seconds is heard within this."""

AGAIN_S = 60.0
"""What a peer says it does is told so often at most, or it could fill the log."""

MAX_TOLD = 1024


Present = Callable[[], Coroutine[Any, Any, NoReturn]]


class Spoken:
    """When this peer spoke last, by its own clock in milliseconds; ``path`` remembers it over restarts."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.at_ms = 0
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):  # else it listens once more than it had to
            self.at_ms = msgspec.json.decode(path.read_bytes(), type=int) if path is not None else 0

    def at(self, at_ms: int) -> None:
        """Written down before it is said, so that whatever is heard later than this was said by somebody else."""
        self.at_ms = at_ms
        if self._path is not None:
            write_atomically(self._path, msgspec.json.encode(at_ms), mode=0o600)


async def require_only_one(
    bench: Bench, spoken: Spoken, *, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Returns at once when nobody else spoke as this peer lately, and else listens for ``LISTEN_S``.

    Raises ``IdentityError`` when another process of this peer speaks. Looks at the clock of this machine only to tell
    that words are old; what decides is whether there are new ones.
    """
    heard = await _other(bench, spoken)
    if heard is None or bench.now() - heard.at_ms / 1000 > TTL_S:
        return
    bench.events.append(Progress("this peer spoke from elsewhere a moment ago: listening whether it is still there"))
    first, until = heard.at_ms, bench.now() + LISTEN_S
    while bench.now() < until:
        await pause(1.0)
        heard = await _other(bench, spoken)
        if heard is not None and heard.at_ms > first:
            raise second_holder(heard)


async def announce(bench: Bench, events: EventLog, spoken: Spoken) -> NoReturn:
    """Publish this peer's presence and tell when others' presence changes, until cancelled.

    Raises ``IdentityError`` when another process runs as this peer and this one is the second.
    """
    told: dict[PeerId, tuple[tuple[str, int], float]] = {}
    key = RecordKey(bench.run.id, KIND, 0)
    is_other_told = False
    published_at: float | None = None
    while True:
        try:
            other = await _other(bench, spoken) if published_at is not None else None
            if other is not None and published_at is not None:
                if is_second(tuple(bench.transport.addresses), other, silent_s=bench.now() - published_at):
                    raise second_holder(other)
                if not is_other_told:
                    is_other_told = True
                    events.append(_told_of(other))
            spoken.at(max(int(bench.now() * 1000), spoken.at_ms + 1))
            present = Presence(bench.transport.addresses, 0, "online", spoken.at_ms)
            envelope = bench.signer.seal(bench.run.id, KIND, 0, encode(present), bench.contracts)
            await bench.transport.publish(envelope, ttl_s=TTL_S)
            published_at = bench.now()
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


async def beside(present: Present | None, living: Coroutine[Any, Any, None]) -> None:
    """Run ``living`` to its end, with ``present`` beside it. Raises what either of them raises, whichever is first."""
    if present is None:
        await living
        return
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(living), asyncio.ensure_future(present())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _other(bench: Bench, spoken: Spoken) -> Presence | None:
    """The latest presence of this peer, if this process and those before it in this folder did not write it."""
    found = (await bench.transport.collect(RecordKey(bench.run.id, KIND, 0))).get(bench.signer.peer)
    presence = decode(found.payload, Presence) if found is not None else None
    return presence if presence is not None and presence.at_ms > spoken.at_ms else None


def is_second(addresses: tuple[str, ...], other: Presence, *, silent_s: float) -> bool:
    """Whether this process, at ``addresses``, must leave the field to ``other``: of two at the same address both do."""
    return silent_s > TTL_S or addresses >= other.addresses


def second_holder(other: Presence) -> IdentityError:
    """Why this process ends."""
    return IdentityError(
        f"Another machine runs this peer already, at {_shown(other)}.",
        "Two machines that sign for one peer contradict each other and lose its stake; this one stopped.",
        "Stop the other one and wait for the round to end, or give this machine an identity of its own (--home).",
    )


def _told_of(other: Presence) -> Problem:
    return Problem(
        "IdentityError",
        f"Another machine runs this peer, too, at {_shown(other)}.",
        "It should have stopped by itself; if both sign in one round, the stake is lost.",
        "Stop one of the two now.",
    )


def _shown(other: Presence) -> str:
    return ", ".join(address[:80] for address in other.addresses[:2]) or "an unknown address"
