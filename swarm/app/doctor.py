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
    gpu = examine_gpu(expected)
    return {
        "version": "exact/1",
        "route": {"name": route.name, "reason": route.reason},
        "threads": torch.get_num_threads(),
        "conformance": {"passed": not failures, "failures": failures},
        "golden": computed,
        "expected": expected,
        "gpu": gpu,
        "ok": not failures and computed == expected and gpu.get("ok", True),
        "time_s": round(time.monotonic() - started_at, 1),
    }


def examine_gpu(expected: dict[str, str]) -> dict[str, Any]:
    """What is known of the GPU's arithmetic: its route and kernels, vectors and golden hashes computed on it now.

    ``ok`` only where there is a GPU; otherwise ``name`` is ``None`` and ``reason`` says why. ``expected``: by family.
    """
    import torch

    from protocol.errors import NotReproducible
    from verde.numerics import golden
    from verde.numerics.conformance import conformance
    from verde.numerics.portable import route

    if not torch.cuda.is_available():
        return {"name": None, "reason": "torch sees no CUDA device"}
    device = torch.device("cuda", torch.cuda.current_device())
    name = torch.cuda.get_device_name(device)
    try:
        taken, reason = route.route_of(device)
    except NotReproducible as error:
        return {"name": name, "reason": str(error), "ok": False}
    failures = [str(failure) for failure in conformance(device=device)]
    computed = {family: golden.hashes(family, device=str(device))[-1] for family in expected}
    return {
        "name": name,
        "route": taken,
        "reason": reason,
        "fused_kernels": route.kernels(device) is not None,
        "conformance": {"passed": not failures, "failures": failures},
        "golden": computed,
        "ok": not failures and computed == expected,
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
    lines += _gpu_in_words(found.get("gpu") or {"name": None, "reason": "not examined"})
    lines.append(
        "This machine gets the same bits as every other."
        if found["ok"]
        else "This machine does not compute exact/1: its work would be refuted. Report it with the lines above, and "
        "use another machine until it is understood."
    )
    return lines


def _gpu_in_words(gpu: dict[str, Any]) -> list[str]:
    if gpu["name"] is None:
        return [f"gpu          none: {gpu['reason']}"]
    if "route" not in gpu:
        return [f"gpu          {gpu['name']}: {gpu['reason']}"]
    kernels = "fused kernels" if gpu["fused_kernels"] else "torch's operators (without Triton)"
    verdict = "as everywhere" if gpu["ok"] else "DIFFERS"
    return [
        f"gpu          {gpu['name']}: {gpu['route']} ({gpu['reason']}), {kernels}",
        f"gpu          vectors and {len(gpu['golden'])} golden hashes {verdict}",
        *(f"             {failure}" for failure in gpu["conformance"]["failures"][:5]),
    ]
