"""Inside ``exact`` a model computes in exact/1, decoded or prefilled, padded or packed; what is unknown is refused."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache

from protocol.errors import NotReproducible, NumericsError
from verde.numerics import exact, golden, is_exact
from verde.numerics.attention import attend

FAMILIES = golden.FAMILIES


@pytest.fixture(scope="module")
def models():
    return {family: golden.small_model(family).eval() for family in FAMILIES}


def ids_of(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(2, golden.VOCABULARY, (rows, length), generator=torch.Generator().manual_seed(seed))


def prefilled(model, ids, **inputs) -> torch.Tensor:
    """Logits [rows, length, vocabulary] of one teacher-forced pass."""
    with torch.no_grad(), exact(model):
        return model(input_ids=ids, use_cache=False, **inputs).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_the_exact_model_is_the_model_up_to_its_significands(models, family):
    ids = ids_of(2, 20)
    with torch.no_grad():
        native = models[family](input_ids=ids).logits
    ours = prefilled(models[family], ids)
    assert 0 < (ours - native).abs().max() < 2e-3 * native.abs().max()


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_model_up_to_its_significands(family):
    model, ids = golden.small_model(family, "sdpa"), ids_of(2, 20)
    model(input_ids=ids, labels=ids).loss.backward()
    native = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with exact(model):
        model(input_ids=ids, labels=ids).loss.backward()
    for theirs, parameter in zip(native, model.parameters(), strict=True):
        assert (theirs - parameter.grad).norm() <= 5e-3 * theirs.norm() + 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_decoding_token_by_token_gives_the_bits_of_one_pass(models, family):
    model, ids = models[family], ids_of(8, 12)
    whole = prefilled(model, ids)
    cache = DynamicCache(config=model.config)
    with torch.no_grad(), exact(model):
        steps = [model(input_ids=ids[:, i : i + 1], past_key_values=cache).logits for i in range(12)]
    assert torch.equal(torch.cat(steps, dim=1), whole)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_sequence_alone_gives_the_bits_that_it_has_among_others(models, family):
    ids = ids_of(8, 12)
    assert torch.equal(prefilled(models[family], ids[5:6])[0], prefilled(models[family], ids)[5])


@pytest.mark.parametrize("family", FAMILIES)
def test_seventeen_tokens_of_padding_change_nothing(models, family):
    ids = ids_of(2, 10)
    padded = torch.cat([torch.zeros(2, 17, dtype=torch.long), ids], dim=1)
    mask = (torch.arange(27) >= 17).long().expand(2, 27)
    position = (torch.arange(27) - 17).clamp(min=0).expand(2, 27)
    found = prefilled(models[family], padded, attention_mask=mask, position_ids=position)
    assert torch.equal(found[:, 17:], prefilled(models[family], ids))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gemma3"])
def test_two_sequences_packed_in_one_row_do_not_see_each_other(models, family):
    ids = ids_of(2, 7)
    same = torch.block_diag(torch.ones(7, 7), torch.ones(7, 7)).bool()
    mask = (same & torch.ones(14, 14).tril().bool())[None, None]
    position = torch.arange(7).repeat(2)[None]
    packed = prefilled(models[family], ids.view(1, 14), attention_mask=mask, position_ids=position)
    assert torch.equal(packed.view(2, 7, -1), prefilled(models[family], ids))


@pytest.mark.parametrize("family", FAMILIES)
def test_generation_writes_what_one_pass_confirms(models, family):
    model, prompt = models[family], ids_of(3, 5)
    with exact(model):
        written = model.generate(input_ids=prompt, max_new_tokens=9, do_sample=False, eos_token_id=None)
    logits = prefilled(model, written)
    assert torch.equal(logits[:, 4:-1].argmax(-1), written[:, 5:])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_models_attention_is_ours_inside_and_its_own_again_outside(attention):
    model = golden.small_model("llama", attention)
    with exact(model):
        assert model.config._attn_implementation == "exact"
        with exact(model):
            pass
        assert model.config._attn_implementation == "exact"
    assert model.config._attn_implementation == attention
    assert not is_exact()


def test_the_setting_comes_back_after_an_error():
    model = golden.small_model("llama", "eager")
    with pytest.raises(ZeroDivisionError), exact(model):
        raise ZeroDivisionError
    assert (model.config._attn_implementation, is_exact()) == ("eager", False)


def test_another_thread_goes_on_natively_with_the_same_model():
    model, ids = golden.small_model("llama", "sdpa").eval(), ids_of(1, 6)
    found = []
    with exact(model):
        pass  # the tables are exact from here on
    with torch.no_grad():
        native = model(input_ids=ids).logits
        with exact(model):
            other = threading.Thread(target=lambda: found.append(model(input_ids=ids).logits.detach()))
            other.start()
            other.join()
    assert torch.equal(found[0], native)


def test_torchs_own_attention_is_ours_too():
    query, key, value = (torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(n)) for n in range(3))
    with exact():
        found = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        masked = F.scaled_dot_product_attention(query, key, value, attn_mask=torch.ones(6, 6, dtype=torch.bool))
    assert torch.equal(found.transpose(1, 2), attend(query, key, value, None, 8**-0.5, is_causal=True))
    assert torch.equal(masked.transpose(1, 2), attend(query, key, value, None, 8**-0.5, is_causal=False))
    with exact(), pytest.raises(NotReproducible, match="mask of numbers"):
        F.scaled_dot_product_attention(query, key, value, attn_mask=torch.zeros(6, 6))
    layer = nn.MultiheadAttention(8, 2, batch_first=True)
    with exact(), pytest.raises(NotReproducible, match="multi_head_attention_forward"):
        layer(query[:, 0], query[:, 0], query[:, 0])


def test_frequencies_of_the_machine_are_replaced_by_exact_ones():
    model, ids = golden.small_model("qwen2").eval(), ids_of(1, 30)
    expected = prefilled(model, ids)
    other = golden.small_model("qwen2").eval()
    table = other.model.rotary_emb.inv_freq
    table.view(torch.int32).add_(torch.arange(len(table), dtype=torch.int32) % 3 - 1)
    assert torch.equal(prefilled(other, ids), expected)
    assert torch.equal(table, model.model.rotary_emb.inv_freq)


@pytest.mark.parametrize("kind", ["dynamic", "yarn", "longrope"])
def test_rotary_scaling_that_is_not_specified_is_refused(kind):
    model = golden.small_model("qwen2")
    model.model.rotary_emb.rope_type = kind
    with pytest.raises(NotReproducible, match=kind), exact(model):
        pass


def test_a_table_of_unknown_origin_is_refused_by_name():
    model = golden.small_model("qwen2")
    model.model.layers[1].register_buffer("curve", torch.linspace(0, 1, 5), persistent=False)
    with pytest.raises(NotReproducible, match=r"model\.layers\.1\.curve"), exact(model):
        pass


def test_a_table_that_is_not_what_its_configuration_says_is_refused():
    model = golden.small_model("qwen2")
    model.model.rotary_emb.inv_freq.mul_(1.01)
    with pytest.raises(NotReproducible, match="inv_freq"), exact(model):
        pass


def test_the_scale_of_gemmas_embedding_is_the_nearest_number_to_the_root():
    model = golden.small_model("gemma3")
    scale = model.model.embed_tokens.embed_scale
    scale.copy_(torch.nextafter(scale, torch.tensor(9.0)))
    with exact(model):
        pass
    assert scale.item() == torch.tensor(24.0).double().sqrt().float().item()


def test_weights_are_float32_numbers_without_subnormals():
    model = golden.small_model("qwen2")
    with torch.no_grad():
        model.model.norm.weight[0] = 1e-40
    with exact(model):
        assert model.model.norm.weight[0].item() == 0
    with pytest.raises(NotReproducible, match="bfloat16"), exact(golden.small_model("qwen2").bfloat16()):
        pass
    with torch.no_grad():
        model.model.norm.weight[1] = float("nan")
    with pytest.raises(NumericsError, match=r"model\.norm\.weight"), exact(model):
        pass


def test_dropout_is_refused_by_name():
    model, ids = golden.small_model("gpt2").train(), ids_of(1, 5)
    model.transformer.drop.p = 0.1
    with pytest.raises(NotReproducible, match="dropout"), exact(model):
        model(input_ids=ids)


def test_attention_dropout_and_capped_scores_are_refused():
    model, ids = golden.small_model("llama").train(), ids_of(1, 5)
    with pytest.raises(NotReproducible, match="softcap"), exact(model):
        model(input_ids=ids, softcap=30.0)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    with pytest.raises(NotReproducible, match="dropout"), exact(model):
        model(input_ids=ids)


def test_a_step_that_overflows_names_operator_and_tensor():
    model, ids = golden.small_model("llama"), ids_of(1, 5)
    with torch.no_grad():
        model.lm_head.weight.mul_(1e38)
        model.model.norm.weight.mul_(1e30)
    with pytest.raises(NumericsError) as caught, exact(model):
        model(input_ids=ids)
    assert caught.value.operator
    assert caught.value.tensor


def test_a_model_with_attention_of_its_own_is_refused():
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 16, "n_layer": 1, "n_head": 2, "vocab_size": 20}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("bloom", **sizes))
    with pytest.raises(NotReproducible, match="Bloom"), exact(model):
        pass
