"""Why this module exists: what a run's contracts enforce is fixed when the run is created, and this is the list.

Fields and their order are those of the contracts' ``Rules`` struct; seconds, counts, millionths of a token. Pure.
"""

from __future__ import annotations

import msgspec

from protocol.run import EconomyRules


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See ``protocol.run.EconomyRules`` for what each one means; ``round_s``: deadline of a round; ``start_members``:
    enrolled members that open round 1 at once; ``poster_s``: seconds after which twice as many may post a result."""

    round_s: int = 120
    start_members: int = 3
    absence_rounds: int = 10
    quorum_size: int = 48
    poster_s: int = 10
    epoch_rounds: int = 1
    challenge_s: int = 4
    dispute_s: int = 4
    unbonding_s: int = 300
    answer_s: int = 8
    barred_rounds: int = 10
    min_stake_micro: int = 10_000_000
    bond_micro: int = 10_000_000
    round_emission_micro: int = 100_000 * 10**6
    trace_s: int = 60
    move_s: int = 30
    dispute_bond_micro: int = 5_000_000


def rules_of(economics: EconomyRules, *, round_s: int, poster_s: int, start_members: int) -> Rules:
    """The part of a run's rules that its contracts enforce."""
    return Rules(
        round_s=round_s,
        start_members=start_members,
        absence_rounds=economics.absence_rounds,
        quorum_size=economics.quorum_size,
        poster_s=poster_s,
        epoch_rounds=economics.epoch_rounds,
        challenge_s=economics.challenge_s,
        dispute_s=economics.dispute_s,
        unbonding_s=economics.unbonding_s,
        answer_s=economics.answer_s,
        barred_rounds=economics.barred_rounds,
        min_stake_micro=economics.min_stake_micro,
        bond_micro=economics.bond_micro,
        round_emission_micro=economics.round_emission_micro,
        trace_s=economics.trace_s,
        move_s=economics.move_s,
        dispute_bond_micro=economics.dispute_bond_micro,
    )
