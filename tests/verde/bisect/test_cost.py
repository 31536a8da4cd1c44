"""A game of a 0.5B model stays within a few moves and 2.5 million gas."""

import numpy as np
import pytest

from verde.bisect.cost import Prices, gas, moves
from verde.program.derive_step import step_program
from verde.program.kinds import Kind
from verde.program.shape import LearnRates, PassShape, architecture
from verde.program.tree import depth_of, num_chunks

QWEN = {
    "model_type": "qwen2",
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
}
OPENING = 200_000


@pytest.fixture(scope="module")
def program():
    rates = LearnRates(*(np.float32(value) for value in (1e-3, 0, 1, 0.8, 1.28, 4, 1)))
    return step_program(architecture(QWEN, 151_665), ((PassShape(1, 700, 300, 8, 400),),), rates)


def test_every_kind_of_node_is_settled_within_the_budget(program):
    """As many nodes as four micro-batches of this size have, and some more."""
    num_nodes = 1 << 15
    distinct = {(node.kind, node.sizes, node.length): node for node in program.nodes}.values()
    assert len(program.nodes) == 13_008
    assert {kind for kind in Kind if any(node.kind == kind for node in distinct)} >= {Kind.DOT, Kind.SUM_WHERE}
    for node in distinct:
        assert gas(num_nodes, node) + OPENING < 2_500_000, node
        assert all(move.gas(Prices()) < 1_000_000 for move in moves(num_nodes, node)), node
        assert len(moves(num_nodes, node)) <= 22


def test_moves_are_counted_by_levels(program):
    largest = max(program.nodes, key=lambda node: node.num_elements * node.type.size)
    assert depth_of(num_chunks(largest.num_elements * largest.type.size)) == 22
    names = [move.name for move in moves(len(program.nodes), largest)]
    assert names.count("Reveal") == 2 + 4  # and the first hashes of the trace come with PostTrace
    assert (names[0], names[-1]) == ("PostTrace", "Leaf")


def test_a_state_leaf_pays_for_the_piece_around_it(program):
    state = next(node for node in program.nodes if node.kind == Kind.STATE)
    leaf = moves(len(program.nodes), state)[-1]
    assert 2048 < leaf.num_bytes < 6000
    assert leaf.gas(Prices()) < 300_000
