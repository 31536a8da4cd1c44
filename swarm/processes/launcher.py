"""Why this module exists: `swarm local` is a host, some peers and a view of them, each in a process of its own.

The launcher owns the processes and reads their event logs; it computes nothing and imports nothing heavy. When one of
them cannot go on, the launcher ends with that process's own error and exit code.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from protocol.errors import SwarmError
from swarm.failures import CUT_SHORT
from swarm.observe.health import Health
from swarm.observe.notes import Note
from swarm.processes.boarding import Board
from swarm.processes.children import Child, describe_exit
from swarm.processes.foreground import Foreground
from swarm.processes.guardian import start_guardian
from swarm.processes.pulse import look_at
from swarm.processes.watching import Telling, print_events
from swarm.settings.home import Home

JOIN_WAIT_S = 600
"""How long a peer waits for the host's join file; a host that fails ends the swarm, and the waiting with it."""

SWARM = (sys.executable, "-m", "swarm.cli")

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
        *,
        program: Sequence[str] = SWARM,
        board: Board | None = None,
    ) -> None:
        self.home = home
        self._program = program
        self.started_at = started_at
        self.names = [str(number) for number in range(1, num_peers + 1)]
        self.notes: list[Note] = []
        rounds = ("--rounds", str(num_rounds), "--since", str(started_at)) if num_rounds else ()
        join = ("--wait", str(JOIN_WAIT_S), "--fresh-since", str(started_at))
        self._host = self._child("host", home.host / "host.log", ["host", *host_options], self._forget_host)
        self._peers = [
            self._child(
                f"peer {name}",
                home.peer(name).log_file,
                ["run", "--peer", name, *join, *rounds, *peer_options],
                look=look_at(home.peer(name).events_file, lambda: None),
            )
            for name in self.names
        ]
        self.board = board
        self._stopping = False
        self._page = (
            self._child("leaderboard", board.log_file, board.arguments(started_at, JOIN_WAIT_S)) if board else None
        )

    async def run(self, view: View) -> int:
        """Raises the error of the process that could not go on, or what ``view`` raises."""
        with start_guardian():
            showing = asyncio.ensure_future(view(self))
            hosting = asyncio.ensure_future(self._host.supervise())
            playing = [asyncio.ensure_future(child.supervise()) for child in self._peers]
            everybody = asyncio.ensure_future(_first_failure(playing))
            boarding = asyncio.ensure_future(self._keep_board())
            try:
                await asyncio.wait({showing, hosting, everybody}, return_when=asyncio.FIRST_COMPLETED)
                if hosting.done():
                    raise _failure(self._host, hosting.result())
                if everybody.done():
                    failed = everybody.result()
                    if failed is not None:
                        raise _failure(self._peers[failed], playing[failed].result())
                else:
                    showing.result()
                return 0
            finally:
                await asyncio.shield(self._stop())
                await _end(everybody, *playing, boarding, hosting, showing)

    async def _stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*(child.stop() for child in self._peers))
        if self._page is not None:
            await self._page.stop()  # before the host: it has a last look at the chain
        await self._host.stop()

    async def _keep_board(self) -> None:
        """The page is started again when it ends, and its end is told; the swarm never ends because of it."""
        if self._page is not None:
            await self._page.supervise()
            if self._stopping:
                return
            words = self._page.error()
            why = f": {words.what}" if words is not None else "."
            told = f"The leaderboard has ended{why} The swarm goes on. Its log is {self._page.log_file}."
            self.notes.append(Note(told, is_trouble=True))

    def _forget_host(self) -> None:
        """A peer that starts while the host is away waits for the new join file instead of dialling nobody."""
        self.home.join_file.unlink(missing_ok=True)

    def _child(
        self,
        name: str,
        log_file: Path,
        arguments: Sequence[str],
        before_restart: Callable[[], None] = lambda: None,
        look: Callable[[], Health] | None = None,
    ) -> Child:
        command = [*self._program, *arguments, "--home", str(self.home.root)]
        return Child(name, command, log_file, self.notes.append, before_restart, look=look)


def _failure(child: Child, code: int) -> SwarmError:
    """The error that ended ``child``, in its own words and with its own exit code."""
    error = child.error()
    if error is None:
        words = child.last_words()
        return SwarmError(
            f"{child.name} ended with {describe_exit(code)}{f': {words}' if words else '.'}",
            CUT_SHORT,
            f"Its whole log is {child.log_file}.",
        )
    next_step = error.next_step if error.exit_code != SwarmError.exit_code else f"Its whole log is {child.log_file}."
    return type(error)(f"{child.name}: {error.what}", error.so_what or CUT_SHORT, next_step)


async def _first_failure(playing: Sequence[asyncio.Future[int]]) -> int | None:
    """Index of the first peer that ended badly, or ``None`` once all ended well."""
    waiting = set(playing)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if task.result() != 0:
                return playing.index(task)
    return None


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait for it; what it raises now was told already or no longer matters."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def show_lines(launcher: Launcher) -> None:
    """One readable line per event on stderr, with bars for what takes long where stderr is a terminal."""
    await print_events(launcher.home.root, launcher.started_at, launcher.notes)


def lines_through(telling: Telling | None) -> View:
    """The same through ``telling``, where there is one."""

    async def show(launcher: Launcher) -> None:
        await print_events(launcher.home.root, launcher.started_at, launcher.notes, telling)

    return show


async def show_dashboard(launcher: Launcher) -> None:
    """The dashboard, in a process of its own; returns when the person quits. One that dies is shown again, and after
    some times in a row there are lines instead: the swarm goes on in any case."""
    dashboard = Foreground([sys.executable, "-m", "swarm.app.dashboard", str(launcher.home.root)])
    if await dashboard.show(launcher.notes.append):
        return
    await show_lines(launcher)
