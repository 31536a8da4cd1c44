"""Are our engines as fast as TRL? ``python -m benchmarks.engine [--model DIR] [--repeats N] [--threads N] [--json]``

The same model, prompts, lengths and number of updates, in one process, in turns. TRL's ``GRPOTrainer`` is used as its
documentation shows: a data set, a reward function, ``train()``; it draws through transformers (its default) and learns
from what it drew. Its time is split by its own functions: ``_generate`` draws, ``training_step`` learns. Our engines
draw the same number of completions for the same prompts, and take a step on as many updates of as many samples.

Reported: completions per second and training tokens per second (completion tokens in the step) of each, as
medians over repetitions, and quotients of the repetitions' own figures. TRL's speed depends on lengths as ours does,
so every figure is per token or completion really drawn. ``--clock cpu`` counts seconds of cores instead of the clock on
the wall: on a machine that others use, too, that and ``--threads 1`` give the same figures every time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.swarm_runs import criterion
from protocol.run import LearnRules
from swarm.game.prompts import answer_prompt
from swarm.grpo.advantage import group_advantages
from swarm.policy.base import Completion, SampleRequest, Sampling, TrainSample
from swarm.policy.engine import ModelEngine
from swarm.policy.exact import ExactEngine
from swarm.policy.native import NativeEngine
from swarm.policy.trl_engine import TrlEngine

TINY = Path(__file__).resolve().parents[1] / "models" / "tiny"

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_clock = "wall"

RULES = LearnRules(
    num_external=0,
    num_updates=1,
    learning_rate_nano=1_000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=0,
    max_grad_norm_nano=1_000_000_000,
)
"""One update a step and hardly any learning: the lengths of completions stay as they are over the repetitions."""


@dataclass
class Speed:
    """What one repetition took, in seconds, and got through."""

    draw_s: float
    completions: int
    drawn_tokens: int
    learn_s: float
    learned_tokens: int

    @property
    def completions_per_s(self) -> float:
        return self.completions / self.draw_s

    @property
    def tokens_per_s(self) -> float:
        return self.learned_tokens / self.learn_s


@dataclass(frozen=True)
class Load:
    """What everybody does: ``prompts`` times ``samples`` completions of ``new_tokens`` at most, then one update."""

    prompts: Sequence[str]
    samples: int
    new_tokens: int


def taste(text: str) -> float:
    """A reward that differs within nearly every group and costs nothing: the share of vowels."""
    return sum(letter in "aeiou" for letter in text) / (1 + len(text))


class Ours:
    """One of our engines. Its step sees all samples that it drew."""

    def __init__(self, kind: type[ModelEngine], model: str, load: Load) -> None:
        self._engine = kind.open(model, RULES, num_threads=torch.get_num_threads())
        self._load, self._turn = load, 0

    def run(self) -> Speed:
        self._turn += 1
        requests = [
            SampleRequest(answer_prompt(prompt), self._turn * 10_007 + number * 101 + sample)
            for number, prompt in enumerate(self._load.prompts)
            for sample in range(self._load.samples)
        ]
        start = CLOCKS[_clock]()
        drawn = self._engine.generate(requests, Sampling(self._load.new_tokens))
        between = CLOCKS[_clock]()
        samples = self._scored(requests, drawn)
        scored = CLOCKS[_clock]()
        report = self._engine.step(samples, self._turn)
        end = CLOCKS[_clock]()
        num_tokens = sum(len(completion.tokens) for completion in drawn)
        return Speed(between - start, len(drawn), num_tokens, end - scored, report.num_tokens)

    def _scored(self, requests: Sequence[SampleRequest], drawn: Sequence[Completion]) -> list[TrainSample]:
        samples = []
        for start in range(0, len(drawn), self._load.samples):
            group = range(start, start + self._load.samples)
            advantages = group_advantages([taste(drawn[row].text) for row in group])
            samples += [
                TrainSample(requests[row].prompt, drawn[row].tokens, advantage)
                for row, advantage in zip(group, advantages, strict=True)
            ]
        return samples


class Theirs:
    """``GRPOTrainer`` as documented, for one generation and one update a repetition."""

    def __init__(self, model: str, load: Load, batch_size: int) -> None:
        self._model, self._load, self._batch_size, self._turn = model, load, batch_size, 0

    def run(self) -> Speed:
        from datasets import Dataset
        from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, ProgressCallback
        from trl import GRPOConfig, GRPOTrainer

        self._turn += 1
        load = self._load
        total = len(load.prompts) * load.samples
        turns = [answer_prompt(prompt) for prompt in load.prompts]
        data = Dataset.from_list(
            [{"prompt": [{"role": turn.role, "content": turn.content} for turn in prompt]} for prompt in turns]
        )
        model = AutoModelForCausalLM.from_pretrained(self._model, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(self._model)
        with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
            trainer = GRPOTrainer(
                model=model,
                processing_class=tokenizer,
                reward_funcs=lambda completions, **_: [taste(turns[0]["content"]) for turns in completions],
                train_dataset=data,
                args=GRPOConfig(
                    output_dir=folder,
                    use_cpu=True,
                    bf16=False,
                    gradient_checkpointing=False,  # on by default, for memory; this is its faster setting
                    report_to=[],
                    save_strategy="no",
                    logging_steps=10**6,
                    disable_tqdm=True,
                    seed=self._turn,
                    max_steps=1,
                    per_device_train_batch_size=self._batch_size,
                    gradient_accumulation_steps=total // self._batch_size,
                    num_generations=load.samples,
                    max_completion_length=load.new_tokens,
                    learning_rate=1e-6,
                ),
            )
            trainer.remove_callback(PrinterCallback)
            trainer.remove_callback(ProgressCallback)
            draws, lengths = timed(trainer, "_generate")
            steps, _ = timed(trainer, "training_step")
            updates, _ = timed(trainer, "_clip_grad_norm")
            prepared, _ = timed(trainer, "_prepare_inputs")
            start = CLOCKS[_clock]()
            with stepping() as moved:
                trainer.train()
            whole_s = CLOCKS[_clock]() - start
        drawn = sum(lengths)
        # Everything between the first pass and the end is learning, the drawing inside of it (and its scoring) aside.
        learn_s = sum(steps) - sum(prepared) + sum(updates) + sum(moved)
        assert learn_s < whole_s
        return Speed(sum(draws), total, drawn, learn_s, drawn)


@contextmanager
def stepping() -> Iterator[list[float]]:
    """Seconds of each step of torch's AdamW within."""
    times: list[float] = []
    original = torch.optim.AdamW.step

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = CLOCKS[_clock]()
        result = original(self, *args, **kwargs)
        times.append(CLOCKS[_clock]() - start)
        return result

    with mock.patch.object(torch.optim.AdamW, "step", step):
        yield times
    if not times:
        raise RuntimeError("TRL took no step of torch's AdamW: its time would be missing.")


