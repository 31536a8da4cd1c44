"""Why this module exists: two peers with one identity break each other's streams; the second one is told at once.

libp2p cannot tell (it takes both for the same peer), and hivemind's own check costs a second daemon. A running peer
announces itself every few seconds, with addresses: one that is not ours and still accepts connections is another
holder. A peer that was killed and started again does not trip over its own last words, because nobody listens there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from protocol.codec import decode
from protocol.errors import BadRecord
from protocol.messages import Envelope, Presence

_MAX_TRIED = 8


async def other_holder(announced: Envelope, own_addresses: Collection[str], *, timeout_s: float = 1.0) -> str | None:
    """The address in our own identity's presence record that is not ours and answers; ``None`` when there is none.

    A program that took over a dead peer's port within the presence's lifetime is mistaken for it.
    """
    try:
        presence = decode(announced.payload, Presence)
    except BadRecord:
        return None
    foreign = [address for address in presence.addresses[:_MAX_TRIED] if address not in own_addresses]
    answers = await asyncio.gather(*(_accepts(address, timeout_s) for address in foreign))
    return next((address for address, answered in zip(foreign, answers, strict=True) if answered), None)


async def _accepts(address: str, timeout_s: float) -> bool:
    parts = address.split("/")
    if len(parts) < 5 or parts[1] not in ("ip4", "ip6") or parts[3] != "tcp" or not parts[4].isdigit():
        return False
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(parts[2], int(parts[4]))
    except (OSError, OverflowError, TimeoutError):
        return False
    writer.close()
    return True
