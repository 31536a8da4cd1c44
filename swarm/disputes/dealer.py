"""Why this module exists: a hand is made once per contribution and subject, and serves every game about it.

One trace may take many minutes; it is computed on the engine's thread a slice at a time, so that rounds go on.
"""

from __future__ import annotations

import asyncio

from chain.games import WHOLE_STEP
from protocol.errors import VerificationError
from protocol.events import Progress
from protocol.ids import ContentId
from swarm.disputes.archive import Archive
from swarm.disputes.hand import Dealing, Hand, check_state
from swarm.disputes.words import subject_words
from swarm.policy.base import Provable, StateParts
from swarm.rounds.work import Bench


class Dealer:
    """Hands of one peer, by contribution and subject."""

    def __init__(self, bench: Bench, archive: Archive) -> None:
        self._bench = bench
        self._archive = archive
        self._hands: dict[tuple[ContentId, int], asyncio.Task[Hand]] = {}

    async def hand(self, content: ContentId, subject: int) -> Hand:
        """The hand for games about that, made now where there is none; who is cancelled in between stops nobody else.

        Raises ``VerificationError`` where what it is made from is not all there, ``NotBuiltYet`` where there is no
        program; the next call tries again.
        """
        key = (content, subject)
        task = self._hands.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._hands[key] = asyncio.ensure_future(self._deal(content, subject))
        return await asyncio.shield(task)

    def state(self, root: ContentId) -> StateParts:
        """A state that is kept. Raises ``VerificationError`` where it is not, or is damaged."""
        parts = self._bench.genesis if root == self._bench.run.model else self._archive.state(root)
        if parts is None:
            raise _lost(f"the state {root[:16]}…")
        check_state(parts, root)
        return parts

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._hands.values():
            task.cancel()
        await asyncio.gather(*self._hands.values(), return_exceptions=True)

    async def _deal(self, content: ContentId, subject: int) -> Hand:
        bench, dossier = self._bench, self._archive.dossier(content)
        if dossier is None or not isinstance(bench.engine, Provable):
            raise _lost(f"the records of the contribution {content[:16]}…")
        contribution = dossier.contribution
        computation = await asyncio.to_thread(dossier.computation, bench.engine, subject)
        before = self.state(contribution.state_before)
        after = self.state(contribution.state_after) if subject == WHOLE_STEP else None
        bench.events.append(Progress(f"doing {subject_words(subject)} of round {dossier.round} again, traced"))
        dealing = await bench.room.call(Dealing, computation, before, after)
        while True:
            hand = await bench.room.call(dealing.go_on)
            if hand is not None:
                return hand
            await asyncio.sleep(0)


def _lost(what: str) -> VerificationError:
    return VerificationError(
        f"A dispute needs {what}, and this peer keeps that no more.",
        "A game about it cannot be played; its deadline decides it.",
        "Keep a peer's home until its rounds are paid.",
    )
