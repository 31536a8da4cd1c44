"""Vectors made by @openzeppelin/merkle-tree 1.0.8 over lines keyed by SHA-256 of "peer i"."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import ZERO_ROOT
from protocol.merkle import MAX_PROOF_LENGTH, MerkleTree, leaf_hash, verify

VECTORS = json.loads(Path(__file__).with_name("openzeppelin_vectors.json").read_text())
keys = st.binary(min_size=32, max_size=32)
values = st.one_of(st.binary(min_size=32, max_size=32), st.integers(0, 2**256 - 1))
lists = st.dictionaries(keys, values, min_size=1, max_size=40)


def vector_rows(vector):
    return [(bytes.fromhex(k), int(v) if vector["type"] == "uint256" else bytes.fromhex(v)) for k, v in vector["rows"]]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['type']}-{len(v['rows'])}")
def test_roots_and_proofs_are_openzeppelins(vector):
    rows = vector_rows(vector)
    tree = MerkleTree(rows)
    assert tree.root == vector["root"]
    for index, proof in vector["proofs"].items():
        assert tree.proof(*rows[int(index)]) == tuple(proof)
        assert verify(tree.root, *rows[int(index)], proof)


def test_no_leaves_have_the_zero_root_and_prove_nothing():
    tree = MerkleTree([])
    assert tree.root == ZERO_ROOT
    assert len(tree) == 0
    assert not verify(ZERO_ROOT, bytes(32), 0, ())
    with pytest.raises(KeyError):
        tree.proof(bytes(32), 0)


def test_one_leaf_is_its_own_root_with_an_empty_proof():
    tree = MerkleTree([(bytes(32), 7)])
    assert tree.root == leaf_hash(bytes(32), 7).hex()
    assert tree.proof(bytes(32), 7) == ()
    assert verify(tree.root, bytes(32), 7, ())


@given(lists)
def test_every_line_proves_itself_and_no_other_value(rows):
    tree = MerkleTree(rows.items())
    for key, value in rows.items():
        proof = tree.proof(key, value)
        assert verify(tree.root, key, value, proof)
        word = value if isinstance(value, int) else int.from_bytes(value, "big")
        assert not verify(tree.root, key, word ^ 1, proof)


@given(lists, st.randoms(use_true_random=False))
def test_the_order_of_the_lines_does_not_matter(rows, rng):
    shuffled = list(rows.items())
    rng.shuffle(shuffled)
    assert MerkleTree(shuffled).root == MerkleTree(rows.items()).root


@given(lists, st.integers(0, 10**6))
def test_a_proof_with_one_changed_byte_fails(rows, where):
    tree = MerkleTree(rows.items())
    key, value = next(iter(rows.items()))
    proof = list(tree.proof(key, value))
    if not proof:
        return
    raw = bytearray.fromhex("".join(proof))
    raw[where % len(raw)] ^= 1
    assert not verify(tree.root, key, value, [raw[i : i + 32].hex() for i in range(0, len(raw), 32)])


def test_hostile_proofs_are_false_and_never_an_exception():
    tree = MerkleTree([(bytes(32), 1), (bytes(31) + b"\1", 2)])
    for proof in (["zz" * 32], ["00"], ["00" * 33], [""], ["é" * 64], [ZERO_ROOT] * (MAX_PROOF_LENGTH + 1)):
        assert not verify(tree.root, bytes(32), 1, proof)


def test_an_inner_node_is_not_a_leaf():
    rows = [(bytes([i]) * 32, i) for i in range(4)]
    tree = MerkleTree(rows)
    pairs = [tree.proof(*row) for row in rows]
    assert all(len(proof) == 2 for proof in pairs)
    for proof in pairs:  # the upper sibling's two halves, offered as a line
        assert not verify(tree.root, bytes.fromhex(proof[0]), bytes.fromhex(proof[1]), proof[1:])


def test_a_line_twice_or_too_wide_is_refused():
    with pytest.raises(ValueError, match="twice"):
        MerkleTree([(bytes(32), 1), (bytes(32), bytes(31) + b"\1")])
    with pytest.raises(ValueError, match="32"):
        MerkleTree([(bytes(31), 1)])
    with pytest.raises(ValueError, match="uint256"):
        MerkleTree([(bytes(32), 2**256)])
    with pytest.raises(ValueError, match="uint256"):
        MerkleTree([(bytes(32), -1)])
