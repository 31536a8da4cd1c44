"""What a round asks and how long it takes: arithmetic that errs on the side of too long."""

import msgspec
import pytest

from protocol.run import GameRules
from swarm.game.prompts import QUESTION_TOKENS
from swarm.policy.fake import FakeEngine
from swarm.policy.pace import Need, Speed, asked, is_light, need
from swarm.policy.trial import LONG_ENOUGH_S, TRIED_TOKENS, measure
from swarm.settings.config import load_settings

GAME = GameRules(10, 4, 50, 60, 70, 1000, 8)
BUNDLED = 631_680


def test_a_round_asks_for_whole_prompts_and_the_longest_completions():
    work = asked(GAME, num_external=6)
    prompts = (QUESTION_TOKENS, QUESTION_TOKENS + 3 * 50, QUESTION_TOKENS + 3 * 110)
    assert work.read == tuple(10 * prompt for prompt in prompts)
    assert work.drawn == (2000, 2400, 2800)
    assert work.trained == 10 * (sum(prompts) + (4 + 6) * 180)
    assert asked(GAME, 6, 100).read[1] == 10 * (QUESTION_TOKENS + 8 * 50), "a cohort of eight, however many play"
    assert asked(GAME, 100).trained == 10 * (sum(prompts) + (4 + 2 * 4) * 180), "others have no more to share"


def test_what_it_takes_is_the_slowest_stage_and_the_step_for_as_many_as_share_the_machine():
    work = asked(GAME, 6)
    alone = need(work, Speed(read=100.0, drawn=10.0, trained=50.0))
    assert alone.stage_s == pytest.approx(work.read[2] / 100 + work.drawn[2] / 10)
    assert alone.train_s == pytest.approx(work.trained / 50)
    assert need(work, Speed(100.0, 10.0, 50.0), 1.5) == Need(1.5 * alone.stage_s, 1.5 * alone.train_s)
    assert need(work, Speed(100.0, 10.0, 50.0, step_s=7.0)).train_s == pytest.approx(alone.train_s + 7.0)


def test_the_default_game_of_the_bundled_model_is_light_and_a_real_model_is_not():
    chosen = load_settings("local")
    game = GameRules(temperature_milli=1000, **chosen.game.model_dump(exclude={"temperature"}))
    work = asked(game, chosen.learn.num_external, 3)
    assert is_light(BUNDLED, work)
    assert is_light(BUNDLED, asked(game, chosen.learn.num_external, 8))
    assert not is_light(135_000_000, work)
    assert not is_light(BUNDLED, asked(msgspec.structs.replace(game, num_questions=512), 8))


class Timed:
    """A fake engine that takes the time that a model of this speed would, by a clock of its own."""

    def __init__(self, speed: Speed, step_s: float = 0.0) -> None:
        self._step_s = step_s
        self.at_s, self._speed, self._engine = 0.0, speed, FakeEngine(lambda prompt, seed: "x" * 100)
        self.calls = []

    def length_of(self, prompt):
        return len(prompt[0].content) // 4

    def generate(self, requests, sampling):
        made = self._engine.generate(requests, sampling)
        distinct = {request.prompt for request in requests}
        self._work("read", sum(map(self.length_of, distinct)), self._speed.read)
        if sampling.max_new_tokens > 1:
            self._work("drawn", sum(len(one.tokens) for one in made), self._speed.drawn)
        return made

    def step(self, samples, seed):
        prompts = {one.prompt for one in samples}
        tokens = sum(map(self.length_of, prompts)) + sum(len(one.tokens) for one in samples)
        self._work("trained", tokens, self._speed.trained)
        self.at_s += self._step_s
        return self._engine.step(samples, seed)

    def _work(self, kind, tokens, rate):
        self.calls.append((kind, tokens))
        self.at_s += tokens / rate


@pytest.mark.parametrize("speed", [Speed(5.0, 2.0, 1.0), Speed(900.0, 300.0, 100.0), Speed(1e6, 1e6, 1e6)])
def test_a_speed_is_found_whatever_it_is_and_never_taken_for_more_than_it_is(speed):
    engine = Timed(speed)
    found = measure(engine, engine.length_of, GAME, 4, lambda: engine.at_s)
    assert found.read == pytest.approx(speed.read)
    assert found.trained == pytest.approx(speed.trained)
    assert found.drawn == pytest.approx(speed.drawn, rel=0.05)
    slowest = max(tokens for _, tokens in engine.calls) / min(speed.read, speed.drawn, speed.trained)
    assert engine.at_s < 12 * max(LONG_ENOUGH_S, slowest)


def test_what_a_step_costs_however_small_it_is_does_not_make_the_rest_look_slow():
    engine = Timed(Speed(900.0, 300.0, 100.0), step_s=30.0)
    found = measure(engine, engine.length_of, GAME, 4, lambda: engine.at_s)
    assert found.step_s > 30.0
    assert found.trained <= 100.0
    assert need(asked(GAME, 6), found).train_s < 3 * (30.0 + asked(GAME, 6).trained / 100.0)


def test_a_slow_model_is_tried_with_two_questions_and_a_quick_one_with_all():
    slow, quick = Timed(Speed(5.0, 2.0, 1.0)), Timed(Speed(1e6, 1e6, 1e6))
    for engine in (slow, quick):
        measure(engine, engine.length_of, GAME, 4, lambda engine=engine: engine.at_s)
    drawn = GAME.num_samples * TRIED_TOKENS
    assert max(size for kind, size in slow.calls if kind == "drawn") == 2 * drawn
    assert max(size for kind, size in quick.calls if kind == "drawn") == GAME.num_questions * drawn
    trained = [[size for kind, size in engine.calls if kind == "trained"] for engine in (slow, quick)]
    assert trained[0][2] == pytest.approx(2 * trained[0][1], rel=0.1), "one group an update, then two"
    assert (len(trained[0]), max(trained[1])) == (3, pytest.approx(10 * trained[0][1], rel=0.1))
