"""The fused decoder gives the unmodified model's bits: prefilled, decoded, in any batch, order and cache."""

import random

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from protocol.errors import NumericsError
from verde.numerics.backend import use_route
from verde.numerics.decoder import Decoder, Tokens, decoder_of
from verde.numerics.decoder_plan import plan_of
from verde.numerics.mode import exact

COMMON = {
    "vocab_size": 97,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
FAMILIES = {
    "llama": COMMON,
    "llama with biases": COMMON | {"attention_bias": True, "mlp_bias": True, "head_dim": 10},
    "llama with one key per head": COMMON | {"num_key_value_heads": 4},
    "qwen2": COMMON | {"tie_word_embeddings": True},
    "qwen3": COMMON | {"head_dim": 16},
    "gemma3_text": COMMON | {"head_dim": 8, "sliding_window": 5, "num_hidden_layers": 3, "sliding_window_pattern": 2},
}


def made(family):
    torch.manual_seed(5)
    config = AutoConfig.for_model(family.split()[0], **FAMILIES[family])
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.mul_(10) if parameter.ndim > 1 else parameter.add_(noise * 0.3)
    with exact(model):
        pass
    return model


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return made(request.param)


def reference(model, ids_BL):
    with torch.no_grad(), exact(model, fused=False):
        return model(ids_BL).logits


def flat(ids_BL, start, stop, prompt_length):
    """Columns ``start … stop`` of sequences whose first ``prompt_length`` tokens are their prompt."""
    num_rows, length = ids_BL.shape
    position_N = np.tile(np.arange(start, stop), num_rows)
    base_N = np.repeat(np.arange(num_rows) * length, stop - start)
    end_N = base_N + position_N + 1
    prompt_end_N = base_N + prompt_length
    ranges = [base_N, np.minimum(end_N, prompt_end_N), prompt_end_N, np.maximum(end_N, prompt_end_N)]
    return Tokens(ids_BL[:, start:stop].reshape(-1).numpy(), position_N, base_N + position_N, np.stack(ranges, 1))


def sequences(model, num_rows, length):
    generator = torch.Generator().manual_seed(num_rows)
    return torch.randint(0, model.config.vocab_size, (num_rows, length), generator=generator)


@pytest.mark.parametrize("num_rows", [1, 8, 64])
def test_a_prefill_is_the_models_own_pass(model, num_rows):
    ids_BL = sequences(model, num_rows, 9)
    decoder = decoder_of(model)
    x_NK = decoder.forward(flat(ids_BL, 0, 9, 9), decoder.new_cache(ids_BL.numel()))
    logits = decoder.logits(x_NK)
    assert torch.equal(logits.view(num_rows, 9, -1), reference(model, ids_BL))


@pytest.mark.parametrize("prompt_length", [1, 6, 14])
def test_decoding_is_the_prefill_whatever_the_cut(model, prompt_length):
    ids_BL = sequences(model, 8, 14)
    expected = reference(model, ids_BL)
    decoder = decoder_of(model)
    cache = decoder.new_cache(ids_BL.numel())
    x_NK = decoder.forward(flat(ids_BL, 0, prompt_length, prompt_length), cache)
    last_N = np.arange(1, 9) * prompt_length - 1
    logits = decoder.logits(x_NK, last_N)
    assert torch.equal(logits, expected[:, prompt_length - 1])
    for column in range(prompt_length, 14):
        x_NK = decoder.forward(flat(ids_BL, column, column + 1, prompt_length), cache)
        assert torch.equal(decoder.logits(x_NK), expected[:, column])


def test_neither_order_nor_slots_nor_company_change_a_token(model):
    ids_BL = sequences(model, 5, 11)
    expected = reference(model, ids_BL).flatten(0, 1)
    tokens = flat(ids_BL, 0, 11, 4)
    shuffled = random.Random(2)
    moved = np.array(shuffled.sample(range(100, 200), 5)) * 11  # each sequence somewhere else in a larger cache
    shift_N = np.repeat(moved - np.arange(5) * 11, 11)
    order = np.array(shuffled.sample(range(55), 55))
    decoder = decoder_of(model)
    x_NK = decoder.forward(
        Tokens(
            tokens.ids_N[order],
            tokens.position_N[order],
            (tokens.slot_N + shift_N)[order],
            (tokens.range_N4 + shift_N[:, None])[order],
        ),
        decoder.new_cache(200 * 11),
    )
    logits = decoder.logits(x_NK)
    assert torch.equal(logits, expected[torch.from_numpy(order)])


def test_routes_and_threads_change_nothing(model):
    ids_BL = sequences(model, 8, 20)
    before, found = torch.get_num_threads(), []
    try:
        for route, threads in (("int8", 1), ("fp64", 2), ("fp64", 1), ("int8", 3)):
            torch.set_num_threads(threads)
            with use_route(route):
                decoder = decoder_of(model)
                x_NK = decoder.forward(flat(ids_BL, 0, 20, 7), decoder.new_cache(ids_BL.numel()))
                found.append(decoder.logits(x_NK).clone())
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], other) for other in found[1:])


def test_fewer_tokens_of_the_vocabulary_are_the_first_ones(model):
    ids_BL = sequences(model, 2, 5)
    decoder = decoder_of(model, 41)
    x_NK = decoder.forward(flat(ids_BL, 0, 5, 5), decoder.new_cache(10))
    logits = decoder.logits(x_NK, np.array([4, 9]))
    assert torch.equal(logits, reference(model, ids_BL)[:, -1, :41])


def test_other_classes_and_options_are_left_to_the_mode():
    assert (
        plan_of(AutoModelForCausalLM.from_config(AutoConfig.for_model("gpt2", n_embd=24, n_layer=1, n_head=2)).eval())
        is None
    )
    model = made("llama")

    class Changed(type(model)):
        pass

    model.__class__ = Changed
    assert decoder_of(model) is None
    model = made("llama")
    model.config.hidden_act = "relu"
    assert decoder_of(model) is None


def test_numbers_that_are_none_are_an_error():
    model = made("llama")
    plan = plan_of(model)
    model.model.embed_tokens.weight.data[3] = 1e30
    with pytest.raises(NumericsError):
        Decoder(plan).forward(flat(torch.tensor([[3]]), 0, 1, 1), Decoder(plan).new_cache(1))
