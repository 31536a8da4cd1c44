"""Why this module exists: `swarm local` is a host, some peers and a view of them, each in a process of its own.

The launcher owns the processes and reads their event logs; it computes nothing and imports nothing heavy.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from protocol.errors import SwarmError
from swarm.children import Child, describe_exit
from swarm.guardian import start_guardian
from swarm.home import Home
from swarm.observe.console import Printer

JOIN_WAIT_S = 120
LINES_EVERY_S = 0.2

View = Callable[["Launcher"], Awaitable[None]]
"""Shows the swarm until the person quits (returns) or the swarm ends (is cancelled)."""


class Launcher:
    """A private swarm. ``run`` returns the exit code: 0 when all peers played their rounds or the person quit."""

    def __init__(
        self,
        home: Home,
        num_peers: int,
        num_rounds: int | None,
        started_at: float,
        host_options: Sequence[str],
        peer_options: Sequence[str],
    ) -> None:
        self.home = home
        self.started_at = started_at
        self.names = [str(number) for number in range(1, num_peers + 1)]
        self.notes: list[str] = []
        rounds = ("--rounds", str(num_rounds), "--since", str(started_at)) if num_rounds else ()
        self._host = self._child("host", home.host / "host.log", ["host", *host_options])
        self._peers = [
            self._child(
                f"peer {name}",
                home.peer(name).log_file,
                ["run", "--peer", name, "--wait", str(JOIN_WAIT_S), *rounds, *peer_options],
            )
            for name in self.names
        ]

    async def run(self, view: View) -> int:
        self.home.join_file.unlink(missing_ok=True)
        with start_guardian():
            showing = asyncio.ensure_future(view(self))
            hosting = asyncio.ensure_future(self._host.supervise())
            playing = [asyncio.ensure_future(child.supervise()) for child in self._peers]
            try:
                return await self._until_over(showing, hosting, playing)
            finally:
                await asyncio.shield(self._stop())
                showing.cancel()
                with suppress(asyncio.CancelledError):
                    await showing
                for task in (hosting, *playing):
                    task.cancel()

    async def _until_over(
        self, showing: asyncio.Future[None], hosting: asyncio.Future[int], playing: Sequence[asyncio.Future[int]]
    ) -> int:
        everybody = asyncio.ensure_future(_first_failure(playing))
        watched: set[asyncio.Future[Any]] = {showing, hosting, everybody}
        done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if hosting in done:
            raise self._failed(self._host, hosting.result())
        if everybody in done:
            failed = everybody.result()
            if failed is not None:
                raise self._failed(self._peers[failed], playing[failed].result())
            return 0
        everybody.cancel()
        await showing
        return 0

    async def _stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self._peers))
        await self._host.stop()

    def _failed(self, child: Child, code: int) -> SwarmError:
        error = SwarmError(
            f"{child.name} ended with {describe_exit(code)}: {child.last_words()}",
            "The swarm was stopped; what was earned is kept.",
            f"Its whole log is in {child.log_file}.",
        )
        error.exit_code = code if code > 0 else 1  # type: ignore[misc]
        return error

    def _child(self, name: str, log_file: Path, arguments: Sequence[str]) -> Child:
        command = [sys.executable, "-m", "swarm.cli", *arguments, "--home", str(self.home.root)]
        return Child(name, command, log_file, self.notes.append)


async def _first_failure(playing: Sequence[asyncio.Future[int]]) -> int | None:
    """Index of the first peer that ended badly, or ``None`` once all ended well."""
    waiting = set(playing)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.result() != 0:
                return playing.index(task)
    return None


async def show_lines(launcher: Launcher) -> None:
    """One readable line per event on stderr, with bars for what takes long where stderr is a terminal."""
    printer = Printer(launcher.home.root, since=launcher.started_at)
    with printer:
        try:
            while True:
                printer.poll()
                while launcher.notes:
                    printer.note(launcher.notes.pop(0))
                await asyncio.sleep(LINES_EVERY_S)
        finally:
            printer.poll()


async def show_dashboard(launcher: Launcher) -> None:
    """The Textual dashboard; returns when the person quits."""
    from tui.app import SwarmDashboard

    await SwarmDashboard(launcher.home.root).run_async()
