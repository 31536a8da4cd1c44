"""Three honest peers and one whose engine lies: real processes, arithmetic and network, and a chain that pays."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.events import Audited, ContributionSigned, PeerStarted, RoundEnded, RoundOpened, RoundSettled, Struck
from protocol.messages import Finding
from protocol.run import format_token
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.history import PAID
from tests.integration.processes import Family, PeerLog, environment, wait_until
from tests.swarm.lying import CHEATS

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
CHECK_EVERYTHING = {"SWARM_AUDIT__STEP_RATE_PPM": "1000000", "SWARM_AUDIT__ROLLOUTS_PER_AUDIT": "4096"}


@pytest.fixture(scope="module")
def logs(start: Start, home: Path, family: Family, tmp_path_factory: pytest.TempPathFactory) -> list[PeerLog]:
    """The logs of three honest peers and, last, of one that committed every cheat, a contribution each."""
    swarm = start("local", "--no-tui", "--no-leaderboard", **CHECK_EVERYTHING)
    honest = [PeerLog(home, name) for name in ("1", "2", "3")]
    for log in honest:
        log.wait(RoundOpened)
    token = format_token(read_join_file(home / "join.yaml"))
    place = tmp_path_factory.mktemp("lying")
    with (place / "told").open("wb") as told:
        liar = subprocess.Popen(
            [sys.executable, "-m", "tests.swarm.lying", ",".join(CHEATS), "run", "--join", token, "--home", place],
            cwd=ROOT,
            env=environment(family, {}),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    eve = PeerLog(place, "1")
    peer = eve.wait(PeerStarted).peer

    def all_judged() -> bool:
        assert liar.poll() is None, (place / "told").read_text()[-3000:]
        return all(len(log.all(Struck, peer=peer)) >= len(CHEATS) for log in honest)

    wait_until(all_judged, "every lie struck", 1500)
    liar.kill()
    swarm.signal(signal.SIGTERM)
    assert swarm.wait() == 128 + signal.SIGTERM
    return [*honest, eve]


def lies(logs: list[PeerLog]) -> dict[str, int]:
    """The round of each lie, by its name."""
    signed = [event.round for event in logs[-1].all(ContributionSigned)]
    return dict(zip(CHEATS, signed[::2], strict=False))


def test_every_lie_is_found_at_the_level_that_must_find_it(logs: list[PeerLog]) -> None:
    eve = logs[-1].last(PeerStarted).peer
    for name, number in lies(logs).items():
        found = {
            (event.level, event.finding) for log in logs[:-1] for event in log.all(Audited, peer=eve, round=number)
        }
        assert found == {(CHEATS[name][1], Finding.MISMATCH)}, name


def test_every_lie_is_struck_and_the_liar_is_never_paid(logs: list[PeerLog]) -> None:
    eve = logs[-1].last(PeerStarted).peer
    for log in logs[:-1]:
        assert {event.round for event in log.all(Struck, peer=eve)} >= set(lies(logs).values())
        assert sum(event.paid.get(eve, 0) for event in log.all(RoundSettled)) == 0


def test_nobody_honest_is_accused_or_loses_a_round(logs: list[PeerLog]) -> None:
    honest = {log.last(PeerStarted).peer for log in logs[:-1]}
    for log in logs[:-1]:
        assert not [event for event in log.all(Struck) if event.peer in honest]
        assert {event.finding for event in log.all(Audited) if event.peer in honest} == {Finding.MATCH}
        assert {event.outcome for event in log.all(RoundEnded)} <= set(PAID)
