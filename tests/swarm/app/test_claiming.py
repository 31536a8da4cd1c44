"""Claiming without running the peer: what is unlocked, what is not, and what nobody has begun to pay."""

import pytest

from chain.base import Stake
from chain.fake import FakeChain
from protocol.errors import ChainUnreachable
from protocol.events import Claimed, TransactionSent
from protocol.messages import Finding
from swarm.cli import execute
from swarm.observe.eventlog import read

CLAIM = {
    "name", "nickname", "peer", "address", "chain_id", "run_id", "dry_run", "steps", "peer_id", "claimed_now",
    "claimed_now_wei", "balance", "balance_wei",
}  # fmt: skip


def claim(told, town, *options):
    code, body, err = told("claim", "--home", town.home, "--json", *options)
    return code, body["claims"][0] if "claims" in body else body, err


def test_what_is_unlocked_is_claimed_and_told_in_the_peers_log(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    code, mine, err = claim(told, town)
    assert code == 0, err
    assert mine.keys() == CLAIM
    assert (mine["claimed_now"], mine["claimed_now_wei"], mine["balance"]) == (0.8, str(8 * 10**17), 0.8)
    assert mine["balance_wei"] == 8 * 10**17 == town.world.token_wei[books.address]
    assert [step["what"] for step in mine["steps"]] == ["claim 0.8 tokens"]
    sent, claimed = [logged.event for logged in read(books.home.events_file).events][-2:]
    assert sent == TransactionSent("claim", mine["steps"][0]["transaction"], mine["steps"][0]["gas_used"])
    assert claimed == Claimed(8 * 10**17, 8 * 10**17, sent.transaction)
    assert "claim 0.8 tokens: " in err
    assert claim(told, town)[1]["claimed_now"] == 0


def test_a_dry_run_of_a_claim_shows_its_price_and_claims_nothing(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    signed = list(town.signed)
    code, mine, _ = claim(told, town, "--dry-run")
    assert (code, mine["dry_run"], mine["claimed_now"], mine["balance"]) == (0, True, 0, 0)
    assert mine["steps"][0]["gas"] > 0
    assert (town.signed, town.world.escrow.claimed) == (signed, {})


def test_what_is_locked_says_until_when(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    code, mine, err = claim(told, town)
    assert (code, mine["claimed_now"], mine["steps"]) == (0, 0, [])
    assert "nothing to claim now. Payout 0 (up to round 2) can still be challenged; it unlocks at " in err


def test_a_payout_that_nobody_began_is_begun(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    code, mine, err = claim(told, town)
    assert code == 0
    assert [step["what"] for step in mine["steps"]] == ["begin the payout of everything up to round 2"]
    assert town.world.escrow.covered_round == 2
    assert "Run `swarm claim` again after " in err
    books.unlock()
    assert claim(told, town)[1]["claimed_now"] == 0.8


def test_without_the_table_the_claim_waits_for_the_running_peer(told, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    for table in books.home.root.rglob("table-*.blob"):
        table.unlink()
    code, body, _ = claim(told, town)
    assert (code, body["error"]) == (5, "ChainError")
    assert "round 2 is not on this machine" in body["what"]


def test_a_running_peer_claims_by_itself(told, town, books):
    from identity.lock import IdentityLock

    with IdentityLock(books.home.root, books.peer):
        code, body, _ = claim(told, town)
    assert (code, body["error"]) == (3, "IdentityError")


def test_a_claim_in_words(capsys, town, books):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    capsys.readouterr()
    assert execute(["claim", "--home", str(town.home)]) == 0
    assert capsys.readouterr().out.endswith(": 0.8 tokens claimed, 0.8 in the wallet\n")


@pytest.mark.parametrize("verdict", [Finding.MATCH, None])
def test_credits_grow_from_earned_to_claimed_and_say_what_each_part_waits_for(told, town, books, verdict):
    def credits():
        code, body, err = told("credits", "--home", town.home, "--json")
        assert code == 0
        assert body["chain"]["asked"], err
        (row,) = body["credits"]
        amounts = (
            row["credits"]["earned_micro"], row["verified_micro"], row["credits"]["settled_micro"],
            row["unlocked_micro"], row["credits"]["claimed_micro"],
        )  # fmt: skip
        assert list(amounts) == sorted(amounts, reverse=True)
        assert sum(part["micro"] for part in row["waiting"]) == amounts[0] - amounts[-1]
        return amounts, [(part["stage"], part["micro"], part["rounds"]) for part in row["waiting"]], row

    books.record(1, 800_000)
    amounts, waits, row = credits()
    assert (amounts, waits) == ((800_000, 0, 0, 0, 0), [("earned", 800_000, [1])])
    assert "spot-check" in row["waiting"][0]["waits_for"]
    if verdict:
        books.judged(1, verdict)
        amounts, waits, _ = credits()
        assert (amounts, waits) == ((800_000, 800_000, 0, 0, 0), [("verified", 800_000, [1])])
    books.record(2, 700_000)
    amounts, waits, row = credits()
    assert amounts == (1_500_000, 800_000, 800_000, 0, 0)
    assert waits == [("earned", 700_000, [2]), ("settled", 800_000, [])]
    assert "a payout" in row["waiting"][1]["waits_for"]
    books.begin_payout()
    amounts, waits, row = credits()
    assert (amounts, waits[1][0], row["waiting"][1]["until"]) == (
        (1_500_000, 800_000, 800_000, 0, 0), "settled", town.world.now + 8,
    )  # fmt: skip
    assert "challenged" in row["waiting"][1]["waits_for"]
    town.world.pass_time(town.world.rules.challenge_s)
    assert "which is final" in credits()[2]["waiting"][1]["waits_for"]
    books.unlock()
    amounts, waits, row = credits()
    assert (amounts, waits[1][0]) == ((1_500_000, 800_000, 800_000, 800_000, 0), "unlocked")
    assert row["waiting"][1]["waits_for"] == "you: `swarm claim`"
    claim(told, town)
    amounts, waits, row = credits()
    assert (amounts, waits) == ((1_500_000, 800_000, 800_000, 800_000, 800_000), [("earned", 700_000, [2])])
    assert row["balance_wei"] == str(8 * 10**17)


def test_a_claim_finishes_a_stake_that_was_cut_off_and_never_forgets_it(told, town, books, monkeypatch):
    books.record(1, 800_000)
    books.record(2, 700_000)
    books.begin_payout()
    books.unlock()
    town.fund(books.address, 30)
    send = FakeChain.send

    async def cut(self, intent):
        if isinstance(intent, Stake):
            raise ChainUnreachable("No endpoint answers.")
        return await send(self, intent)

    monkeypatch.setattr(FakeChain, "send", cut)
    assert told("stake", "20", "--home", town.home, "--json")[0] == 4
    assert claim(told, town)[0] == 4
    monkeypatch.setattr(FakeChain, "send", send)
    code, mine, err = claim(told, town)
    assert code == 0, err
    assert [step["what"] for step in mine["steps"]] == ["stake 20 tokens", "claim 0.8 tokens"]
    assert town.world.record(books.peer).stake_micro == 20_000_000
