import pytest

from swarm.observe.rewind import Rewind, Tape, round_marks
from swarm.observe.store import Store
from tests.swarm.observe import playback
from tests.swarm.observe.playback import START_AT
from tui.playing import Player


class Hands:
    """A clock that only moves when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    playback.write(root, num_peers=2, num_rounds=4)
    return root


def state_of(player):
    return {name: store.row("SELECT round, phase FROM self")[:] for name, store in player.peers.items()}


def test_a_tape_holds_what_the_live_read_model_held_at_that_time(home, tmp_path):
    at = START_AT + 6 + 2 * playback.ROUND_S + 5.0
    playback.write(tmp_path, num_peers=2, num_rounds=4, until=at)
    tape = Tape(home / "peers" / "peer-1" / "events.jsonl")
    tape.wind(at)
    with Store(tmp_path / "peers" / "peer-1" / "events.jsonl") as live:
        live.refresh()
        expected, found = live.dump(), tape.dump()
    for table in expected.keys() - {"log"}:
        assert found[table] == expected[table], table


def test_winding_back_and_forth_ends_where_winding_once_does(home):
    log = home / "peers" / "peer-2" / "events.jsonl"
    straight, jumpy = Tape(log), Tape(log)
    jumpy._copy_every = 20
    for seconds in (90, 10, 70, 71, 30, 100, 55):
        jumpy.wind(START_AT + seconds)
    straight.wind(START_AT + 55)
    assert jumpy.dump() == straight.dump()
    assert len(jumpy._copies) > 1


def test_copies_are_thinned_when_they_grow_too_large(home, monkeypatch):
    monkeypatch.setattr("swarm.observe.rewind._COPIES_CAP", 1)
    tape = Tape(home / "peers" / "peer-1" / "events.jsonl")
    tape._copy_every = 10
    tape.wind(START_AT + 1000)
    assert len(tape._copies) <= 1
    tape.wind(START_AT + 20)
    assert tape.row("SELECT round FROM self")["round"] == 1


def test_the_rounds_of_a_recording_are_found_without_playing_it(home):
    marks = round_marks(home)
    assert [mark.round for mark in marks] == [1, 2, 3, 4]
    assert [mark.opened_at for mark in marks] == [START_AT + 6 + index * playback.ROUND_S for index in range(4)]
    assert all(0 < mark.ended_at - mark.opened_at < playback.ROUND_S for mark in marks)


def test_an_empty_home_is_an_empty_recording(tmp_path):
    rewind = Rewind(tmp_path)
    assert (rewind.peers, rewind.rounds, rewind.next_at(), rewind.wind(5.0)) == ({}, (), None, False)


def test_a_recording_plays_pauses_and_changes_speed(home):
    hands = Hands()
    player = Player(home, 2, speed=4.0, real=hands)
    opened = START_AT + 6 + playback.ROUND_S
    assert player.now() == opened
    hands.now += 0.5
    assert player.now() == opened + 2
    player.refresh()
    assert state_of(player)["peer-1"] == (2, "answer")
    player.toggle()
    hands.now += 100
    assert player.now() == opened + 2
    player.change_speed(1)
    player.toggle()
    hands.now += 0.25
    assert player.now() == opened + 4
    assert player.deck().speed == 8.0
    player.change_speed(-100)
    assert player.deck().speed == 0.25


def test_rounds_are_jumped_to_in_both_directions(home):
    hands = Hands()
    player = Player(home, 0, playing=False, real=hands)
    starts = [mark.opened_at for mark in player.deck().rounds]
    player.seek(starts[2] + 5)
    player.skip_rounds(-1)
    assert player.now() == starts[2]
    player.skip_rounds(-1)
    assert player.now() == starts[1]
    player.refresh()
    assert state_of(player)["peer-1"][0] == 2
    player.skip_rounds(1)
    player.skip_rounds(1)
    player.skip_rounds(1)
    assert player.now() == player.deck().last_at
    player.toggle()
    assert player.now() == player.deck().first_at


def test_silence_is_passed_over(home):
    hands = Hands()
    player = Player(home, 1, speed=1.0, real=hands)
    player.seek(START_AT + 6 + playback.ROUND_S - 6)  # some seconds before the next round, in which nothing happens
    player.refresh()
    assert 0 < START_AT + 6 + playback.ROUND_S - player.now() <= 0.5
