"""How quick is a round? ``python -m benchmarks.round [--rounds N] [--json]``

Starts the default three-peer swarm in an empty home and reports: seconds from the command to the end of the first
round; the share of a round that is neither generation nor training (mean over peers and rounds, the first one left out
because it contains the start); the largest resident memory of any peer; and how far that is from the plan's prediction.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics

from benchmarks.swarm_runs import criterion, empty_home, events, run_local
from swarm.policy.plan import TOLERANCE

PARTS = ("generate_s", "train_s", "wait_s", "network_s", "chain_s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    with empty_home() as home:
        summary, started_at = run_local(home, "--rounds", str(options.rounds), timeout_s=1200)
        ended = events(home, "RoundEnded")
        stopped = events(home, "Stopped")
        planned = events(home, "MemoryPlanned")
    first_ends = [rows[0][0] - started_at for rows in ended.values()]
    rounds = [event for rows in ended.values() for _, event in rows[1:]]
    shares = {part: statistics.mean(event[part] / event["total_s"] for event in rounds) for part in PARTS}
    overhead = 1 - shares["generate_s"] - shares["train_s"]
    peak_mb = max(rows[-1][1]["peak_mb"] for rows in stopped.values())
    predicted_mb = max(rows[0][1]["predicted"] for rows in planned.values()) / 1e6
    if not options.json:
        print(f"{options.rounds} rounds of {len(ended)} peers; a round takes", end=" ")
        print(f"{statistics.mean(event['total_s'] for event in rounds):.1f} s (mean of all but the first).")
        print(f"  memory: {predicted_mb:.0f} MB were predicted, the largest peer took {peak_mb} MB.")
        for part in PARTS:
            print(f"  {part:<11} {100 * shares[part]:5.1f} %")
    body = {
        "rounds": summary["rounds"],
        "round_s": round(statistics.mean(event["total_s"] for event in rounds), 2),
        "shares": {part: round(share, 4) for part, share in shares.items()},
        "criteria": [
            criterion("first_round_s", round(max(first_ends), 1), 60, "s"),
            criterion("overhead_share", round(overhead, 4), 0.20, "share"),
            criterion("peer_peak_mb", peak_mb, 700, "MB"),
            criterion("memory_off_plan", round(abs(peak_mb / predicted_mb - 1), 3), TOLERANCE, "share"),
        ],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
