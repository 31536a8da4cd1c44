"""States as chunks under one root: what fits, what is refused, and what an opening proves."""

import hashlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.codec import content_id, content_id_of, encode
from protocol.errors import VerificationError
from protocol.ids import ContentId
from protocol.merkle import MerkleTree
from verde.commit import (
    CHUNK_BYTES,
    FORMAT,
    TensorRow,
    check_opening,
    join,
    locate,
    manifest_bytes,
    open_element,
    parse_manifest,
    split,
    state_root,
    tensor_row,
)

BASE = ContentId("ab" * 32)
SHAPES = {"first/w": (2, 3), "second/w": (2, 3), "weight/big": (3, 7000), "weight/w": (2, 3), "weight/x": ()}


def value(name, index):
    return index + 1000.0 * sorted(SHAPES).index(name)


def tensors(shapes=SHAPES):
    for name, shape in sorted(shapes.items()):
        row = tensor_row(name, shape)
        yield row, struct.pack(f"<{row.num_elements}f", *(value(name, index) for index in range(row.num_elements)))


@pytest.fixture
def state():
    return split(7, BASE, tensors())


ROWS = [row for row, _ in tensors()]


def test_the_root_is_that_of_the_documented_lines():
    data = struct.pack("<3f", 1.0, -2.0, 0.5)
    manifest, chunks = split(5, BASE, [(tensor_row("weight/w", (3,)), data)])
    header = content_id_of((FORMAT, 5, BASE, (("weight/w", "float32", (3,)),)))
    node = hashlib.sha256(data).digest()
    empty = bytes(32)
    for _ in range(5):
        node, empty = hashlib.sha256(node + empty).digest(), hashlib.sha256(empty + empty).digest()
    chunk = hashlib.sha256(hashlib.sha256(data).digest() + node).digest()
    lines = [
        (bytes(32), bytes.fromhex(header)),
        ((1).to_bytes(32, "big"), chunk),
        (hashlib.sha256(b"step").digest(), 5),
        (hashlib.sha256(b"tensor/weight/w").digest(), 3),
    ]
    assert chunks == (data,)
    assert state_root(manifest) == MerkleTree(lines).root


def test_chunks_are_the_tensors_one_after_another_and_small_enough_for_a_transaction(state):
    manifest, chunks = state
    assert b"".join(chunks) == b"".join(data for _, data in tensors())
    assert [len(chunk) for chunk in chunks] == [CHUNK_BYTES, 84_076 - CHUNK_BYTES]
    assert [content_id(chunk) for chunk in chunks] == list(manifest.chunks)
    assert CHUNK_BYTES <= 100 * 1024


def test_joining_gives_back_what_was_split(state):
    manifest, chunks = state
    read = parse_manifest(manifest_bytes(manifest))
    assert read == manifest
    assert join(read, chunks, ROWS, BASE) == {row.name: data for row, data in tensors()}


def test_a_manifest_without_chunks_has_the_same_root(state):
    manifest, chunks = split(7, BASE, tensors(), keep_chunks=False)
    assert chunks == ()
    assert state_root(manifest) == state_root(state[0])


@given(
    st.dictionaries(st.text("abc/", min_size=1, max_size=4), st.binary(max_size=40), max_size=5),
    st.integers(0, 2**62),
)
def test_any_tensors_survive_the_round_trip(contents, step):
    rows = [
        (tensor_row(name, (len(data) // 4,)), data[: len(data) // 4 * 4]) for name, data in sorted(contents.items())
    ]
    manifest, chunks = split(step, BASE, rows)
    joined = join(parse_manifest(manifest_bytes(manifest)), chunks, [row for row, _ in rows], BASE)
    assert joined == {row.name: data for row, data in rows}


@pytest.mark.parametrize(
    "change",
    [
        {"step": 8},
        {"base": "cd" * 32},
        {"tensors": (*ROWS[:-1], tensor_row("weight/y", ()))},
        {"tensors": (tensor_row("first/w", (3, 2)), *ROWS[1:])},
        {"chunks": ("00" * 32, "11" * 32)},
        {"pieces": ("00" * 32, "11" * 32)},
    ],
)
def test_the_root_changes_with_everything_that_the_manifest_says(state, change):
    assert state_root(msgspec.structs.replace(state[0], **change)) != state_root(state[0])


def test_exchanged_chunks_are_another_state(state):
    manifest, _ = state
    assert state_root(msgspec.structs.replace(manifest, chunks=manifest.chunks[::-1])) != state_root(manifest)
    assert state_root(msgspec.structs.replace(manifest, pieces=manifest.pieces[::-1])) != state_root(manifest)


def test_chunks_whose_pieces_are_not_the_named_ones_are_refused(state):
    manifest, chunks = state
    lying = msgspec.structs.replace(manifest, pieces=manifest.pieces[::-1])
    with pytest.raises(VerificationError, match="chunk 0 does not have the pieces"):
        join(lying, chunks, ROWS, BASE)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(tensor_row("b", (1,)), bytes(4)), (tensor_row("a", (1,)), bytes(4))], "sorted"),
        ([(tensor_row("a", (1,)), bytes(4)), (tensor_row("a", (1,)), bytes(4))], "each name once"),
        ([(tensor_row("a", (2,)), bytes(4))], "not float32 of shape"),
        ([(TensorRow("a", "float16", (2,)), bytes(4))], "float16"),
    ],
)
def test_tensors_that_do_not_make_a_state_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        split(0, BASE, rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "rl-swarm/state/1"}, "format"),
        ({"step": -1}, "cannot be read"),
        ({"step": 2**63}, "cannot be read"),
        ({"base": "../etc"}, "cannot be read"),
        ({"tensors": (TensorRow("first/w", "float16", (2, 3)), *ROWS[1:])}, "float16"),
        ({"tensors": (TensorRow("first/w", "float32", (-2, -3)), *ROWS[1:])}, "cannot be read"),
        ({"tensors": (TensorRow("first/w", "float32", (2**39, 2**39)), *ROWS[1:])}, "chunks for"),
        ({"tensors": tuple(ROWS[::-1])}, "sorted"),
        ({"tensors": (ROWS[0], *ROWS)}, "each name once"),
        ({"chunks": ()}, "lists 0 chunks"),
        ({"chunks": ("00" * 32,) * 3}, "lists 3 chunks"),
        ({"pieces": ("00" * 32,) * 3}, "lists 3 roots of pieces for 2"),
        ({"chunks": ("00" * 31,) * 2}, "cannot be read"),
    ],
)
def test_a_hostile_manifest_is_refused(state, change, message):
    raw = encode(msgspec.structs.replace(state[0], **change))
    with pytest.raises(VerificationError, match=message):
        parse_manifest(raw)


