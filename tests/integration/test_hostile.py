"""Three honest peers and one that does something else every round, all of them real processes on a real network."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.events import PeerStarted, RecordRejected, Restarted, RoundEnded, RoundOpened, StageEnded
from protocol.ids import STAGES, PeerId
from protocol.run import format_token
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.history import PAID, settled_rounds
from tests.integration.processes import Family, PeerLog, environment, wait_until
from tests.swarm.misdeeds import MISDEEDS

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
STAGE_S = 6
QUICK = {
    "SWARM_TIME__STAGE_S": str(STAGE_S),
    "SWARM_TIME__CONTRIBUTE_S": "6",
    "SWARM_TIME__POSTER_S": "2",
    "SWARM_TIME__ROUND_S": "60",
}
NAMES = ("broken_records", "flood")
"""A misdeed a round, none of which costs the membership. Whoever passed on four broken records is ignored from then on,
so the flood comes last."""

REASONS = {MISDEEDS[name].reason for name in NAMES} | {"oversized", "wrong_signature"}


@pytest.fixture(scope="module")
def logs(start: Start, home: Path, family: Family, tmp_path_factory: pytest.TempPathFactory) -> list[PeerLog]:
    """The honest peers' logs after the hostile one did all it can, and everybody was stopped."""
    swarm = start("local", "--no-tui", "--no-leaderboard", **QUICK)
    logs = [PeerLog(home, name) for name in ("1", "2", "3")]
    for log in logs:
        log.wait(RoundOpened)
    token = format_token(read_join_file(home / "join.yaml"))
    place = tmp_path_factory.mktemp("hostile")
    with (place / "told").open("wb") as told:
        hostile = subprocess.Popen(
            [sys.executable, "-m", "tests.swarm.hostile", ",".join(NAMES), "run", "--join", token, "--home", place],
            cwd=ROOT,
            env=environment(family, QUICK),
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
        )
    eve = PeerLog(place, "1")
    peer = eve.wait(PeerStarted).peer

    def all_done() -> bool:
        assert hostile.poll() is None, (place / "told").read_text()[-3000:]
        opened = logs[0].all(RoundOpened)
        return sum(peer in event.members for event in opened) > len(NAMES) + 1

    wait_until(all_done, "a round for each misdeed and one more", 240)
    hostile.kill()
    swarm.signal(signal.SIGTERM)
    assert swarm.wait() == 128 + signal.SIGTERM
    return logs


def hostile_rounds(log: PeerLog) -> tuple[PeerId, list[int]]:
    """The hostile peer, and the finished rounds that it was a member of."""
    opened = log.all(RoundOpened)
    (eve,) = set(opened[-1].members) - set(opened[0].members)
    ended = {event.round for event in log.all(RoundEnded)}
    return eve, [event.round for event in opened if eve in event.members and event.round in ended]


def test_no_honest_peer_had_to_be_started_again(logs: list[PeerLog]) -> None:
    assert [event.why for log in logs for event in log.all(Restarted)] == []


def test_every_honest_peer_finishes_and_is_paid_every_round(logs: list[PeerLog]) -> None:
    for log in logs:
        _, rounds = hostile_rounds(log)
        assert len(rounds) >= len(NAMES)
        ended = {event.round: event for event in log.all(RoundEnded)}
        assert {ended[number].outcome for number in rounds} <= set(PAID)
        assert all(ended[number].stages_played == STAGES for number in rounds)
        peer = log.last(PeerStarted).peer
        assert [number for number in rounds if settled_rounds(logs)[number].get(peer, 0) == 0] == []


def test_every_broken_record_is_named_by_every_honest_peer(logs: list[PeerLog]) -> None:
    for log in logs:
        eve, _ = hostile_rounds(log)
        assert {event.reason for event in log.all(RecordRejected, peer=eve)} >= REASONS
        honest = {other.last(PeerStarted).peer for other in logs}
        assert not [event for event in log.all(RecordRejected) if event.peer in honest]


def test_the_hostile_peer_is_paid_nothing(logs: list[PeerLog]) -> None:
    eve, rounds = hostile_rounds(logs[0])
    settled = settled_rounds(logs)
    assert [settled[number].get(eve, 0) for number in rounds] == [0] * len(rounds)


def test_no_round_costs_more_than_one_stages_waiting(logs: list[PeerLog]) -> None:
    for log in logs:
        waited = [event.round for event in log.all(StageEnded) if event.waited_s >= 0.9 * STAGE_S]
        assert len(waited) == len(set(waited))
