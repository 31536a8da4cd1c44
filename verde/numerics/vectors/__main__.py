"""Why this module exists: ``python -m verde.numerics.vectors`` writes the vectors; ``--check`` compares them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from verde.numerics.oracle.rounding import NotANumber
from verde.numerics.vectors.cases import FILES, Case
from verde.numerics.vectors.encoding import Filled, Seeded, encode
from verde.numerics.vectors.judge import ORACLE

VERSION = "exact/1"
HERE = Path(__file__).resolve().parent


def judged(case: Case) -> dict[str, Any]:
    """A case with the oracle's answer, as it is written."""
    operator, inputs = case
    values = {name: x.values() if isinstance(x, Seeded | Filled) else x for name, x in inputs.items()}
    result: dict[str, Any] = {"operator": operator, "inputs": {name: encode(x) for name, x in inputs.items()}}
    try:
        result["outputs"] = {name: encode(y) for name, y in ORACLE[operator](**values).items()}
    except NotANumber:
        result["raises"] = True
    return result


def text_of(name: str) -> str:
    """The text of one file: a case on each line."""
    lines = ",\n".join(json.dumps(judged(case)) for case in FILES[name]())
    return f'{{"version": "{VERSION}", "cases": [\n{lines}\n]}}\n'


def differing() -> Iterator[str]:
    """Names of the files that are not what the oracle says."""
    for name in FILES:
        if not (HERE / f"{name}.json").exists() or (HERE / f"{name}.json").read_text(encoding="utf-8") != text_of(name):
            yield name


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(1 if list(differing()) else 0)
    for file_name in FILES:
        (HERE / f"{file_name}.json").write_text(text_of(file_name), encoding="utf-8")
