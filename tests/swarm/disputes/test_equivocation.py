"""Who signs twice for a round is shown to the contract once, by one of those who hold both signatures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from chain.base import Accuse, Advance, Unstake, Withdraw
from chain.devchain import DevChain
from protocol.codec import content_id
from protocol.errors import ChainError
from protocol.events import EquivocationEnded, EquivocationFound, Problem, TransactionSent
from swarm.disputes.equivocation import waits_s
from tests.chain.conftest import RULES, AnvilBench, Bench, FakeBench, dev_chain, maybe_dev_chain
from tests.chain.players import Player
from tests.swarm.disputes.houses import (
    ADA,
    EVE,
    HONEST,
    POSTER_S,
    STAKE,
    House,
    Records,
    contradiction,
    houses,
    in_round_two,
    in_turn,
    signed,
    stake_of,
)

pytestmark = pytest.mark.asyncio
__all__ = ["dev_chain", "maybe_dev_chain"]  # fixtures


@pytest_asyncio.fixture
async def chains(maybe_dev_chain: DevChain | None, tmp_path: Path) -> AsyncIterator[Bench]:
    """A run in its first round, on the fake chain and on the real contracts."""
    found: Bench
    if maybe_dev_chain is None:
        found = FakeBench()
    else:
        found = AnvilBench(maybe_dev_chain)
        await found.open(tmp_path / "chain")
    await found.join(*HONEST, EVE)
    yield found
    await found.close()


@pytest_asyncio.fixture
async def fake() -> FakeBench:
    """The same on the fake chain alone, by now in round 2, of which all four are members."""
    return await in_round_two()


async def test_one_accuses_the_stake_is_taken_once_and_the_others_pay_nothing(chains: Bench, tmp_path: Path) -> None:
    chain: Any = chains.chain(ADA)
    view = await chain.clock()
    while not view.seed or not any(member.peer == EVE.peer for member in view.members):
        await chains.pass_time(RULES.round_s)
        await chain.send(Advance(view.round))
        await chains.pass_time(1)
        view = await chain.clock()
    records = contradiction(chains, EVE, round=view.round)
    first, *others = in_turn(houses(chains, tmp_path, records), view)
    before = {house.player.peer: await house.rests() for house in (first, *others)}
    for house in (*others, first):
        await house.attend([EVE])
        await house.look()
    assert await stake_of(chains, EVE) == 0
    for house in (first, *others, first):
        await house.look(after_s=5 * POSTER_S)
    gained = [await house.rests() - before[house.player.peer] for house in (first, *others)]
    assert gained == [STAKE // 2, 0, 0], "half is the reporter's, half is burned"
    assert [len(house.told(TransactionSent)) for house in (first, *others)] == [1, 0, 0]
    for house in (first, *others):
        (found,) = house.told(EquivocationFound)
        assert (found.round, found.peer) == (view.round, EVE.peer)
        assert {found.first, found.second} == {content_id(b"one"), content_id(b"other")}
        assert house.told(EquivocationEnded) == [EquivocationEnded(view.round, EVE.peer, STAKE, house is first)]
        assert house.told(Problem) == []
        assert house.evidence.open() == []
    assert [await stake_of(chains, player) for player in HONEST] == [STAKE] * 3


async def test_the_next_one_takes_over_when_the_first_is_gone(fake: FakeBench, tmp_path: Path) -> None:
    records = contradiction(fake, EVE, round=2)
    _gone, second, third = in_turn(houses(fake, tmp_path, records), fake.world.view())
    for house in (second, third):
        await house.attend([EVE])
        await house.look()
        await house.look(after_s=POSTER_S - 1)
    assert await stake_of(fake, EVE) == STAKE, "it is the first one's turn"
    await third.look(after_s=1)
    assert await stake_of(fake, EVE) == STAKE
    await second.look(after_s=1)
    assert await stake_of(fake, EVE) == 0
    await second.look()
    assert [one.by_me for one in second.told(EquivocationEnded)] == [True]
    await third.look(after_s=POSTER_S)
    assert third.told(EquivocationEnded) == [EquivocationEnded(2, EVE.peer, STAKE, False)]
    assert third.told(TransactionSent) == []


@pytest.mark.parametrize("moment", ["written", "put"])
async def test_who_dies_between_writing_and_sending_sends_it_after_a_restart(
    fake: FakeBench, tmp_path: Path, moment: str
) -> None:
    records = contradiction(fake, EVE, round=2)
    first, *_ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await first.attend([EVE])
    fake.world.reachable = False  # it gets no further than its disk
    if moment == "put":
        await first.equivocations._gather()
        first.outbox.put(first.evidence.open()[0].accusation)
    await _nothing_sent(first)
    first.log.close()
    fake.world.reachable = True
    again = House(fake, first.player, first.folder, Records())  # the network has forgotten both records
    assert [one.peer for one in again.evidence.open()] == [EVE.peer]
    for _ in range(3):
        await again.look()
        fake.world.pass_time(1, blocks=5)
        await again.equivocations._settler.flush()
    assert await stake_of(fake, EVE) == 0
    assert len(again.told(TransactionSent)) == 1
    assert [(one.peer, one.by_me) for one in again.told(EquivocationEnded)] == [(EVE.peer, True)]
    assert again.outbox.pending == ()


async def _nothing_sent(house: House) -> None:
    house.bench.world.reachable = False  # type: ignore[attr-defined]
    await house.look()
    house.bench.world.reachable = True  # type: ignore[attr-defined]
    assert await stake_of(house.bench, EVE) == STAKE
    house.bench.world.reachable = False  # type: ignore[attr-defined]


async def test_a_race_that_is_lost_in_the_middle_of_sending_is_nobodys_trouble(fake: FakeBench, tmp_path: Path) -> None:
    records = contradiction(fake, EVE, round=2)
    first, other, _ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    for house in (first, other):
        await house.attend([EVE])
        await house.equivocations._gather()
    sending = first.chain.send

    async def too_late(intent: Any) -> Any:
        if isinstance(intent, Accuse) and await stake_of(fake, EVE):
            await other.look(after_s=POSTER_S)
            return fake.world.apply(first.player.wallet, intent)  # what the contract says to the second one
        return await sending(intent)

    first.chain.send = too_late
    await first.look()
    await first.look()
    assert first.told(Problem) == []
    assert [one.by_me for one in first.told(EquivocationEnded)] == [False]
    assert first.outbox.pending == ()
    await other.look()
    assert [one.by_me for one in other.told(EquivocationEnded)] == [True]


async def test_a_conviction_that_no_block_has_taken_yet_is_waited_for(fake: FakeBench, tmp_path: Path) -> None:
    """A node tries what it is asked on top of transactions that wait; its views do not know of them."""
    records = contradiction(fake, EVE, round=2)
    first, other, _ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await other.attend([EVE])
    estimating = other.chain.estimate

    async def on_top_of_what_waits(intent: Any) -> Any:
        raise ChainError("This was proven before.", "", "", reason="AlreadyProven")

    other.chain.estimate = on_top_of_what_waits
    for _ in range(2):
        await other.look(after_s=9 * POSTER_S)
    assert (other.told(EquivocationEnded, Problem), len(other.evidence.open())) == ([], 1)
    other.chain.estimate = estimating
    await first.attend([EVE])
    await first.look()
    await other.look()
    assert other.told(EquivocationEnded) == [EquivocationEnded(2, EVE.peer, 0, False)]
    assert other.told(TransactionSent) == []


async def test_nothing_is_sent_when_the_stake_is_gone_or_the_round_is_paid(
    fake: FakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = contradiction(fake, EVE, round=2)
    first, other, _ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await fake.chain(EVE).send(Unstake(EVE.peer, STAKE, 0))
    fake.world.pass_time(RULES.unbonding_s)
    await fake.chain(EVE).send(Withdraw(EVE.peer))
    await first.attend([EVE])
    await first.look()
    assert first.told(EquivocationEnded) == [EquivocationEnded(2, EVE.peer, 0, False, "its peer has nothing at stake")]
    await other.attend([EVE])
    await other.equivocations._gather()
    monkeypatch.setattr(type(fake.world.escrow), "paid_round", 3)
    epochs = fake.world.escrow.epochs()
    monkeypatch.setattr(type(epochs), "paid_round", 3)
    await other.look(after_s=9 * POSTER_S)
    assert "round 2 is paid" in other.told(EquivocationEnded)[0].why
    assert fake.world.vault.is_convicted(EVE.peer, 2) is False
    assert (first.told(TransactionSent), other.told(TransactionSent)) == ([], [])


async def test_one_that_was_convicted_of_another_round_is_not_accused_again(fake: FakeBench, tmp_path: Path) -> None:
    records = contradiction(fake, EVE, round=2)
    house, *_ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await house.attend([EVE])
    await house.look()
    fake.world.roster.open_next()
    fake.world.pass_time(1, blocks=3)
    again = House(fake, house.player, tmp_path / "again", contradiction(fake, EVE, round=1))
    again.equivocations.attend(
        msgspec.structs.replace(fake.world.view(), round=1, members=fake.world.roster.members(2)),
        SimpleNamespace(contradicting={EVE.peer}),
    )  # type: ignore[arg-type]
    await again.look()
    assert [one.why for one in again.told(EquivocationEnded)] == ["its peer has nothing at stake"]
    assert again.told(TransactionSent) == []


@pytest.mark.parametrize("kind", ["answer", "critique", "decide", "verdict", "proposal"])
async def test_who_contradicts_itself_in_what_no_contract_judges_is_not_accused(
    fake: FakeBench, tmp_path: Path, kind: str
) -> None:
    records = contradiction(fake, EVE, round=2, kind=kind)
    records.signed["contribution", 2] = {EVE.peer: (signed(fake, EVE, b"one", round=2),)}
    house, *_ = houses(fake, tmp_path, records)
    await house.attend([EVE])
    await house.look(after_s=9 * POSTER_S)
    assert records.asked == 1
    assert (house.told(EquivocationFound, EquivocationEnded), house.evidence.open()) == ([], [])
    assert await stake_of(fake, EVE) == STAKE


async def test_the_same_bytes_again_ones_own_and_a_strangers_records_accuse_nobody(
    fake: FakeBench, tmp_path: Path
) -> None:
    records, stranger = Records(), Player("stranger")
    twice = (b"one", b"other")
    records.signed["contribution", 2] = {
        EVE.peer: (signed(fake, EVE, b"one", round=2),) * 2,
        ADA.peer: tuple(signed(fake, ADA, payload, round=2) for payload in twice),
        stranger.peer: tuple(signed(fake, stranger, payload, round=2) for payload in twice),
    }
    house = House(fake, ADA, tmp_path, records)
    await house.attend([EVE, ADA, stranger])
    await house.look(after_s=9 * POSTER_S)
    assert (house.told(EquivocationFound), house.evidence.open()) == ([], [])


async def test_what_the_contract_does_not_take_is_given_up(fake: FakeBench, tmp_path: Path) -> None:
    """By an account that did not sign for the peer in that round: a transport that let it through would be wrong."""
    records = Records()
    false = tuple(signed(fake, EVE, payload, round=2, by=Player("thief")) for payload in (b"one", b"other"))
    records.signed["contribution", 2] = {EVE.peer: false}
    house, *_ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await house.attend([EVE])
    await house.look()
    await house.look()
    (ended,) = house.told(EquivocationEnded)
    assert "not signed by the account" in ended.why
    assert (await stake_of(fake, EVE), house.outbox.pending) == (STAKE, ())


async def test_a_second_signature_that_comes_after_the_round_is_found_in_the_next_one(
    fake: FakeBench, tmp_path: Path
) -> None:
    records = Records()
    house, *_ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await house.attend([])
    await house.look()
    assert records.asked == 0, "nothing is asked for while nobody contradicts itself"
    records.signed = contradiction(fake, EVE, round=2).signed
    fake.world.roster.open_next()
    fake.world.pass_time(1, blocks=3)
    await house.attend([])
    await house.look(after_s=9 * POSTER_S)
    await house.look()
    assert records.asked == 1
    assert await stake_of(fake, EVE) == 0


async def test_who_leaves_stays_until_it_is_decided(
    fake: FakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = contradiction(fake, EVE, round=2)
    _first, second, _ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    await second.attend([EVE])
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        second.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    await second.equivocations.leave()
    assert await stake_of(fake, EVE) == 0
    assert POSTER_S <= sum(waited) < 2 * POSTER_S


async def test_each_turn_admits_twice_as_many() -> None:
    due = [waits_s(turn, 10) for turn in range(9)]
    assert due == [0, 10, 20, 20, 30, 30, 30, 30, 40]
