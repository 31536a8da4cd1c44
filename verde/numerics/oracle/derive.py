"""Why this module exists: nobody should have to trust a table of magic integers; this recomputes every one of them.

    python -m verde.numerics.oracle.derive          writes verde/numerics/constants.py
    python -m verde.numerics.oracle.derive --check  exits 1 if the file differs

It needs mpmath (a development dependency); nothing that runs needs it. A polynomial is the interpolant through the
Chebyshev nodes of its interval, computed with 80 digits, its coefficients rounded to integers (ties to even).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from mpmath import mp, mpf

TARGET = Path(__file__).resolve().parents[1] / "constants.py"


def integer(value: mpf) -> int:
    """The nearest integer, ties to even."""
    return int(mp.nint(value))


def interpolant(function: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> list[mpf]:
    """Coefficients, lowest first, of the polynomial that meets ``function`` at ``degree + 1`` Chebyshev nodes."""
    count = degree + 1
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]
    rows, values = mp.matrix(count, count), mp.matrix(count, 1)
    for i, node in enumerate(nodes):
        values[i] = function(node)
        for j in range(count):
            rows[i, j] = node**j
    return list(mp.lu_solve(rows, values))


def taylor_safe(function: Callable[[mpf], mpf], limit: mpf) -> Callable[[mpf], mpf]:
    """``function`` with its removable singularity at 0 filled by ``limit``."""
    return lambda x: limit if abs(x) < mpf(10) ** -30 else function(x)


def q30(function: Callable[[mpf], mpf], low: mpf, high: mpf, degree: int) -> tuple[int, ...]:
    """The interpolant's coefficients as integers with 30 bits after the point."""
    return tuple(integer(c * 2**30) for c in interpolant(function, low, high, degree))


def binary32(value: mpf) -> float:
    """The nearest binary32 of a number well inside the normal range."""
    exponent = int(mp.floor(mp.log(abs(value), 2)))
    return float(Fraction(integer(value * mpf(2) ** (23 - exponent))) * Fraction(2) ** (exponent - 23))


def tables() -> list[tuple[str, str, object]]:
    """(name, explanation, value) of every constant, in the order of the file."""
    mp.dps = 80
    ln2, log2e, half_pi = mp.log(2), 1 / mp.log(2), mp.pi / 2
    log2e_hi = int(mp.floor(log2e * 2**30))
    low, high = 1 - mp.sqrt(2), 1 - mp.sqrt(mpf(1) / 2)  # h = 1 - m for m in [sqrt(1/2), sqrt(2)]

    half = mpf(1) / 2
    power = taylor_safe(lambda f: -mp.expm1(f * ln2) / f, -ln2)
    logarithm = taylor_safe(lambda h: mp.log(1 - h) / h, mpf(-1))
    growth = taylor_safe(lambda x: mp.expm1(x) / x, mpf(1))
    tangent = taylor_safe(lambda h: (1 - mp.tanh(mp.sqrt(-h)) / mp.sqrt(-h)) / h, -mpf(1) / 3)
    sine = taylor_safe(lambda u: mp.sin(half_pi * mp.sqrt(u)) / mp.sqrt(u), half_pi)
    cosine = taylor_safe(lambda u: (1 - mp.cos(half_pi * mp.sqrt(u))) / u, half_pi**2 / 2)

    return [
        ("LOG2E_HI", "floor(log2(e) 2^30)", log2e_hi),
        (
            "LOG2E_LO",
            "floor of the rest of log2(e) 2^30, times 2^31",
            int(mp.floor((log2e * 2**30 - log2e_hi) * 2**31)),
        ),
        ("EXP2", "(1 - 2^f) / f for |f| <= 1/2", q30(power, -half, half, 6)),
        ("LOG_SPLIT", "floor(sqrt(2) 2^23)", int(mp.floor(mp.sqrt(2) * 2**23))),
        ("LN2_42", "ln(2) 2^42", integer(ln2 * 2**42)),
        ("LOG", "log(1 - h) / h for h in [1 - sqrt(2), 1 - sqrt(1/2)]", q30(logarithm, low, high, 12)),
        ("EXPM1", "(e^x - 1) / x for |x| <= 3/8", q30(growth, -mpf(3) / 8, mpf(3) / 8, 7)),
        ("TANH", "(1 - tanh(x) / x) / h in h = -x^2, for |x| <= 9/16", q30(tangent, -mpf(81) / 256, mpf(0), 6)),
        ("SIN", "sin(r pi/2) / r in r^2, for |r| <= 1/2", q30(sine, mpf(0), half / 2, 4)),
        ("COS", "(1 - cos(r pi/2)) / r^2 in r^2, for |r| <= 1/2", q30(cosine, mpf(0), half / 2, 4)),
        ("TWO_OVER_PI", "(2/pi) 2^(e + 79) mod 2^104 for e = -2 .. 127", phases()),
        ("SQRT_2_OVER_PI", "binary32 of sqrt(2/pi)", binary32(mp.sqrt(2 / mp.pi))),
        ("TWO_PI", "binary32 of 2 pi", binary32(2 * mp.pi)),
        ("IRWIN_HALL", "binary32 of sqrt(3) 2^-16", binary32(mp.sqrt(3) / 2**16)),
    ]


def phases() -> tuple[int, ...]:
    """Quarter turns of one unit in the last place of a binary32 in [2^e, 2^(e+1)), with 102 bits after the point."""
    return tuple(integer(2 / mp.pi * mpf(2) ** (e + 79)) % 2**104 for e in range(-2, 128))


def rendered() -> str:
    """The text of constants.py."""
    lines = [
        '"""Why this module exists: the integers behind the transcendental functions of exact/1, in one place.',
        "",
        "Written by verde/numerics/oracle/derive.py; a change here is a new version of the arithmetic. Polynomials are",
        "lowest coefficient first, with 30 bits after the point. docs/exact-1.md section 6 says how they are used.",
        '"""',
        "",
        "# fmt: off",
    ]
    for name, explanation, value in tables():
        lines.append(f"# {explanation}")
        if isinstance(value, tuple):
            lines.append(f"{name} = (")
            wide = name == "TWO_OVER_PI"
            texts = [f"0x{v:026X}" if wide else f"{v}" for v in value]
            step = 3 if wide else 7
            lines.extend("    " + ", ".join(texts[i : i + step]) + "," for i in range(0, len(texts), step))
            lines.append(")")
        else:
            lines.append(f"{name} = {value!r}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    text = rendered()
    if "--check" in sys.argv:
        sys.exit(0 if TARGET.read_text(encoding="utf-8") == text else 1)
    TARGET.write_text(text, encoding="utf-8")
