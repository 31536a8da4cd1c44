"""Does cheating pay? ``python -m benchmarks.economy [--rounds N] [--json]``

Plays every strategy of ``benchmarks.economy_strategies`` against honest peers, by the program's own rules of draws,
verdicts, pay and standing, and compares what is left to a person per round: pay, less compute, less lost stakes. Then
it moves the rules one at a time to find where cheating begins to pay. Nothing is random: the same figures everywhere.
The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from benchmarks.economy_play import NUM_ROLLOUTS, Rules, Strategy, World
from benchmarks.economy_strategies import (
    ALONE,
    GROUPS,
    Colludes,
    ComesBackClean,
    Griefs,
    Inflates,
    MakesUpEverything,
    NeverReviews,
    SkipsTheStep,
    TradesWitnesses,
)
from benchmarks.swarm_runs import criterion
from rewards.economics import (
    MICRO_PER_CREDIT,
    confirmed,
    margin_milli,
    min_stake_micro,
    min_step_rate_ppm,
    rollouts_detection,
    step_detection,
)

HONEST, CHEATS = 12, 4
DEFAULT = Rules()
replace = msgspec.structs.replace


class Outcome(msgspec.Struct, frozen=True):
    """What is left to an honest person and to a cheat per round, in micro-credits; and how often each was struck."""

    honest: float
    cheat: float
    honest_strikes: int
    cheat_strikes: int

    @property
    def ratio(self) -> float:
        return self.cheat / self.honest


def play(
    kind: type[Strategy], rounds: int, rules: Rules = DEFAULT, *, together: bool = False, cheats: int = CHEATS
) -> Outcome:
    """``cheats`` of 16 people follow ``kind``, as one group or each for itself."""
    total = HONEST + CHEATS
    group = kind()
    players = [(f"honest {number}", Strategy()) for number in range(total - cheats)]
    players += [(f"cheat {number}", group if together else kind()) for number in range(cheats)]
    world = World(players, rules)
    world.play(rounds)
    honest, others = world.players[: total - cheats], world.players[total - cheats :]
    return Outcome(
        sum(map(world.net, honest)) / len(honest) / rounds,
        sum(map(world.net, others)) / len(others) / rounds,
        sum(player.strikes for player in honest),
        sum(player.strikes for player in others),
    )


def audited(rules: Rules, **changes: int) -> Rules:
    return replace(rules, audit=replace(rules.audit, **changes))


def staked(rules: Rules, credits: int) -> Rules:
    return replace(rules, economics=replace(rules.economics, min_stake_micro=credits * MICRO_PER_CREDIT))


def scans(rounds: int) -> dict[str, dict[str, float]]:
    """Ratios of cheat to honest, where one rule is moved."""
    tell: Callable[[Outcome], float] = lambda outcome: round(outcome.ratio, 3)  # noqa: E731
    unslashed = replace(DEFAULT, slashed_milli=0)
    return {
        "steps replayed, in a million (skips the step)": {
            str(rate): tell(play(SkipsTheStep, rounds, audited(DEFAULT, step_rate_ppm=rate)))
            for rate in (5_000, 10_000, 20_000, 50_000)
        },
        "rollouts per audit (inflates by a tenth)": {
            str(count): tell(play(Inflates, rounds, audited(DEFAULT, rollouts_per_audit=count))) for count in (0, 1, 4)
        },
        "stake, in credits (skips the step)": {
            str(stake): tell(play(SkipsTheStep, rounds, staked(DEFAULT, stake))) for stake in (0, 2, 5, 10)
        },
        "colluding of 16 (colludes)": {
            str(cheats): tell(play(Colludes, rounds, together=True, cheats=cheats)) for cheats in (2, 7, 8, 12)
        },
        "no stake is ever slashed": {
            kind.__name__: tell(play(kind, rounds, unslashed))
            for kind in (MakesUpEverything, Inflates, SkipsTheStep, ComesBackClean)
        },
        "no stake is ever slashed, steps replayed in a million (comes back clean)": {
            str(rate): tell(play(ComesBackClean, rounds, audited(unslashed, step_rate_ppm=rate)))
            for rate in (100_000, 200_000, 300_000)
        },
    }


def margins() -> list[dict[str, Any]]:
    """By arithmetic: how often over the stake outweighs what a cheat gains, at the default rules and for the whole pay
    of a round as the gain; and the least stake, with a fifth of the draw weight colluding or none."""
    audit, stake = DEFAULT.audit, DEFAULT.economics.min_stake_micro
    cheats = {
        f"{made_up} of {NUM_ROLLOUTS} rollouts made up": rollouts_detection(
            made_up, NUM_ROLLOUTS, audit.rollouts_per_audit
        )
        for made_up in (NUM_ROLLOUTS, NUM_ROLLOUTS // 4, NUM_ROLLOUTS // 10, NUM_ROLLOUTS // 100)
    }
    cheats["another training step"] = step_detection(audit.step_rate_ppm)
    rows = []
    for name, seen in cheats.items():
        fifth = confirmed(seen, Fraction(1, 5), num_auditors=audit.num_auditors, num_attestors=audit.num_attestors)
        rows.append(
            {
                "cheat": name,
                "p": round(float(seen), 4),
                "margin": margin_milli(MICRO_PER_CREDIT, seen, stake) / 1000,
                "least_stake": min_stake_micro(MICRO_PER_CREDIT, seen) / MICRO_PER_CREDIT,
                "margin_a_fifth_colludes": margin_milli(MICRO_PER_CREDIT, fifth, stake) / 1000,
                "least_stake_a_fifth_colludes": min_stake_micro(MICRO_PER_CREDIT, fifth) / MICRO_PER_CREDIT,
            }
        )
    return rows


def checking_share() -> float:
    """What checking costs, as a share of the work that is checked, at full standing."""
    audit, costs = DEFAULT.audit, DEFAULT.costs
    a_check = audit.rollouts_per_audit * costs.check_rollout + step_detection(audit.step_rate_ppm) * costs.step
    return float(audit.num_auditors * a_check / (costs.rollouts + costs.step))


def show(report: Mapping[str, Any]) -> None:
    print(f"{'strategy':<34}{'over honest':>12}{'credits a round':>17}{'struck':>8}{'honest struck':>15}")
    for name, row in report["strategies"].items():
        print(f"{name:<34}{row['ratio']:>12.3f}{row['cheat']:>17.3f}{row['cheat_strikes']:>8}", end="")
        print(f"{row['honest_strikes']:>15}")
    for name, row in report["scans"].items():
        print(f"{name}:  " + "   ".join(f"{key} -> {value}" for key, value in row.items()))
    for row in report["margins"]:
        print(f"{row['cheat']:<32} p = {row['p']:.4f}  margin {row['margin']:.2f}", end="")
        print(f" ({row['margin_a_fifth_colludes']:.2f} when a fifth colludes), least stake {row['least_stake']:.2f}")


def measure(rounds: int) -> dict[str, Any]:
    played = {
        "honest": play(Strategy, rounds),
        "reviews no verdict": play(NeverReviews, rounds),
        "trades witnesses": play(TradesWitnesses, rounds, together=True),
    }
    by_honesty = played["honest"].cheat  # of the same people, with the same luck
    cheating = {name: play(kind, rounds) for name, kind in ALONE.items()}
    cheating |= {name: play(kind, rounds, together=True) for name, kind in GROUPS.items()}
    griefed = play(Griefs, rounds, together=True, cheats=CHEATS)
    best = max(cheating, key=lambda name: cheating[name].ratio)
    moved = scans(rounds // 2)
    unslashed = max(moved["no stake is ever slashed"].values())
    step = step_detection(DEFAULT.audit.step_rate_ppm)
    stake = DEFAULT.economics.min_stake_micro
    margin = margin_milli(MICRO_PER_CREDIT, step, stake) / 1000
    return {
        "rounds": rounds,
        "people": HONEST + CHEATS,
        "strategies": {
            name: {
                "ratio": round(outcome.ratio, 3),
                "cheat": round(outcome.cheat / MICRO_PER_CREDIT, 4),
                "honest": round(outcome.honest / MICRO_PER_CREDIT, 4),
                "cheat_strikes": outcome.cheat_strikes,
                "honest_strikes": outcome.honest_strikes,
            }
            for name, outcome in (played | cheating).items()
        },
        "scans": moved,
        "margins": margins(),
        "best_cheat": best,
        "criteria": [
            criterion("best_cheat_over_honest", round(cheating[best].ratio, 3), 1.0, "quotient"),
            criterion("step_margin_at_full_gain", margin, 1.25, "quotient", at_most=False),
            criterion("checking_share", round(checking_share(), 4), 0.05, "share"),
            criterion("honest_loss_to_griefers", round(1 - griefed.honest / played["honest"].honest, 4), 0.05, "share"),
            criterion("least_step_rate_ppm", min_step_rate_ppm(MICRO_PER_CREDIT, stake), None, "ppm"),
            criterion("blind_auditor_over_honest", round(cheating["audits without looking"].ratio, 3), 1.0, "quotient"),
            criterion(
                "no_reviews_over_reviews", round(played["reviews no verdict"].cheat / by_honesty, 3), 1.0, "quotient"
            ),
            criterion(
                "friends_who_trade_witnesses", round(played["trades witnesses"].cheat / by_honesty, 3), None, "quotient"
            ),
            criterion("best_cheat_where_no_stake_is_slashed", unslashed, None, "quotient"),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    options = parser.parse_args()
    report = measure(options.rounds)
    if not options.json:
        show(report)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
