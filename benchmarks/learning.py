"""Does the swarm learn? ``python -m benchmarks.learning [--engine exact native trl] [--seeds 1 2 3] [--rounds N]``

For each seed, a three-peer swarm and a solo peer that does the same work of its own (same questions per round, same
samples, same updates, no shared rollouts) each run in an empty home. Printed: greedy accuracy on held-out questions by
round, mean over a swarm's peers. Only evaluations within 15 minutes of the command count. The last line is one JSON
object.

With several engines, the swarms of the others follow, and what the arithmetic costs in accuracy: the difference of the
engines' mean last accuracy against the noise, which is the larger of the two spreads between seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks.swarm_runs import criterion, empty_home, events, run_local

WITHIN_S = 15 * 60


def curve(engine: str, seed: int, num_peers: int, num_rounds: int) -> dict[int, float]:
    """Held-out accuracy in percent by round (mean over peers), from evaluations within the time limit."""
    with empty_home() as home:
        options = ("--peers", str(num_peers), "--rounds", str(num_rounds), "--seed", str(seed))
        _, started_at = run_local(home, *options, timeout_s=2 * WITHIN_S, variables={"SWARM_AUDIT__ENGINE": engine})
        evaluated = events(home, "Evaluated")
    by_round: dict[int, list[float]] = {}
    for rows in evaluated.values():
        for at, event in rows:
            if event["num_questions"] < 512:
                raise RuntimeError("An evaluation on fewer than 512 questions cannot be reported.")
            if at - started_at <= WITHIN_S:
                by_round.setdefault(event["round"], []).append(100 * event["num_correct"] / event["num_questions"])
    return {number: statistics.mean(values) for number, values in sorted(by_round.items()) if len(values) == num_peers}


def show(name: str, accuracy: dict[int, float]) -> None:
    print(f"{name:<14}", "  ".join(f"{number}:{value:.1f}" for number, value in accuracy.items()), flush=True)


def gain(accuracy: dict[int, float]) -> float:
    """Points between the first and the last evaluation."""
    return accuracy[max(accuracy)] - accuracy[min(accuracy)]


def last(curves: dict[int, dict[int, float]]) -> list[float]:
    """Every seed's last accuracy."""
    return [accuracy[max(accuracy)] for accuracy in curves.values()]


def difference(name: str, mine: list[float], others: list[float]) -> dict[str, Any]:
    """How far two engines end apart, in points, against the noise between seeds (at least one point: 5 questions)."""
    noise = max(1.0, *(max(values) - min(values) for values in (mine, others)))
    apart = abs(statistics.mean(mine) - statistics.mean(others))
    return criterion(name, round(apart, 2), round(noise, 2), "points")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", nargs="+", choices=["exact", "native", "trl"], default=["exact"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--no-solo", action="store_true", help="leave the solo peers out")
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    options = parser.parse_args()
    engine, *others = options.engine
    swarms: dict[int, dict[int, float]] = {}
    solos: dict[int, dict[int, float]] = {}
    for seed in options.seeds:
        swarms[seed] = curve(engine, seed, 3, options.rounds)
        if not options.json:
            show(f"swarm seed {seed}", swarms[seed])
        if not options.no_solo:
            solos[seed] = curve(engine, seed, 1, options.rounds)
            if not options.json:
                show(f"solo  seed {seed}", solos[seed])
    gains = {seed: gain(accuracy) for seed, accuracy in swarms.items()}
    over_solo = statistics.mean(gains[seed] - gain(solos[seed]) for seed in solos) if solos else None
    compared: dict[str, dict[str, dict[int, float]]] = {}
    apart = []
    for other in others:
        curves = {seed: curve(other, seed, 3, options.rounds) for seed in options.seeds}
        for seed in () if options.json else curves:
            show(f"{other} seed {seed}", curves[seed])
        compared[other] = {str(seed): accuracy for seed, accuracy in curves.items()}
        apart.append(difference(f"{engine}_from_{other}_points", last(swarms), last(curves)))
    body: dict[str, Any] = {
        "rounds": options.rounds,
        "engine": engine,
        "swarm": {str(seed): accuracy for seed, accuracy in swarms.items()},
        "solo": {str(seed): accuracy for seed, accuracy in solos.items()},
        "others": compared,
        "criteria": [
            criterion("min_gain_points", round(min(gains.values()), 2), 20, "points", at_most=False),
            criterion("swarm_over_solo_points", None if over_solo is None else round(over_solo, 2), None, "points"),
            *apart,
        ],
    }
    print(json.dumps(body))


if __name__ == "__main__":
    main()
