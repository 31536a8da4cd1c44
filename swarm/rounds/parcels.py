"""Why this module exists: a blob that does not come must delay nobody, and must not be asked for without end.

Each announced blob is fetched in the background: from its author first, then from whoever else may have it by now. A
failed attempt is told, and repeated after a pause that doubles, then asking the others before the author. A stream that
breaks once is nobody's fault: the first time that a blob cannot be had is not told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import BadRecord
from protocol.ids import PeerId
from protocol.messages import BlobRef
from swarm.dht.transport import Transport
from swarm.rounds.timing import Now

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0


@dataclass
class _Parcel:
    task: asyncio.Task[bytes]
    pause_s: float = FIRST_PAUSE_S
    failed_at: float | None = None
    num_failed: int = 0


class Parcels:
    """Blobs under way, by what was announced and who announced it."""

    def __init__(self, transport: Transport, now: Now) -> None:
        self._transport = transport
        self._now = now
        self._parcels: dict[tuple[BlobRef, PeerId], _Parcel] = {}

    async def take(self, ref: BlobRef, author: PeerId, others: Sequence[PeerId]) -> bytes | None:
        """The blob, or ``None`` while it is under way. Raises ``BadRecord`` once for each attempt that failed,
        a first ``unavailable`` aside."""
        parcel = self._parcels.get((ref, author))
        if parcel is None:
            parcel = self._parcels[ref, author] = _Parcel(self._fetch(ref, (author, *others)))
            await asyncio.sleep(0)
        if not parcel.task.done():
            return None
        if parcel.failed_at is not None:
            if self._now() - parcel.failed_at >= parcel.pause_s:
                parcel.task, parcel.failed_at = self._fetch(ref, (*others, author)), None
                parcel.pause_s = min(2 * parcel.pause_s, LONGEST_PAUSE_S)
            return None
        try:
            return parcel.task.result()
        except BadRecord as bad:
            parcel.failed_at = self._now()
            parcel.num_failed += 1
            if bad.reason == "unavailable" and parcel.num_failed == 1:
                return None
            raise

    async def close(self) -> None:
        """Give up whatever is still under way."""
        tasks = [parcel.task for parcel in self._parcels.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._parcels.clear()

    def _fetch(self, ref: BlobRef, providers: Sequence[PeerId]) -> asyncio.Task[bytes]:
        return asyncio.create_task(self._transport.fetch(ref, *providers))
