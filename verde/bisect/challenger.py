"""Why this module exists: who found a difference leads the game from two roots to it, and shows what it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from protocol.errors import SwarmError
from verde.bisect.errors import WrongTurn
from verde.bisect.game import NO_CLAIM, STEP_LEVELS, TOKENS, Dispute, Phase
from verde.bisect.moves import (
    ChallengerMove,
    Leaf,
    Pick,
    PickElement,
    PickPart,
    ShownData,
    ShownInput,
    ShownNode,
    ShownStep,
    ShowResult,
    ShowStep,
    Source,
)
from verde.commit import Manifest, Opening, locate, open_element, state_tree
from verde.numerics.oracle.rounding import NotANumber
from verde.program.kinds import PART, Kind, Type
from verde.program.leaf import SOURCES, evaluate, finish, fold
from verde.program.program import STEP_LINE, Sources, key_bytes, key_of
from verde.program.trace import Trace, show, words_of
from verde.program.tree import CHUNK_BYTES, Tree, between, tensor_tree, width_of

_NOTHING: Mapping[tuple[int, int], bytes] = {}


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
        if game.node is None and game.trace_root == trace.root and trace.broken is None:
            return _result(evidence)
        return _pick(evidence, game)
    if game.phase is Phase.ELEMENT:
        node = trace.node(game.number)
        ours = words_of(trace.chunk(game.number, game.index), node.type)
        theirs = words_of(game.shown[0], node.type)
        first = game.index * (CHUNK_BYTES // node.type.size)
        return PickElement(_first_difference(ours, theirs, _broken_after(trace, game, first)), game.shown[0])
    if game.phase is Phase.LEAF:
        return _leaf(evidence, game)
    raise WrongTurn(f"the defender is to move, {game.phase.name}")


def has_grounds(evidence: Evidence) -> bool:
    """Whether a defender can be shown to be wrong, whatever trace he posts: the own one ends otherwise than claimed."""
    if evidence.trace.broken is not None:
        return True
    try:
        _result(evidence)
    except NothingToShow:
        return False
    return True


def _first_difference(ours: Sequence[object], theirs: Sequence[object], broken: int | None) -> int:
    """The first place where the two are not equal, or which ``broken`` names."""
    found = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b or i == broken), None)
    if found is None:
        raise NothingToShow("Both sides have the same values here.")
    return found


def _broken_after(trace: Trace, game: Dispute, first: int) -> int | None:
    """How far behind element ``first`` the one lies that does not exist, if it is in the output that is searched."""
    if trace.broken is None or trace.broken[0] != game.number:
        return None
    return trace.broken[1] - first


def _broken_below(trace: Trace, game: Dispute) -> int | None:
    """Which of the hashes that are to be compared stands above it."""
    if trace.broken is None:
        return None
    if game.node is None:
        leaf: int | None = trace.broken[0]
    else:
        element = _broken_after(trace, game, 0)
        leaf = None if element is None else element // (CHUNK_BYTES // game.node.type.size)
    return None if leaf is None else (leaf >> (game.level - game.levels)) - (game.index << game.levels)


def _pick(evidence: Evidence, game: Dispute) -> Pick:
    trace = evidence.trace
    tree = trace.tree if game.node is None else trace.tensor(game.number)
    ours = tree.below(game.level, game.index, game.levels)
    child = _first_difference(ours, game.shown, _broken_below(trace, game))
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


def _shown_output(
    trace: Trace, number: int, first: int, count: int, theirs: Mapping[tuple[int, int], bytes] = _NOTHING
) -> ShownInput:
    """Elements of an output that both sides share, in the defender's trace; ``theirs``: its nodes that may differ."""
    proof, index = [], number
    for level in range(trace.tree.depth):
        other = index ^ 1
        if other < width_of(len(trace.tree), level):
            proof.append(theirs.get((level, other)) or trace.tree.node(level, other))
        index >>= 1
    return ShownInput(trace.piece(number, first, count), tuple(proof))


def _their_nodes(game: Dispute) -> dict[tuple[int, int], bytes]:
    """(level, index): hash of every node of the defender's trace that follows from what he revealed."""
    found = {}
    for level, index, children in game.path:
        levels = min(STEP_LEVELS, level)
        for up, nodes in enumerate(between(children, levels)):
            first = index << (levels - up)
            found.update({(level - levels + up, first + i): node for i, node in enumerate(nodes)})
    return found


