"""Whoever is paid did the work: each way to pretend is caught by the check that should catch it, at nobody's cost."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.requests import BOND_MICRO, RequestStage
from protocol.codec import encode
from protocol.events import (
    AttestationRefused,
    Audited,
    ContributionSigned,
    DataAnswered,
    DataAsked,
    EquivocationEnded,
    EquivocationFound,
    EquivocationProven,
    Event,
    Held,
    Outcome,
    Problem,
    RecordRejected,
    RoundEnded,
    RoundSettled,
    Struck,
    Trained,
    TransactionSent,
    VerdictSeen,
)
from protocol.ids import PeerId
from protocol.messages import Contribution, Finding
from protocol.run import AuditRules
from swarm.node import Node
from tests.swarm import cheats
from tests.swarm.hostile import HostileTransport
from tests.swarm.misdeeds import MISDEEDS
from tests.swarm.small_swarm import Seat, SmallSwarm, small_run, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

QUICK = {"stage_s": 3, "contribute_s": 3, "poster_s": 1}


async def play(swarm: SmallSwarm, nodes: Sequence[Node], num_rounds: int) -> None:
    """Play; the nodes of the first three seats must finish, whatever the others do."""
    honest = [asyncio.ensure_future(node.run(num_rounds)) for node in nodes[:3]]
    others = [asyncio.ensure_future(node.run(num_rounds)) for node in nodes[3:]]
    async with asyncio.timeout(40 * num_rounds):
        await asyncio.gather(*honest)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def tokens(swarm: SmallSwarm, seat: Seat) -> int:
    """Micro-credits that were paid to a seat's wallet."""
    return swarm.world.token_wei.get(seat.wallet, 0) // 10**12


def paid_to(eve: Seat, teller: Seat) -> int:
    """Micro-credits that all results together pay to ``eve`` for its work, whether or not it ever claims them."""
    paid = sum(event.paid.get(eve.peer, 0) for event in teller.told(RoundSettled))
    return paid - teller.paid_for_verdicts(eve.peer)


def check_the_honest_lost_nothing(swarm: SmallSwarm, honest: Sequence[Seat], num_rounds: int) -> None:
    """All rounds were played to the end, all that was earned was paid, and nobody accused any of them rightly."""
    struck = {event.peer for seat in honest for event in seat.told(Struck)}
    for seat in honest:
        assert seat.told(Problem) == []
        outcomes = [event.outcome for event in seat.told(RoundEnded)]
        assert len(outcomes) == num_rounds
        assert set(outcomes) <= {Outcome.COMPLETE, Outcome.PARTIAL}
        earned = sum(event.micro_credits[seat.peer] for event in seat.told(RoundSettled) if event.contributions)
        assert earned > 0
        assert tokens(swarm, seat) == earned + seat.paid_for_verdicts(seat.peer) + seat.reward_micro
        assert seat.peer not in struck
        wrongly = [event for event in seat.told(Audited) if event.finding is not Finding.MATCH]
        assert not {event.peer for event in wrongly} & {one.peer for one in honest}, wrongly


def accusations(honest: Sequence[Seat], eve: Seat) -> list[Audited]:
    """What the honest found in eve's contributions that was not as claimed."""
    return [
        event
        for seat in honest
        for event in seat.told(Audited)
        if event.peer == eve.peer and event.finding is not Finding.MATCH
    ]


def struck(seat: Seat, eve: Seat) -> list[int]:
    """Rounds of which this peer knows that eve's contribution is not paid."""
    return [event.round for event in seat.told(Struck) if event.peer == eve.peer]


@pytest.mark.parametrize("name", sorted(cheats.ENGINES))
async def test_work_that_was_not_done_is_caught_and_not_paid(tmp_path: Path, name: str) -> None:
    engine, level = cheats.ENGINES[name]
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        await play(swarm, [*(seat.node() for seat in honest), eve.node(engine=engine)], 2)
        check_the_honest_lost_nothing(swarm, honest, 2)
        assert paid_to(eve, honest[0]) == 0
        for seat in honest:
            assert 1 in struck(seat, eve)
        found = [event for event in accusations(honest, eve) if event.round == 1]
        assert len(found) >= 2
        assert {(event.level, event.finding) for event in found} == {(level, Finding.MISMATCH)}
        assert len({event.what for event in found}) == 1, "whoever checks finds the same"


