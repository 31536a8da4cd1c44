import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from protocol.errors import ConfigError, VerificationError
from protocol.ids import ContentId
from swarm.grpo.adamw import TrainState
from swarm.policy import state as module
from swarm.policy.base import StateParts
from swarm.policy.state import adopt_parts, genesis_hash, has_state, load_state, save_state, state_hash, state_parts
from verde.commit import parse_manifest, split, state_root, tensor_row


def made(seed=0, step=3):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"b.weight": (4, 3), "a.bias": (5,)}

    def tensors():
        return [torch.randn(shape, generator=generator) for shape in shapes.values()]

    return TrainState(tuple(shapes), tensors(), tensors(), tensors(), step)


def test_the_hash_is_the_root_over_weights_and_moments():
    base = ContentId("cd" * 32)
    state = TrainState(("w",), [torch.tensor([[1.0, 2.0]])], [torch.tensor([[0.5, 0.0]])], [torch.zeros(1, 2)], 7, base)
    rows = (
        ("first/w", "0000003f00000000"),
        ("second/w", "0000000000000000"),
        ("weight/w", "0000803f00000040"),
    )
    manifest, _ = split(7, base, [(tensor_row(name, (1, 2)), bytes.fromhex(raw)) for name, raw in rows])
    assert state_hash(state) == state_root(manifest)


@pytest.mark.parametrize("part", ["parameters", "first", "second"])
def test_the_hash_changes_with_every_part(part):
    state = made()
    before = state_hash(state)
    getattr(state, part)[1][2] += 1e-6
    assert state_hash(state) != before


def test_the_hash_changes_with_step_name_and_shape_but_not_with_memory_layout():
    assert state_hash(made(step=4)) != state_hash(made())
    state = made()
    renamed = TrainState(("b.weight", "c.bias"), state.parameters, state.first, state.second, state.step)
    assert state_hash(renamed) != state_hash(state)
    reshaped = made()
    reshaped.parameters[0] = reshaped.parameters[0].reshape(3, 4)
    assert state_hash(reshaped) != state_hash(state)
    strided = made()
    strided.parameters[0] = strided.parameters[0].t().contiguous().t()
    assert state_hash(strided) == state_hash(state)


def test_the_genesis_hash_needs_no_moments():
    weights = made().parameters
    assert genesis_hash(("b.weight", "a.bias"), weights) == state_hash(TrainState(("b.weight", "a.bias"), weights))


def test_the_hash_names_the_files_that_training_does_not_change():
    state = made()
    before = state_hash(state)
    state.base = ContentId("ef" * 32)
    assert state_hash(state) != before


def test_a_shipped_state_is_adopted_in_place():
    state, other = made(0, step=9), made(1)
    weight, parts = other.parameters[0], state_parts(state)
    adopt_parts(other, parts)
    assert state_hash(other) == state_hash(state) == state_root(parse_manifest(parts.manifest))
    assert other.parameters[0] is weight


def test_a_damaged_shipment_changes_nothing():
    state, parts = made(1), state_parts(made(0))
    before = state_hash(state)
    for bad in (
        StateParts(parts.manifest, ()),
        StateParts(parts.manifest, (bytes(len(parts.chunks[0])),)),
        StateParts(parts.manifest[:-1], parts.chunks),
    ):
        with pytest.raises(VerificationError):
            adopt_parts(state, bad)
    assert state_hash(state) == before


def test_other_types_than_float32_are_no_state():
    state = TrainState(("w",), [torch.zeros(2, dtype=torch.float16)])
    with pytest.raises(ValueError, match="float32"):
        state_hash(state)


def test_a_saved_state_is_loaded_back(tmp_path):
    state, other = made(0, step=9), made(1)
    assert not has_state(tmp_path)
    assert save_state(state, tmp_path / "state") == state_hash(state)
    load_state(other, tmp_path / "state")
    assert state_hash(other) == state_hash(state)
    assert other.step == 9


def test_loading_writes_into_the_tensors_that_the_model_uses(tmp_path):
    save_state(made(0), tmp_path)
    other = made(1)
    weight = other.parameters[0]
    load_state(other, tmp_path)
    assert other.parameters[0] is weight
    assert torch.equal(weight, made(0).parameters[0])


