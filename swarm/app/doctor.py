"""Why this module exists: whether this machine computes exact/1 is found out here, by computing, and told in words.

Three questions: which kernels multiply and why these; do they reproduce the vectors that the oracle made; and do a
hundred training steps of five small models end in the hashes that are checked in.
"""

from __future__ import annotations

import json
import time
from typing import Any

from protocol.errors import VerificationError


def numerics(*, as_json: bool) -> int:
    """Examine this machine's arithmetic and print what was found; returns the exit code (0, or 6 where bits differ)."""
    found = examine()
    if as_json:
        print(json.dumps({"numerics": found}), flush=True)
    else:
        for line in in_words(found):
            print(line)
    return 0 if found["ok"] else VerificationError.exit_code


def examine() -> dict[str, Any]:
    """Route, conformance and golden hashes of this machine, computed now (half a minute on two cores)."""
    import torch

    from verde.numerics import backend, golden
    from verde.numerics.conformance import conformance

    started_at = time.monotonic()
    route = backend.route()
    failures = [str(failure) for failure in conformance()]
    expected = {family: hashes["final"] for family, hashes in golden.expected().items()}
    computed = {family: golden.hashes(family)[-1] for family in golden.FAMILIES}
    return {
        "version": "exact/1",
        "route": {"name": route.name, "reason": route.reason},
        "threads": torch.get_num_threads(),
        "conformance": {"passed": not failures, "failures": failures},
        "golden": computed,
        "expected": expected,
        "ok": not failures and computed == expected,
        "time_s": round(time.monotonic() - started_at, 1),
    }


def in_words(found: dict[str, Any]) -> list[str]:
    """One line each, the last one saying what it means."""
    route, failures = found["route"], found["conformance"]["failures"]
    lines = [
        f"arithmetic   {found['version']}, {found['threads']} threads",
        f"products     {route['name']}: {route['reason']}",
        f"conformance  {f'{len(failures)} vectors differ' if failures else 'passed'}",
        *(f"             {failure}" for failure in failures[:5]),
    ]
    for family, computed in found["golden"].items():
        same = computed == found["expected"][family]
        lines.append(f"golden       {family:<7} {computed[:16]}… {'as everywhere' if same else 'DIFFERS'}")
    lines.append(
        "This machine gets the same bits as every other."
        if found["ok"]
        else "This machine does not compute exact/1: its work would be refuted. Report it with the lines above, and "
        "use another machine until it is understood."
    )
    return lines
