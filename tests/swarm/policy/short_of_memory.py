"""Why this module exists: memory must really run out for a test of what happens then, and that takes a process.

Run as a script: draws and trains with the bundled model, first freely, then with the address space nailed to what it
has plus a little. The last line is what happened, as JSON.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from pathlib import Path

import psutil

from protocol.errors import OutOfMemory
from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from swarm.policy.generate import Limits
from swarm.policy.load import load_model

RULES = LearnRules(2, 1, 1000, 200_000_000, 200_000_000, 0, 0, 0, 10**9)
TINY = Path(__file__).parents[3] / "models" / "tiny"
SPARE_DRAWING, SPARE_TRAINING = 4 << 20, 1 << 20
"""Bytes beyond what the process has: large batches want more than the first, a step more than the second."""


def main() -> None:
    roomy = Limits(max_cache_bytes=1 << 30, max_pass_bytes=1 << 30)
    engine = ExactEngine(load_model(TINY), RULES, limits=roomy)
    prompts = [(ChatMessage("user", f"What is {number} + {7 * number}?"),) for number in range(20)]
    requests = [SampleRequest(prompt, 100 * row + seed) for row, prompt in enumerate(prompts) for seed in range(32)]
    sampling = Sampling(16)
    freely = engine.generate(requests, sampling)
    samples = [
        TrainSample(request.prompt, completion.tokens, 1.0 if number % 2 else -1.0)
        for number, (request, completion) in enumerate(zip(requests, freely, strict=True))
    ]
    many, samples = samples, samples[:16]  # what was trained on once finds its memory again, so the other is larger
    place = Path(sys.argv[1])
    before = engine.state_hash()
    engine.save(place)
    engine.step(samples, 1)
    trained_freely = engine.state_hash()
    engine.load(place)
    shrunk: list[float] = []
    engine.on_shrink = shrunk.append
    nail(SPARE_DRAWING)
    narrowly = engine.generate(requests, sampling)
    nail(SPARE_TRAINING)
    try:
        engine.step(many, 1)
        refused = ""
    except OutOfMemory as error:
        refused = error.what
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    engine.load(place)
    restored = engine.state_hash() == before
    engine.step(samples, 1)
    told = {"same_completions": narrowly == freely, "shrunk": shrunk, "refused": refused, "restored": restored}
    print(json.dumps(told | {"same_step": engine.state_hash() == trained_freely}))


def nail(spare: int) -> None:
    """From now on this process gets ``spare`` bytes more than it has."""
    gc.collect()
    limit = psutil.Process().memory_info().vms + spare
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
