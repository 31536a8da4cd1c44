"""Data that nobody serves is asked for and answered by the program itself, on the real contracts and on the fake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from chain.base import WEI_PER_MICRO
from chain.devchain import DevChain
from chain.keys import sign_digest
from chain.requests import BOND_MICRO, DataPart, RequestRecord, RequestStage
from chain.typed_data import record_digest
from protocol.codec import content_id, encode
from protocol.events import DataAnswered, DataAsked, Progress
from protocol.ids import STAGES
from protocol.messages import WIRE_VERSION, BlobRef, Envelope, Rollout, RolloutBatch, RolloutGroup
from rewards.outbox import Outbox
from swarm.audit.pieces import answer_to, question
from swarm.audit.shelf import Shelf
from swarm.audit.summons import Summons
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.rounds.contribution import Commitments, build_contribution
from swarm.rounds.inbox import CONTRIBUTION
from swarm.rounds.journal import Journal
from tests.chain.conftest import RULES, AnvilBench, Bench, FakeBench, dev_chain, maybe_dev_chain
from tests.chain.players import Player, content
from tests.swarm.small_swarm import GENESIS, FakeEngine, pupil

pytestmark = pytest.mark.asyncio
__all__ = ["dev_chain", "maybe_dev_chain"]  # fixtures

ADA, BEN, CYD = (Player(name) for name in ("ada", "ben", "cyd"))
MODEL = FakeEngine(pupil).state_hash()
SEED = content("seed")


@pytest_asyncio.fixture
async def bench(maybe_dev_chain: DevChain | None, tmp_path: Path) -> AsyncIterator[Bench]:
    """A run that begins with the fake engine's state, of three members."""
    found: Bench
    if maybe_dev_chain is None:
        found = FakeBench()
        found.world.requests.first_state = MODEL
    else:
        found = AnvilBench(maybe_dev_chain)
        await found.open(tmp_path / "chain", model=MODEL)
    await found.join(ADA, BEN, CYD)
    await found.give_tokens(BEN, 5 * BOND_MICRO)
    yield found
    await found.close()


class House:
    """What a peer has of its own: a journal, a shelf, an outbox, and a program that looks after requests."""

    def __init__(self, bench: Bench, player: Player, folder: Path) -> None:
        self.bench, self.player, self.folder = bench, player, folder
        self.log = EventLog(folder / "events.jsonl")
        self.journal, self.shelf = Journal(folder / "journal"), Shelf(folder / "held")
        self.outbox = Outbox(folder / "outbox.log")
        self.chain: Any = bench.chain(player)
        own = SimpleNamespace(
            signer=SimpleNamespace(peer=player.peer, wallet=player.wallet),
            events=self.log,
            journal=self.journal,
            shelf=self.shelf,
            genesis=GENESIS,
            now=asyncio.get_running_loop().time,
            poll_s=0.05,
        )
        troubles = Troubles(self.log)
        settler = Settler(self.chain, self.outbox, player.wallet, self.log, troubles)
        self.summons = Summons(own, self.chain, bench.requests, settler, troubles)  # type: ignore[arg-type]

    def told(self, *kinds: type) -> list[Any]:
        return [logged.event for logged in read(self.log.path).events if isinstance(logged.event, kinds)]

    def works(self) -> Envelope:
        """Make a contribution of a later step and keep everything that it commits to, as a peer does."""
        blobs = (GENESIS.manifest, *GENESIS.chunks)
        self.shelf.write(1, MODEL, blobs)
        ref = BlobRef(content_id(GENESIS.manifest), len(GENESIS.manifest))
        batches = []
        for number, stage in enumerate(STAGES):
            rollouts = tuple(Rollout(f"{stage} {sample}", (number, sample), True) for sample in range(2))
            group = RolloutGroup(0, content("prompt"), rollouts)
            batches.append(RolloutBatch(self.bench.run, 1, stage, self.player.peer, (group,)))
        for stage, batch in zip(STAGES, batches, strict=True):
            self.journal.write(self._sealed(stage, encode(stage)), encode(batch))
        contribution = build_contribution(
            run=self.bench.run, round_number=1, peer=self.player.peer, seed=SEED, cohort=[self.player.peer],
            state_before=MODEL, state_after=MODEL, before=ref, after=ref, batches=batches, consumed=(),
            scores_milli=[0] * 6, engine="fake", profile="fake", commitments=Commitments(),
        )  # fmt: skip
        envelope = self._sealed(CONTRIBUTION, encode(contribution))
        self.journal.write(envelope)
        return envelope

    def _sealed(self, kind: str, payload: bytes) -> Envelope:
        digest = record_digest(self.bench.contracts, self.bench.run, kind, 1, content_id(payload))
        return envelope_of(self.bench, kind, payload, sign_digest(self.player.secret, digest))


async def opened(bench: Bench) -> tuple[RequestRecord, ...]:
    """The requests, as soon as there are any."""
    for _ in range(600):
        if records := await bench.requests.requests():
            return records
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was asked for")


