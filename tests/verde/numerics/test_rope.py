"""Rotary tables come from the configuration and from integers, never from the machine that made the model."""

import pytest
import torch
from torch import nn

from protocol.errors import NotReproducible
from verde.numerics import golden
from verde.numerics.oracle import rotary as oracle
from verde.numerics.rope import settle_tables


def binary32(value: float) -> float:
    return torch.tensor(value).item()


def test_default_frequencies_are_the_oracles():
    model = golden.small_model("qwen3")
    settle_tables(model)
    assert model.model.rotary_emb.inv_freq.tolist() == oracle.inv_freq(10000.0, 8)


def test_llama3_frequencies_are_the_oracles():
    model = golden.small_model("llama")
    settle_tables(model)
    expected = oracle.llama3(oracle.inv_freq(10000.0, 8), 8.0, 1.0, 4.0, 128.0)
    assert model.model.rotary_emb.inv_freq.tolist() == expected
    assert model.model.rotary_emb.original_inv_freq.tolist() == expected
    assert len({a / b for a, b in zip(expected, oracle.inv_freq(10000.0, 8), strict=True)}) > 2


def test_linear_frequencies_are_divided():
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 1, "vocab_size": 20}
    scaled = {"rope_type": "linear", "rope_theta": 500000.0, "factor": 3.0}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **sizes, **heads, rope_parameters=scaled))
    settle_tables(model)
    assert model.model.rotary_emb.inv_freq.tolist() == oracle.linear(oracle.inv_freq(500000.0, 16), 3.0)


def test_both_tables_of_gemma_are_exact():
    model = golden.small_model("gemma3")
    parameters = model.config.rope_parameters
    settle_tables(model)
    for kind in ("sliding_attention", "full_attention"):
        found = getattr(model.model.rotary_emb, f"{kind}_inv_freq").tolist()
        assert found == oracle.inv_freq(parameters[kind]["rope_theta"], 8)
    assert parameters["sliding_attention"]["rope_theta"] != parameters["full_attention"]["rope_theta"]


def test_an_attention_factor_is_refused():
    model = golden.small_model("qwen3")
    model.model.rotary_emb.attention_scaling = 1.1
    with pytest.raises(NotReproducible, match="attention factor"):
        settle_tables(model)


def test_integer_buffers_and_weights_are_left_alone():
    model = nn.Module()
    model.register_buffer("order", torch.arange(3), persistent=False)
    model.register_buffer("average", torch.ones(3) / 3)
    settle_tables(model)
    assert model.average.tolist() == [binary32(1 / 3)] * 3
