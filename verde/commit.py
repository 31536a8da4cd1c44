"""Why this module exists: a state has one name, and anyone can check any piece of it against that name.

A state is named float32 tensors (weights and both moments), a step count, and the id of the files that training does
not change. Its tensors, sorted by name, little-endian and row-major, are one stream of bytes cut into chunks. One
Merkle root (``protocol.merkle``) stands over the lines

    0                      SHA-256 of the header: canonical bytes of (format, step, base, tensors)
    1 + i                  SHA-256 of (SHA-256 of chunk i ++ root over its pieces, ``verde.pieces``)
    SHA-256("step")        the step count
    SHA-256("tensor/" N)   byte at which tensor N starts in the stream * 2^128 + its number of elements

so that a contract can be shown one chunk, one element or the step count without seeing anything else: an element by
the 2 KiB around it, a chunk in one transaction of an EVM chain (nodes refuse those above 128 KiB).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Annotated

import msgspec

from protocol.codec import content_id, content_id_of, decode, encode
from protocol.errors import BadRecord, VerificationError
from protocol.ids import ContentId
from protocol.merkle import MerkleTree, Row, verify
from verde.pieces import LEVELS, PIECE_BYTES, piece_proof, pieces_root, root_of_piece

FORMAT = "rl-swarm/state/3"
CHUNK_BYTES = PIECE_BYTES << LEVELS
MANIFEST_CAP = 16 * 1024 * 1024
"""Bytes. A manifest of this size would describe some 7 GB."""

_DTYPE = "float32"
_ITEM_BYTES = 4

Step = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Buffer = bytes | bytearray | memoryview


class TensorRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One tensor of a state: its name, its type (always ``float32``) and its shape."""

    name: Name
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[Size, ...], msgspec.Meta(max_length=8)]

    @property
    def num_elements(self) -> int:
        return math.prod(self.shape)


class Manifest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """What a state consists of. ``chunks`` are SHA-256 ids, in the order of the stream, and ``pieces`` the roots over
    each one's pieces; ``base`` names fixed files."""

    format: Annotated[str, msgspec.Meta(max_length=64)]
    step: Step
    base: ContentId
    tensors: tuple[TensorRow, ...]
    chunks: tuple[ContentId, ...]
    pieces: tuple[ContentId, ...]

    @cached_property
    def num_bytes(self) -> int:
        """Length of the stream."""
        return sum(row.num_elements for row in self.tensors) * _ITEM_BYTES

    @cached_property
    def starts(self) -> dict[str, int]:
        """The byte of the stream at which each tensor starts."""
        starts, position = {}, 0
        for row in self.tensors:
            starts[row.name] = position
            position += row.num_elements * _ITEM_BYTES
        return starts

    def chunk_bytes(self, number: int) -> int:
        """Length of chunk ``number``: ``CHUNK_BYTES`` but for the last one."""
        return min(CHUNK_BYTES, self.num_bytes - number * CHUNK_BYTES)


def tensor_row(name: str, shape: Sequence[int]) -> TensorRow:
    """The row of a float32 tensor."""
    return TensorRow(name, _DTYPE, tuple(shape))


def split(
    step: int, base: ContentId, tensors: Iterable[tuple[TensorRow, Buffer]], keep_chunks: bool = True
) -> tuple[Manifest, tuple[bytes, ...]]:
    """The manifest of a state and its chunks. ``tensors`` come sorted by name, each with its bytes, one at a time.

    ``keep_chunks=False`` returns no chunks, and needs the memory of one. Raises ``ValueError`` when names are not
    sorted or bytes do not have the length that the row promises.
    """
    rows: list[TensorRow] = []
    ids: list[ContentId] = []
    pieces: list[ContentId] = []
    chunks: list[bytes] = []
    for chunk in _chunks(tensors, rows):
        ids.append(content_id(chunk))
        pieces.append(ContentId(pieces_root(chunk).hex()))
        if keep_chunks:
            chunks.append(chunk)
    if any(one.name >= other.name for one, other in pairwise(rows)):
        raise ValueError("Tensors of a state must be sorted by name, each name once.")
    return Manifest(FORMAT, step, base, tuple(rows), tuple(ids), tuple(pieces)), tuple(chunks)


def _chunks(tensors: Iterable[tuple[TensorRow, Buffer]], rows: list[TensorRow]) -> Iterator[bytes]:
    pending = bytearray()
    for row, data in tensors:
        view = memoryview(data).cast("B")
        if row.dtype != _DTYPE or len(view) != row.num_elements * _ITEM_BYTES:
            raise ValueError(f"{row.name} is {len(view)} bytes of {row.dtype}, not float32 of shape {row.shape}.")
        rows.append(row)
        position = 0
        while position < len(view):
            taken = view[position : position + CHUNK_BYTES - len(pending)]
            pending += taken
            position += len(taken)
            if len(pending) == CHUNK_BYTES:
                yield bytes(pending)
                pending.clear()
    if pending:
        yield bytes(pending)


