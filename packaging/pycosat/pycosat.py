"""Why this module exists: reasoning-gym imports ``pycosat``, and PyPI has that as C source only.

A laptop with nothing but Python has no C compiler, so the set-up installs this stand-in under the same name: the two
functions of the interface, for clauses as lists of non-zero integers (DIMACS literals). It is the same solver on every
machine, so puzzles made with it are the same too. Davis-Putnam-Logemann-Loveland search with two watched literals per
clause, without clause learning: right for puzzles of a few hundred variables, not for industrial instances.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["itersolve", "solve"]


def solve(clauses: Iterable[Iterable[int]], vars: int = -1) -> list[int] | str:
    """The first solution as a list of literals, one per variable from 1 on, or ``"UNSAT"``."""
    return next(itersolve(clauses, vars), "UNSAT")


def itersolve(clauses: Iterable[Iterable[int]], vars: int = -1) -> Iterator[list[int]]:
    """Every solution, each once. ``vars``: number of variables where the clauses do not name them all.

    Raises ``TypeError`` for a literal that is not an integer, ``ValueError`` for the literal 0.
    """
    return _search(*_checked(clauses, vars))


def _checked(clauses: Iterable[Iterable[int]], vars: int) -> tuple[list[list[int]], int]:
    rows = [list(dict.fromkeys(clause)) for clause in clauses]
    for literal in (literal for row in rows for literal in row):
        if not isinstance(literal, int):
            raise TypeError(f"a literal is an integer, not {literal!r}")
        if literal == 0:
            raise ValueError("0 is not a literal")
    return rows, max([vars, 0, *(abs(literal) for row in rows for literal in row)])


def _search(clauses: list[list[int]], num_vars: int) -> Iterator[list[int]]:
    assigned: list[int] = [0] * (num_vars + 1)  # 0 open, else the literal that is true
    watchers: dict[int, list[list[int]]] = {}
    trail: list[int] = []
    levels: list[tuple[int, int]] = []  # (length of the trail before it, the decision) of decisions not yet flipped

    def holds(literal: int) -> bool:
        return assigned[abs(literal)] == literal

    def fails(literal: int) -> bool:
        return assigned[abs(literal)] == -literal

    def put(literal: int) -> bool:
        if assigned[abs(literal)] == 0:
            assigned[abs(literal)] = literal
            trail.append(literal)
        return holds(literal)

    def propagate(start: int) -> bool:
        """Follows all consequences of the trail from ``start`` on; false at a contradiction."""
        while start < len(trail):
            false = -trail[start]
            start += 1
            kept: list[list[int]] = []
            watching = watchers.get(false, [])
            for position, clause in enumerate(watching):
                if clause[0] == false:  # the other watched literal comes first
                    clause[0], clause[1] = clause[1], clause[0]
                if not holds(clause[0]):
                    other = next((i for i in range(2, len(clause)) if not fails(clause[i])), 0)
                    if other:
                        clause[1], clause[other] = clause[other], clause[1]
                        watchers.setdefault(clause[1], []).append(clause)
                        continue
                    if not put(clause[0]):
                        watchers[false] = kept + watching[position:]
                        return False
                kept.append(clause)
            watchers[false] = kept
        return True

    def retreat() -> bool:
        """Undoes decisions until one can be flipped without contradiction; false when none is left."""
        while levels:
            length, decision = levels.pop()
            for literal in trail[length:]:
                assigned[abs(literal)] = 0
            del trail[length:]
            put(-decision)
            if propagate(length):
                return True
        return False

    for clause in clauses:
        if len(clause) > 1:
            watchers.setdefault(clause[0], []).append(clause)
            watchers.setdefault(clause[1], []).append(clause)
        elif not clause or not put(clause[0]):
            return
    going = propagate(0)
    while going:
        free = next((variable for variable in range(1, num_vars + 1) if assigned[variable] == 0), 0)
        if free == 0:
            yield assigned[1:]
            going = retreat()
            continue
        levels.append((len(trail), free))
        put(free)
        going = propagate(len(trail) - 1) or retreat()
