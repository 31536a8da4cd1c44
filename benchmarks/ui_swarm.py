"""Why this module exists: an indexer's speed shows on a swarm that is larger than any machine can play.

Peers with real keys, batches in the default sizes, real signatures, tables and roots; only the models are missing: what
they say is drawn from a few texts. ``Recorded`` serves it all as a network would, with every check of a record and a
blob, and ``RecordedChain`` tells the chain's events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from chain.base import ClockView, Contracts, Member
from chain.keys import peer_key
from identity.envelope import verify
from identity.keyfile import create_key
from identity.signer import Signer
from protocol.codec import content_id, content_id_of, encode
from protocol.errors import BadRecord
from protocol.ids import STAGES, Address, ContentId, PeerId, Stage, peer_id_bytes
from protocol.messages import BatchHeader, BlobRef, CreditTable, Envelope, Receipt, Rollout, RolloutBatch, RolloutGroup
from protocol.run import RunSpec
from rewards.economics import economics_of
from rewards.ledger import Terms, Verified, earned_micro
from rewards.levels import level_at, levels_of, right_milli
from rewards.settlement import propose
from swarm.dht.transport import RecordKey
from swarm.game.cohort import split_cohorts
from swarm.game.prompts import prompt_id
from swarm.game.rescore import rescore, scores_milli
from swarm.game.round_view import RoundView, round_questions, stage_prompts, with_batches
from swarm.indexing.gathering import drawn_cohorts
from swarm.indexing.rows import ChainEvent, Cursor
from swarm.rounds.contribution import Commitments, build_contribution
from swarm.tasks.base import Task

TEXTS = {
    Stage.ANSWER: "<think>add them up</think><answer>{number}</answer>",
    Stage.CRITIQUE: "<compare>two agree</compare><identify>{letter}</identify>",
    Stage.DECIDE: "<majority>{letter}</majority><think>as most say</think><answer>{number}</answer>",
}


class Recorded:
    """What peers published, as a ``Transport``: signatures and hashes are checked whenever something is read first."""

    addresses = ()

    def __init__(self, contracts: Contracts) -> None:
        self.records: dict[tuple[str, int], dict[PeerId, list[Envelope]]] = {}
        self.blobs: dict[ContentId, bytes] = {}
        self._contracts = contracts
        self._opened: set[bytes] = set()

    def publish_now(self, envelope: Envelope) -> None:
        self.records.setdefault((envelope.kind, envelope.round), {}).setdefault(envelope.peer, []).append(envelope)

    def offer(self, blob: bytes) -> BlobRef:
        self.blobs[content_id(blob)] = blob
        return BlobRef(content_id(blob), len(blob))

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        return {peer: found[0] for peer, found in (await self.collect_all(key)).items()}

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        found = self.records.get((key.kind, key.round), {})
        for envelopes in found.values():
            for envelope in envelopes:
                if envelope.signature not in self._opened:
                    verify(envelope, self._contracts)
                    self._opened.add(envelope.signature)
        return {peer: tuple(envelopes) for peer, envelopes in found.items()}

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        blob = self.blobs.get(ref.content)
        if blob is None or content_id(blob) != ref.content or len(blob) != ref.size:
            raise BadRecord("unavailable", "Nobody has it.")
        return blob

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        self.publish_now(envelope)

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None: ...

    async def close(self) -> None: ...


class RecordedChain:
    """The chain's events of the rounds played so far, as a ``ChainSource``."""

    def __init__(self) -> None:
        self.told: list[ChainEvent] = []
        self.view: ClockView

    def tell(self, contract: str, name: str, at: int, peer: str = "", **facts: Any) -> None:
        number = len(self.told)
        self.told.append(ChainEvent(number, 0, f"0x{number:064x}", at, contract, name, peer, facts))

    async def head(self) -> Cursor:
        return Cursor(len(self.told) - 1, f"0x{len(self.told) - 1:064x}", self.told[-1].at)

    async def block_hash(self, number: int) -> str:
        return f"0x{number:064x}"

    async def events(self, first: int, head: int) -> tuple[list[ChainEvent], Cursor]:
        return self.told[first : head + 1], Cursor(head, f"0x{head:064x}", self.told[head].at)

    async def clock(self) -> ClockView:
        return self.view


