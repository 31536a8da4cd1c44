"""Models that no line of this package knows compute in exact/1 too, or are refused by the name of what they need."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from protocol.errors import NotReproducible
from verde.numerics import exact

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
TINY = {"vocab_size": 40, "hidden_size": 16, "d_model": 16, "n_heads": 2, "n_layers": 1, "num_hidden_layers": 1}


def small(kind: str):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES)
    for name, value in vars(config).items():
        if name.endswith(("dropout", "pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    return AutoModelForCausalLM.from_config(config).float()


PLAIN = ("mistral", "phi", "phi3", "olmo2", "gemma", "starcoder2", "granite", "cohere2", "stablelm", "glm4", "nemotron")


@pytest.mark.parametrize("kind", PLAIN)
def test_other_families_train_and_decode_exactly(kind):
    model = small(kind)
    ids = torch.randint(2, 40, (2, 9), generator=torch.Generator().manual_seed(1))
    native = model(input_ids=ids, labels=ids)
    native.loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with exact(model):
        model(input_ids=ids, labels=ids).loss.backward()
    for theirs, parameter in zip(expected, model.parameters(), strict=True):
        assert (parameter.grad - theirs).norm() <= 1e-2 * theirs.norm() + 1e-6
    model.eval()
    with torch.no_grad(), exact(model):
        whole = model(input_ids=ids, use_cache=False).logits
        cache, steps = None, []
        for i in range(9):
            out = model(input_ids=ids[:, i : i + 1], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            steps.append(out.logits)
    assert torch.equal(torch.cat(steps, dim=1), whole)
    assert 0 < (whole - native.logits).abs().max() < 1e-3 * native.logits.abs().max()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("gemma2", "softcap"),
        ("gpt_neox", "gelu with erf"),
        ("mixtral", "histc"),
        ("mamba", "convolution"),
        ("mpt", "Mpt"),
    ],
)
def test_what_is_not_defined_is_named(kind, reason):
    plain = kind not in ("mamba", "mpt")
    model = small(kind) if plain else AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **TINY))
    ids = torch.tensor([[3, 4, 5]])
    with pytest.raises(NotReproducible, match=reason), exact(model):
        model(input_ids=ids)
