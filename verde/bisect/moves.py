"""Why this module exists: everything that either side may send, as plain values.

Hashes have 32 bytes. ``proof`` fields hold siblings from the leaf up: of position trees (``verde.program.tree``) as
bytes, of ``protocol.merkle`` as content ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.ids import ContentId
from verde.commit import Opening
from verde.program.trace import Piece


@dataclass(frozen=True)
class ShownNode:
    """A node's bytes and its place in the program's tree."""

    encoded: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True)
class ShownInput:
    """Part of an earlier node's output, and that output's place in the defender's trace."""

    piece: Piece
    proof: tuple[bytes, ...]


@dataclass(frozen=True)
class ShownData:
    """Part of a tensor of the step's data, and that tensor's line."""

    piece: Piece
    line_proof: tuple[ContentId, ...]


@dataclass(frozen=True)
class ShownStep:
    """The step count of the state before, and its line."""

    step: int
    line_proof: tuple[ContentId, ...]


Source = Opening | ShownData | ShownStep
"""Where an element that no operator computes comes from: the state before, or the data."""


@dataclass(frozen=True)
class PostTrace:
    """Defender: the root of his trace, the hashes some levels below it, and the parts of the program's root."""

    trace_root: bytes
    children: tuple[bytes, ...]
    num_nodes: int
    nodes_root: bytes
    outputs_root: bytes


@dataclass(frozen=True)
class ShowResult:
    """Challenger: element ``element`` of result ``name`` is not in the trace what the contribution says it is.

    ``number``: the node; ``line_proof``: that it computes the result; ``shown``: its element in the trace;
    ``claimed``: the element in the state after, or in ``data/claimed``.
    """

    name: str
    number: int
    line_proof: tuple[ContentId, ...]
    node: ShownNode
    element: int
    shown: ShownInput
    claimed: Opening | ShownData


@dataclass(frozen=True)
class ShowStep:
    """Challenger: the state after does not have the step count of the state before and ``num_updates`` more.

    ``line_proof``: that the program makes so many updates.
    """

    num_updates: int
    line_proof: tuple[ContentId, ...]
    before: ShownStep
    after: ShownStep


@dataclass(frozen=True)
class Reveal:
    """Defender: the hashes some levels below the one that is searched."""

    children: tuple[bytes, ...]


@dataclass(frozen=True)
class Pick:
    """Challenger: the first of them that his own trace does not have, with its place under the one searched.

    ``node``: the program's node, where it is a node's output that was found.
    """

    child: int
    hash: bytes
    proof: tuple[bytes, ...]
    node: ShownNode | None = None


@dataclass(frozen=True)
class RevealChunk:
    """Defender: the bytes of the chunk that was found."""

    raw: bytes


@dataclass(frozen=True)
class PickElement:
    """Challenger: which element of the chunk, counted in it, is wrong. ``raw``: the chunk once more."""

    offset: int
    raw: bytes


@dataclass(frozen=True)
class RevealParts:
    """Defender: the value of the fold after each part of the terms that are searched."""

    values: tuple[int, ...]


@dataclass(frozen=True)
class PickPart:
    """Challenger: the first part whose value does not follow from the one before, where it is still too long."""

    part: int


@dataclass(frozen=True)
class Leaf:
    """Challenger: what the element depends on, one entry for each input of the node, None where it is not read.

    ``part``: which part's value is wrong; as many as there are: the element does not follow from the whole fold's last
    value; 0 for what has no parts. ``source`` instead of ``inputs`` where the element comes from outside of the
    program.
    """

    part: int = 0
    inputs: tuple[ShownInput | None, ...] = ()
    source: Source | None = None


DefenderMove = PostTrace | Reveal | RevealChunk | RevealParts
ChallengerMove = ShowResult | ShowStep | Pick | PickElement | PickPart | Leaf
Move = DefenderMove | ChallengerMove
