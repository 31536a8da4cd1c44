"""Why this module exists: before a machine's results are worth credits, it shows that its arithmetic is exact/1.

``conformance()`` runs every vector through every implementation of its operator that this package has, on the route
that this machine takes, and says where the bits differ. It draws nothing and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics import noise

Implementation = Callable[..., Mapping[str, Any]]
Table = Mapping[str, Mapping[str, Implementation]]
"""Operator -> name of an implementation -> function of the case's inputs by name to its outputs by name."""

VECTORS = Path(__file__).resolve().parent / "vectors"


@dataclass(frozen=True)
class Failure:
    """One case that one implementation got wrong; ``case`` counts within ``file``."""

    file: str
    case: int
    operator: str
    implementation: str
    what: str

    def __str__(self) -> str:
        return f"{self.operator} by {self.implementation}: {self.what} (case {self.case} of {self.file})"


def conformance(table: Table | None = None, device: str | torch.device = "cpu") -> list[Failure]:
    """Every case that an implementation gets wrong; none on a machine that conforms. Seconds.

    ``table`` replaces this package's implementations; operators that it does not name are left out. The inputs are
    put on ``device``, so that its code computes.
    """
    if table is None:
        from verde.numerics.conformance_table import IMPLEMENTATIONS as table
    failures = []
    for file, number, case in cases():
        for name, implementation in table.get(case["operator"], {}).items():
            what = _judged(case, implementation, torch.device(device))
            if what:
                failures.append(Failure(file, number, case["operator"], name, what))
    return failures


def cases() -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(file, number within it, case) of every vector, as written."""
    for path in sorted(VECTORS.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != "exact/1":
            raise ValueError(f"{path.name} is of version {content['version']}")
        for number, case in enumerate(content["cases"]):
            yield path.name, number, case


def _judged(case: dict[str, Any], implementation: Implementation, device: torch.device) -> str:
    """What is wrong; empty if nothing is."""
    inputs = {name: decoded(value) for name, value in case["inputs"].items()}
    inputs = {name: x.to(device) if isinstance(x, torch.Tensor) else x for name, x in inputs.items()}
    try:
        outputs = implementation(**inputs)
    except NumericsError:
        return "" if case.get("raises") else "raises NumericsError"
    if case.get("raises"):
        return "gives a result where there is none"
    for name, expected in case["outputs"].items():
        difference = _difference(torch.as_tensor(outputs[name]).cpu(), torch.as_tensor(decoded(expected)))
        if difference:
            return f"{name} {difference}"
    return ""


def _difference(got: torch.Tensor, expected: torch.Tensor) -> str:
    if got.shape != expected.shape:
        return f"has shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    if expected.is_floating_point():
        # As bits, because 0 and -0 compare equal.
        got, expected = got.detach().contiguous().view(torch.int32), expected.contiguous().view(torch.int32)
    wrong = (got != expected).view(-1).nonzero()[:, 0]
    if not len(wrong):
        return ""
    first = int(wrong[0])
    a, b = int(got.reshape(-1)[first]), int(expected.reshape(-1)[first])
    return (
        f"differs in {len(wrong)} of {expected.numel()}, first at {first}: {a & 0xFFFFFFFF:x}, not {b & 0xFFFFFFFF:x}"
    )


def decoded(value: int | dict[str, Any]) -> Any:
    """A written value as a tensor (float32, int64 or bool); single numbers as Python's."""
    if isinstance(value, int):
        return value
    shape = value["shape"]
    if "integers" in value:
        return torch.tensor(value["integers"], dtype=torch.int64).view(shape)
    if "booleans" in value:
        return torch.tensor([one == "1" for one in value["booleans"]]).view(shape)
    if "seed" in value:
        words = noise.words(value["seed"], 0, int(np.prod(shape))).astype(np.int64)
        fields = value["least"] + ((words >> 23) & 255) % value["span"]
        bits = (words & 0x807FFFFF) | (fields << 23)
    elif "fill" in value:
        bits = np.full(int(np.prod(shape)), int(value["fill"], 16), dtype=np.int64)
    else:
        bits = np.array([int(word, 16) for word in value["bits"].split()], dtype=np.int64)
    numbers = torch.from_numpy(bits.astype(np.uint32).view(np.float32)).view(shape)
    return numbers if shape else float(numbers)
