"""Why this module exists: the contracts' copy of the arithmetic's integers is written by a program, not by hand.

    python -m verde.referee.constants          writes Constants.sol, Kinds.sol, Polynomials.sol (chain/contracts/leaf)
    python -m verde.referee.constants --check  exits 1 if a file differs

What is written comes from verde/numerics/constants.py, which has its own derivation, and verde/program/kinds.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from verde.numerics import constants
from verde.program.kinds import Kind

TARGET = Path(__file__).resolve().parents[2] / "chain" / "contracts" / "leaf"
POLYNOMIALS = ("EXP2", "LOG", "EXPM1", "TANH", "SIN", "COS")
INTEGERS = ("LOG2E_HI", "LOG2E_LO", "LOG_SPLIT", "LN2_42")
PHASE_BITS = 104
HEADER = ["// SPDX-License-Identifier: MIT", "pragma solidity ^0.8.24;", ""]
WRITTEN_BY = "/// @dev Written by `python -m verde.referee.constants`."


def two_over_pi() -> int:
    """The one number C whose windows are the phases: (floor(C / 2^(127 - e)) + 1) / 2, rounded down, mod 2^104.

    Raises ``ValueError`` where no C gives every phase of verde/numerics/constants.py.
    """
    phases = constants.TWO_OVER_PI
    last = len(phases) - 1
    # The phase that is PHASE_BITS places higher holds what the last one lost on the left, perhaps rounded up.
    for high in (phases[last - PHASE_BITS], phases[last - PHASE_BITS] - 1):
        rounded = (high << PHASE_BITS) + phases[last]
        for whole in (2 * rounded, 2 * rounded - 1):
            if all(((whole >> (last - j)) + 1) // 2 % 2**PHASE_BITS == phase for j, phase in enumerate(phases)):
                return whole
    raise ValueError("the phases of 2 / pi are not windows of one number")


def rendered_constants() -> str:
    """The text of Constants.sol."""
    lines = [
        *HEADER,
        "/// @title The integers behind the transcendental functions of exact/1",
        WRITTEN_BY,
        "library Constants {",
    ]
    lines += [f"    int256 internal constant {name} = {getattr(constants, name)};" for name in INTEGERS]
    lines.append(f"    uint256 internal constant TWO_OVER_PI = 0x{two_over_pi():052x};")
    return "\n".join([*lines, "}"]) + "\n"


def rendered_kinds() -> str:
    """The text of Kinds.sol."""
    lines = [*HEADER, "/// @title Numbers of the kinds of operators", WRITTEN_BY, "library Kinds {"]
    lines += [f"    uint256 internal constant {kind.name} = {kind.value};" for kind in Kind]
    return "\n".join([*lines, "}"]) + "\n"


def rendered_polynomials() -> str:
    """The text of Polynomials.sol."""
    lines = [
        *HEADER,
        "/// @title POLY of section 6 of docs/exact-1.md for each table",
        "/// @notice x has 32 bits after the point, coefficients and results 30.",
        WRITTEN_BY,
        "library Polynomials {",
        "    /// @notice Horner's step: the nearest integer to (q · x) / 2^32 + c, ties up.",
        "    function step(int256 q, int256 x, int256 c) private pure returns (int256) {",
        "        unchecked {",
        "            return (q * x + (c << 32) + (1 << 31)) >> 32;",
        "        }",
        "    }",
    ]
    for name in POLYNOMIALS:
        *lower, highest = getattr(constants, name)
        lines += ["", f"    function {name.lower()}(int256 x) internal pure returns (int256 q) {{"]
        lines.append(f"        q = {highest};")
        lines += [f"        q = step(q, x, {coefficient});" for coefficient in reversed(lower)]
        lines.append("    }")
    return "\n".join([*lines, "}"]) + "\n"


def texts() -> dict[str, str]:
    """The files by name."""
    return {
        "Constants.sol": rendered_constants(),
        "Kinds.sol": rendered_kinds(),
        "Polynomials.sol": rendered_polynomials(),
    }


def main(arguments: list[str]) -> int:
    """Write the files, or compare them with ``--check``; the exit code."""
    differing = [name for name, text in texts().items() if _on_disk(name) != text]
    if "--check" in arguments:
        return 1 if differing else 0
    for name in differing:
        (TARGET / name).write_text(texts()[name], encoding="utf-8")
    return 0


def _on_disk(name: str) -> str | None:
    path = TARGET / name
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
