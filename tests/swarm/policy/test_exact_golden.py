"""One training step of the bundled model has one state and one rollout, whatever machine computes it.

The hashes are in ``verde/numerics/golden_engine.json``. A change of them is a new version of the arithmetic.
"""

import hashlib
import json
from pathlib import Path

import pytest
import torch

import verde.numerics
from protocol.run import LearnRules
from swarm.policy.base import ChatMessage, SampleRequest, Sampling, TrainSample
from swarm.policy.exact import ExactEngine
from verde.numerics import backend, tiling
from verde.numerics.place import portable_code

MODEL = Path(__file__).resolve().parents[3] / "models" / "tiny"
GOLDEN = json.loads((Path(verde.numerics.__file__).parent / "golden_engine.json").read_text(encoding="utf-8"))

RULES = LearnRules(
    num_external=0,
    num_updates=2,
    learning_rate_nano=1_000_000,
    epsilon_low_nano=200_000_000,
    epsilon_high_nano=280_000_000,
    delta_nano=4_000_000_000,
    beta_nano=0,
    weight_decay_nano=10_000_000,
    max_grad_norm_nano=1_000_000_000,
)
PROMPTS = [(ChatMessage("user", f"What is {number} + {7 * number}?" + " Think." * number),) for number in range(3)]
LENGTHS = (5, 9, 14, 1)
SETUPS = [
    *([("tiles", 1), ("tiles", 2)] if tiling.tiles_are_native() else []),
    *([("int8", 2)] if backend.int8_is_exact() else []),
    *[("fp64", 1), ("fp64", 2)],
]


def rollouts() -> list[TrainSample]:
    """Twelve of them: three groups, ids that follow from their places."""
    return [
        TrainSample(
            prompt,
            tuple((37 * number + 11 * sample + 5 * place * place) % 200 + 5 for place in range(length)),
            (1.5, -0.5, 0.25, -1.25)[sample],
        )
        for number, prompt in enumerate(PROMPTS)
        for sample, length in enumerate(LENGTHS)
    ]


def found(device: str = "cpu") -> dict[str, str]:
    """This machine's hashes: of the state after a step, and of what the engine then draws."""
    engine = ExactEngine.open(MODEL, RULES, device=device)
    report = engine.step(rollouts(), 5)
    assert report.num_updates == RULES.num_updates
    assert report.grad_norm > 0
    requests = [SampleRequest(prompt, 100 + number) for number, prompt in enumerate(PROMPTS)]
    drawn = [list(completion.tokens) for completion in engine.generate(requests, Sampling(12))]
    return {"state": str(engine.state_hash()), "drawn": hashlib.sha256(json.dumps(drawn).encode()).hexdigest()}


def test_the_code_of_devices_has_the_golden_hashes_too():
    with portable_code():
        assert found() == GOLDEN["hashes"]


@pytest.mark.parametrize(("route", "threads"), SETUPS)
def test_a_training_step_of_the_bundled_model_has_its_golden_hashes(route, threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with backend.use_route(route):
            assert found() == GOLDEN["hashes"]
    finally:
        torch.set_num_threads(before)
