"""How light are the displays? ``python -m benchmarks.ui [--only tui] [--quick] [--json]``

Each part is a module of its own: ``benchmarks.ui_NAME`` with ``figures(quick) -> (details, criteria)``. The last line
with ``--json`` is one object: {"criteria": [...], NAME: details, ...}.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from typing import Any

PARTS = ("tui", "web")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--quick", action="store_true", help="shorter, and so noisier")
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    options = parser.parse_args()
    result: dict[str, Any] = {"criteria": []}
    for name in [options.only] if options.only else PARTS:
        module = f"benchmarks.ui_{name}"
        if importlib.util.find_spec(module) is None:
            continue
        details, criteria = importlib.import_module(module).figures(options.quick)
        result[name] = details
        result["criteria"] += criteria
    for one in result["criteria"]:
        held = {True: "holds", False: "FAILS", None: ""}[one["holds"]]
        limit = "" if one["limit"] is None else f" (limit {one['limit']})"
        print(f"{one['name']}: {one['value']} {one['unit']}{limit} {held}".rstrip())
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
