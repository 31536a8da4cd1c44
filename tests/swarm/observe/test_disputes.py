"""What every game came to can be read from a home's logs alone."""

import json

import pytest

from protocol.errors import ConfigError
from swarm.observe.disputes import disputes, disputes_table
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import disputed


@pytest.fixture
def home(tmp_path):
    """Two peers: one played the first game, one only looked on and saw less of it."""
    times = iter(range(1000, 2000))
    with EventLog(tmp_path / "peers" / "1" / "events.jsonl", lambda: float(next(times))) as log:
        for event in disputed.EVENTS:
            log.append(event)
    with EventLog(tmp_path / "peers" / "2" / "events.jsonl", lambda: float(next(times))) as log:
        for event in disputed.EVENTS[5:7]:
            log.append(event)
        log.append(disputed.opened(disputed.OVER))
    return tmp_path


def test_games_are_told_with_parties_phase_moves_and_outcome(home):
    over, going_on = disputes(home)
    assert (over.game, over.side, over.winner, over.slashed_micro) == (
        disputed.OVER, "challenger", "challenger", 25_000_000,
    )  # fmt: skip
    assert (over.gas, [one.name for one in over.moves], over.phase) == (330, ["PostTrace", "Pick", "Leaf"], "over")
    assert "the contract computes 1.0" in over.why
    assert (going_on.winner, going_on.phase, going_on.deadline_at, going_on.decided_at) == ("", "pick", 1101.0, None)


def test_one_game_is_named_by_the_beginning_of_its_id(home):
    assert [one.game for one in disputes(home, disputed.OPEN[:9])] == [disputed.OPEN]
    with pytest.raises(ConfigError):
        disputes(home, "ffff0000")


def test_an_event_that_comes_twice_counts_once(home):
    with EventLog(home / "peers" / "1" / "events.jsonl", lambda: 3000.0) as log:
        log.append(disputed.EVENTS[0])
        log.append(disputed.EVENTS[2])
    assert [one.number for one in disputes(home)[0].moves] == [1, 2, 3]


def test_people_see_a_line_a_game_and_every_move_of_one(home, capsys):
    from swarm.app import disputes as show

    show(home, "", False)
    told = capsys.readouterr().out
    assert disputed.OVER[:10] in told
    assert "proven false" in told
    show(home, disputed.OVER[:8], False)
    told = " ".join(capsys.readouterr().out.split())
    assert "Pick 110 gas says Pick; left: 16 of 1,024 nodes" in told
    show(home, disputed.OVER, True)
    (one,) = json.loads(capsys.readouterr().out)["disputes"]
    assert one["moves"][2]["gas"] == 120
    assert one["why"] == disputed.decided(disputed.OVER).why


def test_a_home_without_games_says_so(tmp_path, capsys):
    from rich.console import Console

    Console().print(disputes_table((), 0.0, whole=False))
    assert "No dispute was seen" in capsys.readouterr().out
