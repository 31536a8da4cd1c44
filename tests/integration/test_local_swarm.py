"""The main job: one command in an empty home, and three peers have taught each other and are paid."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.events import (
    BatchProduced,
    ContributionSeen,
    PeerStarted,
    Registered,
    Restarted,
    RoundEnded,
    RoundSettled,
)
from protocol.ids import STAGES
from tests.integration.conftest import Start
from tests.integration.onchain import token_balances
from tests.integration.processes import Family, PeerLog, wait_until
from web.database import open_database
from web.queries import Queries

pytestmark = pytest.mark.integration

WEI_PER_MICRO = 10**12
NAMES = ("1", "2", "3")
CONTRIBUTIONS = {"signed": 9, "rescored": 9, "verified": 9, "struck": 0, "rejected": 0, "settled": 9}
"""Of three rounds; what the native engine computes cannot be replayed."""


@pytest.fixture(scope="module")
def first(start: Start, home: Path) -> dict:
    """The summary of the first run, three rounds in an empty home."""
    assert not any(home.iterdir())
    return start("local", "--rounds", "3", "--no-tui", "--json").result()


@pytest.fixture(scope="module")
def logs(first: dict, home: Path) -> list[PeerLog]:
    return [PeerLog(home, name) for name in NAMES]


def test_no_peer_had_to_be_started_again(logs: list[PeerLog]) -> None:
    assert [event.why for log in logs for event in log.all(Restarted)] == []


def test_the_summary_has_every_key_of_the_contract(first: dict) -> None:
    assert first["rounds"] == 3
    assert len(first["peers"]) == 3
    for peer in first["peers"]:
        assert peer.keys() >= {
            "nickname",
            "peer_id",
            "address",
            "registered",
            "rounds_completed",
            "credits",
            "claimed",
        }
        assert peer["nickname"].count("-") == 2
        assert peer["registered"] is True
        assert peer["rounds_completed"] == 3
        assert peer["credits"] == peer["claimed"] > 0
    assert len({peer["peer_id"] for peer in first["peers"]}) == 3
    assert first["contributions"] == CONTRIBUTIONS
    assert 0 <= first["eval"]["first"] <= 1
    assert 0 <= first["eval"]["last"] <= 1
    assert first["time_s"].keys() == {"total", "generate", "train", "wait", "network", "chain"}
    assert 0 < first["time_s"]["generate"] < first["time_s"]["total"]
    # three registrations, three enrolments, the deployment, four results, three claims
    assert first["chain"]["transactions"] >= 14
    assert first["chain"]["gas"] > 14 * 21_000


def test_in_each_round_all_three_stages_are_played_by_all_three(logs: list[PeerLog]) -> None:
    for log in logs:
        assert [event.stages_played for event in log.all(RoundEnded)] == [STAGES] * 3
        produced = {(event.round, event.stage) for event in log.all(BatchProduced)}
        assert produced == {(number, stage) for number in (1, 2, 3) for stage in STAGES}


def test_every_contribution_was_recomputed_by_both_others_and_settled(logs: list[PeerLog]) -> None:
    for log in logs:
        assert len({(event.round, event.peer) for event in log.all(ContributionSeen)}) == 6
        assert [len(event.contributions) for event in log.all(RoundSettled)] == [3, 3, 3, 0]
        assert log.all(RoundSettled)[-1].paid.keys() == log.all(RoundSettled)[-2].micro_credits.keys()
    roots = {tuple(event.credits_root for event in log.all(RoundSettled)) for log in logs}
    assert len(roots) == 1


def test_credits_are_tokens_in_the_wallets(first: dict, home: Path) -> None:
    wei = token_balances(home, [peer["address"] for peer in first["peers"]])
    assert wei == {peer["address"]: peer["credits_micro"] * WEI_PER_MICRO for peer in first["peers"]}


def test_the_leaderboard_computed_the_same_credits_again(first: dict, home: Path) -> None:
    queries = Queries(open_database(str(home / "leaderboard" / "index.sqlite"), read_only=True))
    credits = {peer.peer: peer.credits_micro for peer in queries.standings().peers}
    assert credits == {peer["peer_id"]: peer["credits_micro"] for peer in first["peers"]}
    levels = {one.check_level for one in queries.rounds().rounds if one.settled_at}
    assert levels <= {"recomputed", "root"}, "no result differs from what was computed here"


def test_nothing_is_left_running(first: dict, family: Family) -> None:
    wait_until(family.is_gone, "every process has ended", 15)


def test_a_second_run_in_the_same_home_goes_on_where_the_first_ended(
    first: dict, logs: list[PeerLog], start: Start, home: Path
) -> None:
    before = {log.name: log.now() for log in logs}
    second = start("local", "--rounds", "1", "--no-tui", "--json").result()
    assert second["rounds"] == 1
    old = {peer["peer_id"]: peer for peer in first["peers"]}
    for peer in second["peers"]:
        assert peer["nickname"] == old[peer["peer_id"]]["nickname"]
        assert peer["address"] == old[peer["peer_id"]]["address"]
        assert peer["rounds_completed"] == 1
        assert peer["credits_micro"] == peer["claimed_micro"] > old[peer["peer_id"]]["credits_micro"]
    for log in logs:
        after = before[log.name]
        assert [event.transaction for event in log.all(Registered, after=after)] == [""]
        assert [event.round for event in log.all(RoundEnded, after=after)] == [5], "round 4 closed the first run"
        assert len({event.peer for event in log.all(PeerStarted)}) == 1
    wei = token_balances(home, [peer["address"] for peer in second["peers"]])
    assert sum(wei.values()) == WEI_PER_MICRO * sum(peer["credits_micro"] for peer in second["peers"])
