"""Why this module exists: a peer's chain half as a process of its own, that dies by ``kill -9`` where it is told to.

    python -m tests.chaos.actor '{"url": …, "contracts": …, "player": 0, "folder": …, "stop": …, "kill": …}'

``kill``: at which of its points, when there, and whether points count from the first broadcast on only. Points are the
requests to the chain and the lines written; it dies ``before`` anything happens there, ``during`` the request, or
``after`` its answer or the line is there.

Exits with 0 once ``stop`` exists, everything is settled, claimed and confirmed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from chain.base import Contracts
from chain.durable import DurableLines
from chain.endpoints import Endpoint
from chain.nonces import WalletLog
from chain.web3_chain import Web3Chain
from protocol.errors import ChainError, ChainUnreachable
from rewards.outbox import Outbox
from tests.chaos import game

GONE = "EpochNotOpen"
"""A view of the epochs takes several requests. Between two of them the chain may lose the block with the newest one."""


class Orders(msgspec.Struct):
    """``plays``, ``claims``: what it sends. ``wallet``: whose wallet it uses (another player's means a shared one)."""

    url: str
    contracts: Contracts
    player: int
    folder: str
    stop: str
    plays: bool = True
    claims: bool = True
    depth: int = 2
    kill: tuple[int, str, bool] | None = None


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Reaper:
    """Counts points, and dies at one of them."""

    def __init__(self, at: int, when: str, from_broadcast: bool) -> None:
        self._left, self._when, self._counting = at, when, not from_broadcast
        ask, append = Endpoint._make_request, DurableLines.append

        async def ask_or_die(endpoint: Endpoint, method: Any, data: bytes) -> bytes:
            self._counting = self._counting or method == "eth_sendRawTransaction"
            return await self._point(lambda: ask(endpoint, method, data))

        def append_or_die(lines: DurableLines, *arguments: Any, **options: Any) -> int:
            self._left -= self._counting
            if self._left == 0 and self._when != "after":
                die()
            size = append(lines, *arguments, **options)
            if self._left == 0:
                die()
            return size

        Endpoint._make_request = ask_or_die  # type: ignore[method-assign,assignment]
        DurableLines.append = append_or_die  # type: ignore[method-assign,assignment]

    async def _point(self, work: Callable[[], Awaitable[bytes]]) -> bytes:
        self._left -= self._counting
        mine = self._left == 0
        if mine and self._when == "before":
            die()
        if mine and self._when == "during":
            threading.Timer(0.002, die).start()
        answer = await work()
        if mine:
            die()
        return answer


def is_over(orders: Orders) -> bool:
    return Path(orders.stop).exists()


async def main(orders: Orders) -> None:
    me, folder = game.PLAYERS[orders.player], Path(orders.folder)
    log = WalletLog(folder / "wallet.log")
    chain = Web3Chain([orders.url], orders.contracts, me.account, wallet_log=log, receipt_timeout_s=20)
    outbox = Outbox(folder / f"outbox-{orders.plays:d}{orders.claims:d}.log", depth=orders.depth)
    while True:
        try:
            view = await chain.clock()
            stopping = is_over(orders)
            wanted = await game.due(
                chain, view, orders.player, plays=orders.plays and not stopping, claims=orders.claims
            )
            for intent in wanted:
                outbox.put(intent)
            flushed = await outbox.flush(chain)
            for intent, error in flushed.refused + flushed.held:
                print(f"{time.time():.3f} {type(intent).__name__} {error.reason}: {error}", flush=True)
            is_settled_up = not orders.claims or await game.are_paid(chain, [orders.player])
            if stopping and not outbox.pending and not wanted and is_settled_up:
                break
        except ChainUnreachable:
            pass
        except ChainError as error:
            if error.reason != GONE:
                raise
            print(f"{time.time():.3f} look again: {error}", flush=True)
        await asyncio.sleep(0.05)
    await chain.close()


if __name__ == "__main__":
    given = msgspec.json.decode(sys.argv[1], type=Orders)
    if given.kill is not None:
        Reaper(*given.kill)
    asyncio.run(main(given))