def test_a_manifest_that_is_too_large_cut_off_or_not_canonical_is_refused(state):
    raw = manifest_bytes(state[0])
    with pytest.raises(VerificationError, match="at most 100"):
        parse_manifest(raw, cap=100)
    with pytest.raises(VerificationError, match="cannot be read"):
        parse_manifest(raw[:-1])
    with pytest.raises(VerificationError, match="cannot be read"):
        parse_manifest(raw + b"\0")
    assert raw[:2] == b"\x96\xb0"  # an array of six, a short string
    with pytest.raises(VerificationError, match="canonical"):
        parse_manifest(b"\x96\xd9\x10" + raw[2:])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:-1], "weight/x that the model lacks"),
        ([*ROWS, tensor_row("weight/z", (1,))], "lacks the tensor weight/z"),
        ([tensor_row("first/w", (3, 2)), *ROWS[1:]], "first/w has the shape"),
    ],
)
def test_a_state_of_another_model_is_refused(state, rows, message):
    manifest, chunks = state
    with pytest.raises(VerificationError, match=message):
        join(manifest, chunks, rows, BASE)


def test_a_state_with_other_model_files_is_refused(state):
    with pytest.raises(VerificationError, match="other model files"):
        join(*state, ROWS, ContentId("cd" * 32))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda chunks: chunks[:-1], "1 chunks came where 2"),
        (lambda chunks: [*chunks, b""], "3 chunks came where 2"),
        (lambda chunks: [chunks[0][:-1], chunks[1]], "chunk 0 has 65535 bytes"),
        (lambda chunks: [chunks[0], chunks[1] + b"\0"], "chunk 1 has"),
        (lambda chunks: [chunks[0], bytes(len(chunks[1]))], "chunk 1 does not have the hash"),
        (lambda chunks: [chunks[1], chunks[0]], "chunk 0 has"),
    ],
)
def test_chunks_that_are_not_the_named_ones_are_refused(state, damage, message):
    manifest, chunks = state
    with pytest.raises(VerificationError, match=message):
        join(manifest, damage(list(chunks)), ROWS, BASE)


@pytest.mark.parametrize(("name", "index"), [("first/w", 0), ("weight/big", 16_380), ("weight/w", 5), ("weight/x", 0)])
def test_an_element_is_opened_against_the_root_alone(state, name, index):
    manifest, chunks = state
    place = locate(manifest, name, index)
    opening = open_element(manifest, name, index, chunks[place.chunk])
    assert struct.unpack("<f", check_opening(state_root(manifest), opening)) == (value(name, index),)


def test_an_opening_proves_nothing_else(state):
    manifest, chunks = state
    root = state_root(manifest)
    opening = open_element(manifest, "weight/w", 5, chunks[1])
    flipped = bytes([opening.piece[0] ^ 1]) + opening.piece[1:]
    assert len(opening.piece) <= 2048
    for change in (
        {"name": "weight/v"},
        {"name": "first/w"},
        {"index": 6},
        {"index": -1},
        {"start": opening.start + 4},
        {"start": -4},
        {"num_elements": 7},
        {"piece": flipped},
        {"piece": opening.piece[:-4]},
        {"piece": opening.piece + bytes(4096)},
        {"piece_proof": opening.piece_proof[1:]},
        {"piece_proof": (*opening.piece_proof, "00" * 32)},
        {"piece_proof": ("zz", *opening.piece_proof[1:])},
        {"chunk": manifest.chunks[0]},
        {"chunk": "zz"},
        {"chunk_proof": opening.chunk_proof[1:]},
        {"tensor_proof": opening.chunk_proof},
        {"tensor_proof": ("zz",)},
    ):
        with pytest.raises(VerificationError):
            check_opening(root, msgspec.structs.replace(opening, **change))
    with pytest.raises(VerificationError):
        check_opening(state_root(msgspec.structs.replace(manifest, step=8)), opening)


def test_elements_that_are_not_there_are_refused(state):
    manifest, chunks = state
    with pytest.raises(KeyError):
        locate(manifest, "weight/v", 0)
    with pytest.raises(IndexError):
        locate(manifest, "weight/w", 6)
    with pytest.raises(VerificationError, match="chunk 0"):
        open_element(manifest, "first/w", 0, chunks[1])
