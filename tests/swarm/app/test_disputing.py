"""`swarm dispute`: an order for the running peer, and what becomes of it."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import pytest

from protocol.errors import ConfigError, SwarmError, VerificationError
from protocol.events import DisputeNotPossible, DisputeOpened, Problem
from swarm.app import disputing
from swarm.disputes.ordering import Order, Orders
from swarm.observe.eventlog import EventLog
from swarm.observe.text import name_of
from swarm.settings.home import Home

ACCUSED = "16Uiu2HAm9LkdTc5tSSLQ559pAw2LVAMzxXGkeKUTuekd9LrpG4GE"
OTHER = "16Uiu2HAkuSzFCTEkHqEALuHvYmH2b7Zek3d2id1r7ABXUL8c3irA"
CONTENT, GAME, WALLET = "ab" * 32, "feed" * 16, "0x" + "11" * 20


def opened(round_number: int, side: str, peer: str = ACCUSED) -> DisputeOpened:
    return DisputeOpened(
        game=GAME,
        round=round_number,
        peer=peer,
        content=CONTENT,
        subject="the training step",
        challenger=WALLET,
        defender="0x" + "22" * 20,
        side=side,
        deadline_at=1e9,
    )


@pytest.fixture
def peer(tmp_path, monkeypatch):
    """A running peer's home, and a way to have it write events after an order came."""
    home = Home(tmp_path).peer("1")
    home.events_file.parent.mkdir(parents=True)
    log = EventLog(home.events_file)
    monkeypatch.setattr(disputing, "status", lambda _: [SimpleNamespace(name="1", running=True)])
    monkeypatch.setattr(disputing, "PATIENCE_S", 20.0)

    def answers(*events):
        def work() -> None:
            until = time.monotonic() + 10
            while not Orders(home.dispute_orders).open() and time.monotonic() < until:
                time.sleep(0.01)
            for event in events:
                log.append(event)

        threading.Thread(target=work, daemon=True).start()

    yield SimpleNamespace(root=tmp_path, home=home, answers=answers)
    log.close()


@pytest.mark.parametrize("accused", [ACCUSED, name_of(ACCUSED)])
def test_it_returns_once_the_own_game_is_open(peer, accused, capsys):
    peer.answers(
        opened(3, "challenger"), opened(4, "defender"), opened(4, "challenger", OTHER), opened(4, "challenger")
    )
    assert disputing.dispute(peer.root, "1", 4, accused, 2, as_json=False) == 0
    out = capsys.readouterr().out
    assert out == f"Dispute {GAME} is open about the training step of {name_of(ACCUSED)}.\n"
    ((_, order),) = Orders(peer.home.dispute_orders).open()
    assert order == Order(4, accused, 2)


def test_with_json_the_game_is_the_only_line(peer, capsys):
    peer.answers(opened(4, "challenger"))
    assert disputing.dispute(peer.root, "1", 4, ACCUSED, 1, as_json=True) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["game"], found["opened"]["round"], found["opened"]["peer"]) == (GAME, 4, ACCUSED)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (DisputeNotPossible(4, ACCUSED, CONTENT, "it came out the same"), "it came out the same"),
        (DisputeNotPossible(4, ACCUSED, CONTENT, "round 4 is paid"), "round 4 is paid"),
        (Problem("Dispute", "Round 4 of nobody is not disputed: no such peer", "", ""), "no such peer"),
    ],
    ids=["honest", "wrong round", "wrong peer"],
)
def test_where_there_is_nothing_to_dispute_the_reason_is_said(peer, answer, why):
    peer.answers(answer)
    with pytest.raises(VerificationError, match=why) as caught:
        disputing.dispute(peer.root, "1", 4, ACCUSED, 2, as_json=False)
    assert "no bond" in caught.value.so_what


def test_a_peer_that_does_not_run_is_asked_for_nothing(peer, monkeypatch):
    monkeypatch.setattr(disputing, "status", lambda _: [SimpleNamespace(name="1", running=False)])
    with pytest.raises(ConfigError, match="not running"):
        disputing.dispute(peer.root, "1", 4, ACCUSED, 2, as_json=False)
    assert not list(Orders(peer.home.dispute_orders).open())


def test_an_order_that_nobody_answers_stays(peer, monkeypatch):
    monkeypatch.setattr(disputing, "PATIENCE_S", 0.5)
    peer.answers(Problem("Chain", "The chain is away.", "", ""))
    with pytest.raises(SwarmError, match="did not answer"):
        disputing.dispute(peer.root, "1", 4, ACCUSED, 2, as_json=False)
    assert len(list(Orders(peer.home.dispute_orders).open())) == 1