class MadeUpSwarm:
    """``num_peers`` members that contribute to every round. ``folder``: for their key files. ``in_haste``: only what is
    read of a round in haste is made."""

    def __init__(
        self, run: RunSpec, task: Task, num_peers: int, folder: Any, *, in_haste: bool = False, seed: int = 0
    ) -> None:
        self._in_haste = in_haste
        addresses = (Address(f"0x{number:040x}") for number in range(len(Contracts.__struct_fields__) - 1))
        self.contracts = Contracts(run.chain_id, *addresses)
        self.network, self.chain = Recorded(self.contracts), RecordedChain()
        self.run, self.task = run, task
        self._dice = random.Random(seed)
        self._signers = [
            Signer(
                create_key(folder / str(number) / "swarm.pem", secret=self._dice.randbytes(32)),
                Address(f"0x{number:040x}"),
            )
            for number in range(1, num_peers + 1)
        ]
        self._by_peer = {signer.peer: signer for signer in self._signers}
        self._members = tuple(sorted((Member(one.peer, one.address, one.wallet, 1) for one in self._signers),
                                     key=lambda member: member.peer))  # fmt: skip
        self._states = {signer.peer: run.model for signer in self._signers}
        self._table: CreditTable | None = None
        for signer in self._signers:
            peer = signer.peer
            facts = {"peerKey": peer_key(peer).hex(), "owner": signer.wallet, "signer": signer.address}
            self.chain.tell("PeerRegistry", "PeerRegistered", 1, peer, peerId=peer_id_bytes(peer).hex(), **facts)
            self.chain.tell("RoundClock", "MemberEnrolled", 1, peer, fromRound=1)
            self.chain.tell("RoundClock", "SeatChanged", 1, peer, signer=signer.address, fromRound=1, weight=1)

    def open(self, round: int) -> None:
        """The chain opens ``round``."""
        self._seed = content_id_of(("round", round))
        at = 1000 + 60 * round
        self.chain.tell("RoundClock", "RoundOpened", at, round=round, openedAt=at, closesAt=at + 60,
                        numMembers=len(self._members), settled=True)  # fmt: skip
        latest = self._table
        self.chain.view = ClockView(
            block=len(self.chain.told), block_at=at, round=round, opened_at=at, closes_at=at + 60, seed=self._seed,
            members=self._members, settled_round=latest.round if latest else 0, credits_root=ContentId("0" * 64),
            data_hash=ContentId("0" * 64), total_weight=len(self._members),
        )  # fmt: skip

    def play(self, round: int) -> int:
        """Everybody contributes, and the chain records the result; the number of contributions."""
        works: list[Verified] = []
        self.chain.tell("RoundClock", "SeedFixed", 1050 + 60 * round, round=round, seed=self._seed)
        run, rules = self.run, levels_of(self.run)
        level = level_at(self._table, round, rules)
        questions = round_questions(self.task, run.id, round, self._seed, run.game.num_questions, level)
        cohorts = split_cohorts(self._seed, [one.peer for one in self._members], self.run.game.cohort_size, ())
        deep = set(drawn_cohorts(self._seed, cohorts)) if self._in_haste else set(cohorts)
        for cohort in cohorts:
            view = RoundView(run.id, round, self._seed, run.game, cohort, questions, level=level)
            works += self._cohort(view) if cohort in deep else [self._unread(view, peer) for peer in cohort]
        terms = Terms([one.peer for one in self._members], run.model, economics_of(run), rules)
        proposal, table = propose(self.run.id, round, works, self._table, terms=terms)
        self._table = table
        self.network.offer(encode(table))
        self._publish(self._signers[0].peer, "proposal", round, encode(proposal))
        facts = proposal.result
        self.chain.tell(
            "Contributions", "RoundSettled", 1050 + 60 * round, self._signers[0].peer, round=round,
            contributionsRoot=facts.contributions_root, dataHash=facts.data_hash,
            previousCreditsRoot=facts.previous_credits_root, creditsRoot=facts.credits_root,
            totalMicroCredits=facts.total_micro_credits, numAttesters=len(self._members),
        )  # fmt: skip
        return len(works)

    def _cohort(self, view: RoundView) -> list[Verified]:
        consumed: tuple[ContentId, ...] = ()
        scores: dict[PeerId, dict[Stage, tuple[int, ...]]] = {peer: {} for peer in view.cohort}
        own: dict[PeerId, list[RolloutBatch]] = {peer: [] for peer in view.cohort}
        for stage in STAGES:
            batches = {peer: self._batch(view, stage, peer) for peer in view.cohort}
            for peer, batch in batches.items():
                ref = self.network.offer(encode(batch))
                self._publish(peer, stage.value, view.round, encode(BatchHeader(stage, ref, consumed)))
                scores[peer][stage] = scores_milli(rescore(batch, view, self.task))
                own[peer].append(batch)
            if stage is not STAGES[-1]:
                view = with_batches(view, stage, batches)
                consumed = tuple(sorted((*consumed, *map(content_id_of, batches.values()))))
        return [self._contribute(view, peer, own[peer], scores[peer]) for peer in view.cohort]

    def _unread(self, view: RoundView, peer: PeerId) -> Verified:
        """A contribution whose batches no onlooker asks for: they are not made."""
        scores = {stage: tuple(self._dice.choices(range(1001), k=4)) for stage in STAGES}
        return self._contribute(view, peer, [], scores)

    def _contribute(
        self, view: RoundView, peer: PeerId, batches: list[RolloutBatch], scores: dict[Stage, tuple[int, ...]]
    ) -> Verified:
        before, after = self._states[peer], content_id_of(("state", view.round, peer))
        manifest = BlobRef(content_id_of(("manifest", after)), 1000)
        record = build_contribution(
            run=self.run.id, round_number=view.round, peer=peer, seed=view.seed, cohort=view.cohort,
            state_before=before, state_after=after, before=manifest if before != self.run.model else None,
            after=manifest, batches=batches, consumed=(),
            scores_milli=[milli for stage in STAGES for milli in scores[stage]], engine=self.run.audit.engine,
            profile="int8", commitments=Commitments(), level=view.level,
        )  # fmt: skip
        payload = encode(record)
        self._publish(peer, "contribution", view.round, payload)
        for holder in [other for other in view.cohort if other != peer][:2]:
            self._publish(holder, "receipt", view.round, encode(Receipt(content_id(payload))))
        self._states[peer] = after
        right, earned = right_milli(scores[Stage.ANSWER], view.game), earned_micro(scores)
        return Verified(peer, content_id(payload), earned, before, after, punctual=True, right_milli=right)

    def _batch(self, view: RoundView, stage: Stage, peer: PeerId) -> RolloutBatch:
        groups = tuple(
            RolloutGroup(number, prompt_id(prompt), tuple(self._rollout(view, stage, number)
                                                          for _ in range(view.game.num_samples)))
            for number, prompt in enumerate(stage_prompts(view, stage))
        )  # fmt: skip
        return RolloutBatch(view.run, view.round, stage, peer, groups)

    def _rollout(self, view: RoundView, stage: Stage, number: int) -> Rollout:
        truth = view.questions[number].truth
        said = truth if self._dice.random() < 0.6 else str(self._dice.randint(1, 999))
        text = TEXTS[stage].format(number=said, letter=self._dice.choice("ABCDEFGH"[: len(view.cohort)]))
        return Rollout(text, tuple(self._dice.choices(range(400), k=len(text) // 3)), True)

    def _publish(self, peer: PeerId, kind: str, round: int, payload: bytes) -> None:
        self.network.publish_now(self._by_peer[peer].seal(self.run.id, kind, round, payload, self.contracts))
