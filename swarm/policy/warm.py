"""Why this module exists: compiling the exact engine's kernels takes a minute, which belongs to set-up, not to a round.

``python -m swarm.policy.warm`` does a little of everything that a peer does with the bundled model. numba keeps what it
compiled on disk; every later process loads it. Nothing depends on this: whatever is missing is compiled at first use.
"""

from __future__ import annotations

from pathlib import Path

from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine

_BUNDLED = Path(__file__).resolve().parents[2] / "models" / "tiny"
_RULES = LearnRules(
    num_external=0,
    num_updates=2,
    learning_rate_nano=1000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=0,
    max_grad_norm_nano=1_000_000_000,
)


def warm(num_prompts: int = 16, num_samples: int = 8) -> None:
    """Draw, check, train, ship and take up, with few and with many rows, greedily and not."""
    engine = ExactEngine.open(_BUNDLED, _RULES)
    prompts = [(ChatMessage("user", f"What is {number} + {17 * number}?"),) for number in range(num_prompts)]
    sampling = Sampling(max_new_tokens=16)
    requests = [SampleRequest(prompt, seed) for prompt in prompts for seed in range(num_samples)]
    drawn = engine.generate(requests, sampling)
    engine.generate(requests[:2], Sampling(max_new_tokens=4, temperature=0))
    replica = engine.replica(engine.parts())
    replica.first_differences(requests, sampling, drawn)
    replica.first_differences(requests[:3], sampling, drawn[:3])
    samples = [
        TrainSample(request.prompt, completion.tokens, 1.0 if number % 2 else -1.0)
        for number, (request, completion) in enumerate(zip(requests, drawn, strict=True))
    ]
    engine.step(samples, seed=1)
    engine.state_hash()


if __name__ == "__main__":
    warm()
