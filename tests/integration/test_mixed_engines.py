"""One private swarm of two exact peers and one that learns by TRL: they check each other and all are paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.events import Audited, PeerStarted, RoundSettled, StepSkipped
from protocol.messages import Finding
from tests.integration.conftest import Start
from tests.integration.processes import PeerLog

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_an_exact_swarm_pays_a_trl_peer_less_and_finds_it_honest(start: Start, home: Path) -> None:
    own = home / "peers" / "3" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("engine: {kind: trl}\ntrl: {processes: 2}\n")
    settings = {"SWARM_AUDIT__TOLERATED": "trl", "SWARM_GAME__NUM_QUESTIONS": "8"}
    start("local", "--rounds", "2", "--no-tui", "--json", **settings).result(900)
    logs = {name: PeerLog(home, name) for name in ("1", "2", "3")}
    assert not logs["3"].all(StepSkipped)
    started = {name: log.all(PeerStarted)[0] for name, log in logs.items()}
    assert {name: event.engine for name, event in started.items()} == {"1": "exact", "2": "exact", "3": "trl"}
    audits = [event for log in logs.values() for event in log.all(Audited)]
    assert audits
    assert {event.finding for event in audits} == {Finding.MATCH}
    trl = started["3"].peer
    assert {event.level for event in audits if event.peer == trl} <= {1}
    earned = [event.micro_credits for event in logs["1"].all(RoundSettled) if trl in event.micro_credits]
    assert earned, "a busy machine may leave it out of a round, not of all"
    for credits in earned:
        assert 0 < credits[trl] <= sum(credits.values()) / 4
