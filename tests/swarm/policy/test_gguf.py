"""GGUF files: unpacked once, by one rule, into the same bits everywhere; anything odd is refused before it is read."""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import torch

from protocol.errors import ConfigError
from swarm.doctor.look_machine import read_model
from swarm.policy import gguf_header, gguf_unpack
from swarm.policy.base import ChatMessage, SampleRequest, Sampling
from swarm.policy.engine import genesis
from swarm.policy.exact import ExactEngine
from swarm.policy.gguf_header import BadGguf, read_header
from swarm.policy.load import load_model
from tests.swarm.policy.test_lora import RULES

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV = 32, 64, 2, 4, 2
WEIGHTS = "f514bbc54eb306a225a27446037e96409239624e1ba2f58271408f7fca74b772"
"""SHA-256 of the float32 weights that the file below holds, by the rule."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(gguf_unpack, "cache_root", lambda: tmp_path_factory.getbasetemp() / "unpacked")


def write_gguf(path, *, architecture="qwen2", change=lambda writer: None):
    """A two-layer model with a byte-level tokenizer; matrices in Q4_0 and Q8_0, norms in float32."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize
    from tokenizers import pre_tokenizers

    tokens = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    tokens += [f"<unused{number}>" for number in range(-len(tokens) % 32)]
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(256)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3, *([1] * (len(tokens) - 3))])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    noise = np.random.Generator(np.random.PCG64(5))

    def matrix(name, rows, columns, kind):
        values = (noise.integers(-64, 64, (rows, columns)) / 256).astype(np.float32)
        writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)

    q4, q8 = GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q8_0
    matrix("token_embd.weight", len(tokens), HIDDEN, q8)
    writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{at}.{name}.weight", np.ones(HIDDEN, np.float32))
        width = HIDDEN // HEADS * KV
        for name, rows in (("attn_q", HIDDEN), ("attn_k", width), ("attn_v", width)):
            matrix(f"{at}.{name}.weight", rows, HIDDEN, q4)
            writer.add_tensor(f"{at}.{name}.bias", np.zeros(rows, np.float32))
        matrix(f"{at}.attn_output.weight", HIDDEN, HIDDEN, q4)
        matrix(f"{at}.ffn_gate.weight", FEED_FORWARD, HIDDEN, q4)
        matrix(f"{at}.ffn_up.weight", FEED_FORWARD, HIDDEN, q4)
        matrix(f"{at}.ffn_down.weight", HIDDEN, FEED_FORWARD, q8)
    change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_weights_of_a_file_are_the_same_bits_everywhere(file):
    loaded = load_model(file)
    digest = hashlib.sha256()
    for name, tensor in sorted(loaded.model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    assert digest.hexdigest() == WEIGHTS


def test_a_four_bit_value_is_its_scale_times_an_integer(file):
    from gguf import GGUFReader

    raw = next(tensor for tensor in GGUFReader(file).tensors if tensor.name == "blk.0.ffn_up.weight")
    block = bytes(raw.data.reshape(-1)[:18])
    scale = np.frombuffer(block[:2], np.float16).astype(np.float32)[0]
    low = [np.float32((byte & 15) - 8) * scale for byte in block[2:]]
    high = [np.float32((byte >> 4) - 8) * scale for byte in block[2:]]
    weight = load_model(file).model.model.layers[0].mlp.up_proj.weight
    assert torch.equal(weight[0], torch.tensor(np.array(low + high, np.float32)))


def test_a_file_draws_and_has_a_genesis_like_any_model(file):
    engine = ExactEngine.open(file, RULES)
    drawn = engine.generate([SampleRequest((ChatMessage("user", "1+1="),), 3)], Sampling(6))
    assert 1 <= len(drawn[0].tokens) <= 6
    assert genesis(file, 4).state == engine.state_hash()
    assert genesis(file, 4) != genesis(file, 0)


def test_a_file_is_unpacked_once_and_its_tokenizer_kept(file):
    folder = gguf_unpack.unpacked(file)
    stamp = (folder / "model.safetensors").stat().st_mtime_ns
    assert gguf_unpack.unpacked(file) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp
    assert load_model(file).tokenizer.decode(load_model(file).tokenizer.encode("12 + 3")) == "12 + 3"


def test_the_doctor_reads_its_size_from_the_header(file):
    facts = read_model(str(file))
    model = load_model(file).model
    total = sum(parameter.numel() for parameter in model.parameters())
    assert facts.family == model.config.model_type
    assert (facts.problem, facts.num_params, facts.num_layers, facts.hidden) == ("", total, LAYERS, HIDDEN)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.1, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(file, tmp_path, share):
    data = file.read_bytes()
    short = tmp_path / "short.gguf"
    short.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ConfigError, match=r"cannot be used") as caught:
        load_model(short)
    assert "Download the file again" in caught.value.next_step
    assert read_model(str(short)).problem


@pytest.mark.parametrize(
    ("at", "layout", "value", "why"),
    [
        (0, "<4s", b"GGML", "does not begin"),
        (4, "<I", 99, "version 99"),
        (8, "<Q", 2**63, "tensors"),
        (16, "<Q", 2**40, "keys"),
        (24, "<Q", 2**62, "a text in its header"),
    ],
)
def test_a_hostile_header_is_refused_without_taking_memory_for_it(file, tmp_path, at, layout, value, why):
    data = bytearray(file.read_bytes())
    struct.pack_into(layout, data, at, value)
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(data)
    with pytest.raises(BadGguf, match=why):
        read_header(bad)
    with pytest.raises(ConfigError, match="cannot be used"):
        load_model(bad)


def _hostile(tmp_path, dims, kind=0, offset=0, tail=64):
    name = b"t"
    body = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + struct.pack("<Q", len(name)) + name
    body += struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", one) for one in dims)
    path = tmp_path / "t.gguf"
    path.write_bytes(body + struct.pack("<IQ", kind, offset) + bytes(tail))
    return path


@pytest.mark.parametrize(
    ("dims", "kind", "offset", "why"),
    [
        ((2**32, 2**32), 0, 0, "elements"),
        ((2**30,), 0, 0, "its tensors end at"),
        ((0,), 0, 0, "0 elements"),
        ((8,), 999, 0, "number 999"),
        ((33,), 2, 0, "33 elements"),
        ((8,), 0, 2**60, "its tensors end at"),
        ((8,), 0, 7, "lies over"),
        ((1,) * 9, 0, 0, "9 dimensions"),
    ],
)
def test_hostile_tensors_are_refused(tmp_path, dims, kind, offset, why):
    with pytest.raises(BadGguf, match=why):
        read_header(_hostile(tmp_path, dims, kind, offset))


def test_an_array_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    key = b"a"
    body = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + struct.pack("<Q", 1) + key + struct.pack("<IIQ", 9, 8, 3_999_999)
    path = tmp_path / "a.gguf"
    path.write_bytes(body)
    with pytest.raises(BadGguf, match="ends too early"):
        read_header(path)
    assert gguf_header.VALUES_CAP < 5_000_000


def test_an_architecture_that_nobody_can_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        load_model(write_gguf(tmp_path / "strange.gguf", architecture="abacus"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_model(tmp_path / "nowhere.gguf")