async def test_copied_rollouts_are_not_what_the_copier_would_have_drawn(tmp_path: Path) -> None:
    thief = cheats.Thief()
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        nodes = [seat.node() for seat in honest[1:]]
        await play(swarm, [honest[0].node(engine=thief.victim), *nodes, eve.node(engine=thief.copying)], 3)
        check_the_honest_lost_nothing(swarm, honest, 3)
        found = accusations(honest, eve)
        assert found
        assert {event.level for event in found} == {1}
        assert struck(honest[0], eve)


async def test_whoever_was_struck_may_go_on_honestly_from_where_it_was(tmp_path: Path) -> None:
    class Repentant(cheats.OneAdvantageAltered):
        num_steps = 0

        def step(self, samples: Any, seed: int) -> Any:
            self.num_steps += 1
            return super().step(samples, seed) if self.num_steps == 1 else self.inner.step(samples, seed)

    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        await play(swarm, [*(seat.node() for seat in honest), eve.node(engine=Repentant)], 4)
        check_the_honest_lost_nothing(swarm, honest, 4)
        assert struck(honest[0], eve) == [1]
        first, *_, last = eve.told(Trained)
        assert [event.state_before for event in eve.told(Trained)].count(first.state_before) >= 2
        assert last.state_before != first.state_after
        settled = [event for event in honest[0].told(RoundSettled) if event.contributions]
        later = [event.micro_credits[eve.peer] for event in settled[2:] if eve.peer in event.micro_credits]
        assert later
        assert paid_to(eve, honest[0]) == sum(later)


# --- what is caught before it is ever recorded ------------------------------------------------------------------------


def publishing(swarm: SmallSwarm, seat: Seat, kind: str, change: cheats.Change) -> Callable[[Any], Any]:
    return lambda inner: cheats.Publishing(inner, seat.signer, swarm.world.contracts, kind, change)


async def test_a_step_from_another_state_than_the_last_included_one_is_rejected(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats

        def from_genesis(peer: HostileTransport, envelope: Any) -> Any:
            contribution = msgspec.msgpack.decode(envelope.payload, type=Contribution)
            if contribution.round == 1:
                return envelope
            return peer.seal(
                envelope,
                encode(msgspec.structs.replace(contribution, state_before=swarm.run.model, before=None)),
            )

        between = publishing(swarm, eve, "contribution", from_genesis)
        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=between)], 2)
        check_the_honest_lost_nothing(swarm, honest, 2)
        assert "wrong_state" in {event.reason for event in honest[0].told(RecordRejected) if event.peer == eve.peer}
        assert [eve.peer in event.micro_credits for event in honest[0].told(RoundSettled)] == [True, False, False]


