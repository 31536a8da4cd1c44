"""Why this module exists: who found a difference leads the game from two roots to it, and shows what it depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from protocol.errors import SwarmError
from verde.bisect.errors import WrongTurn
from verde.bisect.game import NO_CLAIM, Dispute, Phase
from verde.bisect.moves import (
    ChallengerMove,
    Leaf,
    Pick,
    PickElement,
    ShownData,
    ShownInput,
    ShownNode,
    ShownStep,
    ShowResult,
    Source,
)
from verde.bisect.openings import STEP_LINE
from verde.commit import Manifest, Opening, locate, open_element, state_tree
from verde.numerics.oracle.rounding import NotANumber
from verde.program.kinds import Kind, Type
from verde.program.leaf import SOURCES, evaluate, finish, fold, num_parts
from verde.program.program import Sources, key_bytes, key_of
from verde.program.trace import Trace, show, words_of
from verde.program.tree import Tree, tensor_tree


class NothingToShow(SwarmError):
    """The two traces are equal, and the results are what was claimed: there is nothing to dispute."""


@dataclass(frozen=True)
class State:
    """A committed state, all of it: its manifest and chunks, as they are served."""

    manifest: Manifest
    chunks: Sequence[bytes]


@dataclass(frozen=True)
class Evidence:
    """What a challenger holds: his own trace, what the step starts from, and what it is said to end in.

    ``after`` is ``None`` where tokens are disputed.
    """

    trace: Trace
    sources: Sources
    before: State
    after: State | None = field(default=None)


def answer(evidence: Evidence, game: Dispute) -> ChallengerMove:
    """The move that leads to the first difference.

    Raises ``WrongTurn`` when it is not the challenger's, ``NothingToShow`` when there is no difference to lead to.
    """
    trace = evidence.trace
    if game.phase is Phase.PICK:
        if game.node is None and game.trace_root == trace.root:
            return _result(evidence)
        return _pick(evidence, game)
    if game.phase is Phase.ELEMENT:
        node = trace.node(game.number)
        ours = words_of(trace.chunk(game.number, game.index), node.type)
        theirs = words_of(game.shown[0], node.type)
        return PickElement(_first_difference(ours, theirs), game.shown[0])
    if game.phase is Phase.LEAF:
        return _leaf(evidence, game)
    raise WrongTurn(f"the defender is to move, {game.phase.name}")


def _first_difference(ours: Sequence[object], theirs: Sequence[object]) -> int:
    found = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), None)
    if found is None:
        raise NothingToShow("Both sides have the same values here.")
    return found


def _pick(evidence: Evidence, game: Dispute) -> Pick:
    trace = evidence.trace
    tree = trace.tree if game.node is None else trace.tensor(game.number)
    child = _first_difference(tree.below(game.level, game.index, game.levels), game.shown)
    below = Tree(np.frombuffer(b"".join(game.shown), np.uint8).reshape(-1, 32))
    is_node = game.node is None and game.level == game.levels
    return Pick(
        child,
        game.shown[child],
        below.proof(child),
        _shown_node(trace, (game.index << game.levels) + child) if is_node else None,
    )


def _shown_node(trace: Trace, number: int) -> ShownNode:
    return ShownNode(trace.node(number).encoded(), trace.program.tree.proof(number))


def _shown_output(trace: Trace, number: int, first: int, count: int) -> ShownInput:
    return ShownInput(trace.piece(number, first, count), trace.tree.proof(number))


class _Recorder:
    """Reads from the own trace, and keeps a piece for each time something is read."""

    def __init__(self, trace: Trace, number: int) -> None:
        self._trace, self._read = trace, trace.reader(number)
        self._inputs = trace.node(number).inputs
        self.pieces: list[ShownInput] = []

    def read(self, which: int, first: int, count: int) -> Sequence[int]:
        self.pieces.append(_shown_output(self._trace, self._inputs[which].node, first, count))
        return self._read(which, first, count)


def _leaf(evidence: Evidence, game: Dispute) -> Leaf:
    trace = evidence.trace
    node = trace.node(game.number)
    if node.kind in SOURCES:
        return Leaf(source=_source(evidence, game.number, game.element))
    recorder = _Recorder(trace, game.number)
    part = 0
    try:
        if not game.parts:
            evaluate(node, game.element, recorder.read)
        else:
            part = _wrong_part(trace, game)
            if part == num_parts(node):
                finish(node, game.element, game.parts[-1], recorder.read)
            else:
                fold(node, game.element, part, game.parts[part - 1] if part else 0, recorder.read)
    except NotANumber:
        pass  # there is no result at all; the pieces up to here show it
    return Leaf(part, tuple(recorder.pieces))


def _wrong_part(trace: Trace, game: Dispute) -> int:
    """The first part whose value does not follow from the one before; their number where all do."""
    node, read, before = trace.node(game.number), trace.reader(game.number), 0
    for part, said in enumerate(game.parts):
        if fold(node, game.element, part, before, read) != said:
            return part
        before = said
    return len(game.parts)


def _source(evidence: Evidence, number: int, element: int) -> Source:
    node = evidence.trace.node(number)
    manifest = evidence.before.manifest
    if node.kind == Kind.STEP:
        return ShownStep(manifest.step, state_tree(manifest).proof(STEP_LINE, manifest.step))
    key = key_bytes(node.attributes)
    if node.kind == Kind.STATE:
        name = next(row.name for row in manifest.tensors if key_of(f"tensor/{row.name}") == key)
        return open_element(manifest, name, element, evidence.before.chunks[locate(manifest, name, element).chunk])
    name = next(name for name in evidence.sources.data if key_of(f"data/{name}") == key)
    return _shown_data(evidence.sources, name, element)


def _shown_data(sources: Sources, name: str, element: int) -> ShownData:
    values = sources.data[name]
    tree = tensor_tree(values)
    return ShownData(show(values, tree, element, 1), sources.data_tree.proof(key_of(f"data/{name}"), tree.root))


def _result(evidence: Evidence) -> ShowResult:
    """The first element of a result that is not what was claimed."""
    trace = evidence.trace
    for name, number in sorted(trace.program.outputs.items()):
        found = _unlike_claim(evidence, name, np.ascontiguousarray(trace.values[number]).reshape(-1))
        if found is not None:
            line = trace.program.outputs_tree.proof(key_of(name), number)
            shown = _shown_output(trace, number, found, 1)
            claimed = _claimed(evidence, name, found)
            return ShowResult(name, number, line, _shown_node(trace, number), found, shown, claimed)
    raise NothingToShow("The step gives what was claimed.")


def _unlike_claim(evidence: Evidence, name: str, values: np.ndarray) -> int | None:
    if evidence.after is None:
        claimed = evidence.sources.data["claimed"].reshape(-1)
        differ = (claimed != values) & (claimed != NO_CLAIM)
    else:
        differ = _tensor_of(evidence.after, name.removeprefix("tensor/")) != values.view(np.uint32)
    return int(differ.argmax()) if differ.any() else None


def _tensor_of(state: State, name: str) -> np.ndarray:
    row = next(row for row in state.manifest.tensors if row.name == name)
    start = state.manifest.starts[name]
    raw = b"".join(state.chunks)[start : start + row.num_elements * Type.F32.size]
    return np.frombuffer(raw, "<u4")


def _claimed(evidence: Evidence, name: str, element: int) -> Opening | ShownData:
    if evidence.after is None:
        return _shown_data(evidence.sources, "claimed", element)
    manifest, short = evidence.after.manifest, name.removeprefix("tensor/")
    return open_element(manifest, short, element, evidence.after.chunks[locate(manifest, short, element).chunk])
