"""A hundred steps of five models end in the bits that golden.json promises, however they are computed."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch

from verde.numerics import golden
from verde.numerics.backend import use_route

ROOT = Path(golden.__file__).resolve().parents[2]
EXPECTED = golden.expected()

INSTRUCTION_SETS = {
    "default": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "avx2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "avx512": {"MKL_ENABLE_INSTRUCTIONS": "AVX512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
}


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def early(family: str, **how) -> str:
    return golden.hashes(family, golden.EARLY_STEP, **how)[-1]


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_a_hundred_steps_end_in_the_promised_bits(family, threads):
    threads(1)
    each = golden.hashes(family)
    assert (each[golden.EARLY_STEP - 1], each[-1]) == (EXPECTED[family]["early"], EXPECTED[family]["final"])


@pytest.mark.parametrize("family", golden.FAMILIES)
@pytest.mark.parametrize(
    ("route", "num_threads", "fused"),
    [
        ("fp64", 1, True),
        ("fp64", 2, False),
        ("int8", 2, True),
        ("int8", 1, False),
        ("tiles", 2, False),
        ("tiles", 1, True),
    ],
)
def test_route_threads_and_fusion_change_no_bit(family, route, num_threads, fused, threads):
    if not is_exact_here(route):
        pytest.skip(f"this processor does not compute exactly by {route}, so the route is never taken")
    threads(num_threads)
    with use_route(route):
        assert early(family, fused=fused) == EXPECTED[family]["early"]


def is_exact_here(route: str) -> bool:
    from verde.numerics.backend import int8_is_exact, probed_route

    return route == "fp64" or (route == "int8" and int8_is_exact()) or route == probed_route().name


@pytest.mark.parametrize("family", golden.FAMILIES)
def test_the_attention_that_a_model_was_loaded_with_changes_no_bit(family):
    assert early(family, attention="sdpa") == EXPECTED[family]["early"]


def test_the_machines_own_arithmetic_is_another_one():
    assert golden.native_hashes("llama", golden.EARLY_STEP)[-1] != EXPECTED["llama"]["early"]


def test_one_bit_of_one_weight_changes_the_hash():
    model = golden.small_model("llama")
    with torch.no_grad():
        weight = next(model.parameters())
        weight.view(torch.int32)[3, 3] ^= 1
    from verde.numerics import exact

    assert list(golden.train(model, 1, exact(model)))[-1] != golden.hashes("llama", 1)[-1]


def test_the_optimisers_kernel_has_the_bits_of_its_operators():
    from fractions import Fraction

    from verde.numerics import adamw

    weights, gradient = torch.randn(2, 300, generator=torch.Generator().manual_seed(1)).unbind(0)
    composed, kernel = golden.AdamW(weights.clone()), [weights.clone(), torch.zeros(300), torch.zeros(300)]
    rates = adamw.Rates(*(adamw.binary32(Fraction(text)) for text in ("1e-3", "0.01", "1")))
    for step in range(1, 120):
        composed.update([gradient * step])
        clip, _ = adamw.clip_factor([gradient * step], rates.max_norm)
        adamw.update(*([tensor] for tensor in kernel), [gradient * step], step, clip, rates)
    assert torch.equal(composed.weights, kernel[0])
    assert torch.equal(composed.first, kernel[1])
    assert torch.equal(composed.second, kernel[2])


def elsewhere(code: str, instructions: str, num_threads: int = 1) -> str:
    """Output of ``code`` in a process that may use some of the processor's instructions only."""
    settings = {"ATEN_CPU_CAPABILITY": instructions, "OMP_NUM_THREADS": str(num_threads)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **settings, **INSTRUCTION_SETS[instructions]},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


EARLY = """
import json
from verde.numerics import golden
print(json.dumps({family: golden.hashes(family, golden.EARLY_STEP)[-1] for family in golden.FAMILIES}))
"""
FINAL = """
import json
from contextlib import nullcontext
from verde.numerics import golden
from verde.numerics.backend import use_route
with {route}:
    print(json.dumps({{family: golden.hashes(family)[-1] for family in golden.FAMILIES}}))
"""
NATIVE = """
from verde.numerics import golden
print(golden.native_hashes("llama", 5)[-1])
"""


def test_a_process_without_vector_instructions_gets_the_same_bits():
    assert json.loads(elsewhere(EARLY, "default")) == {family: EXPECTED[family]["early"] for family in EXPECTED}


def has(instructions: str) -> bool:
    """Torch takes the wish for an instruction set at its word, even where the processor lacks it."""
    order = ["DEFAULT", "AVX2", "AVX512"]
    found = torch.backends.cpu.get_cpu_capability()
    return instructions == "default" or (found in order and order.index(found) >= order.index(instructions.upper()))


@pytest.mark.slow
@pytest.mark.parametrize("route", ["nullcontext()", "use_route('fp64')"])
@pytest.mark.parametrize(("instructions", "num_threads"), product(INSTRUCTION_SETS, [1, 2]))
def test_instruction_sets_threads_and_routes_change_no_bit(instructions, num_threads, route):
    if not has(instructions):
        pytest.skip(f"this processor has no {instructions}")
    found = json.loads(elsewhere(FINAL.format(route=route), instructions, num_threads))
    assert found == {family: EXPECTED[family]["final"] for family in EXPECTED}


@pytest.mark.slow
def test_kernels_compiled_for_the_plainest_processor_change_no_bit(monkeypatch):
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert json.loads(elsewhere(EARLY, "default")) == {family: EXPECTED[family]["early"] for family in EXPECTED}


@pytest.mark.slow
@pytest.mark.skipif(not has("avx2"), reason="this processor has one instruction set only")
def test_native_arithmetic_differs_between_instruction_sets_so_these_tests_can_fail():
    assert elsewhere(NATIVE, "default") != elsewhere(NATIVE, "avx2")
