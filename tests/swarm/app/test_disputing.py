"""`swarm dispute`: an order for the running peer, and what becomes of it."""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace

import pytest

from chain.games import WHOLE_STEP
from chain.intents import OpenDispute
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


# --- a dry run -------------------------------------------------------------------------------------------------------

OPENING = OpenDispute(ACCUSED, 4, b"record", b"signature", *(["cd" * 32] * 5), subject=WHOLE_STEP)


@pytest.fixture
def running(town, monkeypatch):
    """The town's peer, said to be running: what it is asked, and a way to have it answer."""
    _, address = town.add_peer()
    home = Home(town.home).peer("1")
    log = EventLog(home.events_file)
    monkeypatch.setattr(disputing, "status", lambda _: [SimpleNamespace(name="1", running=True)])
    monkeypatch.setattr(disputing, "PATIENCE_S", 20.0)
    orders, asked = Orders(home.dispute_orders), []

    def answers(*events, opening=None):
        def work() -> None:
            until = time.monotonic() + 10
            while not orders.open() and time.monotonic() < until:
                time.sleep(0.01)
            ((path, order),) = orders.open()
            asked.append(order)
            for event in events:
                log.append(event)
            if opening is not None:
                orders.answer(path, opening)
            orders.done(path)

        threading.Thread(target=work, daemon=True).start()

    yield SimpleNamespace(answers=answers, asked=asked, address=address, orders=orders, folder=home.dispute_orders)
    log.close()


def test_a_dry_run_shows_gas_fee_and_bond_and_signs_nothing(told, town, running):
    transactions = town.world.transactions
    running.answers(opened(4, "challenger"), opening=OPENING)
    code, body, err = told("dispute", "4", ACCUSED, "--dry-run", "--home", town.home, "--json")
    assert code == 0
    assert running.asked == [Order(4, ACCUSED, 2, is_dry=True)]
    found = body["dispute"]
    (step,) = found["steps"]
    assert (found["dry_run"], found["address"], found["round"], found["accused"]) == (True, running.address, 4, ACCUSED)
    assert (found["subject"], found["bond_micro"]) == (WHOLE_STEP, town.spec.economics.dispute_bond_micro)
    assert (step["intent"], step["transaction"]) == ("OpenDispute", "")
    assert step["gas"] > 0
    assert step["fee_wei"] == str(step["gas"] * 10**9)
    assert f"dispute the training step of {name_of(ACCUSED)} in round 4: {step['gas']:,} gas, a fee of about" in err
    assert "A bond of 10 tokens" in err
    assert (town.world.transactions, town.signed, running.orders.open()) == (transactions, [], [])
    assert not list(running.folder.iterdir()), "nothing is left behind"


def test_a_dry_run_says_as_well_why_there_is_nothing_to_dispute(told, town, running):
    running.answers(DisputeNotPossible(4, ACCUSED, CONTENT, "it came out the same"))
    code, body, _ = told("dispute", "4", ACCUSED, "--dry-run", "--home", town.home, "--json")
    assert (code, body["error"]) == (6, "VerificationError")
    assert "it came out the same" in body["what"]


def test_a_dry_run_that_nobody_answers_leaves_no_order(told, town, running, monkeypatch):
    monkeypatch.setattr(disputing, "PATIENCE_S", 0.5)
    code, body, _ = told("dispute", "4", ACCUSED, "--dry-run", "--home", town.home, "--json")
    assert (code, "nothing was signed or sent" in body["so_what"]) == (1, True)
    assert running.orders.open() == []
