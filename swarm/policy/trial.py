"""Why this module exists: how fast a model is on a machine is measured with the model, before a run's times are fixed.

A little of each kind of work is done with the run's own lengths and group size, more and more of it until it takes long
enough to be timed. What does not grow with the work (weights that are cut up anew after a step) is told apart as far as
two trials can tell. The state of the engine changes: it is to be thrown away.
"""

from __future__ import annotations

from collections.abc import Callable

from protocol.run import GameRules
from swarm.game.prompts import QUESTION_TOKENS
from swarm.policy.base import ChatMessage, Engine, Prompt, SampleRequest, Sampling, TrainSample
from swarm.policy.pace import Speed

LONG_ENOUGH_S = 2.0
"""Seconds that the last, largest trial of a kind takes at least, unless it is as much as a round asks."""

TRIED_TOKENS = 16
"""Tokens of each completion at most: the rest of a long one takes as long a token, or a little more."""

CLEARLY = 1.5
"""How many times as long as the smallest trial the largest takes."""

SHORT_PROMPT, FEW_SAMPLES = 50, 4
"""Of the groups of a trial lesson: a small one shows as well what a token costs."""

LEAST_SHARE = 0.25
"""Of a trial's time that is its own at least, whatever else is known to be in it."""

Length = Callable[[Prompt], int]


def measure(engine: Engine, length_of: Length, game: GameRules, num_updates: int, now: Callable[[], float]) -> Speed:
    """The speed of ``engine``; ``length_of``: tokens of a prompt; ``num_updates``: of a training step, each of which
    has a group at least; ``now``: a clock in seconds.

    Raises what the engine raises, ``OutOfMemory`` above all."""
    temperature, most = game.temperature_milli / 1000, game.num_questions
    sampling = Sampling(min(TRIED_TOKENS, max(game.answer_tokens, game.decide_tokens)), temperature)
    tokens = _warm_up(engine, sampling)
    prompts = [_prompt(number, length_of) for number in range(most)]

    def read(count: int) -> int:
        engine.generate([SampleRequest(prompt, 0) for prompt in prompts[:count]], Sampling(1, temperature))
        return sum(map(length_of, prompts[:count]))

    def draw(count: int) -> int:
        requests = [SampleRequest(prompt, seed) for prompt in prompts[:count] for seed in range(game.num_samples)]
        return sum(len(one.tokens) for one in engine.generate(requests, sampling))

    def train(count: int) -> int:
        asked = [_prompt(number, length_of, SHORT_PROMPT) for number in range(count * num_updates)]
        samples = min(game.num_samples, FEW_SAMPLES)
        lesson = [TrainSample(prompt, tokens, 1.0 - 2 * (number % 2)) for prompt in asked for number in range(samples)]
        engine.step(lesson, 1)
        return sum(map(length_of, asked)) + len(lesson) * len(tokens)

    reading, _ = _rate(read, most, now)
    prompt_s = length_of(prompts[0]) / reading
    drawing, _ = _rate(draw, most, now, besides_s=prompt_s)
    training, step_s = _rate(train, max(2, most), now)
    return Speed(read=reading, drawn=drawing, trained=training, step_s=step_s)


def _warm_up(engine: Engine, sampling: Sampling) -> tuple[int, ...]:
    """Compile what is compiled at its first use; returns tokens to learn from, as many as are drawn."""
    prompt = (ChatMessage("user", "1+1?"),)
    two = [SampleRequest(prompt, seed) for seed in range(2)]
    first, second = engine.generate(two, Sampling(2, sampling.temperature))
    engine.step([TrainSample(prompt, first.tokens, 1.0), TrainSample(prompt, second.tokens, -1.0)], 1)
    engine.generate(two, Sampling(2, sampling.temperature))  # the first draw after a step prepares the new weights
    return (first.tokens * sampling.max_new_tokens)[: sampling.max_new_tokens]


def _rate(
    work: Callable[[int], int], most: int, now: Callable[[], float], besides_s: float = 0.0
) -> tuple[float, float]:
    """Tokens a second by which the largest trial exceeds the smallest, and seconds of the smallest.

    Twice as much is tried each time, until it takes long enough, and clearly longer than the smallest. ``besides_s``:
    what of the time, for each question, is known to go to something else. Noise can make a rate look three times as
    high as the largest trial's own, and no higher."""

    def trial(count: int) -> tuple[int, float, float]:
        started_at = now()
        tokens = work(count)
        took_s = now() - started_at
        return tokens, max(took_s - count * besides_s, took_s * LEAST_SHARE, 1e-6), took_s

    first_tokens, first_s, spent_s = trial(1)
    count, tokens, took_s = 1, first_tokens, first_s
    while count < most and (count == 1 or spent_s < LONG_ENOUGH_S or took_s < CLEARLY * first_s):
        count = min(most, 4 * count if spent_s < LONG_ENOUGH_S / 8 else 2 * count)
        tokens, took_s, spent_s = trial(count)
    whole = tokens / took_s
    more_s = took_s - first_s
    return (min(3 * whole, (tokens - first_tokens) / more_s) if more_s > 0 else whole), first_s


def _prompt(number: int, length_of: Length, length: int = QUESTION_TOKENS) -> Prompt:
    """A prompt of about so many tokens; each number has its own."""
    text = f"Question {number}."
    while length_of((ChatMessage("user", text),)) < length:
        text += f" How much is {number} and {len(text)}, and why?"
    return (ChatMessage("user", text),)
