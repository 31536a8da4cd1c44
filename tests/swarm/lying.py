"""Why this module exists: the cheats of ``tests.swarm.cheats`` on real numbers, in a process of their own.

``python -m tests.swarm.lying CHEATS ARGUMENTS…`` is ``swarm ARGUMENTS…`` whose exact engine commits one of the named
cheats (with commas between them) in every other contribution, in turn: what it makes in between is honest, but stands
on the lie before. Everything it publishes is well-formed and signed; it believes in its own records.

``CHEATS`` may begin with how it behaves in a dispute and a colon: ``forging`` (its trace ends in what it claimed),
``silent`` (it never moves), ``accusing`` (it accuses everybody it is drawn to check); otherwise its trace is honest.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch

from swarm.policy.base import Completion, SampleRequest, Sampling, StepReport, TrainSample
from swarm.policy.exact import ExactEngine

SUM = re.compile(r"([0-9]+) ([+-]) ([0-9]+) =")


class Lie:
    """An honest engine's two verbs, with the engine at hand; a cheat overrides one of them."""

    def __init__(self, engine: LyingEngine) -> None:
        self.engine = engine

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return self.engine.honestly_generate(requests, sampling)

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        return self.engine.honestly_step(samples, seed)


class OneTokenChanged(Lie):
    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        first, *rest = super().generate(requests, sampling)
        other = next(token for one in rest for token in one.tokens[:-1] if token != first.tokens[0])
        tokens = (other, *first.tokens[1:])
        return [Completion(tokens, self.engine.text_of(tokens), first.ended), *rest]


class OtherSeeds(Lie):
    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return super().generate([SampleRequest(one.prompt, one.seed ^ 1) for one in requests], sampling)


class OtherTemperature(Lie):
    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return super().generate(requests, msgspec.structs.replace(sampling, temperature=0.5))


