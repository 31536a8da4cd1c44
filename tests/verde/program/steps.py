"""Steps of the exact engine as programs see them: shapes, rules and data in plain arrays."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from swarm.grpo.loss import loss_rules
from swarm.grpo.step import Sample, micro_batches, shares
from swarm.policy.exact import ExactEngine
from swarm.policy.packing import lay_out
from verde.numerics.adamw import binary32
from verde.program.program import Sources
from verde.program.shape import Architecture, DrawShape, LearnRates, PassShape, StepShape, architecture


def architecture_of(engine: ExactEngine, directory: Path) -> Architecture:
    config = json.loads((directory / "config.json").read_text())
    return architecture(config, len(engine._loaded.tokenizer))


def rates_of(engine: ExactEngine) -> LearnRates:
    rules, loss = engine._rules, loss_rules(engine._rules)

    def nano(value: int) -> np.float32:
        return binary32(Fraction(value, 10**9))

    return LearnRates(
        learning_rate=nano(rules.learning_rate_nano),
        weight_decay=nano(rules.weight_decay_nano),
        max_norm=nano(rules.max_grad_norm_nano),
        low=np.float32(1 - loss.epsilon_low),
        high=np.float32(1 + loss.epsilon_high),
        most=None if loss.delta is None else np.float32(loss.delta),
        temperature=np.float32(engine._temperature),
    )


def state_of(engine: ExactEngine) -> dict[str, np.ndarray]:
    state = engine._state
    groups = {"weight": state.parameters, "first": state.first, "second": state.second}
    return {
        f"{part}/{name}": tensor.detach().numpy().copy()
        for part, tensors in groups.items()
        for name, tensor in zip(state.names, tensors, strict=True)
    }


def step_of(engine: ExactEngine, samples: list[Sample], seed: int) -> tuple[StepShape, Sources]:
    """The shape of the engine's step on these samples, and what it starts from."""
    loss = loss_rules(engine._rules, "dapo")
    data: dict[str, np.ndarray] = {}
    shape = []
    for u, share in enumerate(shares(samples, engine._rules.num_updates, seed)):
        passes = []
        for m, batch in enumerate(micro_batches(share, loss, engine._tokens_per_pass)):
            layout = lay_out(batch.samples, share_prompts=True)
            names = ("ids_RL", "position_RL", "segment_RL", "row_N", "source_N", "token_N", "sample_N")
            for name in names:
                short = name.split("_")[0]
                data[f"{u}/{m}/{short}"] = getattr(layout, name).numpy().astype(np.int32)
            data[f"{u}/{m}/advantage"] = np.array([s.advantage for s in batch.samples], np.float32)
            data[f"{u}/{m}/weight"] = np.array(batch.weights, np.float32)
            rows, columns = layout.ids_RL.shape
            tokens = len(layout.row_N)
            passes.append(PassShape(rows, columns, layout.num_prompt_columns, len(batch.samples), tokens))
        shape.append(tuple(passes))
    return tuple(shape), Sources(state_of(engine), data, engine._state.step)


def draw_of(
    engine: ExactEngine, prompts: list[tuple[int, ...]], seeds: list[int], claimed: list[tuple[int, ...]]
) -> tuple[DrawShape, Sources]:
    """A sampling check of rollouts: prompts padded on the left, completions on the right."""
    width, draws = max(map(len, prompts)), max(map(len, claimed))
    rows = len(prompts)
    ids = np.zeros((rows, width + draws - 1), np.int32)
    positions, segments = np.zeros_like(ids), np.full_like(ids, -1)
    for row, (prompt, tokens) in enumerate(zip(prompts, claimed, strict=True)):
        full = [*prompt, *tokens[: draws - 1]]
        at = slice(width - len(prompt), width - len(prompt) + len(full))
        ids[row, at], positions[row, at], segments[row, at] = full, np.arange(len(full)), 0
    words = np.array([[seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF] for seed in seeds], np.uint32).view(np.int32)
    data = {"ids": ids, "position": positions, "segment": segments, "seed": words}
    return DrawShape(rows, width, draws), Sources(state_of(engine), data, engine._state.step)


def same_bits(one: np.ndarray, other: torch.Tensor | np.ndarray) -> bool:
    other = other.detach().numpy() if isinstance(other, torch.Tensor) else other
    return one.shape == other.shape and one.tobytes() == np.ascontiguousarray(other).tobytes()
