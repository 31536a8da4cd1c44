"""The doctor says which kernels multiply, whether vectors pass and whether the hashes are everybody's."""

import json

import pytest

from swarm.app import doctor
from swarm.cli import execute
from verde.numerics import golden

FEW_STEPS = 2


@pytest.fixture
def quick(monkeypatch):
    """Two steps of one family, so that an examination takes seconds; nothing else is replaced."""
    hashes = golden.hashes("qwen3", FEW_STEPS)
    monkeypatch.setattr(golden, "FAMILIES", ("qwen3",))
    monkeypatch.setattr(golden, "expected", lambda: {"qwen3": {"final": hashes[-1]}})
    monkeypatch.setattr(golden.hashes, "__defaults__", (FEW_STEPS,))
    return hashes


def test_a_sound_machine_is_told_so_and_the_exit_code_is_0(capsys, quick):
    assert execute(["doctor", "--numerics", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["numerics"]
    assert found["ok"] is True
    assert found["version"] == "exact/1"
    assert found["route"]["name"] in ("tiles", "int8", "fp64")
    assert found["conformance"] == {"passed": True, "failures": []}
    assert found["golden"] == found["expected"] == {"qwen3": quick[-1]}


def test_another_hash_is_named_and_the_exit_code_is_6(capsys, quick, monkeypatch):
    monkeypatch.setattr(golden, "expected", lambda: {"qwen3": {"final": "0" * 64}})
    assert execute(["doctor", "--numerics"]) == 6
    out = capsys.readouterr().out
    assert f"golden       qwen3   {quick[-1][:16]}… DIFFERS" in out
    assert "This machine does not compute exact/1" in out


def test_vectors_that_differ_are_named_five_at_most():
    found = {
        "version": "exact/1",
        "threads": 2,
        "route": {"name": "fp64", "reason": "this processor's int8 products saturate"},
        "conformance": {"passed": False, "failures": [f"exp[{number}]" for number in range(7)]},
        "golden": {},
        "expected": {},
        "ok": False,
    }
    lines = doctor.in_words(found)
    assert "products     fp64: this processor's int8 products saturate" in lines
    assert "conformance  7 vectors differ" in lines
    assert sum(line.strip().startswith("exp[") for line in lines) == 5