def timed(trainer: Any, name: str) -> tuple[list[float], list[int]]:
    """Seconds of each call of a method of ``trainer`` from here on, and tokens drawn by it."""
    method: Callable[..., Any] = getattr(trainer, name)
    times: list[float] = []
    lengths: list[int] = []

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        start = CLOCKS[_clock]()
        result = method(*args, **kwargs)
        times.append(CLOCKS[_clock]() - start)
        if name == "_generate":
            lengths.append(sum(len(row) for row in result[1]))
        return result

    setattr(trainer, name, wrapped)
    return times, lengths


def cut_model(layers: int, folder: Path) -> Path:
    """``layers`` of SmolLM2-135M with random weights, and the bundled tokenizer with its vocabulary of 512: a larger
    one would be work for those only who compute logits of ids that no token has."""
    from models import shapes

    shape = {**shapes.SHAPES["llama"], "vocab_size": 512, "num_hidden_layers": layers}
    with mock.patch.dict(shapes.SHAPES, {"cut": shape}):
        return shapes.write_checkpoint("cut", folder / f"smollm2-{layers}-layers", dtype="float32")


def questions(count: int) -> list[str]:
    return [f"What is {37 * number % 91} + {53 * number % 89}?" for number in range(1, count + 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=str(TINY), help="a directory")
    parser.add_argument(
        "--layers", type=int, default=0, help="so many layers of SmolLM2-135M with random weights instead"
    )
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32, help="samples of one pass of TRL's")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: seconds of all cores together")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    global _clock
    _clock = options.clock
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    torch.set_num_threads(options.threads)
    if options.layers:
        options.model = str(cut_model(options.layers, Path(tempfile.mkdtemp(prefix="swarm-bench-"))))
    load = Load(questions(options.prompts), options.samples, options.new_tokens)
    runners = {
        "exact": Ours(ExactEngine, options.model, load),
        "native": Ours(NativeEngine, options.model, load),
        "trl_engine": Ours(TrlEngine, options.model, load),
        "trl": Theirs(options.model, load, options.batch_size),
    }
    found: dict[str, list[Speed]] = {name: [] for name in runners}
    for turn in range(options.repeats + 1):
        for name, runner in runners.items():
            speed = runner.run()
            if turn:  # the first turn compiles and warms up
                found[name].append(speed)
                if not options.json:
                    print(
                        f"{turn} {name:<10} {speed.completions_per_s:8.1f} completions/s "
                        f"({speed.drawn_tokens} tokens in {speed.draw_s:.2f} s) "
                        f"{speed.tokens_per_s:9.0f} training tokens/s ({speed.learn_s:.2f} s)",
                        flush=True,
                    )
    body = {
        "model": Path(options.model).name,
        "threads": options.threads,
        "clock": options.clock,
        "load": [options.prompts, options.samples, options.new_tokens],
        "repeats": options.repeats,
        "engines": {name: summary(speeds) for name, speeds in found.items()},
        "criteria": [
            over(found, "exact", "completions"),
            over(found, "native", "completions"),
            over(found, "exact", "tokens"),
            over(found, "native", "tokens"),
        ],
    }
    print(json.dumps(body))


def summary(speeds: Sequence[Speed]) -> dict[str, float]:
    return {
        "completions_per_s": round(statistics.median(speed.completions_per_s for speed in speeds), 2),
        "drawn_tokens_per_s": round(statistics.median(speed.drawn_tokens / speed.draw_s for speed in speeds), 1),
        "training_tokens_per_s": round(statistics.median(speed.tokens_per_s for speed in speeds), 1),
        "draw_share": round(statistics.median(s.draw_s / (s.draw_s + s.learn_s) for s in speeds), 3),
    }


def over(found: dict[str, list[Speed]], engine: str, what: str) -> dict[str, Any]:
    """How many times as fast an engine of ours is as TRL in the same turn, as the median over turns."""
    values = [
        getattr(mine, f"{what}_per_s") / getattr(theirs, f"{what}_per_s")
        for mine, theirs in zip(found[engine], found["trl"], strict=True)
    ]
    return criterion(f"{engine}_over_trl_{what}", round(statistics.median(values), 2), 1, "times", at_most=False)


if __name__ == "__main__":
    main()
