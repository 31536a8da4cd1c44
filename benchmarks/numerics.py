"""How much does exact arithmetic cost? ``python -m benchmarks.numerics [--rows N] [--repeats N] [--json]``

All products with weights of one Qwen2.5-0.5B layer (hidden 896, 14 heads and 2 key-value heads of 64, intermediate
4864), forward and both backward products, against native float32 torch in the same run, on the same threads, taking
turns. Quantising is included; every weight is sliced anew in every repetition, as after a step of the optimiser. A
figure is the median over repetitions of (exact seconds / native seconds).

Then, on the machine's own route: a whole training step of two such layers with the vocabulary and the loss, 8 sequences
of 256 tokens (``benchmarks.steps``); the same of the bundled model, 16 of 128; a decoding step of all 24 layers for 8
sequences (``benchmarks.decoding``). Needs 16 GB of memory and some ten minutes; ``--quick`` leaves the large model out.
With ``--device cuda`` the same is measured on a GPU (``benchmarks.on_device``). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import on_device
from benchmarks.decoding import decode_ratio
from benchmarks.steps import Steps, large_model, tiny_model
from benchmarks.swarm_runs import criterion
from verde.numerics import backend, gemm

HIDDEN, KEYS, INTERMEDIATE = 896, 2 * 64, 4864

# (inputs, outputs) of a layer's linear modules; modules in one tuple read the same input.
LAYER = (
    ((HIDDEN, HIDDEN), (HIDDEN, KEYS), (HIDDEN, KEYS)),
    ((HIDDEN, HIDDEN),),
    ((HIDDEN, INTERMEDIATE), (HIDDEN, INTERMEDIATE)),
    ((INTERMEDIATE, HIDDEN),),
)


class Layer:
    """The operands of one layer's products, with plausible magnitudes."""

    def __init__(self, rows: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.modules: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for group in LAYER:
            x_RK = torch.randn(rows, group[0][0], generator=draw)
            for inputs, outputs in group:
                weight_NK = torch.randn(outputs, inputs, generator=draw) * 0.02
                self.modules.append((x_RK, weight_NK, torch.randn(rows, outputs, generator=draw) * 1e-3))

    def native(self) -> None:
        for x_RK, weight_NK, _ in self.modules:
            torch.nn.functional.linear(x_RK, weight_NK)
        for x_RK, weight_NK, dy_RN in reversed(self.modules):
            dy_RN @ weight_NK
            dy_RN.T @ x_RK

    def exact(self) -> None:
        gemm.forget_slices()
        for x_RK, weight_NK, _ in self.modules:
            gemm.linear(x_RK, weight_NK)
        for x_RK, weight_NK, dy_RN in reversed(self.modules):
            gemm.linear_backward(dy_RN, x_RK, weight_NK)


def seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratios(native: Callable[[], None], exact: Callable[[], None], repeats: int) -> list[float]:
    """Exact over native, sorted; both take turns, and each native time is the mean of those before and after."""
    native(), exact()
    natives, exacts = [seconds(native)], []
    for _ in range(repeats):
        exacts.append(seconds(exact))
        natives.append(seconds(native))
    return sorted(
        2 * one / (before + after) for one, before, after in zip(exacts, natives[:-1], natives[1:], strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="without the large model")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    parser.add_argument("--device", default="cpu", help="cuda measures the code of devices instead")
    options = parser.parse_args()
    if options.device != "cpu":
        on_device.main(options.device, as_json=options.json)
        return
    layer = Layer(options.rows)
    own = backend.probed_route().name
    # Bytes are multiplied by our kernel or by the vendor's, whichever this machine takes.
    routes = {"fp64": ("fp64", 2.5)} if own == "fp64" else {"int8": (own, 1.0), "fp64": ("fp64", 2.5)}
    criteria, spread = [], {}
    for name, (taken, limit) in routes.items():
        with backend.use_route(taken):
            found = ratios(layer.native, layer.exact, options.repeats)
        spread[name] = [round(value, 3) for value in (found[0], found[len(found) // 4], found[-1])]
        criteria.append(criterion(f"gemm_ratio_{name}", round(statistics.median(found), 3), limit, "x native"))
        if not options.json:
            print(f"{name}: {statistics.median(found):.2f} of native (from {found[0]:.2f} to {found[-1]:.2f})")
    forget = gemm.forget_slices
    whole = [("tiny_step", lambda: Steps(tiny_model(), 16, 128), 3.0, 4 * options.repeats)]
    if not options.quick:
        whole.append(("step", lambda: Steps(large_model(), 8, 256), 1.1, 3))
    for name, make, limit, repeats in whole:
        steps = make()
        found = ratios(steps.native, steps.exact, repeats)
        del steps
        forget()
        spread[name] = [round(value, 3) for value in (found[0], found[len(found) // 4], found[-1])]
        criteria.append(criterion(f"{name}_ratio", round(statistics.median(found), 3), limit, "x native"))
        if not options.json:
            print(f"{name}: {statistics.median(found):.2f} of native (from {found[0]:.2f} to {found[-1]:.2f})")
    if not options.quick:
        decoded = decode_ratio()
        criteria.append(criterion("decode_ratio", round(decoded["ratio"], 3), 1.1, "x native"))
        if not options.json:
            print(f"decode: {decoded['ratio']:.2f} of native ({1000 * decoded['native_s']:.0f} ms a step)")
    body = {
        "rows": options.rows,
        "threads": torch.get_num_threads(),
        "route": backend.probed_route().name,
        "lowest_quartile_highest": spread,
        "criteria": criteria,
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
