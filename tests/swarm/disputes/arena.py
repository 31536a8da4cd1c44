"""Games between peers of one process: a real engine, the simulated chain, and a clock that a test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from chain.base import Enrol, Stake
from chain.fake import FakeChain, FakeWorld
from chain.games import WHOLE_STEP, GameSide
from chain.rules import Rules
from identity.keyfile import create_key
from identity.signer import Signer
from protocol.codec import content_id, encode
from protocol.errors import BadRecord
from protocol.events import Event
from protocol.ids import Address, ContentId
from protocol.merkle import MerkleTree
from protocol.messages import BlobRef
from rewards.outbox import Outbox
from swarm.audit.commitments import draw_line
from swarm.audit.shelf import Shelf
from swarm.disputes.archive import Archive, Suit
from swarm.disputes.dossier import Dossier, DrawWork, StepWork
from swarm.disputes.hand import Dealing, Hand
from swarm.disputes.player import Disputes
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import Sampling, StateParts, TrainSample
from swarm.policy.exact import ExactEngine
from swarm.rounds.contribution import Commitments, build_contribution
from swarm.rounds.engine_room import EngineRoom
from swarm.rounds.work import Bench
from tests.swarm.small_swarm import small_run
from tests.verde.program.models import make_model
from tests.verde.program.test_engine import RULES, requests
from verde.bisect.arbiter import Arbiter
from verde.bisect.challenger import Evidence
from verde.program.trace import Trace

SAMPLING = Sampling(5, 1.0)
LEARN = replace(RULES, num_updates=1)
RULES_OF_CHAIN = Rules(trace_s=60, move_s=30, dispute_bond_micro=5_000_000)
ROUND = 1


class Nowhere:
    """A network on which nobody is."""

    async def fetch(self, *_: object) -> bytes:
        raise BadRecord("unavailable", "Nobody is here.")


@dataclass
class Work:
    """What a peer did in the round, and what it says of it."""

    dossier: Dossier
    states: dict[ContentId, StateParts]


@dataclass
class Player:
    """One peer, as far as it plays games."""

    arena: Arena
    folder: Path
    signer: Signer
    disputes: Disputes

    @property
    def wallet(self) -> Address:
        return self.signer.wallet

    def told(self, kind: type[Event]) -> list[Any]:
        return [one.event for one in read(self.folder / "events.jsonl").events if isinstance(one.event, kind)]

    def tokens_micro(self) -> int:
        return self.arena.world.token_wei.get(self.wallet, 0) // 10**12

    async def stake_micro(self) -> int:
        record = self.arena.world.record(self.signer.peer)
        return record.stake_micro if record is not None else 0

    def restarted(self) -> Player:
        """The same peer after ``kill -9``: only what is on disk is left."""
        return self.arena.seat(self.folder, self.signer)


class Arena:
    """A chain, and a run whose first state is the model's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        directory = make_model(folder / "model", "llama")
        self.engine = ExactEngine.open(directory, LEARN, temperature=1.0)
        self.genesis = self.engine.parts()
        run = small_run()
        economics = replace(run.economics, trace_s=60, move_s=30, dispute_bond_micro=5_000_000)
        self.run = replace(run, model=self.engine.state_hash(), economics=economics, learn=LEARN)
        self.world = FakeWorld(RULES_OF_CHAIN, run=self.run.id)
        self.world.disputes.rule = Arbiter()
        self.room = EngineRoom()

    async def player(self, name: str) -> Player:
        """A registered, staked peer with 10 tokens for bonds."""
        folder = self.folder / name
        folder.mkdir()
        number = 100 + len(list(self.folder.iterdir()))
        wallet = Address("0x" + f"{number:040x}")
        signer = Signer(create_key(folder / "swarm.pem", secret=bytes([number]) * 32), wallet)
        player = self.seat(folder, signer)
        chain = FakeChain(self.world, signer.wallet)
        self.world.ground.pay(signer.wallet, 35_000_000)
        await chain.send(signer.registration(self.world.contracts))
        await chain.send(Stake(signer.peer, 25_000_000, 0))
        await chain.send(Enrol(signer.peer))
        return player

    def seat(self, folder: Path, signer: Signer) -> Player:
        events = EventLog(folder / "events.jsonl")
        chain, troubles = FakeChain(self.world, signer.wallet), Troubles(events)
        outbox = Outbox(folder / "outbox.log", depth=0)
        settler = Settler(chain, outbox, signer.wallet, events, troubles)
        nothing: Any = None
        bench = Bench(
            run=self.run,
            contracts=self.world.contracts,
            signer=signer,
            engine=self.engine,
            engine_name="exact",
            profile="exact/1",
            room=self.room,
            clerk=nothing,
            transport=Nowhere(),  # type: ignore[arg-type]
            checkpoints=nothing,
            shelf=Shelf(folder / "held"),
            journal=nothing,
            events=events,
            watch=nothing,
            now=lambda: float(self.world.now),
            genesis=self.genesis,
        )
        archive = Archive(folder / "disputes")
        disputes = Disputes(bench, chain, self.world.games, outbox, settler, troubles, archive)
        return Player(self, folder, signer, disputes)

    def work(
        self,
        signer: Signer,
        *,
        tokens: dict[int, tuple[int, ...]] | None = None,
        lie: Any = None,
        round_number: int = ROUND,
    ) -> Work:
        """A contribution of ``signer`` to a round that begins in the model's state. ``tokens``: rollouts that it makes
        up; ``lie``: what it does to its state after the step, before it commits to it."""
        asked = requests(2, 2)
        drawn = [one.tokens for one in self.engine.generate(asked, SAMPLING)]
        said = [(tokens or {}).get(number, one) for number, one in enumerate(drawn)]
        draws = tuple(DrawWork(request, SAMPLING, one) for request, one in zip(asked, said, strict=True))
        samples = tuple(
            TrainSample(request.prompt, one, 1.0 - number % 2)
            for number, (request, one) in enumerate(zip(asked, said, strict=True))
        )
        replica = self.engine.replica(self.genesis)
        replica.step(samples, 7)
        if lie is not None:
            lie(replica)
        after, root = replica.parts(), replica.state_hash()
        step = self.engine.step_computation(samples, 7)
        lines = [
            draw_line(n, self.engine.draw_computation(one.request, SAMPLING, one.tokens)) for n, one in enumerate(draws)
        ]
        contribution = build_contribution(
            run=self.run.id, round_number=round_number, peer=signer.peer, seed=self.run.id, cohort=(signer.peer,),
            state_before=self.run.model, state_after=root, before=None,
            after=BlobRef(content_id(after.manifest), len(after.manifest)), batches=(), consumed=(), scores_milli=(),
            engine="exact", profile="exact/1",
            commitments=Commitments(step.program_root, step.data_root, MerkleTree(lines).root),
        )  # fmt: skip
        envelope = signer.seal(self.run.id, "contribution", round_number, encode(contribution), self.world.contracts)
        return Work(Dossier(envelope, StepWork(samples, 7), draws), {root: after})

    async def play(self, *players: Player, until: Any = None, seconds: int = 1, most: int = 200) -> Any:
        """Let everybody do what is due, second by second, until the first game is over (or ``until()``)."""
        for _ in range(most):
            for player in players:
                await player.disputes.tend()
                await asyncio.gather(*player.disputes._acting.values())
            self.world.pass_time(seconds)
            games = await self.world.games.games()
            if (until is not None and until(games)) or (until is None and games and games[0].winner is not None):
                for player in players:
                    await player.disputes.tend()
                return games[0] if games else None
        raise AssertionError("the game does not end")