async def test_two_contributions_to_one_round_are_paid_neither_and_cost_the_stake_once(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        misdeed = {1: MISDEEDS["different_contributions"]}
        eve_node = eve.node(network=lambda it: HostileTransport(it, eve.signer, swarm.world.contracts, misdeed.get))
        await play(swarm, [*(seat.node() for seat in honest), eve_node], 1)
        check_the_honest_lost_nothing(swarm, honest, 1)
        assert paid_to(eve, honest[0]) == 0
        stake_micro = swarm.run.economics.min_stake_micro
        at_stake = [swarm.world.vault.deposit(seat.peer).active_micro for seat in (*honest, eve)]
        assert at_stake == [stake_micro] * 3 + [0]
        assert sorted(seat.reward_micro for seat in honest) == [0, 0, stake_micro // 2], "the other half is burned"
        assert [(one.round, one.peer) for seat in honest for one in seat.told(EquivocationFound)] == [(1, eve.peer)] * 3
        ended = [one for seat in honest for one in seat.told(EquivocationEnded)]
        assert [(one.peer, one.why) for one in ended] == [(eve.peer, "")] * 3
        assert [one.slashed_micro for one in ended if one.by_me] == [stake_micro]
        sent = [one for seat in honest for one in seat.told(TransactionSent) if one.purpose == "accuse"]
        assert len(sent) == 1
        (winner,) = (seat for seat in honest if seat.reward_micro)
        told = [one for seat in honest for one in seat.told(EquivocationProven)]
        assert [(one.peer, one.round, one.reporter) for one in told] == [(eve.peer, 1, winner.wallet)] * 3
        assert {(one.slashed_micro, one.award_micro) for one in told} == {(stake_micro, stake_micro // 2)}
        assert {one.transaction for one in told} == {sent[0].transaction}
        assert swarm.world.record(eve.peer).barred_until > 0


async def test_a_contribution_of_another_engine_than_the_runs_is_rejected(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats

        def native(peer: HostileTransport, envelope: Any) -> Any:
            contribution = msgspec.msgpack.decode(envelope.payload, type=Contribution)
            return peer.seal(
                envelope, encode(msgspec.structs.replace(contribution, engine="native", before=None, after=None))
            )

        between = publishing(swarm, eve, "contribution", native)
        await play(swarm, [*(seat.node() for seat in honest), eve.node(network=between)], 1)
        check_the_honest_lost_nothing(swarm, honest, 1)
        assert "wrong_engine" in {event.reason for event in honest[0].told(RecordRejected) if event.peer == eve.peer}
        assert paid_to(eve, honest[0]) == 0


# --- withheld and broken states ---------------------------------------------------------------------------------------


async def test_a_state_that_nobody_was_given_keeps_its_contribution_out(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *honest, eve = swarm.seats
        eve_node = eve.node(
            network=lambda it: cheats.Withholding(it, eve.signer, swarm.world.contracts, lambda blob: None)
        )
        await play(swarm, [*(seat.node() for seat in honest), eve_node], 1)
        check_the_honest_lost_nothing(swarm, honest, 1)
        assert paid_to(eve, honest[0]) == 0
        assert eve.peer not in honest[0].told(RoundSettled)[0].micro_credits
        assert not any(event.peer == eve.peer for seat in honest for event in seat.told(Held))
        for seat in honest:
            assert {(event.reason, event.kind) for event in seat.told(RecordRejected) if event.peer == eve.peer} == {
                ("unavailable", "contribution")
            }


WHAT_IS_SERVED_INSTEAD: dict[str, Callable[[bytes], bytes | None]] = {
    "nothing": lambda blob: None,
    "cut_off": lambda blob: blob[:-4],
    "pickle": lambda blob: pickle.dumps("x" * len(blob))[: len(blob)].ljust(len(blob), b"."),
    "other_dtype": lambda blob: blob.replace(b"float32", b"float16"),
    "too_much": lambda blob: blob + bytes(10_000),
}


@pytest.mark.parametrize("name", sorted(WHAT_IS_SERVED_INSTEAD))
async def test_a_state_withheld_with_a_false_holders_help_is_unavailable_and_not_paid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("swarm.audit.holding.entitled", lambda order, among, num_holders: tuple(among))
    monkeypatch.setattr("swarm.audit.casework.Casework.PATIENCE_S", 0.5)
    rules = AuditRules("fake", 1, 2, 3, 1_000, 1_000_000, 3)
    async with small_swarm(tmp_path, 5, audit=rules, **QUICK) as swarm:
        *honest, mal, eve = swarm.seats
        contracts, instead = swarm.world.contracts, WHAT_IS_SERVED_INSTEAD[name]
        helping = mal.node(network=lambda it: cheats.Colluding(it, mal.signer, contracts, eve.peer))
        hiding = eve.node(network=lambda it: cheats.Withholding(it, eve.signer, contracts, instead))
        await play(swarm, [*(seat.node() for seat in honest), helping, hiding], 3)
        check_the_honest_lost_nothing(swarm, honest, 3)
        found = accusations(honest, eve)
        assert {event.finding for event in found} == {Finding.UNAVAILABLE}
        assert 1 not in {event.round for event in found}, "the first step starts from a state that everybody has"
        assert struck(honest[0], eve)[0] == 2
        first = honest[0].told(RoundSettled)[0]
        assert paid_to(eve, honest[0]) == first.micro_credits[eve.peer]


@pytest.mark.parametrize("answers", [False, True])
async def test_who_withholds_its_state_is_asked_for_it_on_the_chain_and_loses_its_stake_unless_it_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    monkeypatch.setattr("swarm.audit.holding.entitled", lambda order, among, num_holders: tuple(among))
    monkeypatch.setattr("swarm.audit.casework.Casework.PATIENCE_S", 0.5)
    monkeypatch.setattr("swarm.audit.summons.Summons.AT_LEAVING_S", 10.0)
    rules = AuditRules("fake", 1, 2, 3, 1_000, 1_000_000, 3)
    run = small_run(audit=rules, **QUICK)
    run = msgspec.structs.replace(run, economics=msgspec.structs.replace(run.economics, move_s=2))
    async with small_swarm(tmp_path, 5, run=run) as swarm:
        *honest, mal, eve = swarm.seats
        contracts = swarm.world.contracts
        for seat in (*honest, mal):
            swarm.world.ground.pay(seat.wallet, 3 * BOND_MICRO)
        helping = mal.node(network=lambda it: cheats.Colluding(it, mal.signer, contracts, eve.peer))
        hiding = eve.node(
            network=lambda it: cheats.Withholding(it, eve.signer, contracts, lambda blob: None), answers=answers
        )
        await play(swarm, [*(seat.node() for seat in honest), helping, hiding], 3)
        asked = [event for seat in (*honest, mal) for event in seat.told(DataAsked)]
        assert {event.peer for event in asked} == {eve.peer}
        records = await swarm.world.requests.requests()
        stake_micro = swarm.world.vault.deposit(eve.peer).active_micro
        auditor = next(seat for seat in swarm.seats if seat.wallet == records[0].asker)
        assert Finding.UNAVAILABLE in {event.finding for event in auditor.told(Audited)}
        if answers:
            assert RequestStage.SHOWN in {record.stage for record in records}
            assert stake_micro == run.economics.min_stake_micro
            assert eve.told(DataAnswered)[0].shown
        else:
            assert records[0].stage is RequestStage.WITHHELD
            assert stake_micro == 0
            assert not swarm.world.roster.standing(eve.peer).weight
            lost = DataAnswered(records[0].round, eve.peer, records[0].content, shown=False)
            assert lost in auditor.told(DataAnswered)
        assert all(swarm.world.vault.deposit(seat.peer).active_micro for seat in (*honest, mal))


# --- deaths -----------------------------------------------------------------------------------------------------------


async def until(seat: Seat, kind: type[Event], count: int = 1) -> None:
    async with asyncio.timeout(60):
        while len(seat.told(kind)) < count:  # noqa: ASYNC110 - a log on disk has nothing to wait on
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("moment", [ContributionSigned, Held, Audited])
async def test_a_peer_killed_between_contribution_receipt_and_verdict_signs_nothing_twice(
    tmp_path: Path, moment: type[Event]
) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        *staying, dying = swarm.seats
        others = [asyncio.ensure_future(seat.node().run(3)) for seat in staying]
        first_life = asyncio.ensure_future(dying.node().run(3))
        await until(dying, moment)
        first_life.cancel()
        await asyncio.gather(first_life, return_exceptions=True)
        journal = dying.home.run(swarm.run.id).journal
        signed = {path: path.read_bytes() for path in journal.glob("*/*.envelope")}
        second_life = asyncio.ensure_future(dying.node().run(3, 1))
        async with asyncio.timeout(120):
            await asyncio.gather(*others, second_life)
        assert signed
        for path, data in signed.items():
            assert path.read_bytes() == data
        for seat in staying:
            assert [event for event in seat.told(RecordRejected) if event.reason == "equivocation"] == []
            assert seat.told(Struck) == []
        earned = sum(event.micro_credits.get(dying.peer, 0) for event in staying[0].told(RoundSettled))
        assert earned > 0
        assert tokens(swarm, dying) == earned + staying[0].paid_for_verdicts(dying.peer)
        assert not [event for event in staying[0].told(AttestationRefused) if "verdict" in event.why]


async def test_everything_that_was_earned_is_claimed_when_the_last_round_is_over(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 4, **QUICK) as swarm:
        await play(swarm, [seat.node() for seat in swarm.seats], 2)
        paid: dict[PeerId, int] = {}
        for event in swarm.seats[0].told(RoundSettled):
            for peer, micro in event.paid.items():
                paid[peer] = paid.get(peer, 0) + micro
        for seat in swarm.seats[:3]:
            assert tokens(swarm, seat) == paid[seat.peer]
            checked = [event for event in seat.told(VerdictSeen) if event.peer == seat.peer]
            assert {event.finding for event in checked} == {Finding.MATCH}
            assert {event.level for event in checked} == {2}
