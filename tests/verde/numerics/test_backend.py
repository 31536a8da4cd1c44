"""The route is chosen by what proved exact on this machine, and says why."""

import os
import subprocess
import sys

import pytest
import torch

from verde.numerics import backend


def test_a_route_can_be_asked_for_by_name():
    with backend.use_route("fp64"):
        assert backend.route() == backend.Route("fp64", "asked for by name")
        with backend.use_route("int8"):
            assert backend.route().name == "int8"
    assert backend.route() == backend.probed_route()
    with pytest.raises(ValueError, match="no route"), backend.use_route("fp16"):
        pass


def test_int8_is_not_taken_where_its_products_are_wrong(monkeypatch):
    exact = torch._int_mm

    def saturating(a: torch.Tensor, b: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        return exact(a, b, **kwargs).clamp_(max=32767 * 64)

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not backend.int8_is_exact()


def test_other_processors_take_doubles(monkeypatch):
    monkeypatch.setattr(backend.platform, "machine", lambda: "arm64")
    assert backend.probed_route.__wrapped__().name == "fp64"


PROGRAM = """
import torch
from verde.numerics import backend, gemm
a = (torch.arange(64 * 256, dtype=torch.float32).reshape(64, 256) * 7919 % 32640 - 100).contiguous()
print(backend.route().name, int(gemm.matmul(a, a.T).view(torch.int32).sum()))
"""


@pytest.mark.slow
def test_without_vnni_the_probe_notices_saturation_and_the_bits_stay():
    results = set()
    for limit in ("DEFAULT", "AVX2"):
        environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True
        )
        name, checksum = done.stdout.split()
        results.add(checksum)
        assert name == "fp64" or backend.int8_is_exact()
    assert len(results) == 1
