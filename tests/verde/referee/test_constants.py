"""The contracts' constants are those of the arithmetic, and the contract fits a chain."""

from __future__ import annotations

import re

import pytest

from chain.abi import artifact
from tests.verde.referee.evm import Evm
from verde.numerics import constants as numerics
from verde.program.kinds import Kind
from verde.referee import constants


def test_the_solidity_files_are_what_the_constants_give() -> None:
    assert constants.main(["--check"]) == 0


def test_a_changed_constant_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numerics, "LN2_42", numerics.LN2_42 + 1)
    assert constants.main(["--check"]) == 1


def test_a_phase_that_is_no_window_of_two_over_pi_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    phases = list(numerics.TWO_OVER_PI)
    phases[40] += 1
    monkeypatch.setattr(numerics, "TWO_OVER_PI", tuple(phases))
    with pytest.raises(ValueError, match="not windows"):
        constants.two_over_pi()


def test_every_kind_has_its_number_in_solidity() -> None:
    text = constants.texts()["Kinds.sol"]
    assert dict(re.findall(r"constant (\w+) = (\d+);", text)) == {kind.name: str(kind.value) for kind in Kind}


def test_every_coefficient_is_in_solidity() -> None:
    text = constants.texts()["Polynomials.sol"]
    for name in constants.POLYNOMIALS:
        body = text.split(f"function {name.lower()}(")[1].split("function")[0]
        steps = [int(value) for value in re.findall(r"(?:q = |q, x, )(-?\d+)\)?;", body)]
        assert steps == list(reversed(getattr(numerics, name)))


def test_the_evaluator_changes_nothing_and_owns_nothing() -> None:
    functions = [entry for entry in artifact("LeafEvaluator")["abi"] if entry["type"] == "function"]
    assert {entry["name"]: entry["stateMutability"] for entry in functions} == dict.fromkeys(
        ("evaluate", "fold", "finish", "source"), "pure"
    )


@pytest.mark.integration
def test_the_evaluator_fits_a_chain(evm: Evm) -> None:
    assert 0 < evm.code_size < 24_576
    assert evm.deployment_gas < 5_000_000
