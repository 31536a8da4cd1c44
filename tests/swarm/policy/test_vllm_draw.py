"""Drawing by vLLM, with a stand-in for it: a token is the seed's whatever library computes the distribution."""

import sys
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from protocol.errors import ConfigError
from swarm.policy.base import Sampling
from swarm.policy.native import NativeEngine
from swarm.policy.trl_engine import TrlEngine
from swarm.policy.trl_options import TrlOptions
from tests.swarm.policy.test_native import REQUESTS, RULES


@dataclass
class Params:
    temperature: float
    max_tokens: int
    stop_token_ids: list[int]
    detokenize: bool
    extra_args: dict[str, Any]


@dataclass
class Update:
    removed: list[int] = field(default_factory=list)
    added: list[tuple[int, Params, list[int], list[int]]] = field(default_factory=list)
    moved: list[tuple[int, int, Any]] = field(default_factory=list)


class StandIn:
    """As much of ``vllm.LLM`` as is used: one token of each request a step, rows moved up when one is done."""

    def __init__(self, model: str, dtype: str, gpu_memory_utilization: float, logits_processors: list[Any]) -> None:
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(model)
        self.processor = logits_processors[0](None, torch.device("cpu"), False)
        runner = SimpleNamespace(
            model=SimpleNamespace(load_weights=lambda pairs: self.model.load_state_dict(dict(pairs)))
        )
        self.llm_engine = SimpleNamespace(
            model_executor=SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
        )

    def reset_prefix_cache(self) -> None:
        pass

    def generate(self, prompts: list[Any], asked: list[Params], use_tqdm: bool) -> list[Any]:
        said: list[list[int]] = [[] for _ in prompts]
        rows = list(range(len(prompts)))
        self.processor.update_state(
            Update(added=[(row, asked[row], prompts[row]["prompt_token_ids"], said[row]) for row in rows])
        )
        while rows:
            with torch.no_grad():
                ids = [[*prompts[one]["prompt_token_ids"], *said[one]] for one in rows]
                logits = torch.stack([self.model(torch.tensor([row])).logits[0, -1] for row in ids])
            for one, token in zip(rows, self.processor.apply(logits).argmax(-1).tolist(), strict=True):
                said[one].append(token)
            done = [
                row
                for row, one in enumerate(rows)
                if said[one][-1] in asked[one].stop_token_ids or len(said[one]) == asked[one].max_tokens
            ]
            for row in reversed(done):
                last = len(rows) - 1
                moved = [(last, row, SimpleNamespace(name="UNIDIRECTIONAL"))] if row != last else []
                rows[row] = rows[last]
                rows.pop()
                self.processor.update_state(Update(removed=[row], moved=moved))
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=tokens)]) for tokens in said]


@pytest.fixture
def vllm(monkeypatch):
    package, inputs, processors = (ModuleType(f"vllm{end}") for end in ("", ".inputs", ".v1.sample.logits_processor"))
    package.LLM, package.SamplingParams = StandIn, Params
    package.__spec__ = SimpleNamespace()
    inputs.TokensPrompt = dict
    processors.LogitsProcessor = object
    for name, module in {
        "vllm": package,
        "vllm.inputs": inputs,
        "vllm.v1": ModuleType("vllm.v1"),
        "vllm.v1.sample": ModuleType("vllm.v1.sample"),
        "vllm.v1.sample.logits_processor": processors,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("sampling", [Sampling(8), Sampling(8, 0.7, 20), Sampling(8, 0.0)])
def test_it_draws_what_every_engine_draws_from_these_seeds(vllm, model_directory, sampling):
    engine = TrlEngine.with_options(TrlOptions(use_vllm=True)).open(model_directory, RULES)
    native = NativeEngine.open(model_directory, RULES)
    assert engine.generate(REQUESTS, sampling) == native.generate(REQUESTS, sampling)


def test_it_draws_from_the_weights_after_a_step(vllm, model_directory):
    engine = TrlEngine.with_options(TrlOptions(use_vllm=True)).open(model_directory, RULES)
    before = engine.generate(REQUESTS, Sampling(8))
    with torch.no_grad():
        for parameter in engine._state.parameters:
            parameter.mul_(0.5)
    native = NativeEngine.open(model_directory, RULES)
    for mine, theirs in zip(native._state.parameters, engine._state.parameters, strict=True):
        mine.data.copy_(theirs)
    after = engine.generate(REQUESTS, Sampling(8))
    assert after == native.generate(REQUESTS, Sampling(8)) != before


def test_where_it_is_asked_for_and_absent_nothing_starts(monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match="vLLM is not installed"):
        TrlEngine.with_options(TrlOptions(use_vllm=True))
