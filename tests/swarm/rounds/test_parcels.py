"""Blobs under way: who breaks a stream once is not blamed, who never delivers is asked less and less often."""

from __future__ import annotations

import asyncio

import pytest

from protocol.codec import content_id
from protocol.errors import BadRecord
from protocol.ids import PeerId
from protocol.messages import BlobRef
from swarm.rounds.parcels import LONGEST_PAUSE_S, Parcels

pytestmark = pytest.mark.asyncio

ANN, BOB = PeerId("ann"), PeerId("bob")
REF = BlobRef(content=content_id(b"blob"), size=4)


class Post:
    """A transport that answers what it is told to, and remembers whom it was asked to ask."""

    def __init__(self, *answers: bytes | str) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[PeerId, ...]] = []

    async def fetch(self, ref: BlobRef, *providers: PeerId) -> bytes:
        self.asked.append(providers)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, str):
            raise BadRecord(answer, "in a test")
        return answer


class Counter:
    """Takes a parcel once a second and collects what came of it."""

    def __init__(self, post: Post) -> None:
        self.now = 0.0
        self.told: list[tuple[float, str]] = []
        self._parcels = Parcels(post, lambda: self.now)  # type: ignore[arg-type]

    async def asks(self, seconds: int) -> bytes | None:
        for _ in range(seconds):
            self.now += 1
            try:
                blob = await self._parcels.take(REF, ANN, [BOB])
            except BadRecord as bad:
                self.told.append((self.now, bad.reason))
                continue
            if blob is not None:
                return blob
            await asyncio.sleep(0)
        return None


async def test_a_stream_that_breaks_once_is_not_told_and_the_others_are_asked_next() -> None:
    post = Post("unavailable", b"blob")
    counter = Counter(post)
    assert await counter.asks(5) == b"blob"
    assert counter.told == []
    assert post.asked == [(ANN, BOB), (BOB, ANN)]


@pytest.mark.parametrize("reason", ["hash_mismatch", "stalled"])
async def test_what_is_no_accident_is_told_at_once(reason: str) -> None:
    counter = Counter(Post(reason, b"blob"))
    assert await counter.asks(5) == b"blob"
    assert counter.told == [(1.0, reason)]


async def test_a_blob_that_never_comes_is_asked_for_more_and_more_seldom() -> None:
    post = Post("unavailable")
    counter = Counter(post)
    assert await counter.asks(100) is None
    assert 100 / LONGEST_PAUSE_S / 2 < len(post.asked) < 20
    assert len(counter.told) <= len(post.asked)
