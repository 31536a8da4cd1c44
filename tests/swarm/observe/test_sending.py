"""What `swarm outbox` says about the files of peers that run, that died, and that never ran."""

import asyncio
import json

import pytest
from rich.console import Console

from chain.base import Advance, Claim, Receipt
from chain.nonces import Version, WalletLog
from protocol.errors import ChainError, SwarmError
from rewards.outbox import Outbox
from swarm.cli import execute
from swarm.observe.sending import outbox_table, sendings

PEER = "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi"
HASHES = ["0x" + digit * 64 for digit in "abc"]


class Ledger:
    def __init__(self, answer):
        self.answer = answer

    async def send(self, intent):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def peer(tmp_path):
    folder = tmp_path / "peers" / "1"
    outbox = Outbox(folder / "runs" / "0123456789abcdef" / "outbox.log", now=lambda: 100.0)
    log = WalletLog(folder / "transactions" / "31337-aa-bb.log", now=lambda: 130.0)
    return tmp_path, outbox, log


def signed(log, purpose, nonce, *hashes, at=110.0):
    async def write():
        async with log.locked():
            for count, transaction in enumerate(hashes):
                version = Version(transaction, "0x02", 10**9 + count * 10**8, 10**8, 21_000, at + count)
                entry = log.add(nonce, purpose, purpose, version)
            return entry

    return asyncio.run(write())


def test_an_empty_home_has_nothing_to_send(tmp_path, capsys):
    assert execute(["outbox", "--home", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"outbox": []}
    assert execute(["outbox", "--home", str(tmp_path)]) == 0
    assert "Nothing is to be sent." in capsys.readouterr().out


def test_a_transaction_on_its_way_is_told_with_its_nonce_fee_and_attempts(peer, capsys):
    home, outbox, log = peer
    outbox.put(Claim(PEER, 7, 0, ()))
    outbox.put(Advance(4))
    signed(log, f"Claim/0/{PEER}", 5, HASHES[0], HASHES[1])
    signed(log, "Advance/4", 4, HASHES[2], at=50.0)  # of an earlier time, and another intent
    assert execute(["outbox", "--home", str(home), "--json"]) == 0
    claim, advance = json.loads(capsys.readouterr().out.splitlines()[-1])["outbox"]
    assert claim == {
        "name": "1", "run": "0123456789abcdef", "kind": "Claim", "number": 0, "about": PEER, "state": "sent",
        "queued_at": 100.0, "since": 110.0, "reason": "", "why": "", "transaction": HASHES[1], "nonce": 5,
        "fee_wei": 1_100_000_000, "attempts": 2, "sent_at": 110.0, "block": None, "confirmations": 0,
    }  # fmt: skip
    assert (advance["kind"], advance["number"], advance["state"], advance["nonce"]) == ("Advance", 4, "queued", None)


def test_what_was_mined_is_told_with_the_version_that_was(peer):
    home, outbox, log = peer
    outbox.put(Advance(4))
    entry = signed(log, "Advance/4", 4, HASHES[0], HASHES[1])

    async def mine():
        async with log.locked():
            log.mined(entry, HASHES[0], 77, "0x77", True)

    asyncio.run(mine())
    asyncio.run(outbox.flush(Ledger(Receipt(HASHES[0], 21_000, 77))))
    (one,) = sendings(home)
    assert (one.state, one.transaction, one.block, one.confirmations, one.attempts) == ("mined", HASHES[0], 77, 0, 2)
    for head, state in ((78, "mined"), (79, "done")):
        asyncio.run(outbox.flush(Ledger(Receipt("", 0, head))))
        assert (sendings(home)[0].state, sendings(home)[0].confirmations) == (state, head - 77)


@pytest.mark.parametrize(("reason", "state"), [("NoGasMoney", "held"), ("RoundStillOpen", "refused")])
def test_what_is_in_the_way_is_told_in_words(peer, reason, state, capsys):
    home, outbox, _log = peer
    outbox.put(Advance(4))
    error = ChainError("It \x1b[31mdoes not work.", "Nothing is lost.", "Do this.", reason=reason)
    asyncio.run(outbox.flush(Ledger(error)))
    assert execute(["outbox", "--home", str(home)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert state in told
    assert "It does not work. Nothing is lost. Do this." in told


def test_a_running_peer_is_not_disturbed_by_whoever_looks(peer):
    """Half a line is what a reader may see while a line is written."""
    home, outbox, _log = peer
    outbox.put(Advance(4))
    path = home / "peers" / "1" / "runs" / "0123456789abcdef" / "outbox.log"
    with path.open("ab") as file:
        file.write(b'0badc0de {"seq":2,"int')
    raw = path.read_bytes()
    assert [one.state for one in sendings(home)] == ["queued"]
    assert path.read_bytes() == raw


def test_damage_is_told(peer, capsys):
    home, outbox, _log = peer
    for number in (4, 5):
        outbox.put(Advance(number))
    path = home / "peers" / "1" / "runs" / "0123456789abcdef" / "outbox.log"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(SwarmError, match="damaged in line 1"):
        sendings(home)
    assert execute(["outbox", "--home", str(home), "--json"]) == 1
    assert "damaged" in json.loads(capsys.readouterr().out.splitlines()[-1])["what"]


def test_the_table_of_a_narrow_window_keeps_what_matters(peer):
    home, outbox, _log = peer
    outbox.put(Advance(4))
    console = Console(width=70, record=True)
    console.print(outbox_table(sendings(home), 160.0))
    shown = console.export_text()
    assert "Advance 4" in shown
    assert "queued" in shown
