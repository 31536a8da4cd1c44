"""Why this module exists: a peer whose engine an exact run only tolerates still judges everybody else's work.

It draws and learns by its own engine. What others did exactly is done again exactly, on a replica; what others did by
an engine like its own is read by one prefill. So whoever is drawn to check can check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from protocol.ids import ContentId
from protocol.run import LearnRules
from swarm.policy.base import Completion, Redrawn, SampleRequest, Sampling, StateParts, StepReport, TrainSample
from swarm.policy.exact import ExactEngine
from swarm.policy.native import NativeEngine
from verde.program.computation import Computation


class MixedEngine:
    """An ``Engine`` that is ``Replayable``, ``Tolerant`` and ``Provable`` around one that is tolerated.

    ``own`` draws, learns and holds the state; ``exact`` is of the same model, holds its first state and takes no step:
    it makes replicas and programs. Both share the tensors that are not trained."""

    def __init__(self, own: NativeEngine, exact: ExactEngine) -> None:
        self._own, self._exact = own, exact
        self.name, self.profile = own.name, own.profile

    @classmethod
    def around(cls, own: NativeEngine, rules: LearnRules, *, temperature: float) -> MixedEngine:
        """Needs memory for what is trained and both its moments once more. Raises as ``ExactEngine`` does."""
        return cls(own, ExactEngine(own.copy_of_model(), rules, temperature=temperature))

    @property
    def num_parameters(self) -> int:
        return self._own.num_parameters

    @property
    def on_shrink(self) -> Callable[[float], None]:
        """As of ``ModelEngine``."""
        return self._own.on_shrink

    @on_shrink.setter
    def on_shrink(self, told: Callable[[float], None]) -> None:
        self._own.on_shrink = self._exact.on_shrink = told

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return self._own.generate(requests, sampling)

    def text_of(self, tokens: Sequence[int]) -> str:
        return self._own.text_of(tokens)

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        return self._own.step(samples, seed)

    def state_hash(self) -> ContentId:
        return self._own.state_hash()

    def save(self, directory: Path) -> None:
        self._own.save(directory)

    def load(self, directory: Path) -> None:
        self._own.load(directory)

    def parts(self) -> StateParts:
        return self._own.parts()

    def replica(self, parts: StateParts) -> ExactEngine:
        """An exact engine in that state: it repeats what was done exactly, and reads what was not."""
        return self._exact.replica(parts)

    def redraw(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[Redrawn]:
        """By exact arithmetic, from the present state."""
        return self.replica(self.parts()).redraw(requests, sampling, completions)

    def misses(
        self, requests: Sequence[SampleRequest], sampling: Sampling, completions: Sequence[Completion]
    ) -> list[float]:
        return self._own.misses(requests, sampling, completions)

    def step_computation(self, samples: Sequence[TrainSample], seed: int) -> Computation:
        return self._exact.step_computation(samples, seed)

    def draw_computation(self, request: SampleRequest, sampling: Sampling, tokens: Sequence[int]) -> Computation:
        return self._exact.draw_computation(request, sampling, tokens)
