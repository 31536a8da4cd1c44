"""However a swarm ends, nothing of it is left running, and its exit code says how it ended."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.events import Joined, StageStarted
from tests.integration.conftest import Start
from tests.integration.processes import Command, Family, PeerLog, command_line, environment, wait_until
from tests.integration.terminal import Terminal

pytestmark = pytest.mark.integration

NAMES = ("1", "2")
WITH_PAGE = ("local", "--peers", str(len(NAMES)))
LOCAL = (*WITH_PAGE, "--no-leaderboard")
SECOND_SCREEN = b"\x1b[?1049h"
GONE_S = 15.0
"""Seconds in which everything must have ended; on a quiet machine it takes two or three."""


@pytest.fixture
def logs(home: Path) -> list[PeerLog]:
    return [PeerLog(home, name) for name in NAMES]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def everything_runs(logs: list[PeerLog], before: list[int], family: Family, *, page: bool = False) -> None:
    """All peers have joined, and one is in the middle of a stage; with a ``page``, its indexer has joined, too."""
    for log, after in zip(logs, before, strict=True):
        log.wait(Joined, after=after)
    logs[0].wait(StageStarted, after=before[0])
    if page:
        wait_until(lambda: len(family.named("p2pd")) == 2 + len(NAMES), "the indexer has a daemon")
    daemons = family.named("p2pd"), family.named("anvil"), family.of("swarm.cli", "run"), family.of("swarm.cli", "host")
    assert [len(found) for found in daemons] == [1 + len(NAMES) + page, 1, len(NAMES), 1]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGTERM, 128 + signal.SIGTERM, marks=pytest.mark.slow),  # the other modules end so, too
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_a_signal_to_the_launcher_ends_everything(
    start: Start, logs: list[PeerLog], family: Family, number: signal.Signals, code: int
) -> None:
    before = [log.now() for log in logs]
    command: Command = start(*WITH_PAGE, "--no-tui")
    everything_runs(logs, before, family, page=True)
    command.signal(number)
    assert command.wait(GONE_S) == code, command.told()
    wait_until(family.is_gone, f"every process has ended: {family.members()}", GONE_S)


def test_a_killed_dashboard_is_shown_again_and_q_ends_everything_well(
    home: Path, logs: list[PeerLog], family: Family
) -> None:
    before = [log.now() for log in logs]
    terminal = Terminal(command_line([*LOCAL, "--home", str(home)]), environment(family, {}))
    everything_runs(logs, before, family)
    assert terminal.drawn.count(SECOND_SCREEN) == 1, "the dashboard has the screen"
    (dashboard,) = family.of("-m", "swarm.app.dashboard")
    peers = {process.pid for process in family.of("swarm.cli", "run")}
    dashboard.kill()
    wait_until(lambda: terminal.drawn.count(SECOND_SCREEN) == 2, "the dashboard has the screen again")
    assert {process.pid for process in family.of("swarm.cli", "run")} == peers, "nobody noticed"
    wait_until(
        lambda: family.of("-m", "swarm.app.dashboard") and b"Quit" in terminal.drawn.rpartition(SECOND_SCREEN)[2],
        "it is drawn",
    )
    terminal.press("q")
    assert terminal.process.wait(GONE_S) == 0
    assert b"\x1b[?1049l" in terminal.drawn, "the screen is given back"
    wait_until(family.is_gone, f"every process has ended: {family.members()}", GONE_S)


@pytest.mark.slow  # what the terminal sends differs, what the launcher does is what q and SIGTERM do
def test_ctrl_c_in_a_terminal_ends_everything(home: Path, logs: list[PeerLog], family: Family) -> None:
    before = [log.now() for log in logs]
    terminal = Terminal(command_line([*LOCAL, "--no-tui", "--home", str(home)]), environment(family, {}))
    everything_runs(logs, before, family)
    terminal.press("\x03")
    assert terminal.process.wait(GONE_S) == 128 + signal.SIGINT
    wait_until(family.is_gone, f"every process has ended: {family.members()}", GONE_S)


@pytest.mark.parametrize(
    ("command", "setting"),
    [((*LOCAL, "--no-tui"), "SWARM_CHAIN__GATE_PORT"), (("host", "--private"), "SWARM_NETWORK__PORT")],
)
def test_a_fixed_port_that_is_taken_is_a_clear_error(
    start: Start, family: Family, taken: int, command: tuple[str, ...], setting: str
) -> None:
    refused = start(*command, **{setting: str(taken)})
    assert refused.wait() == 2
    assert str(taken) in refused.told()
    assert "port" in refused.told()
    assert "Traceback" not in refused.told()
    wait_until(family.is_gone, f"every process has ended: {family.members()}", GONE_S)
