import os
import time

import msgspec
import pytest

from protocol.events import ContributionSigned, HeldBack, Outcome, Problem, RoundOpened, Stopped
from protocol.ids import ContentId
from swarm.observe import queries
from swarm.observe.eventlog import EventLog
from swarm.observe.stores import Stores, is_running
from swarm.observe.views import State, time_split
from tests.swarm.observe import playback
from tests.swarm.observe.playback import START_AT, micro, peer_id

ALL_ROUNDS = range(1, 13)


def everyone(_pid, _started_at):
    return True


def nobody(_pid, _started_at):
    return False


def test_status_says_who_runs_and_what_it_does(tmp_path):
    now = START_AT + 6 + 24 + 4.0
    playback.write(tmp_path, until=now)
    first, second, third = queries.status(tmp_path, now, alive=lambda pid, _at: pid != 40_001)
    assert (first.name, first.nickname, first.peer) == ("peer-1", "vital-fair-snail", peer_id(0))
    assert (first.state, first.running, second.state, third.running) == (State.RUNNING, True, State.DIED, True)
    assert (first.round, first.phase, first.rounds_completed, first.registered) == (2, "critique", 1, True)
    assert first.closes_at is not None
    assert first.time_left_s == pytest.approx(first.closes_at - now, abs=0.001)
    assert 0 < first.time_left_s < 8
    assert second.time_left_s is None
    assert first.credits.settled_micro == micro(0, 1)
    assert first.problem is None


def test_status_of_an_empty_home_is_empty(tmp_path):
    assert queries.status(tmp_path) == ()
    assert queries.rounds(tmp_path) == ()
    assert queries.peers(tmp_path) == ()
    assert queries.credits(tmp_path) == ()


def test_an_orderly_end_and_its_reason_are_kept(busy_home):
    with EventLog(busy_home / "peers" / "peer-1" / "events.jsonl", now=lambda: START_AT + 400) as log:
        log.append(Problem("ChainError", "what", "so \x1b[1mwhat", "next"))
        log.append(Stopped("asked to", 0, 612))
    one = queries.status(busy_home, START_AT + 401, alive=everyone)[0]
    assert (one.state, one.stop_why, one.exit_code, one.peak_mb) == (State.STOPPED, "asked to", 0, 612)
    assert one.problem is not None
    assert (one.problem.so_what, one.problem.recovered_at) == ("so what", None)


def test_a_restored_peer_says_why_it_signs_nothing_until_it_signs_again(busy_home):
    path = busy_home / "peers" / "peer-1" / "events.jsonl"
    with EventLog(path, now=lambda: START_AT + 400) as log:
        log.append(HeldBack(14, START_AT))
    held = queries.status(busy_home, START_AT + 401, alive=everyone)[0].problem
    assert held is not None
    assert held.recovered_at is None
    assert held.what == "Restored from a backup: signs nothing up to round 14."
    assert held.next_step == "Nothing to do: it plays from round 15 on."
    with EventLog(path, now=lambda: START_AT + 500) as log:
        log.append(ContributionSigned(15, ContentId("ab" * 32)))
    over = queries.status(busy_home, START_AT + 501, alive=everyone)[0].problem
    assert over is None or over.recovered_at == START_AT + 500


def test_rounds_show_outcome_and_where_the_time_went(busy_home):
    (last,) = queries.rounds(busy_home, 1)
    assert (last.round, last.outcome, last.num_members, last.num_settled) == (12, Outcome.COMPLETE, 3, 3)
    assert last.micro_credits == sum(micro(peer, 12) for peer in range(3))
    assert last.peers[0].nickname == "vital-fair-snail"
    for one in last.peers:
        assert one.time is not None
        assert one.time.wait_s == 1.5
        assert one.stages_played == ("answer", "critique", "decide")
        assert set(one.scores_milli) == {"answer", "critique", "decide"}
    assert last.time.total_s == pytest.approx(sum(one.time.total_s for one in last.peers), abs=0.01)
    assert [one.round for one in queries.rounds(busy_home)] == list(ALL_ROUNDS)
    assert [one.round for one in queries.rounds(busy_home, 3)] == [10, 11, 12]
    assert queries.rounds(busy_home, 0) == ()


