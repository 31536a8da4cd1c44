"""Why this module exists: what every engine over a loaded model does alike, whatever arithmetic is under it.

Prompts become ids, ids become texts, samples become training rows, states get hashed, saved and loaded. An engine adds
how tokens are drawn, how log-probabilities are computed and how a step runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeVar

import torch

from protocol.errors import ConfigError, OutOfMemory
from protocol.ids import ContentId
from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState
from swarm.grpo.step import Sample
from swarm.policy.base import Completion, Prompt, SampleRequest, Sampling, StateParts, StepReport, TrainSample
from swarm.policy.generate import Drawn, Limits
from swarm.policy.load import LoadedModel
from swarm.policy.lora import copy_of, open_model
from swarm.policy.memory import memory_told
from swarm.policy.state import genesis_hash, load_state, save_state, state_hash, state_parts
from swarm.policy.text import TextCodec
from swarm.policy.tolerance import misses

_LOG_PROBS_AT_ONCE = 16

Result = TypeVar("Result")


class ModelEngine(ABC):
    """The common part of an ``Engine`` over a loaded model. One caller at a time; every method blocks.

    ``temperature`` is the sampling temperature of the run: training uses log-probabilities of that same policy.
    ``beta_nano`` > 0 keeps a frozen copy of the starting weights as the reference policy, unless one is handed in.
    """

    name: ClassVar[str]
    profile: ClassVar[str]

    def __init__(
        self,
        loaded: LoadedModel,
        rules: LearnRules,
        *,
        temperature: float = 1.0,
        limits: Limits | None = None,
        reference: LoadedModel | None = None,
    ) -> None:
        self._loaded, self._rules, self._temperature = loaded, rules, temperature
        self._limits = limits or Limits()
        self._text = TextCodec(loaded.tokenizer, loaded.vocab_size)
        self._reference = reference or (copy_of(loaded, is_trained=False) if rules.beta_nano else None)
        self._state = TrainState(*trainable(loaded), base=loaded.base)
        self.on_shrink: Callable[[float], None] = lambda megabytes: None
        """Told on the engine's thread when memory ran out while drawing, with what is drawn in from now on."""

    @classmethod
    def open(
        cls,
        name_or_path: str | Path,
        rules: LearnRules,
        *,
        device: str = "cpu",
        temperature: float = 1.0,
        num_threads: int = 1,
        limits: Limits | None = None,
    ) -> Self:
        """Load a model directory or hub name. Sets torch's thread count for the whole process (several peers share a
        machine's cores). Raises ``ConfigError`` as ``load_model`` does."""
        torch.set_num_threads(num_threads)
        loaded, _ = open_model(name_or_path, device, lora_rank=rules.lora_rank)
        return cls(loaded, rules, temperature=temperature, limits=limits)

    @abstractmethod
    def _draw(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
        """One completion per prompt and seed, in order."""

    @abstractmethod
    def _log_probs(self, samples: Sequence[Sample]) -> torch.Tensor:
        """Log-probabilities [B, T] of the samples' tokens; 0 beyond a sample's length."""

    @abstractmethod
    def _train(self, samples: Sequence[Sample], seed: int) -> StepReport:
        """One round's updates of the state."""

    @property
    def loaded(self) -> LoadedModel:
        """The model that is trained, in its present state: not a copy."""
        return self._loaded

    @property
    def num_parameters(self) -> int:
        """Trainable parameters; tied weights count once."""
        return sum(parameter.numel() for parameter in self._state.parameters)

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        """One completion per request, in order; each depends on (weights, prompt, seed, sampling) alone (see the
        engine for its last bits). Where memory runs out it is done again with less at once, now and later on.

        Raises ``ConfigError`` when a prompt and its completion exceed the model's context, ``OutOfMemory`` when not
        even one fits.
        """
        prompts = [self._text.encode(request.prompt) for request in requests]
        self._require_room(prompts, sampling.max_new_tokens)
        seeds = [request.seed for request in requests]
        drawn = self._fitting(lambda: self._draw(prompts, seeds, sampling))
        texts = self._text.texts_of([completion.tokens for completion in drawn])
        return [Completion(row.tokens, text, row.ended, row.digest) for row, text in zip(drawn, texts, strict=True)]

    def prompt_length(self, prompt: Prompt) -> int:
        """Tokens of the rendered prompt."""
        return len(self._text.encode(prompt))

    def text_of(self, tokens: Sequence[int]) -> str:
        """Decoded text without special tokens. Raises ``ValueError`` for ids outside the vocabulary."""
        return self._text.text_of(tokens)

    def log_probs(self, samples: Sequence[TrainSample]) -> list[list[float]]:
        """Log-probability of every token of every sample under the current weights, at the run's temperature."""
        encoded = [self._sample(sample) for sample in samples]
        rows: list[list[float]] = []
        with torch.no_grad():
            for start in range(0, len(encoded), _LOG_PROBS_AT_ONCE):
                part = encoded[start : start + _LOG_PROBS_AT_ONCE]
                values = self._log_probs(part).tolist()
                rows += [row[: len(sample.tokens)] for row, sample in zip(values, part, strict=True)]
        return rows

    def parts(self) -> StateParts:
        """The present state as chunks; ``state_hash()`` is the Merkle root over them."""
        return state_parts(self._state)

    def misses(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[float]:
        """See ``Tolerant``. By torch's own arithmetic, whatever the engine's is. Foreign ids, tokens after an end token
        or beyond the limit, and a wrong ``ended`` are misses of 1, never errors."""
        prompts = [self._text.encode(request.prompt) for request in requests]
        self._require_room(prompts, sampling.max_new_tokens)
        seeds = [request.seed for request in requests]
        return self._fitting(lambda: misses(self._loaded, prompts, seeds, completions, sampling))

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        """One round's updates (see ``swarm.grpo.step.train``). Samples with equal prompts form a group.

        Raises ``ValueError`` without samples or for token ids outside the vocabulary, before anything changes, and
        ``OutOfMemory``: then the state may be half changed, and one has to be loaded before going on. It is not tried
        with less at once: how a step is cut into passes is a part of what it computes.
        """
        encoded = [self._sample(sample) for sample in samples]
        try:
            with memory_told(
                "The training step does not fit this machine's memory",
                "This peer skips the round and earns nothing in it; credits it has are not touched.",
                "End other programs, run fewer peers on this machine, or join a run with a smaller model or batch.",
            ):
                return self._train(encoded, seed)
        finally:
            for parameter in self._state.parameters:
                parameter.grad = None

    def state_hash(self) -> ContentId:
        """The state's Merkle root (format: ``verde.commit``)."""
        return state_hash(self._state)

    def save(self, directory: Path) -> None:
        """Write the state into ``directory``; a crash leaves the old content or the new."""
        save_state(self._state, directory)

    def load(self, directory: Path) -> None:
        """Replace the state by a saved one. Raises ``ConfigError`` when it is damaged or of another model."""
        load_state(self._state, directory)

    def _fitting(self, drawing: Callable[[], Result]) -> Result:
        """What ``drawing`` gives, tried again with half as much at once for as long as memory runs out."""
        while True:
            try:
                with memory_told(
                    "Not even one completion fits this machine's memory",
                    "The stage is skipped; credits are not touched.",
                    "End other programs, run fewer peers on this machine, or join a run with a smaller model.",
                ):
                    return drawing()
            except OutOfMemory:
                limits = self._limits.halved()
                if limits is None:
                    raise
            self._take_limits(limits)
            self.on_shrink(limits.max_cache_bytes / 1e6)

    def _take_limits(self, limits: Limits) -> None:
        """Draw within ``limits`` from now on."""
        self._limits = limits

    def _sample(self, sample: TrainSample) -> Sample:
        self._text.check(sample.tokens)
        return Sample(self._text.encode(sample.prompt), sample.tokens, sample.advantage)

    def _require_room(self, prompts: Sequence[tuple[int, ...]], max_new_tokens: int) -> None:
        longest = max((len(prompt) for prompt in prompts), default=0)
        context = self._loaded.context_length
        if context and longest + max_new_tokens > context:
            raise ConfigError(
                f"A prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's context of {context}.",
                "The stage cannot be played with this model; credits are not touched.",
                "Use a model with a longer context, or a run with smaller token limits.",
            )


class Genesis(NamedTuple):
    """Hash of a run's first state, the rank of the adapters that it is made of (0: all weights are trained), and the
    number of the whole model's parameters, tied ones once."""

    state: ContentId
    lora_rank: int
    num_params: int


def genesis(name_or_path: str | Path, lora_rank: int | None = 0) -> Genesis:
    """What a run is named after: the state before any training, from the model alone (no optimiser is built).

    It is the same for every engine. ``lora_rank`` and errors as for ``open_model``.
    """
    loaded, rank = open_model(name_or_path, lora_rank=lora_rank)
    num_params = sum(parameter.numel() for parameter in loaded.model.parameters())
    return Genesis(genesis_hash(*trainable(loaded), loaded.base), rank, num_params)


def trainable(loaded: LoadedModel) -> tuple[tuple[str, ...], list[torch.Tensor]]:
    """Names and tensors of what is trained: every parameter that is not frozen, each tied one under its first name."""
    named = [(name, parameter) for name, parameter in loaded.model.named_parameters() if parameter.requires_grad]
    return tuple(name for name, _ in named), [parameter for _, parameter in named]
