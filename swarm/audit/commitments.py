"""Why this module exists: what a contract may be shown of a peer's work follows from public records, for whoever asks.

    a round's records  ->  the training step and one sampling check per rollout, as programs with their data
                       ->  their roots, which the contribution names, and which everybody derives again at level 0

So which operators a step has, which tokens and advantages it reads and which seed a rollout has is vouched for by all
who verified it; everything that is computed from there on can be proven to a contract. No trace is made here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from protocol.errors import BadRecord, NotBuiltYet, SwarmError
from protocol.ids import STAGES, ZERO_ROOT, ContentId, PeerId, Stage
from protocol.merkle import MerkleTree
from protocol.messages import Rollout
from protocol.run import TOLERANCE_CHECKED
from swarm.game.round_view import RoundView, sample_seed, stage_sampling
from swarm.policy.base import Engine, Prompt, Provable, SampleRequest
from swarm.rounds.checked import CheckedBatch
from swarm.rounds.contribution import Commitments
from swarm.rounds.lesson import Lesson, lesson, step_seed
from verde.program.computation import Computation


@dataclass(frozen=True)
class Place:
    """One of a peer's own rollouts, and where it stands in its work."""

    stage: Stage
    question: int
    sample: int
    rollout: Rollout


@dataclass(frozen=True)
class Material:
    """What a peer's work of a round follows from, the state before aside.

    ``view``: its round before anything was received. ``engine``: what made it, by its name in contributions.
    ``batches``: its own and those that it trained on, by stage. ``prompts``: what it asked itself, by stage and
    question. ``void``: rollouts that it does not agree on, by batch.
    """

    view: RoundView
    peer: PeerId
    engine: str
    batches: Mapping[Stage, Mapping[PeerId, CheckedBatch]]
    prompts: Mapping[Stage, Sequence[Prompt]]
    void: Mapping[ContentId, frozenset[int]] = field(default_factory=dict)

    def lesson(self, num_external: int) -> Lesson:
        """What the peer trains on."""
        return lesson(self.view, self.prompts, self.batches, self.peer, num_external, self.void)

    @property
    def places(self) -> list[Place]:
        """The peer's own rollouts in the order in which a contribution numbers them: stage, question, sample."""
        return [
            Place(stage, group.question, sample, rollout)
            for stage in STAGES
            if self.peer in self.batches[stage]
            for group in self.batches[stage][self.peer].batch.groups
            for sample, rollout in enumerate(group.rollouts)
        ]

    def request(self, place: Place) -> SampleRequest:
        """What was to be drawn there."""
        seed = sample_seed(self.view, place.stage, self.peer, place.question, place.sample)
        return SampleRequest(self.prompts[place.stage][place.question], seed)


class Derived(msgspec.Struct, frozen=True):
    """What a contribution must name. ``has_step``: there is something to train on, so the state moves."""

    commitments: Commitments
    has_step: bool


def draw_line(number: int, computation: Computation) -> tuple[bytes, bytes]:
    """A rollout's line in the tree behind ``draws``."""
    roots = bytes.fromhex(computation.program_root) + bytes.fromhex(computation.data_root)
    return number.to_bytes(32, "big"), hashlib.sha256(roots).digest()


def draws_tree(engine: Provable, material: Material) -> MerkleTree:
    """The tree behind ``draws``: the sampling check of every own rollout, by its number. Raises ``NotBuiltYet``."""
    return MerkleTree(
        draw_line(
            number,
            engine.draw_computation(
                material.request(place), stage_sampling(material.view.game, place.stage), place.rollout.tokens
            ),
        )
        for number, place in enumerate(material.places)
    )


def derive(engine: Engine, material: Material, num_external: int) -> Derived:
    """What the contribution that stands on ``material`` must name. Zero roots for an engine (its own, or the one
    here), a model, rules or a step that no program covers. Raises ``BadRecord`` where nothing can be derived."""
    try:
        samples = material.lesson(num_external).samples
        if not isinstance(engine, Provable) or material.engine in TOLERANCE_CHECKED:
            return Derived(Commitments(), bool(samples))
        step_program = step_data = draws = ZERO_ROOT
        with suppress(NotBuiltYet):
            draws = draws_tree(engine, material).root
        with suppress(NotBuiltYet):
            if samples:
                step = engine.step_computation(samples, step_seed(material.view, material.peer))
                step_program, step_data = step.program_root, step.data_root
        return Derived(Commitments(step_program, step_data, draws), bool(samples))
    except (SwarmError, ValueError) as error:
        raise BadRecord("wrong_program", f"Its work cannot be written down as a program: {str(error)[:200]}") from error


class Clerk:
    """Derives what contributions must name, one after the other on a thread of its own: a large model's programs take
    a while, and neither the network nor the engine shall wait."""

    def __init__(self, engine: Engine, num_external: int) -> None:
        self._engine = engine
        self._num_external = num_external
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="clerk")

    async def derive(self, material: Material) -> Derived:
        """See ``derive``."""
        if not isinstance(self._engine, Provable):
            return derive(self._engine, material, self._num_external)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, derive, self._engine, material, self._num_external)

    def close(self) -> None:
        """Take no more; does not wait for what is under way."""
        self._thread.shutdown(wait=False, cancel_futures=True)
