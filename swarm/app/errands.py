"""Why this module exists: a deposit that is asked for once is made once, also when the command is killed in between.

What a person orders is written to HOME/peers/NAME/runs/RUN/errand.json before it is sent, with a number of its own that
the contract recognises. It leaves the disk when it is done for good or refused; the next command finishes what one that
was killed had begun. The peer itself may run at the same time: it has an outbox of its own.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from chain.base import Chain, Intent, Receipt
from protocol.errors import ChainError, ChainUnreachable, ConfigError
from swarm.settings.home import write_atomically

FILE = "errand.json"
POLL_S = 0.3
TIMEOUT_S = 300.0


class _Errand(msgspec.Struct, frozen=True):
    intent: Intent


class Errands:
    """The order of one peer in one run that is under way. Open it with ``open_errands``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def unfinished(self) -> Intent | None:
        """What an earlier command wrote down and did not see through. Raises ``ConfigError`` for a damaged file."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Errand).intent
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{self._path} cannot be read: {error}.",
                "It may be an order that is not sent yet; nothing was sent.",
                "Look at the peer's stake with `swarm credits`, then remove the file.",
            ) from error

    async def run(self, chain: Chain, intent: Intent, *, depth: int, timeout_s: float = TIMEOUT_S) -> Receipt:
        """Write ``intent`` down, send it, and wait until ``depth`` blocks are on top of it.

        The receipt has an empty transaction when it was sent before. Raises what the chain answers; only after
        ``ChainUnreachable`` the order stays: nobody knows whether it got through.
        """
        if self.unfinished not in (None, intent):
            raise ConfigError(
                "An earlier order of this peer is not finished.",
                "Nothing was sent; the earlier order is kept.",
                "Run the command that ordered it again, or any other one of this peer: it is finished first.",
            )
        write_atomically(self._path, msgspec.json.encode(_Errand(intent)), mode=0o600)
        try:
            async with asyncio.timeout(timeout_s):
                receipt = await _seen_through(chain, intent, depth)
        except TimeoutError:
            raise _kept(f"The chain made too few blocks within {timeout_s:g} s.") from None
        except ChainUnreachable as error:
            raise _kept(error.what) from error
        except ChainError:
            self._path.unlink(missing_ok=True)
            raise
        self._path.unlink(missing_ok=True)
        return receipt


@contextmanager
def open_errands(folder: Path) -> Iterator[Errands]:
    """The errand in ``folder`` (made when missing); one command at a time, else ``ConfigError``."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "errand.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "Another command of this peer is sending to the chain right now.",
                "Nothing was sent by this one.",
                "Wait until it is done, then run this command again.",
            ) from None
        yield Errands(folder / FILE)
    finally:
        os.close(descriptor)


async def _seen_through(chain: Chain, intent: Intent, depth: int) -> Receipt:
    """Send, and look again: a chain may lose its newest blocks, and then the order is sent once more."""
    sent = await chain.send(intent)
    since = sent.block
    while True:
        head = (await chain.clock()).block
        if head >= since + depth:
            again = await chain.send(intent)
            if not again.transaction:
                return sent
            sent, since = again, again.block
        await asyncio.sleep(POLL_S)


def _kept(what: str) -> ChainUnreachable:
    return ChainUnreachable(
        what,
        "What was ordered is written down, and is done once, however often the command is repeated.",
        "Check the endpoint, then run the same command again.",
    )
