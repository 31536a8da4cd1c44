"""What the displays cost: the leaderboard's page and indexer, and the dashboard.

    python -m benchmarks.ui [--json]

Runs each display's own script (``benchmarks.ui_web``; ``benchmarks.ui_tui`` where it is there) and puts their criteria
together. The last line of stdout is one JSON object with ``criteria``.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from typing import Any

PARTS = ("benchmarks.ui_web", "benchmarks.ui_tui")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the JSON object only")
    only_json = parser.parse_args().json
    criteria: list[dict[str, Any]] = []
    for part in PARTS:
        if importlib.util.find_spec(part) is not None:
            criteria += importlib.import_module(part).measure()
    if not only_json:
        for one in criteria:
            print(f"{one['name']}: {one['value']} {one['unit']}")
    print(json.dumps({"criteria": criteria}))


if __name__ == "__main__":
    main()
