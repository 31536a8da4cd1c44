"""Why this module exists: whole rounds of several real nodes in one process, on the shipped fakes, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chain.base import Intent, Receipt
from chain.fake import FakeChain, FakeWorld
from chain.requests import RequestRecord, Requests
from chain.rules import rules_of
from identity.envelope import verify
from identity.keyfile import create_key
from identity.signer import Signer
from protocol.events import EquivocationEnded, Event, RecordRejected, RoundSettled
from protocol.ids import Address, PeerId
from protocol.run import AuditRules, EconomyRules, FamilySpec, GameRules, LearnRules, RunSpec, TaskSpec, TimeRules
from rewards.outbox import Outbox
from swarm.audit.commitments import Clerk
from swarm.audit.shelf import Shelf
from swarm.dht.blobs import BlobLimits
from swarm.dht.memory import MemoryNetwork, MemoryTransport
from swarm.disputes.archive import Archive
from swarm.disputes.evidence import Evidence
from swarm.disputes.player import Disputes
from swarm.member.checkpoint import Checkpoints
from swarm.node import Node
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import Prompt, StateParts
from swarm.policy.fake import FakeEngine
from swarm.rounds.engine_room import EngineRoom
from swarm.rounds.exam import Exam
from swarm.rounds.journal import Journal
from swarm.rounds.timing import Stopwatch
from swarm.rounds.work import Bench
from swarm.settings.home import PeerHome
from swarm.tasks.base import Question, Task
from tests.virtual_time import now

Kind = TypeVar("Kind", bound=Event)

QUICK_BLOBS = BlobLimits(stall_s=0.3, total_s=0.6)
"""For streams that never leave the process: a blob is given up well within a stage of one second."""

POLL_S = 0.01


EVERYTHING = AuditRules("fake", 2, 1, 3, 1_000, 1_000_000, 3)
"""Every rollout of every contribution is sampled again, and every training step taken again, by one auditor."""


ECONOMICS = EconomyRules(
    min_stake_micro=25_000_000,
    bond_micro=10_000_000,
    budget_micro=10**12,
    round_emission_micro=10**11,
    quorum_size=48,
    epoch_rounds=1,
    challenge_s=1,
    dispute_s=1,
    answer_s=2,
    unbonding_s=30,
    absence_rounds=10,
    barred_rounds=4,
    auditor_micro=20_000,
    newcomer_rounds=10,
    newcomer_floor_milli=200,
    late_share_milli=500,
    unreplayable_share_milli=150,
    trace_s=60,
    move_s=30,
    dispute_bond_micro=1_000_000,
)
"""The default pay, unlocked within seconds."""


GENESIS = FakeEngine().parts()


class Doubling:
    """A task without a library: twice a number."""

    name, version, num_held_out = "doubling", "1", None

    def questions(self, seed: int, count: int, *, held_out: bool = False, level: int = 0) -> tuple[Question, ...]:
        first = seed % 1000
        return tuple(Question(f"2 * {first + n} = ?", str(2 * (first + n)), "doubling") for n in range(count))

    def score(self, question: Question, answer: str) -> int:
        return 1000 if answer.strip() == question.truth else 0


def pupil(prompt: Prompt, seed: int) -> str:
    """Says well-formed things; whether they are right depends on the seed."""
    text = prompt[-1].content
    number = int(text.split("*")[1].split("=")[0])
    answer = 2 * number + (0 if seed % 3 else 1)
    if "<identify>" in prompt[0].content:
        return f"<compare>looked</compare><identify>{'ABC'[seed % 3]}</identify>"
    if "<majority>" in prompt[0].content:
        return f"<majority>A</majority><think>so</think><answer>{answer}</answer>"
    return f"<think>double</think><answer>{answer}</answer>"


def small_run(*, audit: AuditRules = EVERYTHING, **times: int) -> RunSpec:
    time_rules = {"stage_s": 5, "contribute_s": 5, "poster_s": 2, "round_s": 30} | times
    return RunSpec(
        name="test",
        chain_id=31337,
        model=FakeEngine(pupil).state_hash(),
        task=TaskSpec("doubling", "1", (FamilySpec("doubling", 1, "{}"),), 8),
        game=GameRules(3, 2, 120, 120, 160, 1000, 8),
        learn=LearnRules(2, 1, 1000, 200_000_000, 200_000_000, 0, 0, 0, 10**9),
        time=TimeRules(**time_rules),
        audit=audit,
        economics=ECONOMICS,
        seed=8,
    )


class _NoRequests:
    """What a peer sees that does not want to see what it is asked for."""

    async def requests(self, since_block: int = 0) -> tuple[RequestRecord, ...]:
        return ()

    async def answer_s(self) -> int:
        return 3600


class _SlowChain(FakeChain):
    """A chain on which others can look around before a transaction is mined."""

    answers = True

    def __init__(self, world: FakeWorld, wallet: Address, block_s: float) -> None:
        super().__init__(world, wallet)
        self._block_s = block_s

    @property
    def requests(self) -> Requests:
        return super().requests if self.answers else _NoRequests()

    async def send(self, intent: Intent) -> Receipt:
        await asyncio.sleep(self._block_s)
        return await super().send(intent)


@dataclass
class Seat:
    """One peer of the small swarm: what survives it on disk and on the chain, and a node while it runs."""

    home: PeerHome
    signer: Signer
    wallet: Address
    swarm: SmallSwarm
    transport: MemoryTransport | None = None

    @property
    def peer(self) -> PeerId:
        return self.signer.peer

    def node(
        self,
        script: Callable[[Prompt, int], str] = pupil,
        *,
        network: Callable[[MemoryTransport], Any] = lambda it: it,
        engine: Callable[[FakeEngine], Any] = lambda it: it,
        genesis: StateParts | None = GENESIS,
        poll_s: float = POLL_S,
        block_s: float = 0.0,
        answers: bool = True,
        task: Task | None = None,
    ) -> Node:
        """A fresh process of this peer, so to speak: everything that is kept comes from disk and chain.

        ``network`` may put something between the peer and its transport, ``engine`` between it and its engine; without
        a ``genesis`` nothing is replayed. ``block_s`` is how long this peer's transactions take.
        ``task``: what it asks and judges by. Unless it ``answers``, it looks for no requests for its data on the
        chain."""
        swarm, run_home = self.swarm, self.home.run(self.swarm.run.id)
        events = EventLog(self.home.events_file, now)

        def rejected(bad: object, peer: str, kind: str, round_number: int) -> None:
            events.append(RecordRejected(round_number, peer, kind, bad.reason, bad.what))  # type: ignore[attr-defined]

        self.transport = swarm.network.join(self.peer, on_rejected=rejected, blobs=QUICK_BLOBS)
        troubles = Troubles(events)
        chain = _SlowChain(swarm.world, self.wallet, block_s)
        chain.answers = answers
        outbox = Outbox(run_home.outbox_file)
        built = engine(FakeEngine(script))
        bench = Bench(
            run=swarm.run,
            contracts=swarm.world.contracts,
            signer=self.signer,
            engine=built,
            engine_name=built.name,
            profile=built.profile,
            room=EngineRoom(),
            clerk=Clerk(built, swarm.run.learn.num_external),
            transport=network(self.transport),
            checkpoints=Checkpoints(run_home.states),
            shelf=Shelf(run_home.held),
            journal=Journal(run_home.journal),
            events=events,
            watch=Stopwatch(now),
            now=now,
            genesis=genesis,
            poll_s=poll_s,
        )
        task = task or Doubling()
        settler = Settler(chain, outbox, self.wallet, events, troubles)
        return Node(
            bench,
            chain,
            task,
            outbox,
            settler,
            troubles,
            Exam(task, swarm.run.id, 4, 120),
            Evidence(run_home.evidence),
            eval_every=0,
            claim_every=0,
            set_members=self.transport.set_members,
            disputes=Disputes(
                bench, chain, swarm.world.games, outbox, settler, troubles, Archive(run_home.disputes)
            ),
        )

    def paid_for_verdicts(self, peer: PeerId) -> int:
        """Micro-credits that ``peer`` got for what it checked, as far as this peer was told."""
        return sum(event.paid_for_verdicts.get(peer, 0) for event in self.told(RoundSettled))

    @property
    def reward_micro(self) -> int:
        """Millionths of a token that this peer got for what it showed of others that contradicted themselves."""
        return sum(event.slashed_micro // 2 for event in self.told(EquivocationEnded) if event.by_me)

    def told(self, kind: type[Kind]) -> list[Kind]:
        """Events of one kind that this peer has written so far."""
        return [logged.event for logged in read(self.home.events_file).events if isinstance(logged.event, kind)]


@dataclass
class SmallSwarm:
    run: RunSpec
    world: FakeWorld
    network: MemoryNetwork
    seats: list[Seat] = field(default_factory=list)

    def seat(self, folder: Path) -> Seat:
        """One more peer, with an identity and a wallet of its own."""
        number = len(self.seats) + 1
        home = PeerHome(folder / str(number))
        home.root.mkdir(parents=True)
        wallet = Address("0x" + f"{number:040x}")
        key = create_key(home.key_file, secret=bytes([number]) * 32)
        seat = Seat(home, Signer(key, wallet), wallet, self)
        self.seats.append(seat)
        return seat


@asynccontextmanager
async def small_swarm(
    folder: Path, num_peers: int, *, audit: AuditRules = EVERYTHING, run: RunSpec | None = None, **times: int
) -> AsyncIterator[SmallSwarm]:
    """A swarm whose chain mines a block every hundredth of a second while the block runs."""
    run = run or small_run(audit=audit, **times)
    rules = rules_of(run.economics, round_s=run.time.round_s, poster_s=run.time.poster_s, start_members=num_peers)
    world = FakeWorld(rules, run=run.id, now=int(now()))
    world.requests.first_state = run.model
    network = MemoryNetwork(run.id, lambda envelope: verify(envelope, world.contracts), now=now)
    swarm = SmallSwarm(run, world, network)
    for _ in range(num_peers):
        swarm.seat(folder)

    async def mine() -> None:
        while True:
            world.pass_time(max(0, int(now()) - world.now))
            await asyncio.sleep(POLL_S)

    mining = asyncio.ensure_future(mine())
    try:
        yield swarm
    finally:
        mining.cancel()
