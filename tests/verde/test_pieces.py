"""Pieces of a chunk under one root, with hostile proofs."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verde.pieces import LEVELS, PIECE_BYTES, piece_proof, pieces_root, root_of_piece

WHOLE = PIECE_BYTES << LEVELS


def chunk(size: int) -> bytes:
    return hashlib.shake_256(size.to_bytes(4, "big")).digest(size)


@given(st.integers(1, WHOLE), st.integers(0, WHOLE - 1))
def test_every_piece_of_every_chunk_leads_to_its_root(size, at):
    raw, number = chunk(size), at % size // PIECE_BYTES
    piece = raw[number * PIECE_BYTES : (number + 1) * PIECE_BYTES]
    assert root_of_piece(piece, number, piece_proof(raw, number)) == pieces_root(raw)


def test_a_root_is_the_hash_of_all_pieces_and_of_nothing_where_the_chunk_has_ended():
    raw = chunk(PIECE_BYTES + 1)
    nodes = [hashlib.sha256(raw[:PIECE_BYTES]).digest(), hashlib.sha256(raw[PIECE_BYTES:]).digest()]
    nodes += [bytes(32)] * 30
    while len(nodes) > 1:
        nodes = [hashlib.sha256(a + b).digest() for a, b in zip(nodes[::2], nodes[1::2], strict=True)]
    assert pieces_root(raw) == nodes[0]


@pytest.mark.parametrize("number", [-1, 1, 32, 33])
def test_a_piece_has_only_one_place(number):
    raw = chunk(WHOLE)
    assert root_of_piece(raw[:PIECE_BYTES], number, piece_proof(raw, 0)) != pieces_root(raw)


def test_an_inner_node_is_no_piece_and_a_proof_has_five_hashes():
    raw = chunk(WHOLE)
    leaves = [hashlib.sha256(raw[at : at + PIECE_BYTES]).digest() for at in (0, PIECE_BYTES)]
    assert root_of_piece(b"".join(leaves), 0, piece_proof(raw, 0)[1:]) is None
    assert root_of_piece(raw[:PIECE_BYTES], 0, (*piece_proof(raw, 0), piece_proof(raw, 0)[0])) is None
    assert root_of_piece(raw[: PIECE_BYTES + 1], 0, piece_proof(raw, 0)) is None
    assert root_of_piece(raw[:PIECE_BYTES], 0, ("zz",) * 5) is None


def test_a_chunk_that_is_too_long_has_no_root():
    with pytest.raises(ValueError, match="at most 65536"):
        pieces_root(bytes(WHOLE + 1))
