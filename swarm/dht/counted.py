"""Why this module exists: how often the network was asked, and what came of it, is counted where it is asked.

Wraps any ``Transport``; whoever tells it (once a round, as an event) takes the counts away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from protocol.errors import BadRecord, NetworkError
from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef, Envelope
from swarm.dht.transport import RecordKey, Transport


class Tally:
    """Operations since the last ``take``, by ``"name result"``. Results: ``ok``, ``unreachable``, or a rule's name."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, op: str, result: str) -> None:
        self._counts[f"{op} {result}"] += 1

    def take(self) -> dict[str, int]:
        """What was counted; counting begins anew."""
        taken, self._counts = dict(sorted(self._counts.items())), Counter()
        return taken


class CountedTransport:
    """A ``Transport`` that counts into ``tally`` and changes nothing else."""

    def __init__(self, inner: Transport, tally: Tally) -> None:
        self._inner = inner
        self._tally = tally

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._inner.addresses

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        with _Counting(self._tally, "publish"):
            await self._inner.publish(envelope, ttl_s=ttl_s)

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        with _Counting(self._tally, "collect"):
            return await self._inner.collect(key)

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        with _Counting(self._tally, "collect"):
            return await self._inner.collect_all(key)

    def offer(self, blob: bytes) -> BlobRef:
        return self._inner.offer(blob)

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None:
        self._inner.serve_from(find)

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        with _Counting(self._tally, "fetch"):
            return await self._inner.fetch(ref, provider, *others)

    async def close(self) -> None:
        await self._inner.close()


class _Counting:
    """One operation; what was cancelled is not counted."""

    def __init__(self, tally: Tally, op: str) -> None:
        self._tally = tally
        self._op = op

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is None:
            self._tally.add(self._op, "ok")
        elif isinstance(error, BadRecord):
            self._tally.add(self._op, error.reason)
        elif isinstance(error, NetworkError):
            self._tally.add(self._op, "unreachable")
