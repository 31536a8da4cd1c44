"""What every game came to can be read from a home's logs alone."""

import json

import msgspec
import pytest

from identity.names import nickname
from protocol.codec import content_id
from protocol.errors import ConfigError
from protocol.events import PeerStarted
from swarm.observe.disputes import disputes, disputes_table
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import disputed
from tests.swarm.observe.playback import peer_id


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


# --- peers that signed twice: no game, and a row ----------------------------------------------------------------------


def told_by(home, name, *events, address=disputed.EVE):
    """A peer of the home with this wallet that tells these."""
    with EventLog(home / "peers" / name / "events.jsonl", lambda: 2500.0) as log:
        log.append(PeerStarted(name, peer_id(int(name)), address, "home", "m", "native", "1", 1))
        for event in events:
            log.append(event)


def test_a_peer_that_signed_twice_has_a_row_beside_the_games(home):
    told_by(home, "3", disputed.proven())
    *games, row = disputes(home)
    assert [one.kind for one in games] == ["game", "game"]
    assert (row.kind, row.round, row.peer, row.nickname) == ("equivocation", 6, peer_id(9), nickname(peer_id(9)))
    assert (row.reporter, row.side, row.slashed_micro, row.award_micro) == (disputed.ANN, "", 25_000_000, 12_500_000)
    assert (row.transaction, row.block, row.proven_at) == ("0x" + "5e" * 32, 77, 1_700_000_000.0)
    for which in ("5e5e", "0x5E5E"):
        assert disputes(home, which) == (row,)


def test_a_local_peer_that_reported_or_was_accused_is_told_so_whoever_else_looked_on(home):
    told_by(home, "3", disputed.proven())
    told_by(home, "4", disputed.proven(), address=disputed.ANN.upper().replace("X", "x", 1))
    told_by(home, "5", disputed.proven())
    assert [one.side for one in disputes(home) if one.kind == "equivocation"] == ["reporter"]
    told_by(home, "9", disputed.proven(round=7))
    assert [one.side for one in disputes(home) if one.kind == "equivocation"] == ["reporter", "accused"]


def test_a_report_that_a_chain_took_again_in_other_blocks_is_one_row_and_the_last_one(home):
    told_by(home, "3", disputed.proven(), disputed.proven("0x" + "6f" * 32, disputed.EVE))
    assert [one.transaction[:6] for one in disputes(home) if one.kind == "equivocation"] == ["0x6f6f"]


def test_people_read_who_reported_whom_what_was_taken_and_paid_and_where_it_stands(home, capsys, monkeypatch):
    from swarm.app import disputes as show

    monkeypatch.setenv("COLUMNS", "200")
    told_by(home, "3", disputed.proven())
    show(home, "", False)
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if "equivocation" in line)
    cells = row.split()
    assert cells[:4] == ["5e5e5e5e5e", "equivocation", "6", nickname(peer_id(9))]
    assert cells[-5:] == ["–", "–", "25", "12.5", "–"]
    assert "two contributions" in row
    assert "proven" in row
    (game,) = (line for line in lines if line.split()[:1] == [disputed.OVER[:10]])
    assert game.split()[-3:] == ["25", "12.5", "challenger"]
    show(home, "5e5e", False)
    told = " ".join(capsys.readouterr().out.split())
    assert f"({peer_id(9)}) signed two contributions for round 6" in told
    assert f"reporter {disputed.ANN}" in told
    assert "25 tokens of stake taken: 12.5 to the reporter, 12.5 burned" in told
    assert f"transaction 0x{'5e' * 32} in block 77, 2023-11-14 22:13:20 UTC" in told
    show(home, "5e5e", True)
    (one,) = json.loads(capsys.readouterr().out)["disputes"]
    assert one == {
        "kind": "equivocation", "round": 6, "peer": peer_id(9), "nickname": nickname(peer_id(9)),
        "reporter": disputed.ANN, "side": "", "first": content_id(b"one"), "second": content_id(b"other"),
        "slashed_micro": 25_000_000, "award_micro": 12_500_000, "transaction": "0x" + "5e" * 32, "block": 77,
        "proven_at": 1_700_000_000.0,
    }  # fmt: skip


@pytest.mark.parametrize("number", [2**64 - 1, 2**200])
def test_numbers_that_no_honest_endpoint_tells_break_nothing(home, capsys, number):
    from swarm.app import disputes as show

    event = msgspec.structs.replace(disputed.proven(), round=number, block=number, proven_at=float(number))
    told_by(home, "3", msgspec.structs.replace(event, transaction="\x1b[31mevil"))
    show(home, "", False)
    show(home, "evil", False)
    assert "\x1b[31m" not in capsys.readouterr().out
