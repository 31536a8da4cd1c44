"""Why this module exists: every number that decides what honest work earns and what cheating costs is here, once.

    what a run pays      ``Economics``: auditors' pay, the floor of newcomers, the share of what is late, the caps
    what cheating costs  the stake below which a cheat pays at a given chance to be seen, and the other way round

A cheat gains ``gain`` (the work that it saves, or pay that it would not have had) when nobody sees it, which happens
with 1 - p. Seen, it loses its stake and the pay that is still pending. It is a loss when

    p * (stake + lost pay) >= (1 - p) * gain         so  stake >= gain * (1 - p) / p - lost pay

Amounts are integers in millionths of a credit (``_micro``), chances exact fractions. All pure. ``docs/economics.md``
explains these numbers, and ``benchmarks/economy.py`` plays them against strategies.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, comb

import msgspec

from protocol.run import TOLERANCE_CHECKED, RunSpec

MICRO_PER_CREDIT = 1_000_000
_MILLI = 1000
_MILLION = 1_000_000
MAX_MICRO = 2**63 - 1
"""More than a run can pay."""


class Economics(msgspec.Struct, frozen=True):
    """What a run pays besides scores, and its caps. Names and meanings are those of the run's economic rules.

    ``min_stake_micro``: a member's deposit, lost when a cheat is proven. ``budget_micro``: the most that can ever be
    credited; ``round_emission_micro``: the most that one result may credit. ``auditor_micro``: pay of a drawn verdict
    that agrees with the outcome (``verdict_micro``). ``newcomer_rounds``: recorded contributions during which a peer
    earns at least ``newcomer_floor_milli`` of a credit for punctual work. ``late_share_milli``: what late work keeps of
    its pay; ``unreplayable_share_milli``: what work keeps of it that nobody can do again bit for bit, and
    ``tolerated_cap_milli``: the most that such work earns together of all that a round earns (1000: no cap).
    """

    min_stake_micro: int = 25 * MICRO_PER_CREDIT
    budget_micro: int = 1_000_000 * MICRO_PER_CREDIT
    round_emission_micro: int = 100_000 * MICRO_PER_CREDIT
    auditor_micro: int = 20_000
    newcomer_rounds: int = 10
    newcomer_floor_milli: int = 200
    late_share_milli: int = 500
    unreplayable_share_milli: int = 150
    tolerated_cap_milli: int = 250


DEFAULT = Economics()


def economics_of(run: RunSpec) -> Economics:
    """The economic rules that a run is played by, as far as its members apply them."""
    rules = Economics(**{name: getattr(run.economics, name) for name in Economics.__struct_fields__})
    if run.audit.engine in TOLERANCE_CHECKED:  # there is no other work
        return msgspec.structs.replace(rules, tolerated_cap_milli=_MILLI)
    return rules


# --- what is paid ----------------------------------------------------------------------------------------------------


def floor_micro(economics: Economics) -> int:
    """What a newcomer's punctual round earns at least; 0 where that came to more than the stake in all.

    So nobody can collect more from the floor with an identity than it must put at risk for it.
    """
    floor = economics.newcomer_floor_milli * MICRO_PER_CREDIT // _MILLI
    return floor if floor * economics.newcomer_rounds <= economics.min_stake_micro else 0


def round_pay(economics: Economics, micro: int, rounds: int, *, punctual: bool, replayable: bool) -> int:
    """Pay of a round that earned ``micro`` by its scores, for a peer with ``rounds`` recorded contributions before.

    Work that cannot be replayed has no floor, since nothing shows that it was done, and keeps only a share: whoever
    samples several times and publishes the best is not seen there, and must not earn more than by exact work.
    """
    if not replayable:
        return micro * economics.unreplayable_share_milli // _MILLI
    is_new = rounds < economics.newcomer_rounds
    return max(micro, floor_micro(economics)) if is_new and punctual else micro


def verdict_micro(economics: Economics, level: int, step_rate_ppm: int) -> int:
    """Pay of a drawn verdict that agrees with the outcome. One that took a replay of the training step (level 2) pays
    as many times more as such audits are rarer, up to a credit: on average both kinds of work are worth the same."""
    if level < 2:
        return economics.auditor_micro
    return min(MICRO_PER_CREDIT, economics.auditor_micro * _MILLION // max(step_rate_ppm, 1))


def within(cap_micro: int, amounts: Sequence[int]) -> list[int]:
    """``amounts`` as they are when their sum is within ``cap_micro``; else each in proportion, rounded down."""
    total = sum(amounts)
    cap = max(cap_micro, 0)
    return list(amounts) if total <= cap else [amount * cap // total for amount in amounts]


def tolerated_micro(economics: Economics, replayable_micro: int) -> int:
    """The most that work which cannot be replayed earns together in a round whose other work earned this much.

    So whatever a flaw of the looser check lets through, it takes no more than a share of the round; where nothing was
    made that can be replayed, it takes nothing.
    """
    cap = economics.tolerated_cap_milli
    return MAX_MICRO if cap >= _MILLI else replayable_micro * cap // (_MILLI - cap)


def allowed_micro(economics: Economics, credited_micro: int) -> int:
    """The most that the next result may credit when ``credited_micro`` were credited before."""
    return max(0, min(economics.round_emission_micro, economics.budget_micro - credited_micro))


# --- what cheating costs ---------------------------------------------------------------------------------------------


def rollouts_detection(made_up: int, num_rollouts: int, drawn: int) -> Fraction:
    """Chance that an audit of ``drawn`` of ``num_rollouts`` rollouts looks at one of the ``made_up`` ones.

    Raises ``ValueError`` unless 0 <= ``made_up`` <= ``num_rollouts``.
    """
    if not 0 <= made_up <= num_rollouts:
        raise ValueError(f"{made_up} of {num_rollouts} rollouts cannot be made up.")
    drawn = min(drawn, num_rollouts)
    return 1 - Fraction(comb(num_rollouts - made_up, drawn), comb(num_rollouts, drawn))


def step_detection(step_rate_ppm: int) -> Fraction:
    """Chance that an audit replays the training step and so sees that it was another one."""
    return Fraction(min(step_rate_ppm, _MILLION), _MILLION)


def confirmed(detection: Fraction, colluding: Fraction, *, num_auditors: int, num_attestors: int) -> Fraction:
    """Chance that a cheat is struck when a share ``colluding`` of the draw weight helps it, with large swarms in mind.

    An honest auditor must be drawn, must look at the right place (all auditors of a contribution look at the same one),
    and most attestors must be honest.
    """
    honest = 1 - colluding
    needed = num_attestors // 2 + 1
    jury = sum(
        (
            comb(num_attestors, count) * honest**count * colluding ** (num_attestors - count)
            for count in range(needed, num_attestors + 1)
        ),
        Fraction(0),
    )
    return detection * (1 - colluding**num_auditors) * jury


def min_stake_micro(gain_micro: int, detection: Fraction, lost_pay_micro: int = 0) -> int:
    """The least stake at which a cheat that gains ``gain_micro`` a time and is seen with ``detection`` does not pay.

    Raises ``ValueError`` for a detection outside of 0 to 1, or of 0: no stake deters what nobody sees.
    """
    if not 0 < detection <= 1:
        raise ValueError(f"No stake makes up for a chance of {detection} to be seen.")
    return max(0, ceil(gain_micro * (1 - detection) / detection) - lost_pay_micro)


def min_detection(gain_micro: int, stake_micro: int, lost_pay_micro: int = 0) -> Fraction:
    """The least chance to be seen at which a cheat that gains ``gain_micro`` and risks this much does not pay."""
    at_stake = stake_micro + lost_pay_micro
    return Fraction(gain_micro, gain_micro + at_stake) if gain_micro + at_stake else Fraction(0)


def min_step_rate_ppm(gain_micro: int, stake_micro: int, lost_pay_micro: int = 0) -> int:
    """The least ``step_rate_ppm`` at which a changed training step that gains ``gain_micro`` does not pay."""
    return ceil(min_detection(gain_micro, stake_micro, lost_pay_micro) * _MILLION)


def margin_milli(gain_micro: int, detection: Fraction, stake_micro: int, lost_pay_micro: int = 0) -> int:
    """How often over the risk outweighs the gain, in thousandths, rounded down; below 1000 the cheat pays.

    A cheat without gain has a margin of a million times, written as 10**9.
    """
    gained = gain_micro * (1 - detection)
    risked = (stake_micro + lost_pay_micro) * detection
    return int(risked * _MILLI / gained) if gained else 10**9