def test_saving_again_replaces_and_leaves_no_old_files(tmp_path):
    for step in (1, 2, 3):
        save_state(made(step, step), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"state-{state_hash(made(3, 3))}.safetensors",
        "state.json",
    ]


@pytest.mark.parametrize("killed_at", ["data", "index"])
def test_a_kill_while_saving_leaves_the_old_state(tmp_path, monkeypatch, killed_at):
    save_state(made(0), tmp_path)

    class Killed(BaseException):
        pass

    def die(*_args, **_kwargs):
        raise Killed

    monkeypatch.setattr(module, "replace_file" if killed_at == "data" else "write_file", die)
    with pytest.raises(Killed):
        save_state(made(1, step=4), tmp_path)
    monkeypatch.undo()
    restored = made(2)
    load_state(restored, tmp_path)
    assert state_hash(restored) == state_hash(made(0))
    save_state(made(5), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_index_is_replaced_only_after_the_data_is_on_the_disk(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("flush"), fsync(number))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(os.path.basename(b)[:6]), replace(a, b))[1])
    save_state(made(), tmp_path)
    assert order == ["flush", "state-", "flush", "flush", "state.", "flush"]


def unchanged_and_refused(directory, match):
    state = made(1)
    before = state_hash(state)
    with pytest.raises(ConfigError, match=match) as caught:
        load_state(state, directory)
    assert state_hash(state) == before
    assert caught.value.next_step


def data_file(directory):
    return next(directory.glob("state-*.safetensors"))


def test_an_empty_directory_is_refused(tmp_path):
    unchanged_and_refused(tmp_path, "cannot be used")


def test_a_flipped_bit_is_refused(tmp_path):
    save_state(made(), tmp_path)
    raw = bytearray(data_file(tmp_path).read_bytes())
    raw[-1] ^= 1
    data_file(tmp_path).write_bytes(raw)
    unchanged_and_refused(tmp_path, "does not have the hash")


def test_a_truncated_file_is_refused(tmp_path):
    save_state(made(), tmp_path)
    data_file(tmp_path).write_bytes(data_file(tmp_path).read_bytes()[:-8])
    unchanged_and_refused(tmp_path, "cannot be used")


def edit(directory, change):
    tensors = load_file(data_file(directory))
    change(tensors)
    save_file(tensors, data_file(directory))


def test_a_state_of_another_model_is_refused(tmp_path):
    save_state(made(), tmp_path)
    edit(tmp_path, lambda tensors: tensors.update({"weight/x": tensors.pop("weight/a.bias")}))
    unchanged_and_refused(tmp_path, "other tensors")


@pytest.mark.parametrize("value", [torch.zeros(6), torch.zeros(5, dtype=torch.float16)])
def test_another_shape_or_type_is_refused(tmp_path, value):
    save_state(made(), tmp_path)
    edit(tmp_path, lambda tensors: tensors.update({"second/a.bias": value}))
    unchanged_and_refused(tmp_path, "another shape or type")


@pytest.mark.parametrize(
    "change",
    [
        {"step": 4},
        {"step": -1},
        {"step": "3"},
        {"format": "rl-swarm/state/1"},
        {"file": "../../etc/passwd"},
        {"file": "state.json"},
        {"extra": 1},
        {"state": "0" * 64},
    ],
)
def test_an_edited_index_is_refused(tmp_path, change):
    save_state(made(), tmp_path)
    index = json.loads((tmp_path / "state.json").read_text())
    (tmp_path / "state.json").write_text(json.dumps(index | change))
    unchanged_and_refused(tmp_path, "cannot be used")


def test_an_index_that_is_not_json_or_too_large_is_refused(tmp_path):
    save_state(made(), tmp_path)
    (tmp_path / "state.json").write_text("{")
    unchanged_and_refused(tmp_path, "cannot be used")
    (tmp_path / "state.json").write_text(" " * 70_000)
    unchanged_and_refused(tmp_path, "too large")