class OtherWeights(Lie):
    """The weights that answer are a quarter larger than the committed ones: a policy that is surer of itself."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        parameters = self.engine.weights()
        kept = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            for parameter in parameters:
                parameter.mul_(1.25)
        try:
            return super().generate(requests, sampling)
        finally:
            with torch.no_grad():
                for parameter, values in zip(parameters, kept, strict=True):
                    parameter.copy_(values)


class RightAnswersWritten(Lie):
    """A pocket calculator fills in the answers."""

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        drawn = super().generate(requests, sampling)
        written = []
        for request, completion in zip(requests, drawn, strict=True):
            question = SUM.search(request.prompt[-1].content)
            if question is None or "<answer>" not in completion.text or not completion.ended:
                written.append(completion)
                continue
            left, sign, right = question.groups()
            value = int(left) + int(right) * (1 if sign == "+" else -1)
            text = re.sub(r"<answer>.*?</answer>", f"<answer>{value}</answer>", completion.text)
            tokens = (*self.engine.tokens_of(text), completion.tokens[-1])
            fits = len(tokens) <= sampling.max_new_tokens
            written.append(Completion(tokens, self.engine.text_of(tokens), True) if fits else completion)
        return written


class OneAdvantageAltered(Lie):
    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        first, *rest = samples
        return super().step([msgspec.structs.replace(first, advantage=first.advantage + 0.01), *rest], seed)


class UpdateSkipped(Lie):
    """Counts a step and takes none."""

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        self.engine._state.step += 1
        return StepReport(0.0, 0.0, sum(len(sample.tokens) for sample in samples), 1)


class FewerRollouts(Lie):
    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        return super().step(list(samples)[: len(samples) // 2], seed)


class OneBitOfOneMoment(Lie):
    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        report = super().step(samples, seed)
        moment = self.engine._state.first[0]
        place = int(moment.abs().argmax())
        moment.view(-1).view(torch.int32)[place] ^= 1
        return report


class OtherLearningRate(Lie):
    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        rules = self.engine._rules
        self.engine._rules = msgspec.structs.replace(rules, learning_rate_nano=rules.learning_rate_nano + 1000)
        try:
            return super().step(samples, seed)
        finally:
            self.engine._rules = rules


CHEATS: dict[str, tuple[type[Lie], int]] = {
    "one_token_changed": (OneTokenChanged, 1),
    "other_seeds": (OtherSeeds, 1),
    "other_temperature": (OtherTemperature, 1),
    "other_weights": (OtherWeights, 1),
    "right_answers_written": (RightAnswersWritten, 1),
    "one_advantage_altered": (OneAdvantageAltered, 2),
    "update_skipped": (UpdateSkipped, 2),
    "fewer_rollouts": (FewerRollouts, 2),
    "one_bit_of_one_moment": (OneBitOfOneMoment, 2),
    "other_learning_rate": (OtherLearningRate, 2),
}
"""Each cheat with the level of the spot-check that must find it."""


class LyingEngine(ExactEngine):
    """An ``ExactEngine`` that lies in every other training step and the rollouts before it."""

    lies: Sequence[Callable[[LyingEngine], Lie]] = ()
    num_steps = 0

    def generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        is_exam = sampling.temperature == 0
        return self.honestly_generate(requests, sampling) if is_exam else self._lie().generate(requests, sampling)

    def step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        report = self._lie().step(samples, seed)
        self.num_steps += 1
        return report

    def honestly_generate(self, requests: Sequence[SampleRequest], sampling: Sampling) -> list[Completion]:
        return super().generate(requests, sampling)

    def honestly_step(self, samples: Sequence[TrainSample], seed: int) -> StepReport:
        return super().step(samples, seed)

    def tokens_of(self, text: str) -> tuple[int, ...]:
        return tuple(self._loaded.tokenizer.encode(text, add_special_tokens=False))

    def weights(self) -> Sequence[torch.Tensor]:
        return self._state.parameters

    def _lie(self) -> Lie:
        turn, is_honest = divmod(self.num_steps, 2)
        return Lie(self) if is_honest or turn >= len(self.lies) else self.lies[turn](self)


def deal(change: Callable[[Any], Any]) -> None:
    """Every hand from now on has the evidence that ``change`` makes of the right one."""
    from swarm.disputes import hand

    honest = hand.Dealing.go_on

    def go_on(self: hand.Dealing, *given: Any, **how: Any) -> hand.Hand | None:
        dealt = honest(self, *given, **how)
        return None if dealt is None else hand.Hand(change(dealt.evidence))

    hand.Dealing.go_on = go_on  # type: ignore[method-assign]


def forge_traces() -> None:
    """Defend whatever was claimed: the trace is the right one, but its results are those of the contribution."""
    from tests.swarm.disputes.arena import ending_as_claimed
    from verde.bisect.challenger import Evidence

    def forged(evidence: Evidence) -> Evidence:
        trace = ending_as_claimed(evidence.trace, evidence)
        return Evidence(trace, evidence.sources, evidence.before, evidence.after)

    deal(forged)


def keep_silent() -> None:
    """Never make a move."""
    from swarm.disputes.player import Disputes

    async def move(self: Disputes, *_: object) -> None:
        return None

    Disputes._move = move  # type: ignore[method-assign]


def accuse_everybody() -> None:
    """Say of every training step that it is false, and take it to the contract with a trace that says so, too."""
    import swarm.audit.auditing as auditing
    from protocol.messages import Difference
    from swarm.audit.replay import Replayed
    from swarm.disputes import accusing
    from verde.bisect.challenger import Evidence
    from verde.witness import Yield

    def replay(*_: object, **__: object) -> Replayed:
        return Replayed(2, Difference("I do not like it."), Yield())

    def forged(evidence: Evidence) -> Evidence:
        number = len(evidence.trace.program.nodes) - 1
        value = evidence.trace.value(number).copy()
        value.reshape(-1).view("uint32")[0] ^= 1
        trace = evidence.trace.with_output(number, value)
        return Evidence(trace, evidence.sources, evidence.before, evidence.after)

    auditing.replay = replay  # type: ignore[assignment]
    accusing.ends_otherwise = lambda *_: True  # type: ignore[assignment]
    deal(forged)


MANNERS: dict[str, Callable[[], None]] = {
    "forging": forge_traces,
    "silent": keep_silent,
    "accusing": accuse_everybody,
}


def main() -> None:
    """``swarm`` with one of the named cheats in every other contribution."""
    import swarm.app.building as building

    manners, _, names = sys.argv[1].rpartition(":")
    if manners:
        MANNERS[manners]()
    LyingEngine.lies = [CHEATS[name][0] for name in names.split(",") if name]
    honest: Any = building._engine_class
    building._engine_class = lambda name, chosen: LyingEngine if name == "exact" else honest(name, chosen)
    sys.argv = ["swarm", *sys.argv[2:]]
    from swarm.cli import main as run_swarm

    run_swarm()


if __name__ == "__main__":
    # One class, whether this file runs as a script or is imported by name.
    from tests.swarm.lying import main as run

    run()
