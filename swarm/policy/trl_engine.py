"""Why this module exists: people who know TRL can bring its trainer, and everything that it can, into a swarm.

Completions are drawn as by the native engine, from the swarm's seeds, so that others can check them by one prefill; the
update is ``trl.GRPOTrainer``'s. Its arithmetic is whatever torch does on this machine, and nobody can repeat its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from protocol.run import LearnRules
from swarm.grpo.step import Sample
from swarm.policy.base import Sampling, StepReport
from swarm.policy.generate import Drawn, Limits
from swarm.policy.load import LoadedModel
from swarm.policy.native import NativeEngine
from swarm.policy.packing import completion_log_probs
from swarm.policy.trl_options import TrlOptions
from swarm.policy.vllm_draw import VllmDrawing, require_vllm


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
        if self.options.use_vllm:
            require_vllm()

    @classmethod
    def with_options(cls, options: TrlOptions) -> type[TrlEngine]:
        """This engine with a peer's own options as its defaults. Raises ``ConfigError`` where vLLM is asked for and not
        installed."""
        if options.use_vllm:
            require_vllm()
        return type("TrlEngine", (cls,), {"_defaults": options})

    def _draw(self, prompts: Sequence[tuple[int, ...]], seeds: Sequence[int], sampling: Sampling) -> list[Drawn]:
        if not self.options.use_vllm:
            return super()._draw(prompts, seeds, sampling)
        if self._vllm is None:
            self._vllm = VllmDrawing(self._loaded, self.options.vllm_memory)
        return self._vllm.draw(self._loaded, self._version(), prompts, seeds, sampling)

    def _version(self) -> tuple[int, ...]:
        return tuple(parameter._version for parameter in self._state.parameters)

    def _train(self, samples: Sequence[Sample], seed: int) -> StepReport:
        from swarm.policy.handed_in import train

        anchor = self._reference
        report = train(
            self._loaded,
            self._state,
            self._log_probs,
            samples,
            self._rules,
            self.options,
            seed,
            temperature=self._temperature,
            reference=None if anchor is None else lambda batch: completion_log_probs(anchor, batch, self._temperature),
        )
        self._settle()
        return report
