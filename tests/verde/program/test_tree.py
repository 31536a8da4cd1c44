"""Trees: every piece is proved by its own proof only, for every number of leaves."""

import numpy as np
import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from verde.program.keccak import keccak_rows
from verde.program.kinds import Type
from verde.program.program import DTYPES
from verde.program.trace import Piece, show, tensor_root, words_in
from verde.program.tree import MISSING, Tree, depth_of, root_of, tensor_roots, tensor_tree, top_of, width_of


def leaves(count):
    return np.frombuffer(b"".join(keccak(bytes([n])) for n in range(count)), np.uint8).reshape(-1, 32)


@pytest.mark.parametrize("size", [0, 1, 64, 135, 136, 137, 256, 272, 300])
def test_many_messages_hash_like_one_at_a_time(size):
    rows = (np.arange(3 * size) * 31 % 251).astype(np.uint8).reshape(3, size)
    assert [row.tobytes() for row in keccak_rows(rows)] == [keccak(row.tobytes()) for row in rows]


@given(st.binary(min_size=1, max_size=300), st.integers(1, 4))
def test_any_message_hashes_as_the_reference_has_it(message, count):
    rows = np.frombuffer(message * count, np.uint8).reshape(count, -1)
    assert {row.tobytes() for row in keccak_rows(rows)} == {keccak(message)}


def test_the_root_of_three_leaves_is_made_as_the_text_says():
    one, two, three = (leaf.tobytes() for leaf in leaves(3))
    assert Tree(leaves(3)).root == keccak(keccak(one + two) + keccak(three + MISSING))
    assert Tree(leaves(1)).root == leaves(1)[0].tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 21])
def test_every_run_of_leaves_is_proved_and_nothing_else_is(count):
    tree = Tree(leaves(count))
    assert tree.depth == depth_of(count)
    for first in range(count):
        for size in range(1, count - first + 1):
            shown, proof = [leaf.tobytes() for leaf in leaves(count)[first : first + size]], tree.proof(first, size)
            assert root_of(count, first, shown, proof) == tree.root
            assert root_of(count, first, [*shown[:-1], MISSING], proof) != tree.root
            if count > 1:
                assert root_of(count, (first + 1) % count, shown, proof) != tree.root
            assert root_of(count, first, shown, (*proof, MISSING)) is None
            if proof:
                assert root_of(count, first, shown, proof[:-1]) is None


def test_proofs_beyond_the_end_or_of_other_lengths_are_none():
    tree = Tree(leaves(5))
    assert root_of(5, 5, [MISSING], tree.proof(4)) is None
    assert root_of(5, -1, [MISSING], tree.proof(0)) is None
    assert root_of(5, 0, [], ()) is None
    assert root_of(5, 0, [tree.node(0, 0)], (b"short", *tree.proof(0)[1:])) is None


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_nodes_below_lead_to_the_node_above(levels):
    tree = Tree(leaves(21))
    for index in range(width_of(21, levels + 1)):
        below = tree.below(levels + 1, index, levels)
        assert top_of(below, levels) == tree.node(levels + 1, index)
        small = Tree(np.frombuffer(b"".join(below), np.uint8).reshape(-1, 32))
        for child, node in enumerate(below):
            found = root_of(len(below), child, [node], small.proof(child), levels)
            assert found == tree.node(levels + 1, index)


@given(st.lists(st.tuples(st.sampled_from(list(Type)), st.integers(1, 900)), max_size=12))
def test_many_tensors_hashed_together_have_the_roots_that_they_have_alone(kinds):
    tensors = [(np.arange(size) % 97).astype(DTYPES[kind]) for kind, size in kinds]
    assert tensor_roots(tensors) == [tensor_tree(one).root for one in tensors]


@pytest.mark.parametrize("kind", Type)
def test_a_piece_of_a_tensor_holds_its_elements_and_leads_to_its_root(kind):
    values = (np.arange(500) % 97 - (0 if kind == Type.U8 else 40)).astype(DTYPES[kind])
    tree = tensor_tree(values)
    for first, count in ((0, 1), (0, 500), (63, 2), (499, 1), (130, 300)):
        piece = show(values, tree, first, count)
        assert tensor_root(piece, 500, kind) == tree.root
        words = words_in(piece, kind, first, count)
        expected = values[first : first + count]
        assert list(words) == (expected.view(np.uint32) if kind == Type.F32 else expected).tolist()
        assert tensor_root(Piece(piece.first_chunk, piece.raw[:-1], piece.proof), 500, kind) != tree.root
    assert words_in(show(values, tree, 0, 1), kind, 499, 1) is None
