"""Is the memory plan right? ``python -m benchmarks.memory [--model gemma3 ...] [--engine exact native] [--json]``

For every shape of ``models.shapes`` a fresh process with a peer's libraries loads, draws, learns, and draws and learns
again as an auditor. Printed: the peak that the plan predicts and the peak that was measured. A peer with the bundled
model takes most of its memory for everything else, so it is measured in a whole swarm (``benchmarks.round``). The last
line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.swarm_runs import criterion, empty_home
from models.shapes import SHAPES, write_checkpoint
from swarm.policy.plan import TOLERANCE, Workload, demand

NUM_PROMPTS, NUM_SAMPLES, NEW_TOKENS, PROMPT_WORDS = 4, 2, 16, 24


def measure(model: str, engine: str) -> None:
    """In this process: play a peer's part with a model, and print its measured peak in bytes, and its lengths."""
    import swarm.app.building  # what a peer has in memory, too
    import swarm.dht.libp2p  # noqa: F401
    from protocol.run import LearnRules
    from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
    from swarm.policy.engine import genesis
    from swarm.policy.exact import ExactEngine
    from swarm.policy.native import NativeEngine
    from swarm.processes.process import peak_mb

    rank = genesis(model, None).lora_rank
    rules = LearnRules(0, 1, 10**6, 200_000_000, 280_000_000, 4 * 10**9, 0, 0, 10**9, lora_rank=rank)
    opened: Any = (ExactEngine if engine == "exact" else NativeEngine).open(model, rules)
    first = opened.parts() if engine == "exact" else None
    words = "sum " * PROMPT_WORDS
    requests = [
        SampleRequest((ChatMessage("user", f"{number} + 1 = {words}"),), 10 * number + sample)
        for number in range(NUM_PROMPTS)
        for sample in range(NUM_SAMPLES)
    ]
    longest = max(opened.prompt_length(request.prompt) for request in requests)
    drawn = opened.generate(requests, Sampling(NEW_TOKENS))
    lesson = [
        TrainSample(request.prompt, completion.tokens, (1.0, -1.0)[number % 2])
        for number, (request, completion) in enumerate(zip(requests, drawn, strict=True))
    ]
    opened.step(lesson, 1)
    if first is not None:
        replica = opened.replica(first)
        replica.first_differences(requests, Sampling(NEW_TOKENS), drawn)
        replica.step(lesson, 1)
    print(json.dumps({"measured": peak_mb() * 10**6, "sequence": longest + NEW_TOKENS}))


def compare(name: str, folder: Path, engine: str) -> dict[str, Any]:
    """Predicted and measured peak of one model in a process of its own."""
    from swarm.doctor.checks_machine import size_of
    from swarm.doctor.look_machine import read_model

    command = [sys.executable, "-m", "benchmarks.memory", "--measure", str(folder), "--engine", engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode != 0:
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    size = size_of(read_model(str(folder)))
    assert size is not None
    work = Workload(engine=engine, sequence=found["sequence"], completion=NEW_TOKENS, prompts=NUM_PROMPTS)
    predicted = demand(size, work).peak
    return {
        "predicted_gb": predicted / 1e9,
        "measured_gb": found["measured"] / 1e9,
        "off": found["measured"] / predicted - 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    parser.add_argument("--engine", nargs="+", choices=["exact", "native"], default=["exact"])
    parser.add_argument("--folder", type=Path, help="where checkpoints are, or are written and kept")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    if options.measure:
        return measure(options.measure, options.engine[0])
    rows: dict[str, dict[str, Any]] = {}
    with empty_home() as temporary:
        for name in options.model:
            folder = (options.folder or temporary) / name
            if not (folder / "config.json").is_file():
                write_checkpoint(name, folder)
            for engine in options.engine:
                row = rows[f"{name}_{engine}"] = compare(name, folder, engine)
                if not options.json:
                    print(
                        f"{name:<8} {engine:<7} {json.dumps({key: round(value, 3) for key, value in row.items()})}",
                        flush=True,
                    )
    off = {f"memory_off_{name}": round(abs(row["off"]), 3) for name, row in rows.items()}
    criteria = [criterion(name, value, TOLERANCE, "share") for name, value in off.items()]
    print(json.dumps({"models": rows, "criteria": criteria}))
    return None


if __name__ == "__main__":
    main()