def state_tree(manifest: Manifest) -> MerkleTree:
    """The tree over the lines that the module's description lists."""
    header = content_id_of((manifest.format, manifest.step, manifest.base, manifest.tensors))
    lines: list[Row] = [(_key(0), bytes.fromhex(header)), (_STEP_KEY, manifest.step)]
    pairs = zip(manifest.chunks, manifest.pieces, strict=True)
    lines += [(_key(1 + number), _chunk_line(chunk, pieces)) for number, (chunk, pieces) in enumerate(pairs)]
    lines += [(_tensor_key(row.name), _extent(manifest.starts[row.name], row)) for row in manifest.tensors]
    return MerkleTree(lines)


def state_root(manifest: Manifest) -> ContentId:
    """The name of the state: what contributions and runs carry."""
    return state_tree(manifest).root


def chunk_line(manifest: Manifest, number: int) -> tuple[bytes, tuple[ContentId, ...]]:
    """What the tree says of chunk ``number`` (SHA-256 of its id and the root over its pieces), and the line's siblings.

    Raises ``IndexError`` when there is no such chunk."""
    line = _chunk_line(manifest.chunks[number], manifest.pieces[number])
    return line, state_tree(manifest).proof(_key(1 + number), line)


def parse_manifest(raw: bytes, *, cap: int = MANIFEST_CAP) -> Manifest:
    """The manifest in bytes from anywhere.

    Raises ``VerificationError`` when it is larger than ``cap``, not canonical, of another format or type, names a
    tensor twice or out of order, or does not list as many chunks as its tensors fill. It does not fetch anything.
    """
    try:
        manifest = decode(raw, Manifest, cap=cap)
    except BadRecord as error:
        raise _refused(f"its manifest cannot be read ({error.what})") from error
    if manifest.format != FORMAT:
        raise _refused(f"it has the format {manifest.format!r}, not {FORMAT!r}")
    foreign = next((row for row in manifest.tensors if row.dtype != _DTYPE), None)
    if foreign is not None:
        raise _refused(f"the tensor {foreign.name} is {foreign.dtype}, not float32")
    if any(one.name >= other.name for one, other in pairwise(manifest.tensors)):
        raise _refused("its tensors are not sorted by name, each name once")
    if len(manifest.chunks) != -(-manifest.num_bytes // CHUNK_BYTES):
        raise _refused(f"it lists {len(manifest.chunks)} chunks for {manifest.num_bytes} bytes")
    if len(manifest.pieces) != len(manifest.chunks):
        raise _refused(f"it lists {len(manifest.pieces)} roots of pieces for {len(manifest.chunks)} chunks")
    return manifest


def check_chunk(manifest: Manifest, number: int, chunk: Buffer) -> None:
    """Raises ``VerificationError`` unless ``chunk`` has the length and the hash of the manifest's chunk ``number``."""
    if len(chunk) != manifest.chunk_bytes(number):
        raise _refused(f"chunk {number} has {len(chunk)} bytes instead of {manifest.chunk_bytes(number)}")
    if hashlib.sha256(chunk).hexdigest() != manifest.chunks[number]:
        raise _refused(f"chunk {number} does not have the hash that the manifest names")
    if pieces_root(chunk).hex() != manifest.pieces[number]:
        raise _refused(f"chunk {number} does not have the pieces that the manifest names")


def join(
    manifest: Manifest, chunks: Sequence[Buffer], expected: Sequence[TensorRow], base: ContentId
) -> dict[str, bytearray]:
    """The bytes of every tensor, by name, from all chunks in order. ``expected`` and ``base``: those of the own model.

    Raises ``VerificationError`` when the manifest has another base or other tensors, or a chunk is missing, too much,
    cut off, too long or not what the manifest names. Nothing is allocated before names and shapes are known to fit.
    """
    if manifest.base != base:
        raise _refused("it was trained with other model files (tokenizer, template or configuration)")
    require_rows(manifest, expected)
    if len(chunks) != len(manifest.chunks):
        raise _refused(f"{len(chunks)} chunks came where {len(manifest.chunks)} are named")
    for number, chunk in enumerate(chunks):
        check_chunk(manifest, number, chunk)
    tensors: dict[str, bytearray] = {}
    for row in manifest.tensors:
        start, end = manifest.starts[row.name], manifest.starts[row.name] + row.num_elements * _ITEM_BYTES
        data = tensors[row.name] = bytearray()
        for number in range(start // CHUNK_BYTES, -(-end // CHUNK_BYTES)):
            offset = number * CHUNK_BYTES
            data += memoryview(chunks[number])[max(start - offset, 0) : end - offset]
    return tensors


def require_rows(manifest: Manifest, expected: Sequence[TensorRow]) -> None:
    """Raises ``VerificationError`` unless the manifest's tensors are exactly ``expected`` (names, shapes, types)."""
    if manifest.tensors == tuple(expected):
        return
    known = {row.name: row for row in expected}
    names = {row.name for row in manifest.tensors}
    for row in manifest.tensors:
        if row.name not in known:
            raise _refused(f"it has a tensor {row.name} that the model lacks")
        if row != known[row.name]:
            raise _refused(f"the tensor {row.name} has the shape {row.shape}, not {known[row.name].shape}")
    raise _refused(f"it lacks the tensor {min(set(known) - names)}" if set(known) - names else "its order is another")


@dataclass(frozen=True)
class Place:
    """Where one element lies: ``offset`` is a byte of chunk ``chunk``, the first of four."""

    chunk: int
    offset: int


def locate(manifest: Manifest, name: str, index: int) -> Place:
    """The place of element ``index`` (row-major) of tensor ``name``. Raises ``KeyError`` or ``IndexError``."""
    row = next((row for row in manifest.tensors if row.name == name), None)
    if row is None:
        raise KeyError(name)
    if not 0 <= index < row.num_elements:
        raise IndexError(f"{name} has {row.num_elements} elements, so no element {index}.")
    return Place(*divmod(manifest.starts[name] + index * _ITEM_BYTES, CHUNK_BYTES))


class Opening(msgspec.Struct, frozen=True):
    """One element, shown against a state's root: the piece that holds it, the chunk that the piece is of, where the
    element's tensor lies, and the siblings of each."""

    name: Name
    index: int
    start: int
    num_elements: int
    piece: bytes
    piece_proof: tuple[ContentId, ...]
    chunk: ContentId
    chunk_proof: tuple[ContentId, ...]
    tensor_proof: tuple[ContentId, ...]


def open_element(manifest: Manifest, name: str, index: int, chunk: bytes) -> Opening:
    """Element ``index`` of tensor ``name`` with its proofs; ``chunk`` is the one that ``locate`` names.

    Raises ``KeyError`` or ``IndexError`` when there is no such element, ``VerificationError`` for another chunk.
    """
    place = locate(manifest, name, index)
    check_chunk(manifest, place.chunk, chunk)
    row = next(row for row in manifest.tensors if row.name == name)
    start, tree, piece = manifest.starts[name], state_tree(manifest), place.offset // PIECE_BYTES
    line = _chunk_line(manifest.chunks[place.chunk], manifest.pieces[place.chunk])
    return Opening(
        name=name,
        index=index,
        start=start,
        num_elements=row.num_elements,
        piece=bytes(chunk[piece * PIECE_BYTES : (piece + 1) * PIECE_BYTES]),
        piece_proof=piece_proof(chunk, piece),
        chunk=manifest.chunks[place.chunk],
        chunk_proof=tree.proof(_key(1 + place.chunk), line),
        tensor_proof=tree.proof(_tensor_key(name), _extent(start, row)),
    )


def check_opening(root: ContentId, opening: Opening) -> bytes:
    """The element's four bytes (little-endian binary32).

    Raises ``VerificationError`` when anything in ``opening`` is not what ``root`` stands for.
    """
    if not (0 <= opening.index < opening.num_elements < 1 << 40 and 0 <= opening.start < 1 << 62):
        raise _refused(f"{opening.name} has no element {opening.index}")
    extent = opening.start << 128 | opening.num_elements
    if not verify(root, _tensor_key(opening.name), extent, opening.tensor_proof):
        raise _refused(f"its tensor {opening.name} does not lie where the opening says")
    number, offset = divmod(opening.start + opening.index * _ITEM_BYTES, CHUNK_BYTES)
    piece, at = divmod(offset, PIECE_BYTES)
    pieces = root_of_piece(opening.piece, piece, opening.piece_proof)
    if pieces is None or not _is_id(opening.chunk):
        raise _refused(f"piece {piece} of its chunk {number} is shown in another form")
    if not verify(root, _key(1 + number), _chunk_line(opening.chunk, ContentId(pieces.hex())), opening.chunk_proof):
        raise _refused(f"its chunk {number} is another one")
    if len(opening.piece) < at + _ITEM_BYTES:
        raise _refused(f"its chunk {number} ends before element {opening.index}")
    return opening.piece[at : at + _ITEM_BYTES]


def manifest_bytes(manifest: Manifest) -> bytes:
    """Canonical bytes: what is sent, and what ``parse_manifest`` reads."""
    return encode(manifest)


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _tensor_key(name: str) -> bytes:
    return hashlib.sha256(b"tensor/" + name.encode()).digest()


def _chunk_line(chunk: ContentId, pieces: ContentId) -> bytes:
    return hashlib.sha256(bytes.fromhex(chunk) + bytes.fromhex(pieces)).digest()


def _is_id(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdef" for digit in text)


def _extent(start: int, row: TensorRow) -> int:
    return start << 128 | row.num_elements


def _refused(why: str) -> VerificationError:
    return VerificationError(
        f"A state cannot be used: {why}.",
        "Nothing was computed from it; your own state and credits are not touched.",
        "Ask another holder for it; if all serve the same, its owner has nothing to show for the round.",
    )


_STEP_KEY = hashlib.sha256(b"step").digest()
