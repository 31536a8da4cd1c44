"""What exact arithmetic costs on a GPU: ``python -m benchmarks.numerics --device cuda [--json]``.

The products of a layer (as CUDA graphs, and launched one by one), a training step of two layers with vocabulary and
loss, and a decoding step of all 24 layers, shaped like Qwen2.5-0.5B, next to the same natively on the same card in
turns: in float32 (the criteria), and in bfloat16, as most train. Each figure is a quotient of median seconds.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.decoding import PROMPT_TOKENS, SHAPE, exact_step_s, model_of_half_a_billion, native_step_s
from benchmarks.steps import Steps, large_model
from benchmarks.swarm_runs import criterion
from verde.numerics import gemm
from verde.numerics.decoder import decoder_of
from verde.numerics.place import marked_in
from verde.numerics.portable.route import kernels, route_of

_REPEATS, _ROWS, _BATCH, _DECODED = 7, 2048, 8, 24


def main(device: str, *, as_json: bool) -> None:
    """Measure and print; the last line is one JSON object."""
    found: dict[str, float] = {}
    for name, measure in (("gemm", _products), ("step", _step), ("decode", _decode)):
        torch.cuda.empty_cache()
        for kind, value in measure(device).items():
            found[f"{name}_{kind}"] = value
            if not as_json:
                print(f"{name}_{kind}: {value:.4g}", flush=True)
    limits = {"gemm_ratio_fp32": 1.0, "step_ratio_fp32": 1.1, "decode_ratio_fp32": 1.1}
    route, reason = route_of(torch.device(device, torch.cuda.current_device()))
    body = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "route": route,
        "reason": reason,
        "fused_kernels": kernels(torch.device(device)) is not None,
        "peak_bytes": torch.cuda.max_memory_allocated(),
        "found": {name: round(value, 5) for name, value in found.items()},
        "criteria": [criterion(name, round(found[name], 3), limit, "x native") for name, limit in limits.items()],
    }
    print(json.dumps(body))


def _seconds(work: Callable[[], Any]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def _medians(*works: Callable[[], Any]) -> list[float]:
    """Median seconds of each, in turns, after two rounds that warm up."""
    rounds = [[_seconds(work) for work in works] for _ in range(_REPEATS + 2)][2:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _compared(exact_s: float, fp32_s: float, bf16_s: float) -> dict[str, float]:
    return {
        "exact_s": exact_s,
        "fp32_s": fp32_s,
        "bf16_s": bf16_s,
        "ratio_fp32": exact_s / fp32_s,
        "ratio_bf16": exact_s / bf16_s,
    }


def _products(device: str) -> dict[str, float]:
    from benchmarks.numerics import Layer

    layers = {}
    for dtype in (torch.float32, torch.bfloat16):
        layers[dtype] = Layer(_ROWS)
        layers[dtype].modules = [tuple(x.to(device, dtype) for x in module) for module in layers[dtype].modules]

    mark_1 = torch.zeros(1, dtype=torch.int32, device=device)

    def exact() -> None:
        with marked_in(mark_1):
            layers[torch.float32].exact()

    works = (exact, layers[torch.float32].native, layers[torch.bfloat16].native)
    launched = _compared(*_medians(*works))
    found = _compared(*_medians(*(_recorded(work) for work in works)))
    return {**found, "launched_exact_s": launched["exact_s"], "launched_ratio_fp32": launched["ratio_fp32"]}


def _recorded(work: Callable[[], Any]) -> Callable[[], Any]:
    """The same work as a CUDA graph: what the card computes, without the time that Python takes to ask for it."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def _step(device: str) -> dict[str, float]:
    steps = Steps(large_model(), _BATCH, 256, device)
    exact_s, fp32_s = _medians(steps.exact, steps.native)
    gemm.forget_slices()
    steps.native_as(torch.bfloat16)
    (bf16_s,) = _medians(steps.native)
    return _compared(exact_s, fp32_s, bf16_s)


def _decode(device: str) -> dict[str, float]:
    model = model_of_half_a_billion(device)
    decoder = decoder_of(model)
    if decoder is None:
        raise RuntimeError("This device has no fused kernels, so it has no decoder.")
    prompt_BL = torch.randint(0, int(SHAPE["vocab_size"]), (_BATCH, PROMPT_TOKENS), device=device)
    exact_step_s(decoder, prompt_BL, 4)
    native_step_s(model, prompt_BL, 4)
    exact_s, fp32_s = exact_step_s(decoder, prompt_BL, _DECODED), native_step_s(model, prompt_BL, _DECODED)
    model.to(torch.bfloat16)
    native_step_s(model, prompt_BL, 4)
    return _compared(exact_s, fp32_s, native_step_s(model, prompt_BL, _DECODED))
