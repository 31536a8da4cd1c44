"""Gas of one leaf of a dispute, for every kind of operator, as a transaction of its own.

    python -m benchmarks.leaf_gas [--json]

Leaves are as large as they get: reductions have ``PART`` terms. A transaction costs no less than the floor that
EIP-7623 sets for its calldata; openings (Merkle proofs) come on top and are not measured here.
The last line of stdout is one JSON object: ``code_bytes``, ``deployment_gas``, ``gas`` by kind, ``criteria``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from pathlib import Path

from chain.devchain import DevChain
from tests.verde.referee.evm import Evm, Leaf, packed
from tests.verde.referee.hostile import bits_of, ordinary
from verde.numerics.oracle.optimiser import B1, B2
from verde.program.kinds import NO_SKIP, PART, Kind, Type

LIMITS = {"code_bytes": 24_576, "largest_leaf_gas": 2_500_000}
NUM_STEPS = 10_000
"""Optimiser steps whose running power is asked for."""


def leaves() -> dict[str, Leaf]:
    """A leaf of each kind, of ordinary numbers."""
    rng = random.Random(1)
    x, y = packed([0x40490FDB]), packed([0x3F9E0652])
    row = packed(ordinary(rng, 115, 127) for _ in range(PART))
    significands = [packed((rng.randint(-32639, 32639) for _ in range(PART)), 2) for _ in range(2)]
    indices = packed(rng.randrange(64) for _ in range(PART))
    e, one = packed([3]), packed([1])
    unary = (Kind.NEG, Kind.SQRT, Kind.EXP, Kind.LOG, Kind.SIN, Kind.COS, Kind.TANH, Kind.EXPM1, Kind.SIGMOID)
    binary = (Kind.ADD, Kind.SUB, Kind.MUL, Kind.DIV, Kind.MINIMUM, Kind.MAXIMUM, Kind.LE, Kind.LT, Kind.EQ)
    found = {kind.name: Leaf(kind, (x,)) for kind in unary} | {kind.name: Leaf(kind, (x, y)) for kind in binary}
    return found | {
        "CONST": Leaf(Kind.CONST, (), (7,)),
        "COPY": Leaf(Kind.COPY, (x,)),
        "GATHER": Leaf(Kind.GATHER, (x, one), (896,)),
        "SELECT": Leaf(Kind.SELECT, (b"\x01", x, y)),
        "TO_FLOAT": Leaf(Kind.TO_FLOAT, (one,)),
        "MASK": Leaf(Kind.MASK, (one, one), (0,), Type.U8, (512, 512), 700),
        "GUMBEL": Leaf(Kind.GUMBEL, (one, e, one), sizes=(1, 151_936), element=77_777),
        "QUANTISE": Leaf(Kind.QUANTISE, (x, e), type=Type.I16),
        f"POWER {NUM_STEPS} of b1": Leaf(Kind.POWER, (packed([NUM_STEPS]),), (bits_of(B1), 0)),
        f"POWER {NUM_STEPS} of b2": Leaf(Kind.POWER, (packed([NUM_STEPS]),), (bits_of(B2), 0)),
        "DOT": Leaf(Kind.DOT, (significands[0], e, significands[1], e), length=PART),
        "EXPONENT": Leaf(Kind.EXPONENT, (row,), (1,), length=PART),
        "EXPONENT scaled": Leaf(Kind.EXPONENT, (row, indices), (1,), length=PART),
        "SUM": Leaf(Kind.SUM, (row, e), length=PART),
        "MAX": Leaf(Kind.MAX, (row,), length=PART),
        "MAX masked": Leaf(Kind.MAX, (row, packed([1] * PART, 1)), length=PART),
        "ARGMAX": Leaf(Kind.ARGMAX, (row,), length=PART),
        "EXPONENT_WHERE": Leaf(Kind.EXPONENT_WHERE, (row, indices), (NO_SKIP,), sizes=(64,), element=5, length=PART),
        "SUM_WHERE": Leaf(Kind.SUM_WHERE, (row, e, indices), (NO_SKIP,), sizes=(64,), element=5, length=PART),
    }


def measure(folder: Path) -> dict[str, object]:
    """The figures, from a dev chain in ``folder``."""
    chain = asyncio.run(DevChain.start(folder, block_time_s=0.2))
    try:
        evm = Evm(chain)
        gas = {}
        for name, leaf in leaves().items():
            used, floor, size = evm.gas("evaluate", leaf.node, leaf.element, list(leaf.inputs))
            gas[name] = {"transaction": used, "calldata_floor": floor, "calldata_bytes": size}
        largest = max(entry["transaction"] for entry in gas.values())
        return {
            "code_bytes": evm.code_size,
            "deployment_gas": evm.deployment_gas,
            "gas": gas,
            "criteria": {
                "code_bytes": evm.code_size < LIMITS["code_bytes"],
                "largest_leaf_gas": largest <= LIMITS["largest_leaf_gas"],
            },
        }
    finally:
        asyncio.run(chain.stop())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    only_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    if not only_json:
        print(f"{'kind':24}{'transaction':>13}{'floor':>10}{'calldata':>10}")
        for name, entry in figures["gas"].items():
            columns = entry["transaction"], entry["calldata_floor"], entry["calldata_bytes"]
            print(f"{name:24}{columns[0]:>13,}{columns[1]:>10,}{columns[2]:>10,}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
