"""A swarm of processes whose answers are run, by every peer, in processes of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.events import RecordRejected, RoundSettled, Struck, Trained
from swarm.judges.cell import missing
from tests.integration.conftest import Start
from tests.integration.processes import Family, PeerLog, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.mark.parametrize("task", ["code_problems", "algebra"])
def test_three_peers_play_a_round_of_a_task_that_runs_answers(
    task: str, start: Start, home: Path, family: Family
) -> None:
    if task == "code_problems" and missing():
        pytest.skip(f"code cannot be run here: {missing()}")
    summary = start("local", "--rounds", "1", "--task", task, "--no-tui", "--json", "--home", str(home / task)).result()
    assert summary["rounds"] == 1
    assert [peer["rounds_completed"] for peer in summary["peers"]] == [1, 1, 1]
    for name in ("1", "2", "3"):
        log = PeerLog(home / task, name)
        assert log.all(Struck) == []
        assert log.all(RecordRejected) == []
        assert len(log.all(RoundSettled)[0].contributions) == 3
        assert [event.num_void for event in log.all(Trained)] == [0]
    wait_until(family.is_gone, "every process has ended", 15)
