"""Why this module exists: without a dashboard, people still want to see what happens, and that long things move.

``Printer`` follows the logs of a home and prints one line per event. On a terminal, long things (set-up, model load,
stages) are live bars below the lines; elsewhere they are a few plain lines. Everything goes to stderr: stdout is data.
"""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from protocol import events as e
from protocol.events import LoggedEvent
from swarm.observe.eventlog import START, Position, read_from
from swarm.observe.lines import line
from swarm.observe.notes import Note
from swarm.observe.stores import EVENTS
from swarm.observe.text import plain

POLL_S = 0.25


class Follower:
    """New events of all peers and the host of a home, or of one of them (``only``: a peer's name, or ``host``), oldest
    first; those before ``since`` (unix s) are passed over."""

    def __init__(self, home: Path, since: float = 0.0, only: str | None = None) -> None:
        self._home = Path(home)
        self._since = since
        self._only = only
        self._positions: dict[Path, Position] = {}
        self._names: dict[Path, str] = {}

    def poll(self) -> list[tuple[str, LoggedEvent]]:
        """(nickname, event) of everything written since the last call."""
        return [(nickname, logged) for _, nickname, logged in self.poll_named()]

    def poll_named(self) -> list[tuple[str, str, LoggedEvent]]:
        """(folder's name, nickname, event) of everything written since the last call."""
        found: list[tuple[str, str, LoggedEvent]] = []
        for path in (self._home / "host" / EVENTS, *sorted((self._home / "peers").glob(f"*/{EVENTS}"))):
            more = self._only in (None, path.parent.name)
            while more:
                chunk = read_from(path, self._positions.get(path, START))
                self._positions[path], more = chunk.position, chunk.more
                for logged in chunk.events:
                    if isinstance(logged.event, e.PeerStarted):
                        self._names[path] = logged.event.nickname
                    if logged.at >= self._since:
                        name = path.parent.name
                        found.append((name, self._names.get(path, name), logged))
        return sorted(found, key=lambda one: one[2].at)


class ProgressDisplay:
    """Shows ``Progress`` events and running stages: bars on a terminal, otherwise a line per quarter done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._quarters: dict[tuple[str, str], int] = {}
        self._bars: Progress | None = None
        if console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(24),
                TimeElapsedColumn(),
            )
            self._bars = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> ProgressDisplay:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, event: e.Event, nickname: str) -> None:
        """Take note of any event; those that start, move or end something long change the display."""
        if isinstance(event, e.Progress):
            self._move(nickname, plain(event.what, 80), event.done, event.total)
        elif isinstance(event, e.StageStarted) and self._bars is not None:
            self._move(nickname, f"round {event.round}: {event.stage}", 0, 0)
        elif isinstance(event, (e.StageEnded, e.RoundOpened, e.RoundEnded, e.Stopped)):
            self._end(nickname)

    def _move(self, nickname: str, what: str, done: int, total: int) -> None:
        if self._bars is None:
            self._say(nickname, what, done, total)
            return
        label, over = f"{nickname}: {what}", 0 < total <= done
        task = self._tasks.get(nickname)
        if over:
            self._end(nickname)
        elif task is None:
            self._tasks[nickname] = self._bars.add_task(label, total=total or None, completed=done)
        else:
            if self._bars.tasks[self._bars.task_ids.index(task)].description != label:
                self._bars.reset(task)
            self._bars.update(task, description=label, total=total or None, completed=done)

    def _say(self, nickname: str, what: str, done: int, total: int) -> None:
        quarter = 4 * min(done, total) // total if total > 0 else 0
        if self._quarters.get((nickname, what), -1) == quarter:
            return
        self._quarters[nickname, what] = quarter
        amount = f" ({done} of {total})" if total > 0 else ""
        print_line(self._console, f"{nickname}: {what}{amount}")

    def _end(self, nickname: str) -> None:
        task = self._tasks.pop(nickname, None)
        if task is not None and self._bars is not None:
            self._bars.remove_task(task)
        for key in [key for key in self._quarters if key[0] == nickname]:
            del self._quarters[key]


class Printer:
    """Prints what happens under ``home``, or to one of its peers (``only``), from ``since`` (unix s) on. ``console``
    defaults to stderr."""

    def __init__(
        self, home: Path, since: float = 0.0, console: Console | None = None, *, only: str | None = None
    ) -> None:
        self._follower = Follower(home, since, only)
        self._console = console or Console(stderr=True)
        self._progress = ProgressDisplay(self._console)

    def poll(self) -> int:
        """Print what is new; the number of lines printed."""
        num_lines = 0
        for nickname, logged in self._follower.poll():
            self._progress.show(logged.event, plain(nickname, 40))
            text = line(logged.event, nickname)
            if text is not None:
                print_line(self._console, text)
                num_lines += 1
        return num_lines

    def note(self, note: Note) -> None:
        """Print a line of the program itself, between those of the peers."""
        print_line(self._console, note.text)

    def __enter__(self) -> Printer:
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__()


def print_line(console: Console, text: str) -> None:
    """One line as it is: no markup, no highlighting, no wrapping."""
    console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)
