"""Why this module exists: what a completion of each stage is worth, the same for everyone who re-scores it.

    answer    800 correct                                              + 200 format
    critique  500 picks a right answer, or rightly says none is right  + 300 quality of the picked one   + 200 format
    decide    600 correct    200 agrees with the critiques' majority, where that majority is right       + 200 format

Weights are thousandths of a stage score; each criterion is worth 0 to 1000 milli. A run may give the form another
weight and some to length (``Weights``); the others share what is left in the same proportions. Whether an answer is
right comes from ``judge`` (task and seed), who answered what from the batches: nothing is read back out of a prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec

from protocol.ids import Stage
from rewards.scoring.format import NONE, parse, read_pick
from rewards.scoring.plain import plain

SCORING_VERSION = "1"
"""Changes whenever the same completion would get another stage score."""

FULL = 1000

Judge = Callable[[str], int]
"""An answer to the question at hand -> 0 to 1000 milli. Raises ``Undecided`` only."""


class Undecided(Exception):
    """This machine could not find out what an answer is worth. That says nothing about the answer."""


class Judged(int):
    """Milli that say why, in one line for a person: ``takes longer than 4 s``."""

    why: str

    def __new__(cls, milli: int, why: str = "") -> Judged:
        judged = super().__new__(cls, milli)
        judged.why = why
        return judged


Shown = Mapping[str, str | None]
"""Label -> the whole completion that was shown under it; ``None`` where that peer was absent."""


class Weights(msgspec.Struct, frozen=True):
    """Thousandths of a score for keeping to the form, and for being right and short."""

    format_milli: int = 200
    length_milli: int = 0

    @property
    def rest(self) -> int:
        return FULL - self.format_milli - self.length_milli


DEFAULT_WEIGHTS = Weights()


def brevity_milli(num_tokens: int, limit: int, free_milli: int) -> int:
    """1000 up to ``free_milli`` thousandths of ``limit`` tokens, 0 at the limit, and evenly less between."""
    free = limit * free_milli // FULL
    if num_tokens <= free:
        return FULL
    return FULL * max(0, limit - num_tokens) // (limit - free)


class StageScore(msgspec.Struct, frozen=True):
    """``correct``: the answer is right, or the critique picked rightly. ``why``: one plain line for a person.
    ``undecided``: this machine could not find out; the score is 0 and means nothing."""

    score_milli: int
    correct: bool
    format_milli: int
    why: str
    undecided: bool = False


def score_answer(text: str, judge: Judge, weights: Weights = DEFAULT_WEIGHTS, brevity: int = FULL) -> StageScore:
    """Score of an ``answer`` completion; ``brevity``: its ``brevity_milli``."""
    parsed = parse(Stage.ANSWER, text)
    answer = parsed.fields.get("answer")
    correctness = judge(answer) if answer is not None else 0
    score = _weighted(weights, brevity, correctness, parsed.format_milli, (weights.rest, correctness))
    return StageScore(
        score, correctness == FULL, parsed.format_milli, _why(_verdict(answer, correctness), parsed.format_milli)
    )


def score_critique(
    text: str, shown: Shown, judge: Judge, weights: Weights = DEFAULT_WEIGHTS, brevity: int = FULL
) -> StageScore:
    """Score of a ``critique`` completion, given what its prompt showed. A pick of an absent peer is worth nothing."""
    parsed = parse(Stage.CRITIQUE, text)
    pick = read_pick(parsed.fields.get("identify"))
    values = {label: answer_value(answer, judge) for label, answer in shown.items() if answer is not None}
    if pick == NONE:
        is_right = FULL not in values.values()
        picked, quality = FULL * is_right, FULL * is_right
        what = "rightly says that none is right" if is_right else "says none, but one is right"
    elif pick in values:
        picked, quality = values[pick], score_answer(shown[pick] or "", judge, weights).score_milli
        is_right = picked == FULL
        what = f"picks {pick}, which is {'right' if is_right else 'wrong'}"
    else:
        picked, quality, is_right = 0, 0, False
        what = "picks no answer that was shown"
    for_pick = weights.rest * 5 // 8
    parts = ((for_pick, picked), (weights.rest - for_pick, quality))
    score = _weighted(weights, brevity, picked, parsed.format_milli, *parts)
    return StageScore(score, is_right, parsed.format_milli, _why(what, parsed.format_milli))


def score_decide(
    text: str,
    majority: frozenset[str] | None,
    judge: Judge,
    weights: Weights = DEFAULT_WEIGHTS,
    brevity: int = FULL,
) -> StageScore:
    """Score of a ``decide`` completion. ``majority``: ``majority_of`` the critiques that its prompt showed."""
    parsed = parse(Stage.DECIDE, text)
    answer = parsed.fields.get("answer")
    correctness = judge(answer) if answer is not None else 0
    agrees = majority is not None and read_pick(parsed.fields.get("majority")) in majority
    for_answer = weights.rest * 3 // 4
    criteria = ((for_answer, correctness), (weights.rest - for_answer, FULL * agrees))
    score = _weighted(weights, brevity, correctness, parsed.format_milli, *criteria)
    parts = [_verdict(answer, correctness)]
    if majority is not None:
        parts.append("sides with the majority" if agrees else "misses the majority")
    return StageScore(score, correctness == FULL, parsed.format_milli, _why(", ".join(parts), parsed.format_milli))


def majority_of(critiques: Sequence[str], shown: Shown, judge: Judge) -> frozenset[str] | None:
    """The labels (or ``NONE``) that a decision may name to side with the critiques' majority.

    ``None`` when there is no such side: no pick has more votes than every other, or the one that has is wrong. Votes
    for two labels that hold the same answer count together, since the labels differ but the opinion does not.
    """
    keys = {label: _answer_key(answer) for label, answer in shown.items() if answer is not None}
    votes: Counter[str | tuple[str]] = Counter()
    for critique in critiques:
        pick = read_pick(parse(Stage.CRITIQUE, critique).fields.get("identify"))
        if pick == NONE:
            votes[NONE] += 1
        elif pick in keys and keys[pick] is not None:
            votes[(keys[pick] or "",)] += 1
    ranked = votes.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    winner = ranked[0][0]
    values = {label: answer_value(answer, judge) for label, answer in shown.items() if answer is not None}
    if winner == NONE:
        return frozenset({NONE}) if FULL not in values.values() else None
    labels = frozenset(label for label, key in keys.items() if key is not None and (key,) == winner)
    return labels if any(values[label] == FULL for label in labels) else None


def answer_value(text: str, judge: Judge) -> int:
    """Milli that the answer inside an ``answer`` completion is worth, its form aside."""
    answer = parse(Stage.ANSWER, text).fields.get("answer")
    return judge(answer) if answer is not None else 0


def _answer_key(text: str | None) -> str | None:
    answer = parse(Stage.ANSWER, text or "").fields.get("answer")
    return " ".join(answer.split()).casefold() if answer is not None else None


def _weighted(weights: Weights, brevity: int, right: int, form: int, *criteria: tuple[int, int]) -> int:
    total = weights.format_milli * form + weights.length_milli * (right * brevity // FULL)
    return (total + sum(weight * value for weight, value in criteria)) // FULL


def _verdict(answer: str | None, correctness: int) -> str:
    if answer is None:
        return "gives no answer"
    word = "right" if correctness == FULL else "partly right" if correctness else "wrong"
    reason = getattr(correctness, "why", "")
    return f"{plain(answer, 40) or 'an empty answer'} is {word}" + (f": {plain(reason, 120)}" if reason else "")


def _why(what: str, format_milli: int) -> str:
    return what if format_milli == FULL else f"{what}; form {format_milli // 10} %"
