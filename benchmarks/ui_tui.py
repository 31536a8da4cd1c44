"""Why this module exists: a dashboard that is left open all day must cost next to nothing, also after 1,000 rounds.

A home of one local peer in a swarm of 20 with 1,000 rounds of history is written; the dashboard runs on it in a
pseudo-terminal, while a writer goes on with rounds of the usual length. Each screen is shown for a while. Measured:
the process's CPU time by wall time per screen, the time until the first picture, and how late an event is shown.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.swarm_runs import criterion, empty_home
from protocol.events import LoggedEvent, Problem, RoundOpened
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import playback

NUM_PEERS = 20
NUM_ROUNDS = 1_000
SCREENS = ("overview", "round", "peers", "rollouts", "wallet", "disputes", "logs")
ROUND_S = playback.ROUND_S
MAX_CORE_SHARE = 0.05
_ESCAPE = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """The dashboard in a pseudo-terminal of 120 x 36; what it draws is read and searched, and then dropped."""

    def __init__(self, home: Path) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        command = [sys.executable, "-m", "swarm.cli", "top", "--home", str(home)]
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._ours = ours
        self._seen = threading.Condition()
        self._tail = b""
        self.num_bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str, timeout_s: float) -> float:
        """Seconds until ``text`` is drawn. Raises ``TimeoutError``."""
        started = time.monotonic()
        with self._seen:
            while text.encode() not in self._tail:
                if not self._seen.wait(max(0.0, started + timeout_s - time.monotonic())):
                    raise TimeoutError(f"{text!r} was not drawn in {timeout_s} s")
        return time.monotonic() - started

    def cpu_s(self) -> float:
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def close(self) -> None:
        self.press("q")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def _read(self) -> None:
        try:
            while block := os.read(self._ours, 65536):
                with self._seen:
                    self.num_bytes += len(block)
                    self._tail = (self._tail + _ESCAPE.sub(b"", block))[-400_000:]
                    self._seen.notify_all()
        except OSError:
            return  # the terminal is gone with its process


class Writer:
    """Goes on with the peer's rounds in real time."""

    def __init__(self, log: EventLog, first_round: int) -> None:
        self._log = log
        self._round = first_round
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        peers = list(range(NUM_PEERS))
        while not self._stop.is_set():
            opened = time.time()
            steps = sorted(playback.one_round(self._round, 0, peers), key=lambda step: step[0])
            for at, event in steps:
                if self._stop.wait(max(0.0, opened + at - time.time())):
                    return
                if isinstance(event, RoundOpened):
                    event = RoundOpened(
                        event.round, event.seed, event.members, event.cohort, opened, opened + ROUND_S + 30
                    )
                self._log.append(event)
            self._round += 1
            if self._stop.wait(max(0.0, opened + ROUND_S - time.time())):
                return


def history(home: Path) -> Path:
    """Write a log of 1,000 rounds that ended just now; its path."""
    path = home / "peers" / "1" / "events.jsonl"
    clock = [0.0]
    shift = time.time() - (playback.START_AT + 6 + NUM_ROUNDS * ROUND_S)
    with EventLog(path, now=lambda: clock[0]) as log:
        for at, event in playback.script(0, NUM_PEERS, NUM_ROUNDS):
            clock[0] = at + shift
            log.append(event)
    return path


def measure(seconds_per_screen: float) -> dict[str, Any]:
    """All figures: shares of a core by screen, seconds to the first picture, seconds until an event is shown."""
    with empty_home() as home:
        path = history(home)
        size_mb = path.stat().st_size / 1e6
        screen = Screen(home)
        writer = None
        log = EventLog(path)
        try:
            first_s = screen.wait_for(f"Round {NUM_ROUNDS}", 300)
            writer = Writer(log, NUM_ROUNDS + 1)
            shares: dict[str, float] = {}
            for key, name in enumerate(SCREENS, start=1):
                screen.press(str(key))
                time.sleep(3.0)  # what it costs to change screens is no part of watching one
                before, started = screen.cpu_s(), time.monotonic()
                time.sleep(seconds_per_screen)
                shares[name] = (screen.cpu_s() - before) / (time.monotonic() - started)
            lags = [_lag_s(screen, log, number) for number in range(5)]
            rss_mb = psutil.Process(screen.process.pid).memory_info().rss / 1e6
        finally:
            if writer is not None:
                writer.stop()
            screen.close()
            log.close()
    return {
        "shares": {name: round(share, 4) for name, share in shares.items()},
        "first_picture_s": round(first_s, 2),
        "lag_s": round(max(lags), 2),
        "log_mb": round(size_mb, 1),
        "rss_mb": round(rss_mb, 1),
    }


def _lag_s(screen: Screen, log: EventLog, number: int) -> float:
    """Seconds from the writing of an event until the screen of logs shows it."""
    word = f"mark-{number}-{os.getpid()}"
    logged: LoggedEvent = log.append(Problem("Mark", word, "", ""))
    assert logged.seq > 0
    waited = screen.wait_for(word, 30)
    time.sleep(1.0)
    return waited


def figures(quick: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Details and criteria. ``tui_core_share`` is that of the dearest screen."""
    found = measure(8.0 if quick else 30.0)
    return found, [
        criterion("tui_core_share", max(found["shares"].values()), MAX_CORE_SHARE, "cores"),
        criterion("tui_first_picture_s", found["first_picture_s"], None, "s"),
        criterion("tui_lag_s", found["lag_s"], None, "s"),
    ]
