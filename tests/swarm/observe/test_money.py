from hypothesis import given
from hypothesis import strategies as st

from protocol.events import CreditsChanged, VerdictSeen
from protocol.messages import Finding
from swarm.observe import queries
from swarm.observe.eventlog import EventLog
from swarm.observe.money import joined, pending_rounds
from swarm.observe.views import Stage, waiting
from tests.swarm.observe import playback


@given(st.dictionaries(st.integers(1, 100), st.integers(0, 10**6), max_size=8), st.integers(0, 10**7))
def test_pending_rounds_are_the_newest_and_make_up_what_is_not_settled(by_round, settled):
    found = pending_rounds(by_round, settled)
    total = sum(by_round.values())
    assert sum(found.values()) == max(0, total - settled)
    paid = [number for number in by_round if number not in found and by_round[number]]
    assert not found or not paid or max(paid) < min(found)
    assert all(0 < micro <= by_round[number] for number, micro in found.items())


def test_parts_that_wait_for_the_same_are_one_and_those_far_from_the_wallet_come_first():
    parts = joined(
        [
            waiting(Stage.SETTLED, 5, "b"),
            waiting(Stage.EARNED, 1, "a", rounds=(4,)),
            waiting(Stage.EARNED, 2, "a", rounds=(3,)),
            waiting(Stage.SETTLED, 7, "b", until=9.0),
        ]
    )
    assert [(part.stage, part.micro, part.rounds, part.until) for part in parts] == [
        (Stage.EARNED, 3, (3, 4), None), (Stage.SETTLED, 5, (), None), (Stage.SETTLED, 7, (), 9.0),
    ]  # fmt: skip


def test_who_accuses_a_contribution_is_named(tmp_path):
    playback.write(tmp_path, num_rounds=2)
    log_file = tmp_path / "peers" / "peer-1" / "events.jsonl"
    with EventLog(log_file) as log:
        settled, accused = playback.micro(0, 1), playback.content("c", 0, 2)
        log.append(CreditsChanged(settled, 0))
        log.append(VerdictSeen(2, playback.peer_id(0), accused, playback.peer_id(1), 1, Finding.MISMATCH, ""))
    (row, *_) = queries.credits(tmp_path)
    earned = row.waiting[0]
    assert (earned.stage, earned.micro, earned.rounds) == (Stage.EARNED, playback.micro(0, 2), (2,))
    assert earned.waits_for == "the verdict of attestors: limber-steady-seal found another result"
    assert row.verified_micro == settled
