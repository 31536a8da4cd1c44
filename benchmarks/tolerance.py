"""Does the looser check tell honest work from cheats? ``python -m benchmarks.tolerance [--model DIR] [--json]``

Work of an engine without exact results is read by one prefill: a token may miss the number that its seed fixes by the
run's ``audit.tolerance_ppm`` of probability. Here honest peers draw in other ways than the checker computes (other
batches, one completion at a time, in double precision as a stand-in for another machine), and cheats draw as the rules
do not say. Reported: the share of honest completions that are refused (false positives), the share of each cheat's
completions that are passed (false negatives), the same for an audit of 16 of them, and the largest honest miss.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import RULES, TINY, questions
from benchmarks.swarm_runs import criterion
from protocol.seeds import derive_seed
from swarm.policy.base import ChatMessage, Completion, SampleRequest, Sampling, TrainSample
from swarm.policy.generate import Limits
from swarm.policy.native import NativeEngine

PPM = 1_000_000
PER_AUDIT = 16

HARDLY = frozenset({"temperature 0.99", "weights rounded to bfloat16"})
"""So little away from the rules that most completions come out the very same; who does it has nothing from it."""

Draw = Callable[[Sequence[SampleRequest], Sampling], list[Completion]]


class Bench:
    """One model, its checker, and everybody who draws."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.checker = NativeEngine.open(model, RULES, num_threads=torch.get_num_threads())
        self.double = NativeEngine.open(model, RULES, num_threads=torch.get_num_threads())
        self.double._loaded.model.double()
        one = Limits(max_rows=1, max_prompt_tokens=1)
        self.single = NativeEngine(self.checker._loaded, RULES, limits=one)

    def honest(self) -> dict[str, Draw]:
        return {
            "all at once": self.checker.generate,
            "one at a time": self.single.generate,
            "double precision": self.double.generate,
        }

    def cheats(self) -> dict[str, Draw]:
        return {
            "one token changed": self._one_token,
            "another seed": lambda asked, how: self.checker.generate(_reseeded(asked, 1), how),
            "temperature 0.9": lambda asked, how: self.checker.generate(asked, _at(how, 0.9)),
            "temperature 0.99": lambda asked, how: self.checker.generate(asked, _at(how, 0.99)),
            "greedy": lambda asked, how: self.checker.generate(asked, _at(how, 0.0)),
            "best of two": self._best_of_two,
            "weights a step further": self._stepped(1, 50_000),
            "weights 20 steps further": self._stepped(20, 50_000),
            "weights rounded to bfloat16": self._rounded(),
            "cut off early": self._cut,
        }

    def _one_token(self, asked: Sequence[SampleRequest], how: Sampling) -> list[Completion]:
        """An honest beginning, one other token, and an honest rest: the likeliest to slip through."""
        changed = []
        for request, completion in zip(asked, self.checker.generate(asked, how), strict=True):
            place = derive_seed("place", request.seed) % len(completion.tokens)
            tokens = list(completion.tokens)
            ends = self.checker._loaded.end_ids
            other = derive_seed("token", request.seed) % self.checker._loaded.vocab_size
            while other == tokens[place] or other in ends:
                other = (other + 1) % self.checker._loaded.vocab_size
            if place == len(tokens) - 1 and completion.ended:
                place = 0
            if tokens[place] == other:
                other = (other + 1) % self.checker._loaded.vocab_size
            tokens[place] = other
            changed.append(Completion(tuple(tokens), completion.text, completion.ended))
        return changed

    def _best_of_two(self, asked: Sequence[SampleRequest], how: Sampling) -> list[Completion]:
        """Only what comes from the other seed: where the first draw was the better one, nothing was gained."""
        pairs = zip(self.checker.generate(asked, how), self.checker.generate(_reseeded(asked, 7), how), strict=True)
        return [other for one, other in pairs if other.tokens != one.tokens]

    def _cut(self, asked: Sequence[SampleRequest], how: Sampling) -> list[Completion]:
        drawn = self.checker.generate(asked, how)
        return [Completion(one.tokens[: max(1, len(one.tokens) // 2)], one.text, one.ended) for one in drawn]

    def _stepped(self, count: int, learning_rate_nano: int) -> Draw:
        import msgspec

        rules = msgspec.structs.replace(RULES, learning_rate_nano=learning_rate_nano)
        other = NativeEngine.open(self.model, rules, num_threads=torch.get_num_threads())
        asked = requests(8, 8, 99)
        for turn in range(count):
            drawn = other.generate(asked, Sampling(32))
            other.step(
                [
                    TrainSample(one.prompt, found.tokens, 1.0 if number % 2 else -1.0)
                    for number, (one, found) in enumerate(zip(asked, drawn, strict=True))
                ],
                turn,
            )
        return other.generate

    def _rounded(self) -> Draw:
        loaded = self.checker._loaded
        model = copy.deepcopy(loaded.model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16().float())
        return NativeEngine(dataclasses.replace(loaded, model=model), RULES).generate


def _at(how: Sampling, temperature: float) -> Sampling:
    return Sampling(how.max_new_tokens, temperature, how.top_k)


def _reseeded(asked: Sequence[SampleRequest], by: int) -> list[SampleRequest]:
    return [SampleRequest(one.prompt, one.seed + by) for one in asked]


def requests(prompts: int, samples: int, turn: int) -> list[SampleRequest]:
    return [
        SampleRequest((ChatMessage("user", text),), derive_seed("tolerance", turn, number, sample))
        for number, text in enumerate(questions(prompts))
        for sample in range(samples)
    ]


def misses(bench: Bench, draw: Draw, asked: Sequence[SampleRequest], how: Sampling) -> list[float]:
    drawn = draw(asked, how)
    if len(drawn) == len(asked):
        return bench.checker.misses(asked, how, drawn)
    # Who keeps only a part of what it drew: the rest is checked at the seeds that it should have used.
    first = bench.checker.generate(asked, how)
    other = bench.checker.generate(_reseeded(asked, 7), how)
    kept = [one for one, mine, theirs in zip(asked, first, other, strict=True) if mine.tokens != theirs.tokens]
    return bench.checker.misses(kept, how, drawn)


def passed_audit(share: float) -> float:
    """Chance that none of an audit's completions is refused when each is passed with ``share``."""
    return share**PER_AUDIT


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(TINY))
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--tolerance-ppm", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bench, how = Bench(options.model), Sampling(options.new_tokens)
    asked = requests(options.prompts, options.samples, 1)
    limit = options.tolerance_ppm / PPM
    honest: dict[str, dict[str, float]] = {}
    for name, draw in bench.honest().items():
        found = misses(bench, draw, asked, how)
        honest[name] = {"refused": sum(miss > limit for miss in found) / len(found), "largest_miss": max(found)}
        if not options.json:
            print(
                f"honest, {name:<28} refused {honest[name]['refused']:.4f}  largest miss {max(found):.2e}", flush=True
            )
    cheats: dict[str, dict[str, float]] = {}
    for name, draw in bench.cheats().items():
        found = misses(bench, draw, asked, how)
        passed = sum(miss <= limit for miss in found) / len(found)
        cheats[name] = {"passed": passed, "passed_audit": passed_audit(passed)}
        if not options.json:
            print(f"cheat,  {name:<28} passed {passed:.4f}  an audit of 16: {passed_audit(passed):.2e}", flush=True)
    own = list(honest.values())
    plain = [value for name, value in cheats.items() if name not in HARDLY]
    body: dict[str, Any] = {
        "model": Path(options.model).name,
        "tolerance_ppm": options.tolerance_ppm,
        "completions": len(asked),
        "honest": honest,
        "cheats": cheats,
        "criteria": [
            criterion("false_positives", max(value["refused"] for value in own), 0.0, "share of completions"),
            criterion("largest_honest_miss", max(value["largest_miss"] for value in own), limit / 10, "probability"),
            criterion(
                "false_negatives_of_an_audit", max(value["passed_audit"] for value in plain), 0.01, "share of audits"
            ),
            *(
                criterion(f"passed_{name.replace(' ', '_')}", round(value["passed"], 4), None, "share of completions")
                for name, value in cheats.items()
            ),
        ],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
