"""The stand-in finds every solution of a formula, each once, as the original's interface promises."""

import importlib.util
import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SOURCE = Path(__file__).resolve().parents[2] / "packaging" / "pycosat" / "pycosat.py"
spec = importlib.util.spec_from_file_location("our_pycosat", SOURCE)
pycosat = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pycosat)

literals = st.integers(1, 6).flatmap(lambda variable: st.sampled_from([variable, -variable]))
formulas = st.lists(st.lists(literals, max_size=4), max_size=14)


def by_trying_all(clauses: list[list[int]], num_vars: int) -> set[tuple[int, ...]]:
    worlds = itertools.product(*([variable, -variable] for variable in range(1, num_vars + 1)))
    return {world for world in worlds if all(set(clause) & set(world) for clause in clauses)}


@given(formulas)
def test_exactly_the_solutions_are_found_and_each_once(clauses):
    found = [tuple(solution) for solution in pycosat.itersolve(clauses, vars=6)]
    assert len(found) == len(set(found))
    assert set(found) == by_trying_all(clauses, 6)


@given(formulas)
def test_one_solution_is_one_of_them_and_its_absence_is_said(clauses):
    number = max((abs(literal) for clause in clauses for literal in clause), default=0)
    solution = pycosat.solve(clauses)
    solutions = by_trying_all(clauses, number)
    assert (solution == "UNSAT" and not solutions) or tuple(solution) in solutions


def test_the_formula_that_was_given_is_left_as_it_was():
    clauses = [[1, -2], [2, 3], [-1, -3]]
    list(pycosat.itersolve(clauses))
    assert clauses == [[1, -2], [2, 3], [-1, -3]]


def test_five_pigeons_do_not_fit_into_four_holes():
    in_hole = {(pigeon, hole): 4 * pigeon + hole + 1 for pigeon in range(5) for hole in range(4)}
    housed = [[in_hole[pigeon, hole] for hole in range(4)] for pigeon in range(5)]
    alone = [
        [-in_hole[one, hole], -in_hole[other, hole]]
        for hole in range(4)
        for one, other in itertools.combinations(range(5), 2)
    ]
    assert pycosat.solve(housed + alone) == "UNSAT"
    assert len(list(pycosat.itersolve(housed[:4] + alone, vars=16))) == 24


@pytest.mark.parametrize(("clauses", "error"), [([[0]], ValueError), ([["1"]], TypeError), ([[1.0]], TypeError)])
def test_what_is_no_literal_is_refused(clauses, error):
    with pytest.raises(error):
        pycosat.itersolve(clauses)
