"""What does checking cost? ``python -m benchmarks.audit [--repeats N] [--json]``

In one process on one thread, with the bundled model: how long checking rollouts of 128 new tokens takes next to drawing
them (batches of 1, 8 and of a whole default stage), and what share of a peer's work its audit costs: a default round's
three stages and training step, against 16 re-derived rollouts per contribution and 2 % replayed steps. Times are
medians. Also printed: the stake that makes cheating a loss. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.swarm_runs import criterion
from protocol.run import LearnRules
from swarm.game.prompts import Shown, answer_prompt, critique_prompt, decide_prompt
from swarm.policy.base import Completion, Prompt, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from swarm.policy.load import load_model
from swarm.settings.config import load_settings
from swarm.tasks.registry import load_task, open_task

MODEL = Path(__file__).resolve().parents[1] / "models" / "tiny"
LABELS = ("A", "B", "C")
NEW_TOKENS = 128
AUDITED_ROLLOUTS = 16
AUDITORS = 1
REPLAY_RATE = 0.02


def median_s(repeats: int, work: Callable[[], Any]) -> float:
    """Seconds, after one call that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def requests_for(prompts: Sequence[Prompt], num_samples: int) -> list[SampleRequest]:
    return [SampleRequest(prompt, 1000 * n + k) for n, prompt in enumerate(prompts) for k in range(num_samples)]


def verify_over_generate(engine: ExactEngine, requests: list[SampleRequest], repeats: int) -> dict[str, float]:
    """Seconds to draw all ``requests`` and to check them, and the quotient."""
    sampling = Sampling(NEW_TOKENS)
    completions = engine.generate(requests, sampling)
    if engine.first_differences(requests, sampling, completions) != [None] * len(requests):
        raise RuntimeError("An honest rollout did not pass.")
    generate_s = median_s(repeats, lambda: engine.generate(requests, sampling))
    verify_s = median_s(repeats, lambda: engine.first_differences(requests, sampling, completions))
    return {"generate_s": generate_s, "verify_s": verify_s, "quotient": verify_s / generate_s}


class Round:
    """A default round of one peer among three that all draw as it does."""

    def __init__(self, engine: ExactEngine, questions: Sequence[str], num_samples: int, limits: Sequence[int]) -> None:
        self.engine, self.num_samples = engine, num_samples
        self.stages: list[tuple[list[SampleRequest], Sampling, list[Completion]]] = []
        answers = self.play([answer_prompt(text) for text in questions], limits[0])
        shown = [self.shown(answers, number) for number in range(len(questions))]
        prompts = [critique_prompt(text, row) for text, row in zip(questions, shown, strict=True)]
        critiques = self.play(prompts, limits[1])
        prompts = [
            decide_prompt(text, row, self.shown(critiques, number))
            for number, (text, row) in enumerate(zip(questions, shown, strict=True))
        ]
        self.play(prompts, limits[2])

    def play(self, prompts: Sequence[Prompt], limit: int) -> list[Completion]:
        requests, sampling = requests_for(prompts, self.num_samples), Sampling(limit)
        completions = self.engine.generate(requests, sampling)
        self.stages.append((requests, sampling, completions))
        return completions

    def shown(self, completions: Sequence[Completion], question: int) -> list[Shown]:
        first = question * self.num_samples
        return [Shown(label, completions[first + place].text) for place, label in enumerate(LABELS)]

    def lesson(self, num_external: int) -> list[TrainSample]:
        """Own rollouts and as many again as a peer takes from others, advantages as varied as in a round."""
        return [
            TrainSample(request.prompt, completion.tokens, (-1.5, -0.5, 0.5, 1.5)[number % 4])
            for requests, _, completions in self.stages
            for number, (request, completion) in enumerate(zip(requests, completions, strict=True))
            for _ in range(1 + (number % self.num_samples < num_external))
        ]


