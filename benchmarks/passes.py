"""What do passes cost where the vocabulary is large? ``python -m benchmarks.passes [--shape qwen2] [--json]``

A model in the shape of a published one, with as many layers as are asked for, its whole vocabulary and adapters, takes
training steps on groups of random answers: once with the logits of a pass all at once, and so with short passes, and
once by blocks of logits, with long ones (``swarm.policy.frozen_head``). Each way has a process of its own, in turns.
Whether layers are computed twice in exact arithmetic is decided as for the whole model.

Reported: seconds of a step (medians; of cores, too), the peak of resident memory in it and by how much that exceeds
what was there before. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.swarm_runs import criterion, empty_home
from models import shapes

WORDS = {"llama": 49_152, "qwen2": 151_665, "qwen3": 151_669, "gemma3": 262_144}
"""Tokens of the published tokenizers; embeddings have more rows."""

LAYERS = {"llama": 30, "qwen2": 24, "qwen3": 28, "gemma3": 18}
"""Layers of the published models."""

WAYS = ("at_once", "by_blocks")


def measure(folder: str, shape: str, engine: str, way: str, load: tuple[int, int, int], threads: int) -> None:
    """In this process: a step to warm up, and one that is measured. Prints one JSON object."""
    import dataclasses
    import random

    import torch

    from protocol.run import LearnRules
    from swarm.policy import exact, native
    from swarm.policy.base import ChatMessage, TrainSample
    from swarm.policy.lora import open_model
    from swarm.policy.plan import KEPT_ACTIVATIONS

    torch.set_num_threads(threads)
    rules = LearnRules(0, 1, 1000, 200_000_000, 280_000_000, 4 * 10**9, 0, 0, 10**9, lora_rank=8)
    kind: Any = exact.ExactEngine if engine == "exact" else native.NativeEngine
    if way == "at_once":
        for module in ("swarm.policy.frozen_head", "swarm.policy.native"):
            mock.patch(f"{module}.has_frozen_head", return_value=False).start()
    loaded, _ = open_model(folder, lora_rank=8)
    share = loaded.model.config.num_hidden_layers / LAYERS[shape]
    mock.patch("swarm.policy.exact.KEPT_ACTIVATIONS", share * KEPT_ACTIVATIONS).start()
    opened = kind(dataclasses.replace(loaded, vocab_size=WORDS[shape]), rules)
    prompts, samples, new_tokens = load
    draw = random.Random(1)

    def lesson(count: int) -> list[TrainSample]:
        return [
            TrainSample(
                (ChatMessage("user", f"What is {number} + {7 * number}? " + "Think step by step. " * 3),),
                tuple(draw.randrange(WORDS[shape]) for _ in range(draw.randrange(new_tokens // 2, new_tokens + 1))),
                (1.0, -1.0)[sample % 2],
            )
            for number in range(count)
            for sample in range(samples)
        ]

    opened.step(lesson(1), 1)
    batch, before = lesson(prompts), resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    clock, processor = time.perf_counter(), time.process_time()
    report = opened.step(batch, 2)
    found = {
        "seconds": time.perf_counter() - clock,
        "cpu_s": time.process_time() - processor,
        "rise_mb": (resident("VmHWM") - before) / 1e6,
        "peak_mb": resident("VmHWM") / 1e6,
        "tokens_per_pass": opened._tokens_per_pass,
        "prompt_tokens": opened.prompt_length(batch[0].prompt),
        "tokens": report.num_tokens,
    }
    print(json.dumps(found))


def resident(name: str) -> int:
    """Bytes of this process' resident memory now (VmRSS), or its peak (VmHWM); on Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=sorted(WORDS), default="qwen2")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--engine", nargs="+", choices=["exact", "native"], default=["exact", "native"])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    load = (options.prompts, options.samples, options.new_tokens)
    if options.measure:
        folder, engine, way = options.measure
        return measure(folder, options.shape, engine, way, load, options.threads)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    with empty_home() as folder:
        cut = {**shapes.SHAPES[options.shape], "num_hidden_layers": options.layers}
        with mock.patch.dict(shapes.SHAPES, {options.shape: cut}):
            shapes.write_checkpoint(options.shape, folder, dtype="float32")
        for turn in range(options.repeats):
            for engine in options.engine:
                for way in WAYS:
                    command = [sys.executable, "-m", "benchmarks.passes", *sys.argv[1:]]
                    command += ["--measure", str(folder), engine, way]
                    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
                    if done.returncode != 0:
                        raise RuntimeError(f"{engine} {way} ended with {done.returncode}:\n{done.stderr[-3000:]}")
                    row = json.loads(done.stdout.strip().splitlines()[-1])
                    found.setdefault(engine, {}).setdefault(way, []).append(row)
                    if not options.json:
                        print(turn, engine, way, json.dumps({k: round(v, 2) for k, v in row.items()}), flush=True)
    medians = {
        engine: {
            way: {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
            for way, rows in ways.items()
        }
        for engine, ways in found.items()
    }
    criteria = []
    for engine, ways in medians.items():
        whole, blocks = (ways[way] for way in WAYS)
        faster = round(whole["cpu_s"] / blocks["cpu_s"], 2)
        criteria.append(criterion(f"{engine}_times_as_fast", faster, 1.2, "times", at_most=False))
        more = round(blocks["peak_mb"] / whole["peak_mb"], 2)
        criteria.append(criterion(f"{engine}_peak_memory", more, 1.1, "times"))
    body = {"shape": options.shape, "layers": options.layers, "threads": options.threads, "load": load}
    print(json.dumps({**body, "engines": medians, "criteria": criteria}))
    return None


if __name__ == "__main__":
    main()
