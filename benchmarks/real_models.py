"""Does a whole round work with real models? ``python -m benchmarks.real_models [--family NAME ...] [--json]``

For each family a checkpoint in a published model's shape (``models.shapes``, random weights) is written, and three
peers play rounds of the private swarm on it: adapters, drawing, training, spot-checks of rollouts and of the training
step, settlement. Few questions and short completions: what is asked is whether it works and what it takes in memory and
transfer, which both depend on the model, not on how much is asked. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from benchmarks.swarm_runs import criterion, empty_home, events, run_local
from models.shapes import SHAPES, write_checkpoint

LARGEST = "gemma3"
SMALL = {
    "SWARM_GAME__NUM_QUESTIONS": "2",
    "SWARM_GAME__NUM_SAMPLES": "2",
    "SWARM_GAME__ANSWER_TOKENS": "12",
    "SWARM_GAME__CRITIQUE_TOKENS": "12",
    "SWARM_GAME__DECIDE_TOKENS": "12",
    "SWARM_LEARN__NUM_EXTERNAL": "1",
    "SWARM_LEARN__NUM_UPDATES": "1",
    "SWARM_TIME__STAGE_S": "600",
    "SWARM_TIME__CONTRIBUTE_S": "900",
    "SWARM_TIME__ROUND_S": "3600",
    "SWARM_ECONOMICS__UNBONDING_S": "86400",
    "SWARM_AUDIT__STEP_RATE_PPM": "1000000",
    "SWARM_OBSERVE__EVAL_EVERY": "0",
    "SWARM_OBSERVE__NUM_EVAL_QUESTIONS": "1",
}
"""A round as short as one can be: every contribution's training step is replayed, nothing is evaluated in between."""


def play(model: Path, num_rounds: int, timeout_s: float) -> dict[str, Any]:
    """What came of ``num_rounds`` rounds of three peers with a model. Raises as ``run_local``."""
    with empty_home() as home:
        options = ("--rounds", str(num_rounds), "--model", str(model), "--no-leaderboard")
        summary, started_at = run_local(home, *options, timeout_s=timeout_s, variables=SMALL)
        stopped, audited = events(home, "Stopped"), events(home, "Audited")
        ended, held = events(home, "RoundEnded"), events(home, "Held")
        told = events(home, "MemoryMeasured")
    audits = [event for rows in audited.values() for _, event in rows]
    plans = [event for rows in told.values() for _, event in rows]
    return {
        "rounds": summary["rounds"],
        "took_s": round(max(at for rows in ended.values() for at, _ in rows) - started_at, 1),
        "contributions": summary["contributions"],
        "rejections": summary["rejections"],
        "credits_micro": [peer["credits_micro"] for peer in summary["peers"]],
        "audit_levels": sorted({event["level"] for event in audits}),
        "audit_findings": sorted({event["finding"] for event in audits}),
        "audit_mb": round(max((event["num_bytes"] for event in audits), default=0) / 1e6, 2),
        "held_mb": round(max((event["num_bytes"] for rows in held.values() for _, event in rows), default=0) / 1e6, 2),
        "peak_gb": round(max(rows[-1][1]["peak_mb"] for rows in stopped.values()) / 1000, 3),
        "predicted_gb": [round(event["predicted"] / 1e9, 3) for event in plans],
    }


def holds(run: dict[str, Any]) -> bool:
    """Every contribution was re-scored and settled, work was done again up to the step, and all of it matched."""
    made = run["contributions"]
    return (
        made["signed"] == made["rescored"] == made["settled"] > 0
        and made["struck"] == made["rejected"] == 0
        and made["verified"] > 0
        and max(run["audit_levels"], default=0) == 2
        and run["audit_findings"] == ["match"]
        and all(micro > 0 for micro in run["credits_micro"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    parser.add_argument("--rounds", type=int, default=3, help="work of a round is checked in the next one")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for each family")
    parser.add_argument("--folder", type=Path, help="where checkpoints are, or are written and kept")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    runs: dict[str, dict[str, Any]] = {}
    with empty_home() as temporary:
        for family in options.family:
            folder = (options.folder or temporary) / family
            if not (folder / "config.json").is_file():
                write_checkpoint(family, folder)
            runs[family] = play(folder, options.rounds, options.timeout)
            if not options.json:
                print(f"{family:<8} {json.dumps(runs[family])}", flush=True)
    criteria = [
        criterion(f"whole_round_{family}", float(holds(run)), 1, "yes", at_most=False) for family, run in runs.items()
    ]
    if LARGEST in runs:
        criteria += [
            criterion("peak_gb_270m", runs[LARGEST]["peak_gb"], 3.5, "GB"),
            criterion("state_audit_mb", runs[LARGEST]["audit_mb"], 30, "MB"),
        ]
    print(json.dumps({"rounds": options.rounds, "families": runs, "criteria": criteria}))


if __name__ == "__main__":
    main()
