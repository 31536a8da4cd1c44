"""Why this module exists: the benchmarks measure the program that users run, through the command that users type.

Starts ``swarm local`` in an empty home, and reads its JSON summary and its peers' event logs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def empty_home() -> Iterator[Path]:
    """A home directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as directory:
        yield Path(directory)


def run_local(
    home: Path, *options: str, timeout_s: float, variables: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], float]:
    """The summary of ``swarm local --no-tui --json`` with ``options``, and when the command was started (unix seconds).

    ``variables``: settings by environment variable.
    Raises ``RuntimeError`` with the end of the diagnostics when the swarm does not end with exit code 0.
    """
    command = [sys.executable, "-m", "swarm.cli", "local", "--no-tui", "--json", "--home", str(home), *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(variables or {})}
    started_at = time.time()
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"swarm local ended with {done.returncode}:\n{done.stderr[-3000:]}")
    summary: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return summary, started_at


def events(home: Path, *types: str) -> dict[str, list[tuple[float, dict[str, Any]]]]:
    """Per peer name: (unix seconds, event) of the given types, oldest first."""
    found: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for log in sorted(home.glob("peers/*/events.jsonl")):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        found[log.parent.name] = [
            (line["at"], line["event"]) for line in lines if line["event"]["type"] in types or not types
        ]
    return found


def criterion(
    name: str, value: float | None, limit: float | None, unit: str, *, at_most: bool = True
) -> dict[str, Any]:
    """One figure against its limit; ``limit`` ``None`` is a figure that is reported as it is."""
    holds = None
    if limit is not None and value is not None:
        holds = value <= limit if at_most else value >= limit
    return {"name": name, "value": value, "limit": limit, "unit": unit, "holds": holds}
