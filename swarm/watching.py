"""Why this module exists: where there is no dashboard, people still see what happens, while it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from swarm.observe.console import Printer

LINES_EVERY_S = 0.2


async def print_events(home: Path, since: float, notes: list[str]) -> None:
    """One readable line on stderr per event under ``home`` from ``since`` (unix seconds) on, until cancelled.

    Takes from ``notes`` what the program itself has to say. What is new at the end is still printed.
    """
    with Printer(home, since=since) as printer:
        try:
            while True:
                printer.poll()
                while notes:
                    printer.note(notes.pop(0))
                await asyncio.sleep(LINES_EVERY_S)
        finally:
            printer.poll()


@asynccontextmanager
async def events_printed(home: Path, since: float) -> AsyncIterator[None]:
    """``print_events`` while the block runs."""
    printing = asyncio.ensure_future(print_events(home, since, []))
    try:
        yield
    finally:
        printing.cancel()
        with suppress(asyncio.CancelledError):
            await printing
