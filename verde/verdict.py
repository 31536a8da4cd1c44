"""Why this module exists: one liar must neither deny somebody's pay nor shield somebody's lie.

An auditor's accusation alone does nothing: the drawn attestors check it, and it counts when more than half of them find
the contribution guilty (different, or not to be had). Until then it is undecided. The decision tells, in turn, whose
verdict was right. Pure: the same verdicts give the same decision everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from protocol.ids import PeerId
from protocol.messages import Finding, Verdict
from verde.draw import Drawn


class Decision(StrEnum):
    """What becomes of a contribution that was to be checked."""

    CLEAR = "clear"  # nobody drawn accuses it, or the attestors do not find it
    UNDECIDED = "undecided"  # accused, and too few attestors have spoken
    GUILTY = "guilty"  # accused, and most attestors find it, too


def votes(verdicts: Iterable[Verdict]) -> dict[PeerId, Verdict]:
    """One verdict per peer on a contribution; of who signed two different ones none counts."""
    found: dict[PeerId, set[Verdict]] = {}
    for verdict in verdicts:
        found.setdefault(verdict.by, set()).add(verdict)
    return {peer: next(iter(said)) for peer, said in found.items() if len(said) == 1}


def accusers(drawn: Drawn, verdicts: Iterable[Verdict]) -> tuple[PeerId, ...]:
    """Drawn auditors whose verdict is not a match, sorted."""
    return tuple(
        sorted(
            peer
            for peer, verdict in votes(verdicts).items()
            if peer in drawn.auditors and verdict.finding is not Finding.MATCH
        )
    )


def decide(drawn: Drawn, verdicts: Iterable[Verdict]) -> Decision:
    """The decision on one contribution, from the verdicts that count (all of them on this contribution)."""
    said = list(verdicts)
    if not accusers(drawn, said):
        return Decision.CLEAR
    by_attestor = [verdict for peer, verdict in votes(said).items() if peer in drawn.attestors]
    guilty = sum(verdict.finding is not Finding.MATCH for verdict in by_attestor)
    needed = len(drawn.attestors) // 2 + 1
    if guilty >= needed:
        return Decision.GUILTY
    silent = len(drawn.attestors) - len(by_attestor)
    return Decision.UNDECIDED if guilty + silent >= needed else Decision.CLEAR


class Merit(StrEnum):
    """What a verdict was worth, once its contribution is decided."""

    RIGHT = "right"  # it agrees with the outcome
    FALSE = "false"  # it was done again, and the opposite came out: arithmetic is exact, so this is no accident
    VAIN = "vain"  # it could not get what the others could


_MERITS = {
    (Finding.MATCH, Finding.MATCH): Merit.RIGHT,
    (Finding.MISMATCH, Finding.MISMATCH): Merit.RIGHT,
    (Finding.UNAVAILABLE, Finding.UNAVAILABLE): Merit.RIGHT,
    (Finding.MATCH, Finding.MISMATCH): Merit.FALSE,
    (Finding.MISMATCH, Finding.MATCH): Merit.FALSE,
    (Finding.UNAVAILABLE, Finding.MATCH): Merit.VAIN,
}
"""By what was said and what came out. Where the data are not to be had, who got them and found something is neither
right nor wrong; and who could not get what was found to be different did no harm."""


def merits(drawn: Drawn, verdicts: Iterable[Verdict], *, is_doubted: bool = False) -> dict[PeerId, Merit]:
    """What the verdicts on one contribution were worth; none of them while it is undecided.

    Attestors count where an auditor accuses, or a verdict is said to be made up (``is_doubted``): unasked, their word
    is neither needed nor paid.
    """
    said = list(verdicts)
    decision = decide(drawn, said)
    if decision is Decision.UNDECIDED:
        return {}
    counting = votes(said)
    asked = {*drawn.auditors, *(drawn.attestors if is_doubted or accusers(drawn, said) else ())}
    outcome = Finding.MATCH if decision is Decision.CLEAR else _found(drawn, counting.values())
    worth = {peer: _MERITS.get((verdict.finding, outcome)) for peer, verdict in counting.items() if peer in asked}
    return {peer: merit for peer, merit in sorted(worth.items()) if merit is not None}


def _found(drawn: Drawn, verdicts: Iterable[Verdict]) -> Finding:
    """What most of the attestors that find a contribution guilty say; in doubt, that it is not to be had."""
    said = [verdict.finding for verdict in verdicts if verdict.by in drawn.attestors]
    is_different = said.count(Finding.MISMATCH) > said.count(Finding.UNAVAILABLE)
    return Finding.MISMATCH if is_different else Finding.UNAVAILABLE
