"""Why this module exists: a person who is accused, or asked to look, reads a game in sentences, not in hashes. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from chain.games import WHOLE_STEP, GameSide
from verde.bisect.errors import BadMove
from verde.bisect.game import Dispute
from verde.bisect.moves import (
    Leaf,
    Move,
    Pick,
    PickElement,
    PickPart,
    PostTrace,
    Reveal,
    RevealChunk,
    RevealParts,
    ShowResult,
    ShowStep,
)
from verde.bisect.openings import Inputs, input_type, word_of_source
from verde.numerics.oracle.rounding import NotANumber
from verde.program.kinds import Kind, Type
from verde.program.leaf import SOURCES, evaluate, finish, fold
from verde.program.node import Node
from verde.program.tree import CHUNK_BYTES


@dataclass(frozen=True)
class Range:
    """What is still in question: ``count`` of ``total`` things called ``searched``, from ``first`` on."""

    searched: str
    first: int
    count: int
    total: int


def subject_words(subject: int) -> str:
    """What a game is about."""
    return "the training step" if subject == WHOLE_STEP else f"rollout {subject}"


def in_question(game: Dispute) -> Range:
    """How far the search has come."""
    if game.node is None:
        first = game.index << game.level
        return Range("nodes", first, min(1 << game.level, game.num_nodes - first), game.num_nodes)
    total = game.node.num_elements
    if game.element < 0:
        per_chunk = CHUNK_BYTES // game.node.type.size
        first = (game.index << game.level) * per_chunk
        return Range("elements", first, min(per_chunk << game.level, total - first), total)
    if game.node.length:
        terms = game.terms_left
        return Range("terms", terms.start, len(terms), game.node.length)
    return Range("elements", game.element, 1, total)


def move_words(game: Dispute, move: Move) -> str:
    """What ``move`` says in ``game``, which is as it was before it."""
    match move:
        case PostTrace():
            return f"commits to a trace of {move.num_nodes:,} operators, root {_short(move.trace_root)}"
        case Reveal():
            return f"shows the {len(move.children)} hashes below"
        case Pick():
            return f"hash {move.child} of {game.num_children} is the first that its own trace does not have"
        case RevealChunk():
            return f"shows the {len(move.raw)} bytes in question"
        case PickElement():
            return f"element {move.offset} of these is wrong"
        case RevealParts():
            return f"shows the sums after each of {len(move.values)} parts"
        case PickPart():
            return f"part {move.part} does not follow from the one before"
        case ShowResult():
            return f"the trace's own result {move.name}, element {move.element}, is not what the contribution says"
        case ShowStep():
            return (
                f"the state after counts {move.after.step} updates, and the state before {move.before.step}; the step"
                f" makes {move.num_updates}"
            )
        case Leaf():
            return _leaf_words(game, move)


def verdict_words(game: Dispute | None, move: Move | None, winner: GameSide, *, by_clock: bool) -> str:
    """Why a game ended as it did. ``game``: as it was before its last ``move``; ``None`` where that is not known."""
    loser = "accused peer" if winner is GameSide.CHALLENGER else "challenger"
    if by_clock:
        return f"The {loser} let a deadline pass."
    if game is None or move is None:
        return "The contract computed the leaf, and it is as the winner said."
    words = move_words(game, move)
    proven = "The contribution is proven false" if winner is GameSide.CHALLENGER else "The contribution stands"
    return f"{proven}: {words}."


def node_words(number: int, node: Node) -> str:
    """A node, by number, kind and sizes."""
    sizes = " x ".join(map(str, node.sizes))
    return f"node {number} ({node.kind.name} of {sizes})"


def value_words(word: int, type_: Type) -> str:
    """An element: a binary32 with its bits, an integer as it is."""
    if type_ != Type.F32:
        return str(word)
    (value,) = struct.unpack("<f", (word & 0xFFFFFFFF).to_bytes(4, "little"))
    return f"{value!r} (0x{word & 0xFFFFFFFF:08x})"


def _leaf_words(game: Dispute, move: Leaf) -> str:
    node = game.node
    if node is None:
        return "asks the contract to compute the element"
    at = f"element {game.element} of {node_words(game.number, node)}"
    if game.parts and move.part < len(game.parts):
        at = f"the sum of terms {game.ranges[move.part].start} to {game.ranges[move.part].stop - 1} of {at}"
        said = str(game.parts[move.part])
    else:
        said = value_words(game.claimed, node.type)
    found, read = _computed(game, node, move)
    inputs = f" from {'; '.join(read)}" if read else ""
    return f"{at}: the accused peer said {said}; the contract computes {found}{inputs}"


def _computed(game: Dispute, node: Node, move: Leaf) -> tuple[str, list[str]]:
    """What a leaf comes to, and what it reads."""
    read: list[str] = []
    try:
        if node.kind in SOURCES:
            terms = game.terms
            word = word_of_source(node, game.element, move.source, terms.state_before, terms.data_root)
            return value_words(word, node.type), [_source_words(node)]
        inputs = Inputs(node, game.trace_root, game.num_nodes, move.inputs)

        def reader(which: int, first: int, count: int) -> tuple[int, ...]:
            words = inputs.read(which, first, count)
            read.append(_input_words(node, which, first, words))
            return words

        if not game.parts:
            return value_words(evaluate(node, game.element, reader), node.type), read
        if move.part < len(game.parts):
            before = game.parts[move.part - 1] if move.part else game.before
            return str(fold(node, game.element, game.ranges[move.part], before, reader)), read
        return value_words(finish(node, game.element, game.parts[-1], reader), node.type), read
    except NotANumber:
        return "no number at all", read
    except (BadMove, IndexError):
        return "it from what is shown", read


def _input_words(node: Node, which: int, first: int, words: tuple[int, ...]) -> str:
    type_ = input_type(node, which)
    at = f"node {node.inputs[which].node}"
    if len(words) == 1:
        return f"element {first} of {at} = {value_words(words[0], type_)}"
    return f"elements {first} to {first + len(words) - 1} of {at}"


def _source_words(node: Node) -> str:
    what = {Kind.STATE: "the state before", Kind.STEP: "the state before", Kind.DATA: "the step's data"}
    return what.get(node.kind, "the program")


def _short(raw: bytes) -> str:
    return f"0x{raw.hex()[:12]}…"
