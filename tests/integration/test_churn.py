"""Peers, chain and host are killed with -9 in the middle of things; the swarm goes on, and nobody loses or gains by it.

One swarm lives through all tests of this file, in their order.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from protocol.events import (
    Claimed,
    ContributionSigned,
    PeerStarted,
    Progress,
    Registered,
    RoundEnded,
    RoundOpened,
    StageEnded,
    StageStarted,
    TransactionSent,
)
from protocol.ids import Stage
from protocol.run import JoinToken, format_token
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.history import PAID, check_history, paid, plays_on
from tests.integration.onchain import token_balances
from tests.integration.processes import PATIENCE_S, Command, Family, PeerLog, must_live, wait_until

pytestmark = pytest.mark.integration

WEI_PER_MICRO = 10**12
SHORT = {"SWARM_TIME__STAGE_S": "12"}
"""Members that left for good are waited for so long in each round."""


@pytest.fixture(scope="module")
def logs(home: Path) -> list[PeerLog]:
    return [PeerLog(home, name) for name in ("1", "2", "3")]


@pytest.fixture(scope="module")
def swarm(start: Start, logs: list[PeerLog]) -> Iterator[Command]:
    """Three peers that play until they are stopped."""
    command = start("local", "--no-tui", "--no-leaderboard", **SHORT)
    must_live.append(command)
    for log in logs:
        log.wait(RoundOpened)
    yield command
    must_live.clear()


@pytest.fixture(scope="module")
def token(swarm: Command, home: Path) -> JoinToken:
    return read_join_file(home / "join.yaml")


def kill_in(moment: str, log: PeerLog) -> int:
    """Kill -9 a peer as soon as its log tells that ``moment`` has come; returns the round that it was in."""
    seen = log.now()
    if moment == "train":
        log.wait(Progress, after=seen, what="training")
    elif moment == "contribute":
        log.wait(ContributionSigned, after=seen)
    else:
        log.wait(StageStarted, after=seen, stage=Stage(moment))
    psutil.Process(log.pid()).kill()
    number = log.last(RoundOpened).round
    if moment in tuple(Stage):
        assert not log.all(StageEnded, after=seen, round=number, stage=Stage(moment)), "killed too late"
    elif moment == "train":
        assert not log.all(ContributionSigned, after=seen), "killed too late"
    return number


@pytest.mark.parametrize(
    ("moment", "victim"),
    [
        ("answer", 0),
        pytest.param("critique", 1, marks=pytest.mark.slow),
        pytest.param("decide", 2, marks=pytest.mark.slow),
        pytest.param("train", 0, marks=pytest.mark.slow),
        ("contribute", 1),
    ],
)
def test_a_peer_killed_in_the_middle_comes_back_as_itself(
    token: JoinToken, logs: list[PeerLog], moment: str, victim: int
) -> None:
    log, others = logs[victim], [other for other in logs if other is not logs[victim]]
    before = log.last(PeerStarted)
    number = kill_in(moment, log)
    killed_at = log.now()

    for other in others:
        assert other.wait(RoundEnded, round=number).outcome in PAID
    back = log.wait(PeerStarted, after=killed_at)
    assert back.pid != before.pid
    assert (back.peer, back.address, back.nickname) == (before.peer, before.address, before.nickname)
    assert log.wait(Registered, after=killed_at).transaction == ""
    plays_on(log, killed_at)
    check_history(logs, log, token.run.model)


@pytest.mark.parametrize("moment", [TransactionSent, RoundOpened])
def test_a_chain_killed_in_the_middle_comes_back_with_everything(
    token: JoinToken, logs: list[PeerLog], family: Family, moment: type
) -> None:
    """Right after a result was mined, and right after a round was opened: both may be in blocks that it forgets."""
    seen = [log.now() for log in logs]
    wait_until(
        lambda: [event for log, after in zip(logs, seen, strict=True) for event in log.all(moment, after=after)],
        f"the next {moment.__name__}",
    )
    (chain,) = family.named("anvil")
    chain.kill()
    seen = [log.now() for log in logs]

    wait_until(
        lambda: [process for process in family.named("anvil") if process.pid != chain.pid], "a new chain process"
    )
    for log, after in zip(logs, seen, strict=True):
        plays_on(log, after)
    for log in logs:
        check_history(logs, log, token.run.model)


def test_a_host_killed_in_the_middle_comes_back_where_it_was(
    token: JoinToken, logs: list[PeerLog], family: Family, home: Path
) -> None:
    (host,) = family.of("swarm.cli", "host")
    seen = [log.now() for log in logs]
    logs[0].wait(StageStarted, after=seen[0])
    host.kill()
    seen = [log.now() for log in logs]

    wait_until(lambda: [new for new in family.of("swarm.cli", "host") if new.pid != host.pid], "a new host")
    for log, after in zip(logs, seen, strict=True):
        plays_on(log, after)
    for log in logs:
        check_history(logs, log, token.run.model)
    assert read_join_file(home / "join.yaml") == token


@pytest.mark.parametrize("way", ["address", pytest.param("token", marks=pytest.mark.slow)])
def test_a_peer_from_another_home_joins_late_and_plays_the_next_round(
    token: JoinToken, logs: list[PeerLog], start: Start, tmp_path_factory: pytest.TempPathFactory, way: str
) -> None:
    """By the address of the bootnode; other tests join by token."""
    place = tmp_path_factory.mktemp("late")
    by_address = ("--join", token.bootnodes[0], "--rpc", token.rpc[0])
    how = by_address if way == "address" else ("--join", format_token(token))
    command = start("run", *how, "--rounds", "1", "--home", str(place))
    assert command.wait(2 * PATIENCE_S) == 0, command.told()
    late = PeerLog(place, "1")
    peer = late.last(PeerStarted).peer
    assert late.last(RoundEnded).outcome in PAID
    assert late.last(RoundEnded).round == late.last(RoundOpened).round
    joined = [event.round for event in logs[0].all(RoundOpened) if peer in event.members]
    assert late.last(RoundEnded).round == min(joined)
    assert sum(event.amount_wei for event in late.all(Claimed)) == paid([late], peer) * WEI_PER_MICRO > 0
    logs.append(late)


def test_after_all_this_every_credit_is_paid_once(
    swarm: Command, logs: list[PeerLog], start: Start, home: Path, family: Family
) -> None:
    number = logs[0].wait(RoundEnded, after=logs[0].now()).round
    for log in logs[:3]:
        log.wait(RoundEnded, round=number)
    must_live.clear()
    swarm.signal(signal.SIGTERM)
    assert swarm.wait() == 128 + signal.SIGTERM
    wait_until(family.is_gone, "every process has ended", 15)

    host = start("host", "--private", "--json", **SHORT)
    wait_until(lambda: host.stdout.read_text().endswith("\n"), "the host prints its token")
    started = [log.last(PeerStarted) for log in logs]
    due = {event.address: paid(logs, event.peer) * WEI_PER_MICRO for event in started}

    def all_claimed() -> bool:
        """Claims what is unlocked, and begins the payout of the rest, until nothing is left to claim."""
        wei = {row["address"]: row["balance_wei"] for row in start("claim", "--json").result()["claims"]}
        assert len(wei) == 3
        assert all(wei[address] <= due[address] for address in wei), "nothing is paid twice"
        return all(wei[address] == due[address] for address in wei)

    wait_until(all_claimed, "every credit is a token")
    host.signal(signal.SIGINT)
    assert host.wait() == 128 + signal.SIGINT
    assert token_balances(home, list(due)) == due