def test_rounds_say_how_hard_their_questions_were_where_there_are_levels(tmp_path):
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl") as log:
        log.append(RoundOpened(1, ContentId("ab" * 32), (), (), START_AT, START_AT + 60, 2, 5))
        log.append(RoundOpened(2, ContentId("ab" * 32), (), (), START_AT, START_AT + 60))
    first, second = queries.rounds(tmp_path)
    assert [(one.level, one.num_levels) for one in (first, second)] == [(2, 5), (0, 0)]


def test_the_worst_outcome_of_the_local_peers_counts(tmp_path):
    playback.write(tmp_path, num_rounds=2, degraded=True)
    first, second = queries.rounds(tmp_path)
    assert first.outcome is Outcome.COMPLETE
    assert {one.outcome for one in second.peers} == {Outcome.PARTIAL, Outcome.COMPLETE}
    assert second.outcome is Outcome.PARTIAL
    assert second.num_rejected == 6


def test_peers_merge_what_the_local_peers_know(tmp_path):
    playback.write(tmp_path, num_rounds=2, degraded=True)
    known = {one.nickname: one for one in queries.peers(tmp_path, alive=everyone)}
    assert set(known) == {"vital-fair-snail", "limber-steady-seal", "arctic-jaunty-swan", "16Uiu2HAmevil"}
    stranger, accused = known["16Uiu2HAmevil"], known["limber-steady-seal"]
    assert (stranger.local, stranger.rejected, stranger.num_rejected) == (False, {"wrong_signature": 3}, 3)
    assert (accused.local, accused.running, accused.rejected) == (True, True, {"oversized": 3})
    assert accused.num_contributions == 2
    assert accused.micro_credits == micro(1, 1) + micro(1, 2)


def test_credits_are_exact_and_per_round(busy_home):
    one = queries.credits(busy_home)[0]
    earned = sum(micro(0, number) for number in ALL_ROUNDS)
    claimed = sum(micro(0, number) for number in range(1, 11))
    assert (one.credits.earned_micro, one.credits.settled_micro, one.credits.claimed_micro) == (earned, earned, claimed)
    assert one.credits.earned == earned / 1e6
    assert one.unclaimed == (earned - claimed) / 1e6
    assert one.by_round == {number: micro(0, number) for number in ALL_ROUNDS}
    assert [claim.transaction for claim in one.claims] == [playback.content("claim", 0, number) for number in (5, 10)]


def test_every_view_is_json(busy_home):
    for views in (
        queries.status(busy_home), queries.rounds(busy_home), queries.peers(busy_home), queries.credits(busy_home)
    ):  # fmt: skip
        assert msgspec.json.decode(msgspec.json.encode(views)) == msgspec.json.decode(
            msgspec.json.encode(msgspec.to_builtins(views, str_keys=True))
        )


def test_a_time_split_adds_up():
    split = time_split(10.0, 5.0, 2.0, 1.0, 0.5, 0.5)
    assert (split.other_s, split.overhead_share) == (1.0, 0.3)
    assert sum(split.shares.values()) == pytest.approx(1.0)
    assert split.shares["generate"] == 0.5
    assert time_split(0, 0, 0, 0, 0, 0).overhead_share == 0.0
    assert time_split(1.0, 2.0, 0, 0, 0, 0).overhead_share == 0.0


def test_a_process_is_told_from_a_later_one_of_the_same_number():
    assert is_running(os.getpid(), time.time())
    assert not is_running(os.getpid(), time.time() - 10 * 365 * 86400)
    assert not is_running(2**22 + 1, time.time())


def test_peers_are_in_the_order_of_their_numbers_and_late_ones_are_found(tmp_path):
    for name in ("peer-10", "peer-2"):
        EventLog(tmp_path / "peers" / name / "events.jsonl").close()
    with Stores(tmp_path) as stores:
        assert list(stores.peers) == ["peer-2", "peer-10"]
        EventLog(tmp_path / "peers" / "peer-3" / "events.jsonl").close()
        assert stores.refresh()
        assert list(stores.peers) == ["peer-2", "peer-3", "peer-10"]