class _Recorder:
    """Reads from the own trace, and keeps a piece of each input that is read."""

    def __init__(self, trace: Trace, number: int, theirs: Mapping[tuple[int, int], bytes]) -> None:
        self._trace, self._read, self._theirs = trace, trace.reader(number), theirs
        self._inputs = trace.node(number).inputs
        self.pieces: list[ShownInput | None] = [None] * len(self._inputs)

    def read(self, which: int, first: int, count: int) -> Sequence[int]:
        if self.pieces[which] is None:
            source = self._inputs[which].node
            self.pieces[which] = _shown_output(self._trace, source, first, count, self._theirs)
        return self._read(which, first, count)


def _leaf(evidence: Evidence, game: Dispute) -> Leaf | PickPart:
    trace = evidence.trace
    node = trace.node(game.number)
    if node.kind in SOURCES:
        return Leaf(source=_source(evidence, game.number, game.element))
    recorder = _Recorder(trace, game.number, _their_nodes(game))
    part = _wrong_part(trace, game) if game.parts else 0
    if part < len(game.parts) and len(game.ranges[part]) > PART:
        return PickPart(part)
    try:
        if not game.parts:
            evaluate(node, game.element, recorder.read)
        elif part == len(game.parts):
            finish(node, game.element, game.parts[-1], recorder.read)
        else:
            before = game.parts[part - 1] if part else game.before
            fold(node, game.element, game.ranges[part], before, recorder.read)
    except NotANumber:
        pass  # there is no result at all; the pieces up to here show it
    return Leaf(part, tuple(recorder.pieces))


def _wrong_part(trace: Trace, game: Dispute) -> int:
    """The first part whose value does not follow from the one before; their number where all do."""
    node, read, before = trace.node(game.number), trace.reader(game.number), game.before
    for part, (terms, said) in enumerate(zip(game.ranges, game.parts, strict=True)):
        try:
            if fold(node, game.element, terms, before, read) != said:
                return part
        except NotANumber:
            return part
        before = said
    if game.after is not None:
        raise NothingToShow("Every part follows from the one before.")
    return len(game.parts)


def _source(evidence: Evidence, number: int, element: int) -> Source:
    node = evidence.trace.node(number)
    manifest = evidence.before.manifest
    if node.kind == Kind.STEP:
        return _shown_step(evidence.before)
    key = key_bytes(node.attributes)
    if node.kind == Kind.STATE:
        name = next(row.name for row in manifest.tensors if key_of(f"tensor/{row.name}") == key)
        return open_element(manifest, name, element, evidence.before.chunks[locate(manifest, name, element).chunk])
    name = next(name for name in evidence.sources.data if key_of(f"data/{name}") == key)
    return _shown_data(evidence.sources, name, element)


def _shown_step(state: State) -> ShownStep:
    return ShownStep(state.manifest.step, state_tree(state.manifest).proof(STEP_LINE, state.manifest.step))


def _shown_data(sources: Sources, name: str, element: int) -> ShownData:
    values = sources.data[name]
    tree = tensor_tree(values)
    return ShownData(show(values, tree, element, 1), sources.data_tree.proof(key_of(f"data/{name}"), tree.root))


def _result(evidence: Evidence) -> ShowResult | ShowStep:
    """The step count, or the first element of a result, that is not what was claimed."""
    trace = evidence.trace
    updates, after = trace.program.num_updates, evidence.after
    if after is not None and after.manifest.step != evidence.before.manifest.step + updates:
        line = trace.program.outputs_tree.proof(STEP_LINE, updates)
        return ShowStep(updates, line, _shown_step(evidence.before), _shown_step(after))
    for name, value in sorted(trace.results().items()):
        number, found = trace.program.outputs[name], _unlike_claim(evidence, name, value.reshape(-1))
        if found is not None:
            line = trace.program.outputs_tree.proof(key_of(name), number)
            shown = _shown_output(trace, number, found, 1)
            claimed = _claimed(evidence, name, found)
            return ShowResult(name, number, line, _shown_node(trace, number), found, shown, claimed)
    raise NothingToShow("The step gives what was claimed.")


def _unlike_claim(evidence: Evidence, name: str, values: np.ndarray) -> int | None:
    if evidence.after is None:
        if name != TOKENS:
            return None
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
