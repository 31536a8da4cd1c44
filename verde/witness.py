"""Why this module exists: whoever says "match" shows that it looked, by something that only the work itself yields.

    what sampling yields   of each drawn rollout: a digest of the logits before each of its tokens   (every check)
    what training yields   a digest of the gradients of every update                                 (level 2)
    witness                SHA-256 over the judge, the contribution and both

The author of the contribution has all of it from its own work, so that it can tell a right witness from a made-up one
at once and at no cost; an honest judge gets it while it checks. Nothing public says what it should be: a witness is
bound to who gives it, so another's is of no use, and nothing can be computed backwards from it. All pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from protocol.codec import content_id, encode
from protocol.ids import ContentId, PeerId

NO_STEP = sha256(b"").digest()
"""What a step yields that learns from nothing."""

_RUBRIC = "rl-swarm/witness/1"


class Yield(msgspec.Struct, frozen=True):
    """What a check comes across: a digest per drawn rollout, in their order, and one of the step (empty at level 1)."""

    rollouts: tuple[bytes, ...] = ()
    step: bytes = b""


def witness_of(judge: PeerId, contribution: ContentId, found: Yield) -> ContentId:
    """The witness that ``judge`` can give of having come across ``found`` in ``contribution``."""
    return content_id(encode((_RUBRIC, judge, contribution, list(found.rollouts), found.step)))


def yield_of(notes: Sequence[bytes], step: bytes, numbers: Sequence[int], level: int) -> Yield | None:
    """What a check of the rollouts ``numbers`` up to ``level`` comes across, from the author's own notes: a digest of
    each of its rollouts, and that of its step. ``None`` where the notes do not have it."""
    drawn = tuple(notes[number] for number in numbers if number < len(notes))
    if len(drawn) < len(numbers) or not all(drawn) or (level > 1 and not step):
        return None
    return Yield(drawn, step if level > 1 else b"")
