"""Why this module exists: what the exact engine computes is also a program, laid out exactly as the engine lays it out.

Shares, micro-batches and rows of a training step come from the very functions that the engine trains with; a sampling
check has one rollout, its prompt padded on the left to a multiple of ``PROMPT_BUCKET`` and its tokens on the right to
the stage's limit, so that a run has few distinct programs. Pure, and safe to call beside the engine's own thread.

Shapes: P prompt columns, T tokens drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from protocol.ids import ContentId
from protocol.run import LearnRules
from swarm.grpo.loss import loss_rules
from swarm.grpo.step import Sample, micro_batches, shares
from swarm.policy.base import Sampling
from swarm.policy.load import LoadedModel
from swarm.policy.packing import lay_out
from verde.bisect.game import NO_CLAIM
from verde.numerics.adamw import binary32
from verde.program.computation import Computation
from verde.program.derive_draw import draw_program
from verde.program.derive_step import step_program
from verde.program.program import Program
from verde.program.shape import (
    Architecture,
    DrawShape,
    LearnRates,
    PassShape,
    StepShape,
    architecture,
    not_built,
)
from verde.program.step_root import StepNames

PROMPT_BUCKET = 16

MOST_OPERATORS = 1 << 22
"""Operators of a step that is written down as a program, as many as there are in 3,300 micro-batches of the bundled
model. Everybody names everybody's steps in every round: a larger one would take a member longer than a few seconds."""

_NANO = 10**9
_INDICES = ("ids_RL", "position_RL", "segment_RL", "row_N", "source_N", "token_N", "sample_N")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ExactPrograms:
    """Programs of one model under one run's rules. ``temperature``: the run's; ``tokens_per_pass``: the engine's."""

    arch: Architecture
    rules: LearnRules
    temperature: float
    tokens_per_pass: int
    _step_roots: dict[StepShape, ContentId] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_model(
        cls, loaded: LoadedModel, rules: LearnRules, temperature: float, tokens_per_pass: int
    ) -> ExactPrograms:
        """Raises ``NotBuiltYet`` for models and rules that no program covers."""
        if not loaded.plain_attention:
            raise not_built("models without plain attention")
        if rules.beta_nano:
            raise not_built("a step with a KL term")
        arch = architecture(loaded.model.config.to_dict(), len(loaded.tokenizer))
        return cls(arch, rules, temperature, tokens_per_pass)

    def step(self, samples: Sequence[Sample], seed: int) -> Computation:
        """The whole training step on ``samples``."""
        shape, data = self._lay_out(samples, seed)
        root = self._step_roots.get(shape)
        if root is None:
            root = ContentId(self._step_names.root(shape).hex())
            while len(self._step_roots) >= 64:
                self._step_roots.pop(next(iter(self._step_roots)), None)
            self._step_roots[shape] = root
        return Computation(root, data, lambda: self._step_program(shape))

    def draw(self, prompt: Sequence[int], seed: int, tokens: Sequence[int], sampling: Sampling) -> Computation:
        """The sampling check of one rollout. Raises ``NotBuiltYet`` where only the likeliest tokens may be drawn."""
        if sampling.top_k:
            raise not_built("sampling among the likeliest tokens only")
        draws, width = sampling.max_new_tokens, -(-len(prompt) // PROMPT_BUCKET) * PROMPT_BUCKET
        columns = width + draws - 1
        shown = [*prompt, *tokens[: draws - 1]]
        at = slice(width - len(prompt), width - len(prompt) + len(shown))
        ids, position, segment = (np.full((1, columns), value, np.int32) for value in (0, 0, -1))
        ids[0, at], position[0, at], segment[0, at] = shown, np.arange(len(shown)), 0
        claimed = np.full((1, draws), NO_CLAIM, np.int32)
        claimed[0, : len(tokens)] = tokens
        words = np.array([[seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF]], np.uint32).view(np.int32)
        data = {"ids": ids, "position": position, "segment": segment, "seed": words, "claimed": claimed}
        shape = DrawShape(1, width, draws)
        program = _draw_program(self.arch, shape, sampling.temperature)
        return Computation(ContentId(program.root.hex()), data, lambda: program)

    @property
    def rates(self) -> LearnRates:
        """The run's rules as a program has them."""
        rules, loss = self.rules, loss_rules(self.rules)
        return LearnRates(
            learning_rate=_nano(rules.learning_rate_nano),
            weight_decay=_nano(rules.weight_decay_nano),
            max_norm=_nano(rules.max_grad_norm_nano),
            low=np.float32(1 - loss.epsilon_low),
            high=np.float32(1 + loss.epsilon_high),
            most=None if loss.delta is None else np.float32(loss.delta),
            temperature=np.float32(self.temperature),
        )

    @cached_property
    def _step_names(self) -> StepNames:
        return StepNames(self.arch, self.rates, MOST_OPERATORS)

    def _step_program(self, shape: StepShape) -> Program:
        return step_program(self.arch, shape, self.rates)

    def _lay_out(self, samples: Sequence[Sample], seed: int) -> tuple[StepShape, dict[str, Array]]:
        """The step's passes and the arrays that they read, named by update and micro-batch."""
        loss, data, updates = loss_rules(self.rules), dict[str, Array](), []
        for u, share in enumerate(shares(samples, max(1, self.rules.num_updates), seed)):
            passes = []
            for m, batch in enumerate(micro_batches(share, loss, self.tokens_per_pass)):
                layout = lay_out(batch.samples, share_prompts=True)
                for name in _INDICES:
                    data[f"{u}/{m}/{name.partition('_')[0]}"] = getattr(layout, name).numpy().astype(np.int32)
                data[f"{u}/{m}/advantage"] = np.array([one.advantage for one in batch.samples], np.float32)
                data[f"{u}/{m}/weight"] = np.array(batch.weights, np.float32)
                rows, columns = layout.ids_RL.shape
                passes.append(
                    PassShape(rows, columns, layout.num_prompt_columns, len(batch.samples), len(layout.row_N))
                )
            updates.append(tuple(passes))
        return tuple(updates), data


@lru_cache(maxsize=256)
def _draw_program(arch: Architecture, shape: DrawShape, temperature: float) -> Program:
    program = draw_program(arch, shape, temperature)
    _ = program.root, program.tree
    return program


def _nano(value: int) -> np.float32:
    return binary32(Fraction(value, _NANO))
