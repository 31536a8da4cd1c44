"""Why this module exists: kernels are compiled at their first use, which takes minutes on a busy machine and memory.

Set-up does it once, in a process of its own; afterwards kernels are read from numba's cache on disk. ``python -m
swarm.policy.exact_warm MODEL`` compiles what that model draws, checks and learns with.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine

_RULES = LearnRules(
    num_external=0,
    num_updates=2,
    learning_rate_nano=1,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=0,
    max_grad_norm_nano=1_000_000_000,
)


def compile_kernels(name_or_path: str | Path) -> None:
    """Draw, check and learn once with a model, at a temperature as well as without, with many rows and with few (which
    other kernels multiply), and learn once through adapters. Raises as ``ExactEngine.open``."""
    for temperature in (1.0, 0.7):
        engine = ExactEngine.open(name_or_path, _RULES, temperature=temperature)
        requests = [
            SampleRequest((ChatMessage("user", text),), seed)
            for text in ("1+1?", "What is 20 + 2?")
            for seed in range(24)
        ]
        sampling = Sampling(8, temperature)
        completions = engine.generate(requests, sampling)
        engine.generate(requests[:3], sampling)
        for number in (3, len(requests)):
            engine.replica(engine.parts()).first_differences(requests[:number], sampling, completions[:number])
        samples = [
            TrainSample(request.prompt, completion.tokens, 1.0 - number % 3)
            for number, (request, completion) in enumerate(zip(requests, completions, strict=True))
        ]
        engine.step(samples, 1)
        engine.step(samples[:1], 2)  # alone in its row, where attention is made of matrix products
    adapters = ExactEngine.open(name_or_path, msgspec.structs.replace(_RULES, lora_rank=2))
    adapters.step(samples, 1)


if __name__ == "__main__":
    compile_kernels(sys.argv[1])