def envelope_of(bench: Bench, kind: str, payload: bytes, signature: bytes) -> Envelope:
    return Envelope(
        version=WIRE_VERSION, run=bench.run, kind=kind, round=1, peer=ADA.peer, payload=payload, signature=signature,
        delegation=None,
    )  # fmt: skip


async def until(summons: list[Summons], asking: asyncio.Task[Any], bench: Bench, *, step_s: int = 0) -> Any:
    """Let the others look, and time pass, until the one that asks knows."""
    async with asyncio.timeout(60):
        while not asking.done():
            for one in summons:
                await one.tend()
            if step_s:
                await bench.pass_time(step_s)
            await asyncio.sleep(0.05)
    return asking.result()


@pytest.mark.parametrize("of_state", [True, False])
async def test_an_honest_peer_shows_what_is_asked_of_it_by_itself_also_after_a_restart(
    bench: Bench, tmp_path: Path, of_state: bool
) -> None:
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    envelope = ada.works()
    asking = asyncio.ensure_future(ben.summons.demand(envelope, of_state=of_state, seed=SEED))
    records = await opened(bench)
    assert records[0].part is (DataPart.STATE_BEFORE if of_state else DataPart.ROLLOUT)
    restarted = House(bench, ADA, tmp_path / "ada")
    assert await until([restarted.summons], asking, bench) is RequestStage.SHOWN
    found = await ada.chain.peer(ADA.peer)
    assert found.stake_micro == RULES.min_stake_micro
    await restarted.summons.tend()
    assert [event.shown for event in restarted.told(DataAnswered)] == [True]
    assert ben.told(DataAsked) == [DataAsked(1, ADA.peer, int(records[0].part), records[0].index)]
    assert await ben.summons.demand(envelope, of_state=not of_state, seed=SEED) is None, "it is spared"


async def test_a_peer_that_withholds_loses_its_stake_to_who_asked(bench: Bench, tmp_path: Path) -> None:
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    before = (await ben.chain.balance(BEN.wallet)).token_wei
    asking = asyncio.ensure_future(ben.summons.demand(ada.works(), of_state=True, seed=SEED))
    assert await until([], asking, bench, step_s=10) is RequestStage.WITHHELD
    found = await ben.chain.peer(ADA.peer)
    assert (found.stake_micro, found.enrolled) == (0, False)
    gained = (await ben.chain.balance(BEN.wallet)).token_wei - before
    assert gained == RULES.min_stake_micro // 2 * WEI_PER_MICRO


async def test_a_request_whose_asker_died_is_ended_by_its_next_process(bench: Bench, tmp_path: Path) -> None:
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    asking = asyncio.ensure_future(ben.summons.demand(ada.works(), of_state=True, seed=SEED))
    await opened(bench)
    asking.cancel()
    await bench.pass_time(RULES.move_s)
    restarted = House(bench, BEN, tmp_path / "ben")
    await restarted.summons.tend()
    assert [one.stage for one in await bench.requests.requests()] == [RequestStage.WITHHELD]
    await restarted.summons.tend()
    assert [event.shown for event in restarted.told(DataAnswered)] == [False]


async def test_who_leaves_answers_first(bench: Bench, tmp_path: Path) -> None:
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    await ada.summons.leave()
    asking = asyncio.ensure_future(ben.summons.demand(ada.works(), of_state=False, seed=SEED))
    await opened(bench)
    async with asyncio.timeout(30):
        await ada.summons.leave()
    assert await until([], asking, bench) is RequestStage.SHOWN


async def test_without_a_bond_or_a_chain_nothing_is_asked(tmp_path: Path) -> None:
    bench = FakeBench()
    bench.world.requests.first_state = MODEL
    await bench.join(ADA, BEN, CYD)
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    envelope = ada.works()
    assert await ben.summons.demand(envelope, of_state=True, seed=SEED) is None
    assert "takes no request for it" in ben.told(Progress)[0].what
    bench.world.reachable = False
    await ben.summons.tend()
    assert await ben.summons.demand(envelope, of_state=True, seed=SEED) is None
    assert ben.told(DataAsked) == []


async def test_a_piece_that_is_gone_from_disk_is_told_and_a_damaged_record_asks_for_nothing(tmp_path: Path) -> None:
    bench = FakeBench()
    bench.world.requests.first_state = MODEL
    await bench.join(ADA, BEN, CYD)
    await bench.give_tokens(BEN, BOND_MICRO)
    ada, ben = House(bench, ADA, tmp_path / "ada"), House(bench, BEN, tmp_path / "ben")
    envelope = ada.works()
    asking = asyncio.ensure_future(ben.summons.demand(envelope, of_state=True, seed=SEED))
    records = await opened(bench)
    ada.shelf.forget_old(9)
    await ada.summons.tend()
    assert "is not here" in ada.told(Progress)[0].what
    assert await until([], asking, bench, step_s=10) is RequestStage.WITHHELD
    broken = envelope_of(bench, CONTRIBUTION, b"\xc1", bytes(65))
    assert question(broken, GENESIS, of_state=True, seed=SEED, me=BEN.peer) is None
    with pytest.raises(Exception, match="not kept here"):
        answer_to(records[0], ada.journal, ada.shelf)
