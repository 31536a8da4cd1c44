"""Why this module exists: the learning engine whose every result is the same bits on every machine.

Its arithmetic is exact/1 (docs/exact-1.md). So a rollout is a function of weights, prompt and seed that one prefill
checks, and a training step is a function of state, samples and seed that anybody can repeat.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import msgspec
import torch

from protocol.errors import NotBuiltYet
from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState
from swarm.grpo.step import LogProbs, Sample, train
from swarm.policy import exact_any, exact_draw
from swarm.policy.base import Completion, Redrawn, SampleRequest, Sampling, StateParts, StepReport, TrainSample
from swarm.policy.engine import ModelEngine
from swarm.policy.exact_check import first_difference, plausible_tokens
from swarm.policy.exact_draw import Room, Vocabulary
from swarm.policy.exact_program import ExactPrograms
from swarm.policy.frozen_head import exact_log_probs, longest_pass
from swarm.policy.generate import Drawn, Ids, Limits
from swarm.policy.load import LoadedModel
from swarm.policy.lora import copy_of
from swarm.policy.memory import give_back
from swarm.policy.packing import layer_bytes_per_token
from swarm.policy.plan import KEPT_ACTIVATIONS
from swarm.policy.recompute import recomputed
from swarm.policy.state import adopt_parts, require_numbers
from swarm.policy.sums import digest_of, whole_sums
from verde.numerics import memory
from verde.numerics.adamw import Rates, binary32, clip_factor, update
from verde.numerics.backend import route
from verde.numerics.decoder import Decoder, decoder_of
from verde.numerics.gemm import forget_slices
from verde.numerics.mode import exact
from verde.numerics.place import deferred
from verde.numerics.portable.probe import require_exact
from verde.numerics.subnormals import ieee_subnormals
from verde.numerics.threads import torch_on_one_thread
from verde.program.computation import Computation

_NANO = 10**9


class ExactEngine(ModelEngine):
    """An ``Engine`` that is ``Replayable`` and ``Provable``. One caller at a time; every method blocks.

    ``limits`` bound the memory of drawing and checking and change no bit. Raises ``NotReproducible`` for a device that
    does not compute exactly (it is examined here, in seconds), for models in other types than float32, or with
    operators that exact/1 does not define (some only when first computed), ``NumericsError`` where NaN or infinity
    comes out; after a step that ends so, load a state before going on.
    """

    name = "exact"
    profile = "exact/1"

    def __init__(
        self,
        loaded: LoadedModel,
        rules: LearnRules,
        *,
        temperature: float = 1.0,
        limits: Limits | None = None,
        reference: LoadedModel | None = None,
    ) -> None:
        if loaded.device.type != "cpu":
            require_exact(loaded.device)
        super().__init__(loaded, rules, temperature=temperature, limits=limits, reference=reference)
        self._vocabulary = Vocabulary(loaded.vocab_size, loaded.end_ids)
        self._room = Room(self._limits.max_cache_bytes, self._limits.max_pass_bytes)
        self._tokens_per_pass = longest_pass(loaded)
        self._programs: ExactPrograms | NotBuiltYet
        try:
            self._programs = ExactPrograms.of_model(loaded, rules, temperature, self._tokens_per_pass)
        except NotBuiltYet as error:
            self._programs = error
        self._decoder: Decoder | None = None
        self._decoder_version: tuple[str | int, ...] = ()
        with exact(*self._models()):
            pass  # its tables are settled from here on

    def first_differences(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[int | None]:
        """Of each completion the first position that the present state would not have drawn, as ``redraw`` finds it."""
        return [found.position for found in self.redraw(requests, sampling, completions)]

    def redraw(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[Redrawn]:
        """See ``Replayable``. Ids outside the vocabulary and tokens beyond the limit are differences, never errors."""
        prompts = [self._text.encode(request.prompt) for request in requests]
        self._require_room(prompts, sampling.max_new_tokens)
        claimed = [
            plausible_tokens(completion.tokens, self._vocabulary, sampling.max_new_tokens) for completion in completions
        ]
        seeds = [request.seed for request in requests]
        redrawn = self._fitting(lambda: self._redraw(prompts, seeds, claimed, sampling))
        return [
            Redrawn(first_difference(completion, tokens, found.tokens, self._vocabulary), found.digest)
            for completion, tokens, found in zip(completions, claimed, redrawn, strict=True)
        ]

    def replica(self, parts: StateParts) -> ExactEngine:
        """See ``Replayable``. Needs memory for what is trained and both its moments once more."""
        if self._rules.lora_rank:  # a large model's: its slices would stay beside those of the replica's step
            self._decoder, self._decoder_version = None, ()
            give_back()  # the replica before this one, too, whose modules refer to each other
        other = ExactEngine(
            copy_of(self._loaded, is_trained=True),
            self._rules,
            temperature=self._temperature,
            limits=self._limits,
            reference=self._reference,
        )
        other.on_shrink = self.on_shrink
        adopt_parts(other._state, parts)
        require_numbers(other._state)
        return other

    def step_computation(self, samples: Sequence[TrainSample], seed: int) -> Computation:
        """See ``Provable``."""
        return self._require_programs().step([self._sample(sample) for sample in samples], seed)

    def draw_computation(self, request: SampleRequest, sampling: Sampling, tokens: Sequence[int]) -> Computation:
        """See ``Provable``."""
        return self._require_programs().draw(self._text.encode(request.prompt), request.seed, tokens, sampling)

    def _require_programs(self) -> ExactPrograms:
        if isinstance(self._programs, NotBuiltYet):
            raise self._programs
        return self._programs

    def load(self, directory: Path) -> None:
        """As every engine's; ``VerificationError`` for a state with numbers that exact/1 never gives."""
        super().load(directory)
        require_numbers(self._state)

    def _draw(self, prompts: Sequence[Ids], seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
        decoder = self._current_decoder()
        if decoder is not None:
            with _computing(), deferred():
                return exact_draw.draw_rows(decoder, self._vocabulary, prompts, seeds, sampling, self._room)
        with _computing(), exact(self._loaded.model):
            room = self._room.max_cache_bytes
            return exact_any.draw_rows(self._loaded, self._vocabulary, prompts, seeds, sampling, room)

    def _redraw(
        self, prompts: Sequence[Ids], seeds: Sequence[int], claimed: Sequence[Ids], sampling: Sampling
    ) -> list[Drawn]:
        decoder = self._current_decoder()
        if decoder is not None:
            with _computing(), deferred():
                return exact_draw.redraw_rows(decoder, self._vocabulary, prompts, seeds, claimed, sampling, self._room)
        with _computing(), exact(self._loaded.model):
            room = self._room.max_cache_bytes
            return exact_any.redraw_rows(self._loaded, self._vocabulary, prompts, seeds, claimed, sampling, room)

    def _log_probs(self, samples: Sequence[Sample]) -> torch.Tensor:
        with _computing(), exact(self._loaded.model):
            return exact_log_probs(self._loaded, samples, self._temperature)

    def _train(self, samples: Sequence[Sample], seed: int) -> StepReport:
        self._decoder, self._decoder_version = None, ()  # its slices of the weights would stay beside the pass' own
        sums: list[int] = []

        def noting(state: TrainState, gradients: Sequence[torch.Tensor], rules: LearnRules) -> float:
            sums.extend(whole_sums(gradients))
            return exact_adamw(state, gradients, rules)

        with _computing(), exact(*self._models()), self._spared(samples):
            report = train(
                self._state,
                self._policy(self._loaded),
                samples,
                self._rules,
                seed,
                reference=None if self._reference is None else self._policy(self._reference),
                num_tokens_per_pass=self._tokens_per_pass,
                optimiser=noting,
            )
        return msgspec.structs.replace(report, digest=digest_of(sums))

    @contextmanager
    def _spared(self, samples: Sequence[Sample]) -> Iterator[None]:
        """Layers are computed twice where what they keep would take much memory; the bits are the same."""
        longest = max((len(sample.prompt) + len(sample.tokens) for sample in samples), default=0)
        tokens = max(longest, self._tokens_per_pass)
        if tokens * layer_bytes_per_token(self._loaded) <= KEPT_ACTIVATIONS:
            yield
            return
        with recomputed(self._loaded.model):
            yield

    def _take_limits(self, limits: Limits) -> None:
        """Here the pass shrinks, too: it bounds what is drawn at once, and changes no bit of it."""
        shrunk = dataclasses.replace(limits, max_pass_bytes=max(1, limits.max_pass_bytes // 2))
        super()._take_limits(shrunk)
        self._room = Room(shrunk.max_cache_bytes, shrunk.max_pass_bytes)
        self._decoder = None  # its slices of the weights are made again when they are needed

    def _policy(self, loaded: LoadedModel) -> LogProbs:
        return lambda samples: exact_log_probs(loaded, samples, self._temperature)

    def _models(self) -> list[torch.nn.Module]:
        return [loaded.model for loaded in (self._loaded, self._reference) if loaded is not None]

    def _current_decoder(self) -> Decoder | None:
        """The fused decoder on the present weights, if the model's family has one."""
        version = (route().name, *(parameter._version for parameter in self._state.parameters))
        if self._decoder is None or version != self._decoder_version:
            self._decoder, self._decoder_version = None, version
            forget_slices()  # of the training pass: both at once would not fit beside a large model
            self._decoder = decoder_of(self._loaded.model, self._vocabulary.size)
        return self._decoder


@contextmanager
def _computing() -> Iterator[None]:
    """A stage's arithmetic: all cores are our kernels', and afterwards its memory is everybody's."""
    try:
        with ieee_subnormals(), torch_on_one_thread():
            yield
    finally:
        memory.release()


def exact_adamw(state: TrainState, gradients: Sequence[torch.Tensor], rules: LearnRules) -> float:
    """Clipping and AdamW of docs/exact-1.md, section 8: an ``Optimiser`` of ``swarm.grpo.step``."""
    rates = Rates(
        learning_rate=binary32(Fraction(rules.learning_rate_nano, _NANO)),
        weight_decay=binary32(Fraction(rules.weight_decay_nano, _NANO)),
        max_norm=binary32(Fraction(rules.max_grad_norm_nano, _NANO)),
    )
    dense = [gradient.contiguous() for gradient in gradients]
    clip, norm = clip_factor(dense, rates.max_norm)
    state.step += 1
    update(state.parameters, state.first, state.second, dense, state.step, clip, rates)
    return float(norm)
