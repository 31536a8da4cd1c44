"""Programs: their root stands for every node and result; what has no program is refused by name."""

import dataclasses

import numpy as np
import pytest
from eth_utils.crypto import keccak

from protocol.errors import NotBuiltYet, NumericsError, VerificationError
from tests.verde.program.small import ARCH, PASS, PROGRAMS, RATES, small_draw, small_step
from verde.program.builder import Builder
from verde.program.derive_draw import draw_program
from verde.program.derive_model import parameters
from verde.program.derive_step import step_program
from verde.program.execute import execute
from verde.program.kinds import Kind, Type
from verde.program.program import Program, Sources
from verde.program.shape import DrawShape, architecture
from verde.program.trace import Trace

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_attention_heads": 2,
    "vocab_size": 20,
    "rope_theta": 10000.0,
}


def test_the_root_is_made_as_the_text_says():
    program = small_draw()[0]
    parts = [keccak(b"verde/program/1"), len(program.nodes).to_bytes(32, "big"), program.tree.root]
    assert program.root == keccak(b"".join(parts) + bytes.fromhex(program.outputs_tree.root))


GOLDEN = {
    "step": (
        2069,
        "ba337d8a2c959ddfe035fbb7ee0592459b5ad14797c08a307a5299c60d8685fa",
        "bcdf943690ce97cc567725b35830f8f7aa84cb9448331322f47a952a01ea03df",
    ),
    "draw": (
        154,
        "fc3414c628b784545b12eafd9bb263f26a4482402b599e8c71a39526b35711db",
        "7751034c1a7c145c2c23fcda69fa31867419379be65dceae08feb656ba7926a1",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_programs_and_traces_have_the_same_roots_on_every_machine(name):
    """Another root is another version of programs, trees or arithmetic."""
    program, sources = PROGRAMS[name]()
    assert (len(program.nodes), program.root.hex(), Trace.of_run(program, sources).root.hex()) == GOLDEN[name]


def test_the_root_changes_with_every_node_result_and_rule():
    program = small_step()[0]
    last = dataclasses.replace(program.nodes[-1], kind=Kind.ADD)
    others = [
        Program((*program.nodes[:-1], last), program.outputs),
        Program(program.nodes, {**program.outputs, "tensor/x": 3}),
        step_program(ARCH, ((PASS, PASS), (PASS,)), dataclasses.replace(RATES, learning_rate=np.float32(0.02))),
        step_program(ARCH, ((PASS,), (PASS,)), RATES),
        draw_program(ARCH, DrawShape(2, 2, 3), 0.75),
    ]
    roots = {other.root for other in others} | {program.root}
    assert len(roots) == 6
    assert small_step()[0].root == program.root


def test_its_results_are_the_tensors_of_the_state_after():
    program, _ = small_step()
    parts = ("weight", "first", "second")
    assert set(program.outputs) == {f"tensor/{part}/{name}" for part in parts for name in parameters(ARCH)}


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "mamba"},
        {"hidden_act": "relu"},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"use_sliding_window": True},
    ],
)
def test_what_has_no_program_is_refused_by_name(changes):
    with pytest.raises(NotBuiltYet, match="There is no program for"):
        architecture({**CONFIG, **changes}, 20)


def test_a_step_with_a_kl_term_is_refused_by_name():
    with pytest.raises(NotBuiltYet, match="KL term"):
        step_program(ARCH, ((PASS,),), dataclasses.replace(RATES, kl=np.float32(0.1)))


def test_an_architecture_is_what_the_configuration_says():
    found = architecture({**CONFIG, "num_key_value_heads": 1, "attention_bias": True}, 18)
    assert (found.width, found.num_kv_heads, found.num_tokens, found.vocabulary) == (4, 1, 18, 20)
    assert (found.attention_bias, found.output_bias, found.is_tied, found.pad_token) == (True, True, False, None)
    assert architecture({**CONFIG, "model_type": "qwen2"}, 25).num_tokens == 20


def test_data_that_is_missing_or_of_another_type_is_refused():
    program, sources = small_draw()
    for data in (
        {name: values for name, values in sources.data.items() if name != "seed"},
        {**sources.data, "seed": sources.data["seed"].astype(np.int64)},
        {**sources.data, "ids": sources.data["ids"][:, :-1]},
    ):
        with pytest.raises(VerificationError):
            execute(program, Sources(sources.state, data, sources.step))


def test_a_token_that_is_none_of_the_vocabulary_is_refused():
    program, sources = small_draw()
    ids = sources.data["ids"].copy()
    ids[0, 0] = 9
    with pytest.raises(VerificationError):
        execute(program, Sources(sources.state, {**sources.data, "ids": ids}, sources.step))


def test_a_result_that_is_no_number_ends_the_run():
    b = Builder()
    x = b.data("x", Type.F32, 2)
    b.map(Kind.LOG, x)
    with pytest.raises(NumericsError):
        execute(b.program(), Sources({}, {"x": np.array([1, -1], np.float32)}))


def test_equal_nodes_are_one():
    b = Builder()
    x = b.data("x", Type.F32, 2, 3)
    assert b.add(x, b.constant(1.0)) == b.add(x, b.constant(1.0))
    assert b.total(x.transpose()) == b.total(x.transpose())
    assert len(b.program().nodes) == 3 + 3
