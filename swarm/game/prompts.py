"""Why this module exists: what a peer is asked in each stage, in words that a tiny model and a large one both follow.

Prompts are pooled: they name answers by label, own and others' alike, so that every peer that received the same batches
has the very same prompt. Peers' words enter only through ``plain`` and with a length cap, each on a line of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from protocol.codec import content_id_of
from protocol.ids import ContentId, Stage
from rewards.scoring.format import parse
from rewards.scoring.plain import plain
from swarm.policy.base import ChatMessage, Prompt

ANSWER_RULES = (
    "You are in a study group. Solve the problem. "
    "Reply with <think>your working</think><answer>the final answer only</answer>."
)
CRITIQUE_RULES = (
    "You are in a study group. Check the answers. "
    "Reply with <compare>your check</compare><identify>the letter of a right answer, or none</identify>."
)
DECIDE_RULES = (
    "You are in a study group. Weigh the critiques, then solve the problem. "
    "Reply with <majority>the letter that most critiques picked, or none</majority>"
    "<think>your working</think><answer>the final answer only</answer>."
)
ANSWERS_HEADING = "Answers:"
CRITIQUES_HEADING = "Critiques:"
ABSENT = "(absent)"
UNREADABLE = "(unreadable)"

RESULT_CAP = 240
"""UTF-8 bytes of a peer's final answer that others are shown (the longest truth of a family in use fits)."""

WORKING_CAP = 240
"""UTF-8 bytes of a peer's working that others are shown. Bytes, because a rare character can be a token a byte: counted
in characters, one peer's emoji could push everybody's prompt out of the model's context."""


class Shown(msgspec.Struct, frozen=True):
    """What one peer is shown to have said. ``text``: its whole completion, as received; ``None``: absent."""

    label: str
    text: str | None


def answer_prompt(question: str) -> Prompt:
    """Stage one: the question alone."""
    return _chat(ANSWER_RULES, question)


def critique_prompt(question: str, answers: Sequence[Shown]) -> Prompt:
    """Stage two: the question and everybody's answer with its working, in label order."""
    lines = [question, ANSWERS_HEADING, *(_answer_line(shown, with_working=True) for shown in answers)]
    return _chat(CRITIQUE_RULES, "\n".join(lines))


def decide_prompt(question: str, answers: Sequence[Shown], critiques: Sequence[Shown]) -> Prompt:
    """Stage three: the question, everybody's final answer, and everybody's critique with its reasons."""
    lines = [question, ANSWERS_HEADING, *(_answer_line(shown, with_working=False) for shown in answers)]
    lines += [CRITIQUES_HEADING, *(_critique_line(shown) for shown in critiques)]
    return _chat(DECIDE_RULES, "\n".join(lines))


def prompt_id(prompt: Prompt) -> ContentId:
    """Content id of the chat messages; equal prompts pool their completions into one group."""
    return content_id_of(prompt)


def _chat(rules: str, user: str) -> Prompt:
    return (ChatMessage(role="system", content=rules), ChatMessage(role="user", content=user))


def _answer_line(shown: Shown, *, with_working: bool) -> str:
    if shown.text is None:
        return f"{shown.label}: {ABSENT}"
    fields = parse(Stage.ANSWER, shown.text).fields
    if "answer" not in fields:
        return f"{shown.label}: {UNREADABLE}"
    working = _capped(fields.get("think", ""), WORKING_CAP) if with_working else ""
    return f"{shown.label}: {_capped(fields['answer'], RESULT_CAP)}{f' ({working})' if working else ''}"


def _critique_line(shown: Shown) -> str:
    if shown.text is None:
        return f"{shown.label}: {ABSENT}"
    fields = parse(Stage.CRITIQUE, shown.text).fields
    if "identify" not in fields:
        return f"{shown.label}: {UNREADABLE}"
    reasons = _capped(fields.get("compare", ""), WORKING_CAP)
    return f"{shown.label}: {_capped(fields['identify'], 40)}{f' ({reasons})' if reasons else ''}"


def _capped(text: str, cap: int) -> str:
    """``text`` as a plain line of at most ``cap`` bytes, the mark of a cut (two bytes more than a letter) aside."""
    line = plain(text, cap)
    if len(line.encode()) <= cap + 2:
        return line
    return line.encode()[: cap - 1].decode(errors="ignore") + "…"


def longest_sequence(answer_tokens: int, critique_tokens: int, decide_tokens: int) -> int:
    """Tokens of the longest prompt of a round with its completion, about: a decision is asked under everybody's shown
    answer and critique, of which ``NUM_SHOWN_TYPICALLY`` are the rule."""
    asked = QUESTION_TOKENS + NUM_SHOWN_TYPICALLY * (answer_tokens + critique_tokens)
    return asked + decide_tokens


QUESTION_TOKENS = 200
"""Of the rules of a stage and a question, about."""

NUM_SHOWN_TYPICALLY = 3
