"""What does a round pay for disputes that never happen? ``python -m benchmarks.commitments [--json]``

In one process on one thread, with the bundled model and a default round of ``swarm local``: processor seconds that a
peer needs to derive what a contribution names of its programs (each rollout's check; the step and its data where a step
of this size is named at all), next to those of its own sampling and training. A peer derives this once for itself and
once for every other contribution of its round. ``--questions`` makes the round smaller. No trace is made in any of it.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from benchmarks.audit import MODEL, Round
from benchmarks.swarm_runs import criterion
from protocol.errors import NotBuiltYet
from protocol.merkle import MerkleTree
from protocol.run import LearnRules
from swarm.audit.commitments import draw_line
from swarm.policy.exact import ExactEngine
from swarm.settings.config import load_settings
from swarm.tasks.registry import load_task, open_task


def spent_s(work: Callable[[], Any]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--questions", type=int, help="of a round (default: that of swarm local)")
    options = parser.parse_args()
    settings = load_settings("local")
    game, given = settings.game, settings.learn
    learn = LearnRules(
        num_external=given.num_external,
        num_updates=given.num_updates,
        learning_rate_nano=50_000,
        epsilon_low_nano=200_000_000,
        epsilon_high_nano=280_000_000,
        delta_nano=4_000_000_000,
        beta_nano=0,
        weight_decay_nano=0,
        max_grad_norm_nano=1_000_000_000,
    )
    engine = ExactEngine.open(MODEL, learn)
    task = open_task(*load_task(settings.run.task))
    questions = [question.text for question in task.questions(1, options.questions or game.num_questions)]
    played: list[Round] = []
    limits = (game.answer_tokens, game.critique_tokens, game.decide_tokens)
    generate_s = spent_s(lambda: played.append(Round(engine, questions, game.num_samples, limits)))
    one = played[0]
    lesson = one.lesson(learn.num_external)
    step_s = spent_s(lambda: engine.step(lesson, 1))

    def draws() -> None:
        work = [
            engine.draw_computation(request, sampling, completion.tokens)
            for requests, sampling, completions in one.stages
            for request, completion in zip(requests, completions, strict=True)
        ]
        MerkleTree(draw_line(number, computation) for number, computation in enumerate(work))

    draws()  # programs of a run's few shapes are derived once, and kept
    draws_s = spent_s(draws)
    nodes, step_program_s, step_data_s = 0, 0.0, 0.0
    with suppress(NotBuiltYet):
        step_program_s = spent_s(lambda: engine.step_computation(lesson, 1))
        step_data_s = spent_s(lambda: engine.step_computation(lesson, 1).data_root)
        nodes = len(engine.step_computation(lesson, 1).build().nodes)
    share = (draws_s + step_program_s + step_data_s) / (generate_s + step_s)
    if not options.json:
        print(f"own work: sampling {generate_s:.2f} s, step {step_s:.2f} s of processor time")
        print(f"named: draws {draws_s:.2f} s, data {step_data_s:.2f} s, step {step_program_s:.2f} s", end="")
        print(f" ({nodes:,} operators)")
        print(f"one contribution's programs take {100 * share:.1f} % of the work that they name")
    figures = {
        "generate_s": generate_s,
        "step_s": step_s,
        "draws_s": draws_s,
        "step_program_s": step_program_s,
        "step_data_s": step_data_s,
    }
    body = {
        **{name: round(value, 3) for name, value in figures.items()},
        "operators": nodes,
        "rollouts": sum(len(requests) for requests, _, _ in one.stages),
        "criteria": [criterion("commitments_over_work", round(share, 4), None, "share")],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
