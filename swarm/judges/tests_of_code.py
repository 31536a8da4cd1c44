"""Why this module exists: a data set's tests are taken apart: what is called goes to the cell, what must come back not.

``assert f(1, 2) == 3`` (as in MBPP and HumanEval) becomes the call ``f(1, 2)`` and the text of ``3``. So a stranger's
code can neither see nor forge a verdict: it can only return the right values.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass

from swarm.judges.values import text_of

CODE_CAP = 8_000
"""Characters of an answer, and of a question's tests."""

TESTS_CAP = 40

_FENCED = re.compile(r"```[a-zA-Z0-9_+-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)


@dataclass(frozen=True)
class TestOfCode:
    """``call``: an expression; ``expected``: the text of its value (``values.text_of``)."""

    __test__ = False

    call: str
    expected: str


def read_tests(text: str) -> tuple[TestOfCode, ...]:
    """The tests in ``text``: Python, nothing but ``assert CALL == LITERAL`` and ``assert [not] CALL``.

    Raises ``ValueError`` with what is wrong, for anything else: nothing of it is run to find out.
    """
    if len(text) > CODE_CAP:
        raise ValueError(f"its tests are longer than {CODE_CAP} characters")
    try:
        statements = ast.parse(textwrap.dedent(text).strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"its tests are not Python: {str(error)[:100]}") from error
    if not 0 < len(statements) <= TESTS_CAP:
        raise ValueError(f"it has {len(statements)} tests; 1 to {TESTS_CAP} are allowed")
    return tuple(_read(statement) for statement in statements)


def code_in(answer: str) -> str:
    """The code of an answer: the inside of its last Markdown fence, or all of it."""
    fenced = _FENCED.findall(answer)
    return fenced[-1] if fenced else answer


def _read(statement: ast.stmt) -> TestOfCode:
    if not isinstance(statement, ast.Assert):
        raise ValueError(f"its tests are not asserts only: {ast.unparse(statement)[:60]!r}")
    test = statement.test
    expected: object = True
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        test, expected = ast.Call(ast.Name("bool", ast.Load()), [test.operand], []), False
    elif isinstance(test, ast.Compare):
        if len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq | ast.Is):
            raise ValueError(f"a test compares otherwise than with ==: {ast.unparse(test)[:60]!r}")
        expected, test = _literal(test.comparators[0]), test.left
    else:
        test = ast.Call(ast.Name("bool", ast.Load()), [test], [])
    return TestOfCode(ast.unparse(test), text_of(expected))


def _literal(node: ast.expr) -> object:
    try:
        if isinstance(node, ast.Call) and ast.unparse(node) == "set()":
            return set()
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"a test compares with no plain value: {ast.unparse(node)[:60]!r}") from error