def accusing(player: Player, work: Work, subject: int = WHOLE_STEP) -> None:
    """As if a check of ``player``'s had found a lie."""
    player.disputes.archive.keep(work.dossier, work.states)
    player.disputes.archive.enter(Suit(work.dossier.round, work.dossier.peer, work.dossier.content, subject))


def defending(player: Player, work: Work) -> None:
    """As when ``player`` signed it."""
    player.disputes.archive.keep(work.dossier, work.states)


def forging(monkeypatch: Any, player: Player, forge: Any) -> None:
    """``player``'s traces are what ``forge`` makes of the right ones: (trace, its evidence) -> trace."""
    honest = player.disputes.dealer._deal

    async def deal(content: ContentId, subject: int) -> Hand:
        hand = await honest(content, subject)
        evidence = hand.evidence
        return Hand(Evidence(forge(evidence.trace, evidence), evidence.sources, evidence.before, evidence.after))

    monkeypatch.setattr(player.disputes.dealer, "_deal", deal)


def ending_as_claimed(trace: Trace, evidence: Evidence) -> Trace:
    """A trace that ends in what the contribution says, whatever the program gives."""
    from swarm.disputes.hand import _tensors

    forged = trace
    if evidence.after is None:
        number = trace.program.outputs["tokens"]
        claimed, own = evidence.sources.data["claimed"], trace.value(number)
        return trace.with_output(number, np.where(claimed == -1, own, claimed).astype(own.dtype))
    after = _tensors(evidence.after)
    for name, value in trace.results().items():
        said = after[name.removeprefix("tensor/")]
        if said.tobytes() != value.tobytes():
            forged = forged.with_output(trace.program.outputs[name], said.reshape(value.shape))
    return forged


__all__ = ["Arena", "Dealing", "GameSide", "Player", "Work", "accusing", "defending", "ending_as_claimed", "forging"]
