"""Why this module exists: where there is no dashboard, people still see what happens, while it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

from swarm.observe.console import Printer
from swarm.observe.notes import Note

LINES_EVERY_S = 0.2


class Telling(Protocol):
    """Something that tells what is new, and what the program itself has to say."""

    def poll(self) -> int: ...

    def note(self, note: Note) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


async def print_events(
    home: Path, since: float, notes: list[Note], telling: Telling | None = None, *, only: str | None = None
) -> None:
    """One readable line on stderr per event under ``home`` (of one peer: ``only``) from ``since`` (unix seconds) on,
    until cancelled; or what ``telling`` makes of it.

    Takes from ``notes`` what the program itself has to say. What is new at the end is still printed.
    """
    with telling or Printer(home, since=since, only=only) as printer:

        def tell() -> None:
            printer.poll()
            while notes:
                printer.note(notes.pop(0))

        try:
            while True:
                tell()
                await asyncio.sleep(LINES_EVERY_S)
        finally:
            tell()


@asynccontextmanager
async def events_printed(
    home: Path, since: float, telling: Telling | None = None, *, only: str | None = None
) -> AsyncIterator[None]:
    """``print_events`` while the block runs."""
    printing = asyncio.ensure_future(print_events(home, since, [], telling, only=only))
    try:
        yield
    finally:
        printing.cancel()
        with suppress(asyncio.CancelledError):
            await printing
