"""Why this module exists: a deposit that is asked for once is made once, also when the command is killed in between.

What a person orders is written to HOME/peers/NAME/runs/RUN/errands.log before it is sent, with a number of its own. The
next command finishes it, and the contract recognises the number, so nothing is paid twice. The peer itself may run at
the same time: it has an outbox of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chain.base import Chain, Intent, Receipt
from protocol.errors import ChainError, ChainUnreachable, ConfigError
from rewards.outbox import Outbox

FILE = "errands.log"
POLL_S = 0.3


class Errands:
    """The orders of one peer in one run. Open it with ``open_errands``."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    @property
    def unfinished(self) -> tuple[Intent, ...]:
        """What an earlier command wrote down and did not see through."""
        return self._outbox.pending

    async def run(self, chain: Chain, intent: Intent, *, depth: int, timeout_s: float = 120.0) -> Receipt:
        """Write ``intent`` down, send it and wait until ``depth`` blocks are on top of it.

        The receipt has an empty transaction when an earlier command had sent it. Raises what the contract answers, or
        ``ChainUnreachable``: then it is kept.
        """
        self._outbox.put(intent)
        return await self.finish(chain, intent, depth=depth, timeout_s=timeout_s)

    async def finish(self, chain: Chain, intent: Intent, *, depth: int, timeout_s: float = 120.0) -> Receipt:
        """See through what is written down already; see ``run``."""
        receipt = Receipt("", 0, 0)
        try:
            async with asyncio.timeout(timeout_s):
                while intent in self._outbox.pending:
                    flushed = await self._outbox.flush(chain, depth=depth)
                    receipt = next((done for sent, done in flushed.sent if sent == intent), receipt)
                    for refused, error in (*flushed.refused, *flushed.held):
                        if refused == intent:
                            raise error
                    if flushed.unreachable is not None:
                        raise _kept(flushed.unreachable)
                    if intent in self._outbox.pending:
                        await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise _kept(ChainUnreachable(f"The chain made too few blocks within {timeout_s:g} s.")) from None
        return receipt


@contextmanager
def open_errands(folder: Path) -> Iterator[Errands]:
    """The errands in ``folder`` (made when missing); one command at a time, else ``ConfigError``."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "errands.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "Another command of this peer is sending to the chain right now.",
                "Nothing was sent by this one.",
                "Wait until it is done, then run this command again.",
            ) from None
        yield Errands(Outbox(folder / FILE))
    finally:
        os.close(descriptor)


def _kept(error: ChainError) -> ChainUnreachable:
    return ChainUnreachable(
        error.what,
        "What was ordered is written down, and is sent once, however often the command is repeated.",
        "Check the endpoint, then run any `swarm stake`, `unstake` or `withdraw` of this peer again.",
    )
