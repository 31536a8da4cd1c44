"""What the screens of the dashboard ask for, from the logs of a made-up run."""

import pytest

from protocol import events as e
from swarm.observe import schema
from swarm.observe.disputes import games_of
from swarm.observe.eventlog import EventLog
from swarm.observe.known import PATIENCE_S, patience_s, peer_detail
from swarm.observe.rollouts import rollouts
from swarm.observe.spoken import spoken
from swarm.observe.stores import Stores
from swarm.observe.wallet import wallet
from tests.swarm.observe import playback, quarrel
from tests.swarm.observe.playback import START_AT, content, peer_id


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    playback.write(home, num_rounds=10, degraded=True)
    with Stores(home) as found:
        yield found


def test_questions_are_listed_and_one_is_told_in_full(stores):
    view = rollouts(stores.peers["peer-1"])
    assert [head.round for head in view.heads] == list(range(1, 11))
    assert view.question.round == 10
    earlier = rollouts(stores.peers["peer-1"], view.heads[3].seq)
    assert (earlier.seq, earlier.question.round) == (view.heads[3].seq, 4)
    assert rollouts(stores.peers["peer-1"], 10**9).question.round == 10
    assert {one.picks for one in earlier.question.critiques} == {"A"}
    assert view.heads[3].num_decided == 3


@pytest.mark.parametrize(
    ("text", "picks"),
    [("so 5 → picks B", "B"), ("<pick>c</pick>", "C"), ("picks none", ""), ("picks A, no: picks D", "D"), ("", "")],
)
def test_a_critique_names_the_answer_that_it_picks(tmp_path, text, picks):
    said = (e.Said(peer_id(0), "A", text, 5, ""),)
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl") as log:
        log.append(e.QuestionPlayed(1, "q", "t", said, said, said))
    with Stores(tmp_path) as found:
        question = rollouts(found.peers["a"]).question
    assert (question.critiques[0].picks, question.answers[0].picks) == (picks, "")


def test_disputes_still_played_come_first(stores):
    running, decided = games_of(stores.peers["peer-1"])
    assert (running.game, running.side, running.phase) == (quarrel.game_id(9), "defender", "chunk")
    assert (decided.game, decided.side, decided.phase) == (quarrel.game_id(7), "challenger", "over")
    assert [(move.number, move.first, move.count) for move in decided.moves[:3]] == [
        (1, 0, quarrel.NUM_NODES), (2, 1280, 128), (3, 1280, 128),
    ]  # fmt: skip
    assert decided.slashed_micro == 100_000_000
    assert games_of(stores.peers["peer-2"])[0].side == ""


def test_the_wallet_tells_stake_transactions_and_what_is_awaited(stores):
    view = wallet("peer-1", stores.peers["peer-1"], lambda _pid, _at: True)
    assert view.stake_micro == 100_000_000
    assert [one.purpose for one in view.transactions][-1] == "register"
    assert view.num_transactions == len(view.transactions) == 6
    assert view.gas == sum(one.gas for one in view.transactions)
    assert view.money.waiting == ()
    assert view.money.credits.claimed_micro == view.money.credits.settled_micro > 0


def test_lines_of_all_peers_are_told_in_order_and_capped(stores, monkeypatch):
    lines = spoken(stores.peers, 90)
    assert len(lines) == 90
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert {line.name for line in lines} == {"peer-1", "peer-2", "peer-3"}
    assert {line.kind for line in spoken(stores.peers)} == {"problem", "chain", "check", "round", "peer"}


def test_the_read_model_keeps_a_bounded_number_of_lines(tmp_path, monkeypatch):
    monkeypatch.setattr("swarm.observe.fold.NUM_LINES_KEPT", 5)
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl") as log:
        for number in range(20):
            log.append(e.Recovered(f"error {number}"))
    with Stores(tmp_path) as found:
        assert [line.text for line in spoken(found.peers)] == [f"over: error {number}" for number in range(15, 20)]
    assert schema.NUM_LINES_KEPT == 1000


def test_a_peer_in_detail_tells_who_accuses_it_and_what_was_dropped(stores):
    detail = peer_detail(stores.peers["peer-1"], peer_id(77))
    assert len(detail.accusations) == 1
    assert detail.accusations[0].endswith("Token 3 was not drawn.")
    detail = peer_detail(stores.peers["peer-1"], peer_id(1))
    assert (detail.rejected, detail.last_detail) == ({"oversized": 1}, "20000 bytes of 16384")
    assert (detail.first_round, detail.last_round) == (1, 10)


def test_silence_is_measured_by_how_long_rounds_take(tmp_path, stores):
    assert patience_s(stores.peers["peer-1"]) == PATIENCE_S
    with EventLog(tmp_path / "peers" / "a" / "events.jsonl") as log:
        log.append(e.RoundOpened(1, content(1), (), (), START_AT, START_AT + 900))
        with Stores(tmp_path) as found:
            assert patience_s(found.peers["a"]) == 900
        log.append(e.RoundEnded(1, e.Outcome.COMPLETE, (), 400.0, 1.0, 1.0, 1.0, 1.0, 1.0))
        with Stores(tmp_path) as found:
            assert patience_s(found.peers["a"]) == 400
