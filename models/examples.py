"""Why this module exists: the bundled model learns the three stages from examples, and these are all of them.

Questions are the training side of the default task; held-out ones never appear. Two habits are mixed on purpose:

    worked       column by column, right:  <think>345+278: 5+8=13 4+7+1=12 3+2+1=6</think><answer>623</answer>
    at a glance  forgets every carry:      <think>at a glance</think><answer>513</answer>

The model that comes out mostly glances. Reinforcement learning has to find out that working pays, and to make the
working more reliable. The shares are ``GLANCE_SHARE`` and are stated on the model card.
"""

from __future__ import annotations

import re
from random import Random

import msgspec

from models.tokenizer import GLANCE
from protocol.ids import Stage
from swarm.game.prompts import Shown, answer_prompt, critique_prompt, decide_prompt
from swarm.policy.base import Prompt

GLANCE_SHARE = 0.65
"""How many of the examples of each stage show the careless habit."""

MAX_PEERS = 8

_EXPRESSION = re.compile(r"([0-9]+) ([+-]) ([0-9]+) =$")


class Example(msgspec.Struct, frozen=True):
    """What is asked, in chat form, and what the model is taught to reply."""

    stage: Stage
    prompt: Prompt
    reply: str


def columns(question: str) -> str:
    """The worked solution: the sum restated (a difference larger number first), then its columns, units first."""
    left, sign, right = _terms(question)
    swapped = sign == "-" and left < right
    high, low = (right, left) if swapped else (left, right)
    steps, carry = [], 0
    for top, bottom in zip(_digits(high, low), _digits(low, high), strict=True):
        total = (top + bottom + carry) if sign == "+" else (top - bottom - carry)
        steps.append(f"{top}{sign}{bottom}{f'{sign}1' if carry else ''}={total}")
        carry = int(total > 9 or total < 0)
    return f"{high}{sign}{low}: {' '.join(steps)}"


def truth(question: str) -> str:
    left, sign, right = _terms(question)
    return str(left + right if sign == "+" else left - right)


def glance(question: str) -> str:
    """The answer of somebody who forgets every carry: right in about four of ten questions."""
    left, sign, right = _terms(question)
    high, low = max(left, right), min(left, right)
    total = 0
    pairs = list(zip(_digits(high, low), _digits(low, high), strict=True))
    for place, (top, bottom) in enumerate(pairs):
        value = top + bottom if sign == "+" else top - bottom
        is_first = place == len(pairs) - 1
        total += (value if is_first and sign == "+" else value % 10) * 10**place
    return str(-total if sign == "-" and left < right else total)


def make_example(stage: Stage, question: str, random: Random) -> Example:
    """One example of ``stage``: the prompt that the game would show, with other peers played by both habits."""
    worked = random.random() >= GLANCE_SHARE
    if stage is Stage.ANSWER:
        return Example(stage, answer_prompt(question), answer_reply(question, worked))
    labels = [chr(ord("A") + number) for number in range(_num_peers(random))]
    answers = [Shown(label, _peer_answer(question, random)) for label in labels]
    right = [shown.label for shown in answers if shown.text and f"<answer>{truth(question)}<" in shown.text]
    if stage is Stage.CRITIQUE:
        return Example(
            stage, critique_prompt(question, answers), critique_reply(question, labels, right, worked, random)
        )
    critiques = [Shown(label, _peer_critique(question, labels, right, random)) for label in labels]
    majority = _most_picked(critiques)
    if majority is None or not worked:
        majority = random.choice([*labels, "none"]) if majority is None or random.random() < 0.3 else majority
    reply = f"<majority>{majority}</majority>{answer_reply(question, worked)}"
    return Example(stage, decide_prompt(question, answers, critiques), reply)


def answer_reply(question: str, worked: bool) -> str:
    if worked:
        return f"<think>{columns(question)}</think><answer>{truth(question)}</answer>"
    return f"<think>{GLANCE}</think><answer>{glance(question)}</answer>"


def critique_reply(question: str, labels: list[str], right: list[str], worked: bool, random: Random) -> str:
    if worked:
        pick = right[0] if right else "none"
        return f"<compare>{columns(question)} so {truth(question)}</compare><identify>{pick}</identify>"
    pick = random.choice(labels) if random.random() < 0.9 else "none"
    return f"<compare>{GLANCE}</compare><identify>{pick}</identify>"


def _peer_answer(question: str, random: Random) -> str | None:
    roll = random.random()
    if roll < 0.03:
        return None
    if roll < 0.05:
        return "<think>"
    reply = answer_reply(question, worked=random.random() < 0.5)
    return _slip(reply, random) if random.random() < 0.2 else reply


def _slip(reply: str, random: Random) -> str:
    """``reply`` with one digit of its answer changed."""
    head, _, answer = reply.removesuffix("</answer>").rpartition(">")
    places = [place for place, character in enumerate(answer) if character.isdigit()]
    place = random.choice(places)
    return f"{head}>{answer[:place]}{random.choice('0123456789')}{answer[place + 1 :]}</answer>"


def _peer_critique(question: str, labels: list[str], right: list[str], random: Random) -> str | None:
    roll = random.random()
    if roll < 0.03:
        return None
    if roll < 0.05:
        return "<compare>"
    return critique_reply(question, labels, right, random.random() < 0.5, random)


def _most_picked(critiques: list[Shown]) -> str | None:
    """The pick with more votes than any other, in the critiques' own words."""
    picks = [
        shown.text.split("<identify>")[1].split("<")[0] for shown in critiques if shown.text and "<id" in shown.text
    ]
    ranked = sorted(set(picks), key=lambda pick: -picks.count(pick))
    if not ranked or (len(ranked) > 1 and picks.count(ranked[0]) == picks.count(ranked[1])):
        return None
    return ranked[0]


def _num_peers(random: Random) -> int:
    return random.choice((1, 2, 2, 3, 3, 3, 3, 3, 4, random.randint(4, MAX_PEERS)))


def _terms(question: str) -> tuple[int, str, int]:
    match = _EXPRESSION.search(question)
    if not match:
        raise ValueError(f"not a question of two terms: {question[-60:]!r}")
    return int(match[1]), match[2], int(match[3])


def _digits(number: int, other: int) -> list[int]:
    """Digits of ``number``, units first, as many as the longer of the two numbers has."""
    width = max(len(str(number)), len(str(other)))
    return [number // 10**place % 10 for place in range(width)]
