"""Honest work is never accused: many rollouts and steps, checked by other routes and thread counts than made them."""

import itertools
from contextlib import contextmanager

import pytest
import torch

from swarm.policy.base import SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from tests.swarm.policy.test_exact import PROMPTS, RULES
from verde.numerics import backend
from verde.numerics.backend import use_route

FEW, MANY = (160, 4), (2000, 50)
counts = pytest.mark.parametrize(("num_rollouts", "num_steps"), [FEW, pytest.param(*MANY, marks=pytest.mark.slow)])


def settings():
    """Every route of this machine with one, two and three threads, over and over."""
    routes = dict.fromkeys([backend.probed_route().name, "int8", "fp64"])
    exact_routes = [name for name in routes if name != "int8" or backend.int8_is_exact()]
    return itertools.cycle(itertools.product(exact_routes, (1, 2, 3)))


@contextmanager
def computing(route, num_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with use_route(route):
            yield
    finally:
        torch.set_num_threads(before)


@counts
def test_no_honest_rollout_is_accused(model_directory, num_rollouts, num_steps):
    engine, others = ExactEngine.open(model_directory, RULES), settings()
    samplings = itertools.cycle([Sampling(24), Sampling(17, 0.8), Sampling(9, 1.2, 11)])
    checked = 0
    while checked < num_rollouts:
        sampling = next(samplings)
        requests = [
            SampleRequest(prompt, 1000 * checked + 10 * number + k)
            for number, prompt in enumerate(PROMPTS)
            for k in range(5)
        ]
        with computing(*next(others)):
            completions = engine.generate(requests, sampling)
        with computing(*next(others)):
            assert engine.first_differences(requests, sampling, completions) == [None] * len(requests)
        checked += len(requests)


@counts
def test_no_honest_step_is_accused(model_directory, num_rollouts, num_steps):
    engine, others = ExactEngine.open(model_directory, RULES), settings()
    for step in range(num_steps):
        requests = [SampleRequest(prompt, 100 * step + k) for prompt in PROMPTS for k in range(3)]
        completions = engine.generate(requests, Sampling(8))
        samples = [
            TrainSample(request.prompt, completion.tokens, (1.0, -0.5, -0.25)[number % 3])
            for number, (request, completion) in enumerate(zip(requests, completions, strict=True))
        ]
        before = engine.parts()
        with computing(*next(others)):
            engine.step(samples, step)
        with computing(*next(others)):
            auditor = engine.replica(before)
            auditor.step(samples, step)
        assert auditor.state_hash() == engine.state_hash()