def audit_share(engine: ExactEngine, played: Round, num_external: int, repeats: int) -> dict[str, float]:
    """Seconds of a peer's own work and of its audit, and the share of the second in the first."""

    def generate() -> None:
        for requests, sampling, _ in played.stages:
            engine.generate(requests, sampling)

    def verify() -> None:
        per_stage = AUDITED_ROLLOUTS // len(played.stages) + 1
        for requests, sampling, completions in played.stages:
            drawn = slice(None, None, max(1, len(requests) // per_stage))
            engine.first_differences(requests[drawn][:per_stage], sampling, completions[drawn][:per_stage])

    lesson, parts = played.lesson(num_external), engine.parts()
    replica = engine.replica(parts)
    generate_s, verify_s = median_s(repeats, generate), median_s(repeats, verify)
    step_s = median_s(max(1, repeats // 2), lambda: replica.step(lesson, 1))
    spent = AUDITORS * (verify_s + REPLAY_RATE * step_s)
    return {
        "generate_s": generate_s,
        "step_s": step_s,
        "verify_16_s": verify_s,
        "share": spent / (generate_s + step_s),
    }


def margins() -> list[dict[str, float | str]]:
    """The least stake S >= G(1 - p)/p - R in rewards of a round, for a cheat that saves one reward (G = R = 1)."""
    rows: list[dict[str, float | str]] = []
    for share in (1.0, 0.5, 0.25, 0.1):
        seen = 1 - (1 - share) ** (AUDITED_ROLLOUTS * AUDITORS)
        rows.append({"cheat": f"{share:.0%} of rollouts made up", "p": seen, "stake": (1 - seen) / seen - 1})
    rows.append({"cheat": "another training step", "p": REPLAY_RATE, "stake": (1 - REPLAY_RATE) / REPLAY_RATE - 1})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    settings = load_settings("local")
    game = settings.game
    learn = LearnRules(
        num_external=settings.learn.num_external,
        num_updates=settings.learn.num_updates,
        learning_rate_nano=50_000,
        epsilon_low_nano=200_000_000,
        epsilon_high_nano=280_000_000,
        delta_nano=4_000_000_000,
        beta_nano=0,
        weight_decay_nano=0,
        max_grad_norm_nano=1_000_000_000,
    )
    engine = ExactEngine.open(MODEL, learn)
    endless = ExactEngine(dataclasses.replace(load_model(MODEL), end_ids=()), learn)
    task = open_task(*load_task(settings.run.task))
    questions = [question.text for question in task.questions(1, game.num_questions)]
    prompts = [answer_prompt(text) for text in questions]
    batches = {
        "1": requests_for(prompts[:1], 1),
        "8": requests_for(prompts[:1], 8),
        "default": requests_for(prompts, game.num_samples),
    }
    quotients = {name: verify_over_generate(endless, batch, options.repeats) for name, batch in batches.items()}
    played = Round(engine, questions, game.num_samples, (game.answer_tokens, game.critique_tokens, game.decide_tokens))
    audit = audit_share(engine, played, learn.num_external, options.repeats)
    if not options.json:
        for name, row in quotients.items():
            print(f"batch {name:<8} drawn in {row['generate_s']:.3f} s, checked in {row['verify_s']:.3f} s", end="")
            print(f" ({row['quotient']:.3f})")
        print(f"a round: stages {audit['generate_s']:.2f} s, step {audit['step_s']:.2f} s;", end=" ")
        print(f"16 rollouts checked in {audit['verify_16_s']:.3f} s; audits cost {100 * audit['share']:.2f} %")
        for margin in margins():
            print(f"  {margin['cheat']:<26} seen with p = {margin['p']:.4f}: stake at least {margin['stake']:.2f} R")
    body = {
        "batch_sizes": {name: len(batch) for name, batch in batches.items()},
        "verify": {name: {key: round(value, 4) for key, value in row.items()} for name, row in quotients.items()},
        "audit": {key: round(value, 4) for key, value in audit.items()},
        "margins": margins(),
        "criteria": [
            criterion("verify_over_generate", round(quotients["default"]["quotient"], 4), 0.1, "quotient"),
            criterion("verify_over_generate_batch_1", round(quotients["1"]["quotient"], 4), None, "quotient"),
            criterion("verify_over_generate_batch_8", round(quotients["8"]["quotient"], 4), None, "quotient"),
            criterion(
                "audited_rollouts_over_stages", round(audit["verify_16_s"] / audit["generate_s"], 4), None, "quotient"
            ),
            criterion("spot_check_share", round(audit["share"], 4), 0.05, "share"),
        ],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
