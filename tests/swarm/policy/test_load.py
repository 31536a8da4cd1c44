import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from protocol.errors import ConfigError
from swarm.policy.load import load_model


@pytest.fixture
def directory(model_directory, tmp_path):
    return shutil.copytree(model_directory, tmp_path / "model")


def test_a_directory_is_loaded_in_float32_and_described(model_directory):
    loaded = load_model(model_directory)
    assert {str(parameter.dtype) for parameter in loaded.model.parameters()} == {"torch.float32"}
    assert loaded.end_ids == (2,)
    assert loaded.vocab_size == 259  # the padded embedding has 264 rows, the tokenizer 259 tokens
    assert loaded.context_length == 256
    assert loaded.plain_attention
    assert not loaded.model.training


def test_a_missing_directory_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load_model(tmp_path / "nowhere")
    assert caught.value.next_step


def test_a_file_is_refused(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"weights")
    with pytest.raises(ConfigError, match="is a file"):
        load_model(str(tmp_path / "model.bin"))


def test_a_directory_without_config_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no config\.json"):
        load_model(tmp_path)


def test_weights_that_are_only_pickles_are_refused(directory):
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="only as pickles"):
        load_model(directory)


def test_missing_weights_are_refused(directory):
    (directory / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights in safetensors"):
        load_model(directory)


def test_truncated_weights_are_refused(directory):
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="damaged or cut off"):
        load_model(directory)


def test_weights_that_lack_a_tensor_are_refused_instead_of_made_up(directory):
    tensors = load_file(directory / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="lack 1 tensors"):
        load_model(directory)


def test_weights_of_another_shape_are_refused(directory):
    tensors = load_file(directory / "model.safetensors")
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:7].clone()
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(directory)


def test_a_missing_tokenizer_is_refused(directory):
    for file in directory.glob("token*"):
        file.unlink()
    with pytest.raises(ConfigError, match="no tokenizer"):
        load_model(directory)


@pytest.mark.parametrize(
    ("model_type", "architecture"), [("bert", "BertForMaskedLM"), ("t5", "T5ForConditionalGeneration")]
)
def test_a_model_that_is_not_causal_is_refused(directory, model_type, architecture):
    config = {"model_type": model_type, "architectures": [architecture]}
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=f"is a {architecture}, not a causal language model"):
        load_model(directory)


def test_code_of_the_models_authors_is_never_run(directory, tmp_path):
    config = json.loads((directory / "config.json").read_text())
    config |= {"model_type": "custom", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
    (directory / "config.json").write_text(json.dumps(config))
    marker = tmp_path / "ran"
    (directory / "evil.py").write_text(f"open({str(marker)!r}, 'w')\n")
    with pytest.raises(ConfigError):
        load_model(directory)
    assert not marker.exists()


def test_damaged_json_is_refused(directory):
    (directory / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(directory)


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_an_unusable_device_is_refused(model_directory, device):
    with pytest.raises(ConfigError, match="cannot be used"):
        load_model(model_directory, device)
