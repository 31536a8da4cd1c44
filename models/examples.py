"""Why this module exists: the bundled model learns the three stages from examples, and these are all of them.

Questions are the training side of the default task; held-out ones never appear. Every reply works column by column:

    345 + 278 =   ->   <think>345+278: 5+8=13 4+7+1=12 3+2+1=6</think><answer>623</answer>

**The examples are careless on purpose**: each carry is forgotten with probability ``FORGET`` (``4+7=11`` above, and
then 513 or 523 or 613), and what follows is consistent with that. A model of these examples forgets most carries, so
it is right mostly where there is none. Reinforcement learning has to find out that carrying pays.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

import msgspec

from protocol.ids import Stage
from rewards.scoring.format import NONE, parse
from swarm.game.prompts import Shown, answer_prompt, critique_prompt, decide_prompt
from swarm.policy.base import Prompt

FORGET = 0.65
"""How likely an example forgets a carry."""

SLIP = 0.1
"""How likely an answer that a prompt shows has one digit changed, so that critics meet more than one kind of error."""

MAX_PEERS = 8

_EXPRESSION = re.compile(r"([0-9]+) ([+-]) ([0-9]+) =$")


class Example(msgspec.Struct, frozen=True):
    """What is asked, in chat form, and what the model is taught to reply."""

    stage: Stage
    prompt: Prompt
    reply: str


def solve(question: str, remembers: Sequence[bool]) -> tuple[str, str]:
    """Work and answer. ``remembers[i]`` says whether the carry out of column i (units first) reaches the next one.

    A difference starts with its larger number, and gets its sign back at the end.
    """
    left, sign, right = _terms(question)
    high, low = (right, left) if sign == "-" and left < right else (left, right)
    width = max(len(str(high)), len(str(low)))
    steps, total, carry = [], 0, 0
    for place in range(width):
        top, bottom = high // 10**place % 10, low // 10**place % 10
        value = top + bottom + carry if sign == "+" else top - bottom - carry
        steps.append(f"{top}{sign}{bottom}{f'{sign}1' if carry else ''}={value}")
        is_first = place == width - 1
        total += (value if is_first and sign == "+" else value % 10) * 10**place
        carry = int(not 0 <= value <= 9 and remembers[place])
    answer = -total if high != left else total
    return f"{high}{sign}{low}: {' '.join(steps)}", str(answer)


def truth(question: str) -> str:
    return solve(question, (True,) * 32)[1]


def careless(question: str) -> str:
    """The answer of somebody who forgets every carry."""
    return solve(question, (False,) * 32)[1]


def make_example(stage: Stage, question: str, random: Random) -> Example:
    """One example of ``stage``: the prompt that the game would show, with peers as careless as the model will be."""
    if stage is Stage.ANSWER:
        return Example(stage, answer_prompt(question), _answer(question, random))
    labels = [chr(ord("A") + number) for number in range(_num_peers(random))]
    answers = [Shown(label, _peer(stage.ANSWER, _slip(_answer(question, random), random), random)) for label in labels]
    if stage is Stage.CRITIQUE:
        return Example(stage, critique_prompt(question, answers), _critique(question, answers, random))
    critiques = [Shown(label, _peer(stage.CRITIQUE, _critique(question, answers, random), random)) for label in labels]
    reply = f"<majority>{_most_picked(critiques)}</majority>{_answer(question, random)}"
    return Example(stage, decide_prompt(question, answers, critiques), reply)


def _answer(question: str, random: Random) -> str:
    work, answer = _work(question, random)
    return f"<think>{work}</think><answer>{answer}</answer>"


def _critique(question: str, answers: Sequence[Shown], random: Random) -> str:
    """The critic works the question itself and picks the first answer that equals its own."""
    work, own = _work(question, random)
    matching = [shown.label for shown in answers if _field(Stage.ANSWER, shown, "answer") == own]
    return f"<compare>{work} so {own}</compare><identify>{matching[0] if matching else NONE}</identify>"


def _work(question: str, random: Random) -> tuple[str, str]:
    return solve(question, [random.random() >= FORGET for _ in range(8)])


def _peer(stage: Stage, reply: str, random: Random) -> str | None:
    """``reply``, or now and then nobody, or nothing readable."""
    roll = random.random()
    return None if roll < 0.03 else f"<{stage.value}>" if roll < 0.05 else reply


def _slip(reply: str, random: Random) -> str:
    """``reply`` with one digit of its answer changed, with probability ``SLIP``."""
    if random.random() >= SLIP:
        return reply
    head, _, answer = reply.removesuffix("</answer>").rpartition(">")
    place = random.choice([place for place, character in enumerate(answer) if character.isdigit()])
    return f"{head}>{answer[:place]}{random.choice('0123456789')}{answer[place + 1 :]}</answer>"


def _most_picked(critiques: Sequence[Shown]) -> str:
    """The pick with most votes; of equal ones, the one that is read first."""
    picks = [pick for shown in critiques if (pick := _field(Stage.CRITIQUE, shown, "identify")) is not None]
    return max(picks, key=picks.count, default=NONE)


def _field(stage: Stage, shown: Shown, tag: str) -> str | None:
    return parse(stage, shown.text or "").fields.get(tag)


def _num_peers(random: Random) -> int:
    return random.choice((1, 2, 2, 3, 3, 3, 3, 3, 4, random.randint(4, MAX_PEERS)))


def _terms(question: str) -> tuple[int, str, int]:
    match = _EXPRESSION.search(question)
    if not match:
        raise ValueError(f"not a question of two terms: {question[-60:]!r}")
    return int(match[1]), match[2], int(match[3])
