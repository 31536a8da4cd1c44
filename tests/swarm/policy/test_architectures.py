"""Drawing and scoring agree with the model's own uncached forward for other families than Llama."""

import dataclasses

import pytest
import torch

from swarm.grpo.step import Sample
from swarm.policy.base import Sampling
from swarm.policy.generate import Limits, generate
from swarm.policy.load import load_model
from swarm.policy.packing import completion_log_probs
from swarm.policy.sample import draw, uniforms
from tests.swarm.policy.conftest import make_model_directory

COMMON = {"vocab_size": 259, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
FAMILIES = {
    "gpt2": ({"vocab_size": 259, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}, True),
    "qwen3": (COMMON | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}, True),
    "gpt_neox": (COMMON | {"intermediate_size": 64}, True),
    "gemma3_text": (
        COMMON | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8},
        False,
    ),
    "mistral": (COMMON | {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 8}, False),
}
PROMPTS = [tuple(range(10, 10 + length)) for length in (3, 17, 9)]


def make_family(name, folder):
    """A directory with a small random model of a family."""
    return make_random_model(name, folder, **FAMILIES[name][0], **ENDS)


def make_random_model(name, folder, **config):
    """A directory with a random model of a family, loud enough that its answers vary."""
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = make_model_directory(folder / name)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **config))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(params=FAMILIES)
def loaded(request, tmp_path):
    loaded = load_model(make_family(request.param, tmp_path))
    assert loaded.plain_attention == FAMILIES[request.param][1]
    return loaded


def logits_of(loaded, ids):
    with torch.no_grad():
        return loaded.model(torch.tensor([ids])).logits[0, :, : loaded.vocab_size]


def test_drawing_agrees_with_the_plain_forward(loaded):
    sampling = Sampling(10)
    rows = [(prompt, 7 * number + k) for number, prompt in enumerate(PROMPTS) for k in range(3)]
    eager = dataclasses.replace(loaded, end_ids=tuple(range(100, 130)))
    drawn = generate(eager, [prompt for prompt, _ in rows], [seed for _, seed in rows], sampling, Limits())
    for (prompt, seed), completion in zip(rows, drawn, strict=True):
        ids, points = list(prompt), uniforms([seed], 10)
        for step in range(10):
            ids.append(int(draw(logits_of(loaded, ids)[-1:], points[:, step], sampling)))
            if ids[-1] in eager.end_ids:
                break
        assert completion.tokens == tuple(ids[len(prompt) :])


def test_scoring_agrees_with_the_plain_forward(loaded):
    samples = [Sample(prompt, tuple(range(50 + k, 62)), 1.0) for prompt in PROMPTS for k in range(3)]
    with torch.no_grad():
        values = completion_log_probs(loaded, samples)
    for row, sample in zip(values, samples, strict=True):
        expected = torch.log_softmax(logits_of(loaded, [*sample.prompt, *sample.tokens]), -1)
        expected = expected[len(sample.prompt) - 1 : -1].gather(1, torch.tensor(sample.tokens)[:, None])[:, 0]
        torch.testing.assert_close(row[: len(sample.tokens)], expected, atol=1e-4, rtol=1e-4)
