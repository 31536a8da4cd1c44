"""Layers that are computed twice instead of kept: the same training step, bit by bit."""

from __future__ import annotations

import pytest

from swarm.policy import exact
from swarm.policy.exact import ExactEngine
from swarm.policy.recompute import layers_of
from tests.swarm.policy.test_lora import RULES, learn
from tests.swarm.policy.test_lora import _rules as rules_with


@pytest.mark.parametrize("lora_rank", [RULES.lora_rank, 0])
def test_a_step_with_recomputed_layers_ends_in_the_same_state(model_directory, monkeypatch, lora_rank):
    rules = rules_with(lora_rank=lora_rank)
    plain = ExactEngine.open(model_directory, rules)
    report = learn(plain)
    calls: list[int] = []
    layer_type = type(layers_of(plain._loaded.model)[0])
    forward = layer_type.forward
    monkeypatch.setattr(layer_type, "forward", lambda self, *a, **k: (calls.append(1), forward(self, *a, **k))[1])
    monkeypatch.setattr(exact, "KEPT_ACTIVATIONS", 0)
    twice = ExactEngine.open(model_directory, rules)
    twice_report = learn(twice)
    assert calls
    assert (twice.state_hash(), twice_report) == (plain.state_hash(), report)
    assert twice.state_hash() != ExactEngine.open(model_directory, rules).state_hash()
