"""Why this module exists: tests of a whole swarm start real processes, and must find, kill and outlive all of them.

Whatever a test starts carries a tag in its environment, which all its descendants inherit: so no process escapes the
clean-up, and none that the test did not start is ever touched. Tests wait for what processes write, never for time.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from protocol.events import Event, PeerStarted
from swarm.observe.eventlog import read

TAG = "RLSWARM_TEST_TAG"

PATIENCE_S = 120.0
"""Far more than anything takes on a machine of its own; a busy one may need it."""

SMALL = {
    "SWARM_GAME__NUM_QUESTIONS": "4",
    "SWARM_GAME__NUM_SAMPLES": "2",
    "SWARM_LEARN__NUM_EXTERNAL": "2",
    "SWARM_LEARN__NUM_UPDATES": "1",
    "SWARM_OBSERVE__NUM_EVAL_QUESTIONS": "32",
    "SWARM_TIME__STAGE_S": "30",
    "SWARM_TIME__CONTRIBUTE_S": "20",
    "SWARM_TIME__POSTER_S": "4",
    "SWARM_TIME__ROUND_S": "120",
    "SWARM_NETWORK__HOST": "127.0.0.1",
    "SWARM_CHAIN__GATE_HOST": "127.0.0.1",
}
"""A round of a few seconds, with limits that hold on a machine that is busy with something else."""

Kind = TypeVar("Kind", bound=Event)


must_live: list[Command] = []
"""Commands without which nothing that a test waits for can happen."""


def wait_until(true: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """The first truthy value of ``true()``; fails with ``what`` after ``timeout_s``, or when a command has died."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = true()
        if found:
            return found
        for command in must_live:
            assert command.process.poll() is None, f"waiting for {what}, but: {command.told()}"
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.02)


class Family:
    """All processes that descend from a test, by their tag."""

    def __init__(self) -> None:
        self.tag = secrets.token_hex(8)

    def members(self) -> list[psutil.Process]:
        return [process for process in psutil.process_iter() if self._is_member(process)]

    def of(self, *words: str) -> list[psutil.Process]:
        """Living members whose command line holds all ``words``."""
        return [process for process in self.members() if set(words) <= set(_command_line(process))]

    def named(self, name: str) -> list[psutil.Process]:
        return [process for process in self.members() if name in Path((_command_line(process) or [""])[0]).name]

    def is_gone(self) -> bool:
        return not self.members()

    def end(self) -> None:
        """Kill whoever is left; for the end of a test."""
        for _ in range(100):
            left = self.members()
            if not left:
                return
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=1.0)
        raise AssertionError(f"these survive SIGKILL: {[_command_line(process) for process in left]}")

    def _is_member(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError, SystemError):
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TAG) == self.tag
        return False


def _command_line(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


class Command:
    """One running ``swarm`` command. ``stdout`` and ``stderr`` are files, so that nothing ever blocks on a pipe."""

    def __init__(self, family: Family, folder: Path, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
        stem = folder / f"command-{len(list(folder.glob('command-*.out')))}"
        self.stdout, self.stderr = stem.with_suffix(".out"), stem.with_suffix(".err")
        with self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                command_line(arguments),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment(family, settings),
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code (negative: the signal that ended it)."""
        return self.process.wait(timeout_s)

    def result(self, timeout_s: float = 2 * PATIENCE_S) -> Any:
        """The JSON object on the last line of stdout, after a good end."""
        code = self.wait(timeout_s)
        assert code == 0, f"exit code {code}: {self.told()}"
        return json.loads(self.stdout.read_text().splitlines()[-1])

    def told(self) -> str:
        """The end of what it wrote for people."""
        return "\n".join(self.stderr.read_text(errors="replace").splitlines()[-40:])


def command_line(arguments: Sequence[str]) -> list[str]:
    """``swarm ARGUMENTS``, of the tree under test."""
    return [sys.executable, "-m", "swarm.cli", *arguments]


def environment(family: Family, settings: Mapping[str, str]) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("SWARM_")}
    return outer | {TAG: family.tag} | SMALL | settings


class PeerLog:
    """What one peer of a home has told so far."""

    def __init__(self, home: Path, name: str) -> None:
        self.name = name
        self.folder = home / "peers" / name
        self.path = self.folder / "events.jsonl"

    def all(self, kind: type[Kind], *, after: int = 0, **fields: Any) -> list[Kind]:
        """Events of one kind with these field values, later than event number ``after``."""
        return [event for _, event in self.numbered(kind, after=after, **fields)]

    def numbered(self, kind: type[Kind], *, after: int = 0, **fields: Any) -> Iterator[tuple[int, Kind]]:
        for logged in read(self.path).events:
            event = logged.event
            if logged.seq > after and isinstance(event, kind) and _has(event, fields):
                yield logged.seq, event

    def last(self, kind: type[Kind], **fields: Any) -> Kind:
        return self.all(kind, **fields)[-1]

    def now(self) -> int:
        """Number of the latest event."""
        events = read(self.path).events
        return events[-1].seq if events else 0

    def wait(self, kind: type[Kind], *, after: int = 0, timeout_s: float = PATIENCE_S, **fields: Any) -> Kind:
        """The first such event after event number ``after``, as soon as it is written."""
        what = f"{kind.__name__} {fields} in {self.path}"
        found = wait_until(lambda: self.all(kind, after=after, **fields), what, timeout_s)
        return found[0]  # type: ignore[no-any-return]

    def pid(self) -> int:
        return self.last(PeerStarted).pid


def _has(event: Event, fields: dict[str, Any]) -> bool:
    return all(getattr(event, name) == value for name, value in fields.items())
