"""Why this module exists: what a peer does beside its rounds keeps money safe, so it must never end unnoticed.

    epochs      payouts are begun, wrong ones challenged, right ones affirmed
    claims      credits become tokens
    requests    data that somebody asks for on the chain is shown: who stays silent loses its stake
    evidence    who signed two contributions for one round is shown to the contract: else it keeps its stake
    disputes    both sides' moves are made in time: who misses a deadline loses

Each of these watches runs until it is cancelled. One that fails (a full disk, a defect) harms neither the rounds nor
the others: it is told, with what that means, and begun again until it gets on.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, NoReturn

from protocol.errors import SwarmError
from swarm.failures import in_words
from swarm.observe.troubles import Troubles

AGAIN_S = 5.0
STEADY_S = 30.0
"""A watch that ran for so long gets on again."""


class Duty(NamedTuple):
    """What a peer looks after by a ``watch`` that never ends by itself. ``missed``: what it means for credits while it
    does not run."""

    name: str
    missed: str
    watch: Callable[[], Coroutine[Any, Any, NoReturn]]


EPOCHS = "epochs", "Payouts may begin later, and this peer challenges no wrong one meanwhile."
CLAIMS = "claims", "Your credits are on the chain, and are not claimed meanwhile."
REQUESTS = "requests for data", "Whoever leaves a request unanswered until its deadline loses its stake."
EVIDENCE = "evidence", "Who signs two contributions for one round keeps its stake if no other peer shows them."
DISPUTES = "disputes", "Whoever misses a deadline in a game loses it, and its stake or bond with it."


@asynccontextmanager
async def kept_up(duties: Sequence[Duty], troubles: Troubles) -> AsyncIterator[None]:
    """All ``duties`` are done while the block runs."""
    working = [asyncio.ensure_future(_keep_up(one, troubles)) for one in duties]
    try:
        yield
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)


async def _keep_up(duty: Duty, troubles: Troubles) -> NoReturn:
    while True:
        watching = asyncio.ensure_future(duty.watch())
        try:
            await asyncio.wait({watching}, timeout=STEADY_S)
            if not watching.done():
                troubles.over(SwarmError)
            await watching
        except Exception as error:
            _tell(duty, error, troubles)
        finally:
            watching.cancel()
        await asyncio.sleep(AGAIN_S)


def _tell(duty: Duty, error: Exception, troubles: Troubles) -> None:
    failed = SwarmError(
        f"Looking after {duty.name} failed: {in_words(error).what}",
        duty.missed,
        "It is begun again every few seconds. If it stays, please report it with the end of the peer's log.",
    )
    if troubles.report(failed):
        traceback.print_exception(error, file=sys.stderr)
