"""Why this module exists: a conclusion in propositional logic is right when it follows, however it is written.

The text comes from a peer's model, so the parser is iterative over a short token list, bounded in length and depth, and
knows nothing but the notation that the question states: ``∨ ∧ → ↔ ¬``, parentheses, and single-letter variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

MAX_TOKENS = 120
"""Longest formula that is judged; the task's own premises stay far below."""

MAX_VARIABLES = 10

Formula = tuple[str, ...]
"""Reverse Polish notation: variables and operators."""

_PRECEDENCE = {"¬": 5, "∧": 4, "∨": 3, "→": 2, "↔": 1}
_RIGHT_ASSOCIATIVE = {"¬", "→"}


def parse_formula(text: str) -> Formula:
    """``text`` in reverse Polish notation. Raises ``ValueError`` for anything that is not one formula."""
    tokens = [character for character in text[: 4 * MAX_TOKENS + 1] if not character.isspace()]
    if not tokens or len(tokens) > MAX_TOKENS or len(text) > 4 * MAX_TOKENS:
        raise ValueError("empty or too long")
    output: list[str] = []
    waiting: list[str] = []
    wants_operand = True
    for token in tokens:
        if "A" <= token <= "Z":
            _expect(wants_operand)
            output.append(token)
            wants_operand = False
        elif token in ("(", "¬"):
            _expect(wants_operand)
            waiting.append(token)
        elif token == ")":
            _expect(not wants_operand)
            while waiting and waiting[-1] != "(":
                output.append(waiting.pop())
            _expect(bool(waiting))
            waiting.pop()
        elif token in _PRECEDENCE:
            _expect(not wants_operand)
            while waiting and waiting[-1] != "(" and _binds_first(waiting[-1], token):
                output.append(waiting.pop())
            waiting.append(token)
            wants_operand = True
        else:
            raise ValueError(f"{token!r} is not part of the notation")
    _expect(not wants_operand and "(" not in waiting)
    return (*output, *reversed(waiting))


def follows(premises: Sequence[Formula], conclusion: Formula) -> bool:
    """Whether every assignment that makes all ``premises`` true makes ``conclusion`` true."""
    return all(
        _value(conclusion, world)
        for world in _worlds([*premises, conclusion])
        if all(_value(premise, world) for premise in premises)
    )


def is_trivial(formula: Formula) -> bool:
    """Whether ``formula`` says nothing worth concluding: one bare variable, or true whatever the variables are."""
    return len(formula) == 1 or all(_value(formula, world) for world in _worlds([formula]))


def variables_of(formula: Formula) -> set[str]:
    return {token for token in formula if "A" <= token <= "Z"}


def _expect(condition: bool) -> None:
    if not condition:
        raise ValueError("not a formula")


def _binds_first(stacked: str, incoming: str) -> bool:
    difference = _PRECEDENCE[stacked] - _PRECEDENCE[incoming]
    return difference > 0 or (difference == 0 and incoming not in _RIGHT_ASSOCIATIVE)


def _worlds(formulas: Sequence[Formula]) -> list[dict[str, bool]]:
    names = sorted(set().union(*(variables_of(formula) for formula in formulas)))
    if len(names) > MAX_VARIABLES:
        raise ValueError("too many variables")
    return [dict(zip(names, values, strict=True)) for values in product((False, True), repeat=len(names))]


def _value(formula: Formula, world: Mapping[str, bool]) -> bool:
    stack: list[bool] = []
    for token in formula:
        if token in world:
            stack.append(world[token])
        elif token == "¬":
            stack.append(not stack.pop())
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(_combine(token, left, right))
    return stack[0]


def _combine(operator: str, left: bool, right: bool) -> bool:
    if operator == "∧":
        return left and right
    if operator == "∨":
        return left or right
    if operator == "→":
        return not left or right
    return left == right
