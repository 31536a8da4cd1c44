"""Why this module exists: one command says whether the tree is good; continuous integration and people type the same.

    ./run_swarm.sh test              style, types, architecture, unit tests, integration tests
    ./run_swarm.sh test PYTEST-ARGS  only pytest, with these arguments

Every check runs even when an earlier one failed. The last line sums up all tests; the exit code is 0 only when every
check and every test passed. Whole swarms and chain nodes mostly wait, for blocks and for each other, so three files of
them run at once on two cores; the tests of one file share a swarm, and stay together.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

CHECKS = {
    "style": [BIN / "ruff", "check", "."],
    "types": [BIN / "mypy"],
    "architecture": [BIN / "lint-imports", "--no-logo"],
}
PYTEST = [sys.executable, "-m", "pytest"]
SLOWEST = ["--durations=15", "--durations-min=5"]
SUITES = {
    "unit tests": [*PYTEST, *SLOWEST, "-n", "3", "-m", "not integration and not slow and not gpu"],
    "real processes": [
        *PYTEST, *SLOWEST, "-n", "3", "--dist", "loadfile", "--no-loadscope-reorder",
        "-m", "integration and not slow and not gpu",
    ],
}
NO_TESTS_COLLECTED = 5


def run(name: str, command: list[str | Path]) -> int:
    print(f"\n== {name}", flush=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    verdict = "passed" if code == 0 else f"FAILED ({code})"
    print(f"== {name}: {verdict} in {time.monotonic() - started:.0f} s", flush=True)
    return code


def counted(report: Path) -> dict[str, int]:
    """Tests by outcome, from a junit report; a suite that never wrote one counts as one error."""
    if not report.exists():
        return {"errors": 1}
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for suite in ElementTree.parse(report).getroot().iter("testsuite"):
        for key in totals:
            totals[key] += int(suite.get(key, 0))
    totals["passed"] = totals.pop("tests") - totals["failures"] - totals["errors"] - totals["skipped"]
    return totals


def main(arguments: list[str]) -> int:
    if arguments:
        return subprocess.run([*PYTEST, *arguments], cwd=ROOT, check=False).returncode
    started = time.monotonic()
    failed = [name for name, command in CHECKS.items() if run(name, command) != 0]
    outcomes = {"passed": 0, "failures": 0, "errors": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as folder:
        for name, command in SUITES.items():
            report = Path(folder) / f"{name}.xml"
            if run(name, [*command, f"--junitxml={report}"]) not in (0, NO_TESTS_COLLECTED):
                failed.append(name)
            for outcome, count in counted(report).items():
                outcomes[outcome] += count
    took = f"in {time.monotonic() - started:.2f}s"
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nEvery check passed.")
    num_failed = outcomes["failures"] + outcomes["errors"]
    print(f"{num_failed} failed, {outcomes['passed']} passed, {outcomes['skipped']} skipped {took}")
    return 1 if failed or num_failed or not outcomes["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
