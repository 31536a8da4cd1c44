"""Why this module exists: what a peer did decides how far it is trusted, by integers that everybody computes alike.

Standing is 0 to 1000 thousandths and part of the ledger's rows:

    start 500      contributed       up by a twentieth of what is missing to 1000
                   missed a round    down by a twentieth
                   struck            halved
                   false verdict     halved     said match or mismatch, and the outcome is the opposite
                   vain verdict      down by a twentieth     could not get the data, and the others could

What it decides: who is drawn as auditor, attestor and holder, and how often (weight on the chain times standing, none
below ``EJECT_BELOW``); how often a peer's training step is replayed; whether anybody may have it ejected. It never
scales pay: work that was verified is worth the same, whoever did it.

**The way back.** Whoever was ejected enrols again (after ``barred_rounds`` for bad standing, and then has
``absence_rounds`` to mend it). Its row is kept, and every contribution lifts it: even from 0, three make it drawable
again, and fourteen bring it to where newcomers start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from chain.base import Member
from protocol.ids import PeerId
from protocol.messages import CreditRow, CreditTable

START = 500
FULL = 1000
EJECT_BELOW = 100
_STEP = 20

TOP = FULL - _STEP + 1
"""The highest standing that contributing leads to: from here on, a twentieth of what is missing is less than one."""


def after_contribution(standing: int) -> int:
    return standing + (FULL - standing) // _STEP


def after_absence(standing: int) -> int:
    """After a round that was recorded without a contribution of this member, or after a vain verdict."""
    return standing - standing // _STEP


def after_strike(standing: int) -> int:
    """After a contribution that was struck, or after a false verdict."""
    return standing // 2


def standings(table: CreditTable | None) -> dict[PeerId, int]:
    """Standing of everybody who has a row."""
    return {row.peer: row.standing_milli for row in table.rows} if table is not None else {}


def draw_weights(weights: Mapping[PeerId, int], table: CreditTable | None) -> dict[PeerId, int]:
    """How likely each may be drawn, for ``verde.draw``: weight on the chain times standing; who is below
    ``EJECT_BELOW`` is left out. ``weights``: of the round's members. ``table``: the latest recorded one."""
    known = standings(table)
    drawable = {peer: known.get(peer, START) for peer in weights}
    return {peer: weights[peer] * standing for peer, standing in drawable.items() if standing >= EJECT_BELOW}


def step_rate_ppm(base_ppm: int, standing: int) -> int:
    """How often the training step of a peer of this standing is replayed, in a million: ``base_ppm`` at full standing,
    and in inverse proportion below. Never above a million."""
    return min(1_000_000, base_ppm * FULL // max(standing, 1))


def newcomers(members: Iterable[Member], round: int, newcomer_rounds: int) -> frozenset[PeerId]:
    """Members that enrolled, first or again, less than ``newcomer_rounds`` ago."""
    return frozenset(member.peer for member in members if round - member.joined_round < newcomer_rounds)


class Fault(StrEnum):
    """Why a member may be ejected by anybody."""

    STANDING = "standing"  # repeated failures; barred for a while
    ABSENT = "absent"  # contributed to none of the last recorded rounds; may enrol again at once


def fault_of(
    row: CreditRow, settled_round: int, absence_rounds: int, joined_round: int = 0, readmitted_round: int = 0
) -> Fault | None:
    """Why the member with this row may be ejected after ``settled_round``, or ``None`` for one in good standing: the
    rule of the run's reputation contract.

    ``joined_round``: its absence counts from there. ``readmitted_round``: when it enrolled again after it was barred, 0
    if it never was; from then on it has ``absence_rounds`` to mend its standing.
    """
    may_mend = readmitted_round > 0 and settled_round <= readmitted_round + absence_rounds
    if row.standing_milli < EJECT_BELOW and not may_mend:
        return Fault.STANDING
    if max(row.last_round, joined_round) + absence_rounds < settled_round:
        return Fault.ABSENT
    return None
