"""Why this module exists: people who know TRL can bring its trainer, and everything that it can, into a swarm.

Completions are drawn as by the native engine, from the swarm's seeds, so that others can check them by one prefill; the
update is ``trl.GRPOTrainer``'s. Its arithmetic is whatever torch does on this machine, and nobody can repeat its steps.
Several processes, on GPUs one for each, can take a step together (``swarm.policy.trl_team``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from protocol.errors import ConfigError, StepFailed
from protocol.run import LearnRules
from swarm.grpo.adamw import TrainState
from swarm.grpo.step import Sample, require_learnable
from swarm.policy.base import Sampling, StateParts, StepReport
from swarm.policy.engine import ModelEngine
from swarm.policy.generate import Drawn, Limits
from swarm.policy.load import LoadedModel
from swarm.policy.native import NativeEngine
from swarm.policy.packing import completion_log_probs
from swarm.policy.trl_options import TrlOptions
from swarm.policy.vllm_draw import VllmDrawing, require_vllm

if TYPE_CHECKING:
    from swarm.policy.handed_in import Share
    from swarm.policy.trl_team import Team


class TrlEngine(NativeEngine):
    """An ``Engine`` whose steps are TRL's. ``options``: a peer's own choice; the run's rules are the run's."""

    name = "trl"
    _defaults: ClassVar[TrlOptions] = TrlOptions()

    def __init__(
        self,
        loaded: LoadedModel,
        rules: LearnRules,
        *,
        temperature: float = 1.0,
        limits: Limits | None = None,
        reference: LoadedModel | None = None,
        options: TrlOptions | None = None,
    ) -> None:
        super().__init__(loaded, rules, temperature=temperature, limits=limits, reference=reference)
        self.options = options or self._defaults
        self._vllm: VllmDrawing | None = None
        self._team: Team | None = None
        if self.options.use_vllm:
            require_vllm()

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
        """As of ``ModelEngine``. With several processes, they share ``num_threads``. Raises ``ConfigError`` where there
        are more of them than GPUs; they are started when the engine first draws or learns."""
        options = cls._defaults
        team = None
        if options.processes > 1:
            from swarm.policy.trl_team import Team, require_processes
            from swarm.policy.trl_worker import Job

            kind = require_processes(options.processes, device)
            threads = max(1, num_threads // options.processes)
            team = Team(
                Job(str(name_or_path), rules, temperature, kind, threads, options.processes, options.patience_s)
            )
        engine = super().open(
            name_or_path, rules, device=device, temperature=temperature, num_threads=num_threads, limits=limits
        )
        engine._team = team
        return engine

    @classmethod
    def with_options(cls, options: TrlOptions) -> type[TrlEngine]:
        """This engine with a peer's own options as its defaults. Raises ``ConfigError`` where vLLM is asked for and not
        installed."""
        if options.use_vllm:
            require_vllm()
        return type("TrlEngine", (cls,), {"_defaults": options})

    @property
    def state(self) -> TrainState:
        """What is trained, in its present state: not a copy."""
        return self._state

    def learn(
        self, samples: Sequence[Sample], seed: int, *, share: Share | None = None, on_pass: Callable[[], object]
    ) -> StepReport:
        """One round's updates of the state in this process, or this process's ``share`` of them."""
        from swarm.policy.handed_in import ALONE, train

        anchor = self._reference
        return train(
            self._loaded,
            self._state,
            self._log_probs,
            samples,
            self._rules,
            self.options,
            seed,
            temperature=self._temperature,
            reference=None if anchor is None else lambda batch: completion_log_probs(anchor, batch, self._temperature),
            share=share or ALONE,
            on_pass=on_pass,
        )

    def replica(self, parts: StateParts) -> ModelEngine:
        """As of ``NativeEngine``; it learns with the same processes."""
        other = super().replica(parts)
        assert isinstance(other, TrlEngine)
        other.options, other._team = self.options, self._team
        return other

    def close(self) -> None:
        """End the processes that learn, where there are any; new ones are started when they are needed."""
        if self._team is not None:
            self._team.close()

    def _draw(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
        if self._team is not None:
            with suppress(StepFailed):  # the step will try again, and tell
                self._team.start()  # they are ready by the time that there is something to learn
        if not self.options.use_vllm:
            return super()._draw(prompts, seeds, sampling)
        if self._vllm is None:
            self._vllm = VllmDrawing(self._loaded, self.options.vllm_memory)
        return self._vllm.draw(self._loaded, self._version(), prompts, seeds, sampling)

    def _version(self) -> tuple[int, ...]:
        return tuple(parameter._version for parameter in self._state.parameters)

    def _train(self, samples: Sequence[Sample], seed: int) -> StepReport:
        if self._team is not None:
            require_learnable(samples)
            report = self._team.step(self._state, samples, seed, self.options)
        elif self.options.processes > 1:
            raise ConfigError(
                "Several processes learn only a model that was opened by its name, which each can open, too.",
                "Nothing was learnt; credits are not touched.",
                "Open the engine with TrlEngine.with_options(options).open(model, rules).",
            )
        else:
            report = self.learn(samples, seed, on_pass=lambda: None)
        self._settle()
        return report
