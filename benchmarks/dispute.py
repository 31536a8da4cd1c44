"""What a dispute costs: gas move by move, and time, for the bundled model and for the shapes of one of 0.5 billion.

    python -m benchmarks.dispute [--json]

Bundled model: a training step of the engine is done again node by node by both sides, one of which changed a bit of one
element; the game is played to its end on a dev chain that makes a block a second. 0.5 billion (24 layers, vocabulary
151,936): the program is whole, so that the game has its real depth; outputs are a pattern, but for the element that is
computed. One game for the largest output of every kind of operator of a step (four micro-batches) and of a sampling
check. The last line of stdout is one JSON object; ``rollup`` is what the dearest game costs both sides together where
gas is 0.01 gwei, in whole coins of that chain.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace as with_fields

from benchmarks.court import Court, Table
from benchmarks.sampled_trace import COMPUTED, SampledTrace, pattern
from benchmarks.swarm_runs import criterion
from protocol.codec import content_id
from protocol.ids import ContentId
from swarm.policy.base import Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from tests.verde.bisect.games import other_value
from tests.verde.bisect.test_whole_step import state_of_engine
from tests.verde.program.steps import architecture_of, rates_of, step_of
from tests.verde.program.test_engine import BUNDLED, RULES, requests
from verde.bisect import cost
from verde.bisect.challenger import Evidence, State
from verde.bisect.game import Terms
from verde.commit import CHUNK_BYTES, FORMAT, Manifest, state_root, tensor_row
from verde.numerics.oracle.rounding import NotANumber
from verde.pieces import pieces_root
from verde.program.derive_draw import draw_program
from verde.program.derive_model import parameters
from verde.program.derive_step import step_program
from verde.program.kinds import Kind, Type
from verde.program.program import Program, Sources, key_words
from verde.program.shape import Architecture, DrawShape, LearnRates, PassShape, architecture
from verde.program.trace import Trace, words_of

QWEN = {
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}
NUM_TOKENS = 151_665
MICRO_BATCHES = 4
PASS = PassShape(1, 700, 300, 8, 400)
DRAW = DrawShape(1, 304, 400)
BLOCK_TIME_S = 1
ROLLUP_GWEI = 0.01
LIMITS = {
    "total_gas_tiny": 2_500_000,
    "total_gas_half_billion": 2_500_000,
    "largest_tx_gas": 12_000_000,
    "wall_s_tiny": 60.0,
}


def moves_of(table: Table) -> list[dict[str, Any]]:
    return [{"name": one.name, "side": one.side.value, "gas": one.gas, "bytes": one.num_bytes} for one in table.made]


def total(table: Table) -> int:
    return sum(one.gas for one in table.made)


# --- the bundled model ------------------------------------------------------------------------------------------------


def tiny_step() -> tuple[Program, Sources, State, State, float]:
    """A step of two updates on eight rollouts: its program, what it starts from, both states, and its seconds."""
    engine = ExactEngine.open(BUNDLED, with_fields(RULES, num_updates=2))
    asked = requests(4, 2)
    samples = [
        TrainSample(request.prompt, one.tokens, 1.0 - number % 3)
        for number, (request, one) in enumerate(zip(asked, engine.generate(asked, Sampling(6)), strict=True))
    ]
    shape, sources = step_of(engine, [engine._sample(sample) for sample in samples], 1)
    program = step_program(architecture_of(engine, BUNDLED), shape, rates_of(engine))
    before = state_of_engine(engine)
    started = time.perf_counter()
    engine.step(samples, 1)
    return program, sources, before, state_of_engine(engine), time.perf_counter() - started


async def measure_tiny(court: Court) -> dict[str, Any]:
    program, sources, before, after, step_s = tiny_step()
    started = time.perf_counter()
    trace = Trace.of_run(program, sources)
    trace_s = time.perf_counter() - started
    number = max(
        (i for i, node in enumerate(program.nodes) if node.kind == Kind.DOT),
        key=lambda i: cost.gas(len(program.nodes), program.nodes[i]),
    )
    element = program.nodes[number].num_elements // 2
    wrong = trace.with_output(number, other_value(trace.value(number), element))
    terms = Terms(
        program.root,
        state_root(before.manifest),
        state_root(after.manifest),
        ContentId(sources.data_tree.root),
        1000,
        100,
    )
    await court.make_blocks(BLOCK_TIME_S)
    started = time.perf_counter()
    # Each side does the step again for itself; the accused one's trace is its own but for the element.
    Trace.of_run(program, sources)
    table = await court.play_out(terms, wrong, Evidence(trace, sources, before, after))
    wall_s = time.perf_counter() - started + trace_s
    await court.make_blocks(0)
    output_bytes = sum(node.num_elements * node.type.size for node in program.nodes)
    return {
        "nodes": len(program.nodes),
        "moves": moves_of(table),
        "total_gas": total(table),
        "largest_tx_gas": max(one.gas for one in table.made),
        "wall_s": round(wall_s, 1),
        "block_time_s": BLOCK_TIME_S,
        "step_s": round(step_s, 2),
        "trace_s": round(trace_s, 2),
        "trace_overhead_s": round(trace_s - step_s, 2),
        "hashed_bytes": output_bytes,
        "kept_bytes": 64 * len(program.nodes),
    }


# --- half a billion parameters ----------------------------------------------------------------------------------------


def half_billion() -> tuple[Architecture, dict[str, Program]]:
    arch = architecture(QWEN, NUM_TOKENS)
    rates = LearnRates(*(np.float32(value) for value in (1e-3, 0, 1, 0.8, 1.28, 4, 1)))
    step = step_program(arch, ((PASS,) * MICRO_BATCHES,), rates)
    return arch, {"step": step, "draw": draw_program(arch, DRAW, 1.0)}


class PatternChunks:
    """All chunks of a state, each of them one pattern."""

    def __init__(self, chunk: bytes, last: bytes, count: int) -> None:
        self._chunk, self._last, self._count = chunk, last, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> bytes:
        return self._last if number == self._count - 1 else self._chunk


def pattern_state(arch: Architecture) -> State:
    """A state of the model's shapes: weights and both moments."""
    names = sorted(f"{part}/{name}" for part in ("weight", "first", "second") for name in parameters(arch))
    sizes = parameters(arch)
    rows = tuple(tensor_row(name, sizes[name.split("/", 1)[1]]) for name in names)
    num_bytes = 4 * sum(row.num_elements for row in rows)
    chunk = pattern(Type.F32) * (CHUNK_BYTES // 256)
    count = -(-num_bytes // CHUNK_BYTES)
    last = chunk[: num_bytes - (count - 1) * CHUNK_BYTES]
    ids = (content_id(chunk),) * (count - 1) + (content_id(last),)
    roots = (pieces_root(chunk).hex(),) * (count - 1) + (pieces_root(last).hex(),)
    manifest = Manifest(FORMAT, 7, ContentId("ab" * 32), rows, ids, tuple(map(ContentId, roots)))
    return State(manifest, PatternChunks(chunk, last, count))


def dearest(program: Program) -> Iterator[int]:
    """The node of each kind about which a game costs most."""
    found: dict[Kind, tuple[int, int]] = {}
    seen = set()
    for number, node in enumerate(program.nodes):
        what = (node.kind, node.sizes, node.length, node.type)
        if what in seen:
            continue
        seen.add(what)
        gas = cost.gas(len(program.nodes), node)
        if gas > found.get(node.kind, (0, 0))[0]:
            found[node.kind] = (gas, number)
    yield from (number for kind, (_, number) in sorted(found.items()) if kind in (*COMPUTED, Kind.STATE))


async def measure_half_billion(court: Court) -> dict[str, Any]:
    arch, programs = half_billion()
    state = pattern_state(arch)
    by_key = {key_words(f"tensor/{row.name}"): row.name for row in state.manifest.tensors}
    games: dict[str, dict[str, Any]] = {}
    tables: list[Table] = []
    for name, program in programs.items():
        sources = Sources({}, {"ids": np.zeros(4, np.int32)})
        terms = Terms(
            program.root,
            state_root(state.manifest),
            ContentId("cd" * 32) if name == "step" else None,
            ContentId(sources.data_tree.root),
            1000,
            100,
        )
        for number in dearest(program):
            node = program.nodes[number]
            element = node.num_elements * 2 // 3
            word = 0
            if node.kind == Kind.STATE:
                start = state.manifest.starts[by_key[node.attributes]]
                at = (start + 4 * element) % 256
                word = words_of(pattern(Type.F32)[at : at + 4], Type.F32)[0]
            try:
                right, wrong = (
                    SampledTrace(program, number, element, lie=lie, state_word=word) for lie in (False, True)
                )
            except NotANumber:
                continue
            evidence = Evidence(right, sources, state, state if name == "step" else None)  # type: ignore[arg-type]
            table = await court.play_out(terms, wrong, evidence)  # type: ignore[arg-type]
            await court.stake()
            tables.append(table)
            games[f"{name} {node.kind.name}"] = {
                "elements": node.num_elements,
                "terms": node.length,
                "moves": len(table.made) - 1,
                "total_gas": total(table),
                "leaf_gas": table.made[-1].gas,
            }
    worst = max(tables, key=total)
    return {
        "nodes": {name: len(program.nodes) for name, program in programs.items()},
        "games": games,
        "moves": moves_of(worst),
        "total_gas": total(worst),
        "largest_tx_gas": max(one.gas for table in tables for one in table.made),
    }


async def measure(folder: Path) -> dict[str, Any]:
    court = await Court.start(folder)
    tiny = await measure_tiny(court)
    await court.stake()
    large = await measure_half_billion(court)
    await court.stop()
    values = {
        "total_gas_tiny": tiny["total_gas"],
        "total_gas_half_billion": large["total_gas"],
        "largest_tx_gas": max(tiny["largest_tx_gas"], large["largest_tx_gas"]),
        "wall_s_tiny": tiny["wall_s"],
    }
    return {
        "tiny": tiny,
        "half_billion": large,
        "rollup": {"gwei": ROLLUP_GWEI, "coins": large["total_gas"] * ROLLUP_GWEI * 1e-9},
        "criteria": [
            criterion(name, value, LIMITS[name], "s" if name.startswith("wall") else "gas")
            for name, value in values.items()
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(Path(folder)))
    if not options.json:
        for part in ("tiny", "half_billion"):
            for one in report[part]["moves"]:
                print(f"{part:13} {one['name']:14} {one['side']:11} {one['gas']:>9,} gas {one['bytes']:>6,} bytes")
        for name, game in report["half_billion"]["games"].items():
            print(f"{name:22} {game['moves']:>3} moves {game['total_gas']:>9,} gas, leaf {game['leaf_gas']:>7,}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
