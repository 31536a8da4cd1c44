"""Names of steps: stamped from templates, the same as derived."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import NotBuiltYet
from tests.verde.program.small import ARCH, RATES
from verde.program.derive_step import step_program
from verde.program.shape import PassShape
from verde.program.step_root import StepNames
from verde.program.symbolic import Fact, Facts, evaluated, holds, symbols

NAMES = StepNames(ARCH, RATES)


@st.composite
def passes(draw) -> PassShape:
    prompt, completion = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    rows, samples = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    return PassShape(rows, prompt + completion, prompt, samples, draw(st.integers(1, rows * completion)))


@settings(max_examples=15)
@given(st.lists(st.lists(passes(), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3).map(tuple))
def test_a_step_has_the_name_that_its_derivation_has(shape):
    assert NAMES._stamped(shape) == step_program(ARCH, shape, RATES).root


@pytest.mark.parametrize(
    "changes",
    [
        {"is_tied": False},
        {"head_norms": False, "mlp_bias": True, "output_bias": True, "num_layers": 2},
        {"num_kv_heads": 2, "pad_token": None},
    ],
    ids=str,
)
def test_so_has_every_architecture(changes):
    arch = dataclasses.replace(ARCH, **changes)
    rates = dataclasses.replace(RATES, max_norm=np.float32(0), most=None, temperature=np.float32(1))
    shape = ((PassShape(1, 9, 4, 2, 5),) * 3, (PassShape(2, 7, 3, 3, 8), PassShape(1, 5, 4, 1, 1)))
    assert StepNames(arch, rates)._stamped(shape) == step_program(arch, shape, rates).root


def test_few_templates_serve_all_passes():
    names = StepNames(ARCH, RATES)
    shape = tuple(tuple(PassShape(1 + n % 3, 20 + n, 7 + n, 2 + n % 5, 10 + n) for n in range(12)) for _ in range(2))
    assert names.root(shape) == step_program(ARCH, shape, RATES).root
    assert sum(map(len, names._templates.values())) <= 8


def test_where_templates_cannot_be_sure_the_step_is_derived(monkeypatch):
    names, shape = StepNames(ARCH, RATES), ((PassShape(1, 9, 4, 2, 5),),)
    monkeypatch.setattr("verde.program.step_root._LARGEST", 4)
    assert names._stamped(shape) is None
    assert names.root(shape) == step_program(ARCH, shape, RATES).root


def test_a_step_of_too_many_operators_gets_no_name():
    shape = ((PassShape(1, 9, 4, 2, 5),) * 4,)
    count = len(step_program(ARCH, shape, RATES).nodes)
    assert len(StepNames(ARCH, RATES, count).root(shape)) == 32
    with pytest.raises(NotBuiltYet, match=f"{count} operators"):
        StepNames(ARCH, RATES, count - 1).root(shape)


@given(st.lists(st.integers(1, 50), min_size=3, max_size=3), st.integers(-9, 9), st.integers(1, 9))
def test_a_symbol_is_computed_with_as_its_value_is(values, shift, factor):
    facts: Facts = {}
    a, b, c = symbols(values, facts)
    x, y, z = values
    whole = (a * b * factor + c - shift) * 6 // 3
    expected = (x * y * factor + z - shift) * 2
    assert evaluated([whole.terms], np.array([values]))[0, 0] == expected
    for one, other in (((a < b), x < y), ((a >= c), x >= z), ((a * b == c), x * y == z), (max(1, a) == 1, x == 1)):
        assert one == other
    assert holds(facts, np.array([values])).all()
    assert a - a == 0
    assert isinstance(a - a + 3, int)


def test_what_was_decided_holds_for_those_for_which_the_facts_do():
    facts: Facts = {}
    a, b = symbols([1, 5], facts)
    assert a == 1
    assert b > a
    assert list(holds(facts, np.array([[1, 5], [1, 1], [2, 5], [1, 2]]))) == [True, False, False, True]
    assert list(Fact.NEGATIVE.holds(np.array([-1, 0]))) == [True, False]
