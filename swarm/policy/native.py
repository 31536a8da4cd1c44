"""Why this module exists: the learning engine on plain torch, for any causal language model on CPU or GPU.

It is quick and needs nothing but torch and transformers; its arithmetic is whatever torch does on this machine, so two
machines may differ in the last bits. ``profile`` says so in every contribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch

from protocol.run import LearnRules
from swarm.grpo.step import Sample, train
from swarm.policy.base import Sampling, StateParts, StepReport
from swarm.policy.engine import ModelEngine
from swarm.policy.frozen_head import has_frozen_head, longest_pass, plain_log_probs
from swarm.policy.generate import Drawn, Limits, generate
from swarm.policy.load import LoadedModel
from swarm.policy.lora import copy_of
from swarm.policy.packing import native_log_probs, pass_bytes_per_token
from swarm.policy.plan import SHORT_TOKENS, tokens_per_pass
from swarm.policy.recompute import recomputed
from swarm.policy.state import SMALLEST_NORMAL, adopt_parts, require_numbers


class NativeEngine(ModelEngine):
    """An ``Engine`` on torch's own arithmetic; torch runs without the GIL. See ``ModelEngine``."""

    name = "native"
    profile = "fp32"

    def __init__(
        self,
        loaded: LoadedModel,
        rules: LearnRules,
        *,
        temperature: float = 1.0,
        limits: Limits | None = None,
        reference: LoadedModel | None = None,
    ) -> None:
        super().__init__(loaded, rules, temperature=temperature, limits=limits, reference=reference)
        per_token = pass_bytes_per_token(loaded)
        short = max(tokens_per_pass(per_token, loaded.vocab_size), self._limits.max_pass_bytes // per_token)
        self._is_long = short < SHORT_TOKENS and loaded.plain_attention and has_frozen_head(loaded)
        self._tokens_per_pass = longest_pass(loaded) if self._is_long else short

    def _draw(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
        return generate(self._loaded, prompts, seeds, sampling, self._limits)

    def _log_probs(self, samples: Sequence[Sample]) -> torch.Tensor:
        return plain_log_probs(self._loaded, samples, self._temperature)

    def _train(self, samples: Sequence[Sample], seed: int) -> StepReport:
        reference = self._reference
        # Both policies by the same operations, so that they are equal where their weights are.
        by_reference = plain_log_probs if has_frozen_head(self._loaded) else native_log_probs
        with recomputed(self._loaded.model) if self._is_long else nullcontext():
            report = train(
                self._state,
                self._log_probs,
                samples,
                self._rules,
                seed,
                reference=None
                if reference is None
                else lambda batch: by_reference(reference, batch, self._temperature),
                num_tokens_per_pass=self._tokens_per_pass,
            )
        self._settle()
        return report

    def copy_of_model(self) -> LoadedModel:
        """The model in its present state, with tensors of its own for what is trained."""
        return copy_of(self._loaded, is_trained=True)

    def replica(self, parts: StateParts) -> ModelEngine:
        """See ``Tolerant``. Needs memory for what is trained and both its moments once more."""
        other = type(self)(
            self.copy_of_model(),
            self._rules,
            temperature=self._temperature,
            limits=self._limits,
            reference=self._reference,
        )
        adopt_parts(other._state, parts)
        require_numbers(other._state)
        return other

    def _settle(self) -> None:
        """Subnormal numbers and negative zeros become 0, as in every state that is shipped."""
        with torch.no_grad():
            for tensor in (*self._state.parameters, *self._state.first, *self._state.second):
                torch.ops.aten.hardshrink.out(tensor, SMALLEST_NORMAL, out=tensor)
