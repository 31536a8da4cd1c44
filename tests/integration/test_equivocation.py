"""Two signatures of one peer in different hands: real processes find both, and the real contract takes the stake."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.events import (
    EquivocationEnded,
    EquivocationFound,
    EquivocationProven,
    PeerStarted,
    Restarted,
    RoundOpened,
    TransactionSent,
)
from protocol.run import format_token
from swarm.observe.disputes import disputes
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.onchain import stakes, token_balances
from tests.integration.processes import Family, PeerLog, environment, wait_until
from tests.integration.test_hostile import QUICK, ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow]

STAKE, MICRO_WEI = 25_000_000, 10**12


def test_who_signs_two_contributions_loses_its_stake_to_one_of_the_others(
    start: Start, home: Path, family: Family, tmp_path: Path
) -> None:
    swarm = start("local", "--no-tui", "--no-leaderboard", **QUICK)
    logs = [PeerLog(home, name) for name in ("1", "2", "3")]
    for log in logs:
        log.wait(RoundOpened)
    token = read_join_file(home / "join.yaml")
    with (tmp_path / "told").open("wb") as told:
        hostile = subprocess.Popen(
            [
                sys.executable, "-m", "tests.swarm.hostile", "different_contributions",
                "run", "--join", format_token(token), "--home", tmp_path,
            ],
            cwd=ROOT, env=environment(family, QUICK), stdin=subprocess.DEVNULL, stdout=told, stderr=told,
        )  # fmt: skip
    eve = PeerLog(tmp_path, "1").wait(PeerStarted).peer

    def all_know() -> bool:
        assert hostile.poll() is None, (tmp_path / "told").read_text()[-3000:]
        return all(log.all(EquivocationEnded) and log.all(EquivocationProven) for log in logs)

    wait_until(all_know, "the end of it, in every log", 240)
    hostile.kill()
    swarm.signal(signal.SIGTERM)
    assert swarm.wait() == 128 + signal.SIGTERM
    peers = [*(log.last(PeerStarted).peer for log in logs), eve]
    assert list(stakes(home, peers).values()) == [STAKE * MICRO_WEI] * 3 + [0]
    ended = [event for log in logs for event in log.all(EquivocationEnded)]
    assert [(event.peer, event.why) for event in ended] == [(eve, "")] * 3
    assert sorted(event.by_me for event in ended) == [False, False, True]
    assert [event.slashed_micro for event in ended if event.by_me] == [STAKE]
    assert {event.slashed_micro for event in ended} <= {0, STAKE}, "who heard of it late never saw the stake"
    assert [event.peer for log in logs for event in log.all(EquivocationFound)] == [eve] * 3
    sent = [event for log in logs for event in log.all(TransactionSent) if event.purpose == "accuse"]
    assert len(sent) == 1
    (by,) = (log.last(PeerStarted).address for log in logs if log.last(EquivocationEnded).by_me)
    proven = [event for log in logs for event in log.all(EquivocationProven)]
    assert [(event.peer, event.reporter.lower(), event.slashed_micro, event.award_micro) for event in proven] == [
        (eve, by.lower(), STAKE, STAKE // 2)
    ] * 3
    assert {event.transaction for event in proven} == {sent[0].transaction}
    (row,) = disputes(home)
    assert (row.kind, row.peer, row.reporter, row.side) == ("equivocation", eve, proven[0].reporter, "reporter")
    wallets = {log.last(PeerStarted).address: log.last(EquivocationEnded).by_me for log in logs}
    got = token_balances(home, wallets)
    assert {wallet: wei >= STAKE // 2 * MICRO_WEI for wallet, wei in got.items()} == wallets, "no pay comes near to it"
    assert [event.why for log in logs for event in log.all(Restarted)] == []
