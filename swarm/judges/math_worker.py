"""Why this module exists: whether two expressions are equal is asked of a library that may take for ever, or fall.

A process of its own that locks itself up as far as its machine can (``swarm.judges.cell``) after the library is loaded.

    stdin   a line of JSON per comparison: [answer, truth]
    stdout  ``ready`` once, then ``0`` or ``1`` per comparison

What the library cannot read is not equal to anything. An answer without LaTeX's marks is read as one expression, and
else as a text that has one somewhere, by the library's own rules.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import sysconfig

MEMORY_BYTES = 2 * 1024**3
"""Address space; the library with all that it imports takes about a fifth."""


def main() -> None:
    from math_verify import parse, verify

    from swarm.judges import cell
    from swarm.judges.protection import standard_library

    logging.disable(logging.CRITICAL)

    def is_same(answer: str, truth: str) -> bool:
        return any(
            verify(wanted, given, timeout_seconds=None)
            for given in readings(answer)
            for wanted in readings(truth)[:1]
            if given and wanted
        )

    def readings(text: str) -> list[list[object]]:
        whole = [] if any(mark in text for mark in ("$", "\\(", "\\[", "\\boxed")) else [f"${text}$"]
        return [parsed for one in (*whole, text) if (parsed := parse(one, parsing_timeout=None))]

    for warm in (
        (r"$\frac{1}{2}$", "0.5"),
        ("$x^2+2x+1$", "(x+1)^2"),
        (r"$\sqrt{8}$", "2*sqrt(2)"),
        ("(1,2)", "{1,2}"),
    ):
        is_same(*warm)  # loads what is loaded late
    lines, out = sys.stdin.buffer, os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    if not cell.missing():
        packages = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
        cell.limit(1 << 20, MEMORY_BYTES, 0)
        cell.lock_up((*standard_library(), *packages), (os.devnull,))
    os.write(out, b"ready\n")
    for line in lines:
        try:
            answer, truth = json.loads(line)
            said = b"1\n" if is_same(answer, truth) else b"0\n"
        except Exception:  # whatever the library raises, it did not find them equal
            said = b"0\n"
        os.write(out, said)


if __name__ == "__main__":
    main()
