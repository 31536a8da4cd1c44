"""Why this module exists: the rules of a dispute, as a function from (game, move, time) to the next game.

The defender posts the root of his trace. The challenger shows a result that is not the contribution's, or both search
the first node whose output they do not share, then the first chunk of that output, then an element of it; a long
reduction's parts come next. At the leaf the challenger shows what that one thing depends on, and it is computed:

    TRACE    defender    PostTrace             roots, and the first hashes below the trace's
    PICK     challenger  Pick; before the      which of the hashes; ShowResult and ShowStep: a result, or the step
                         first also Show…      count, is not the contribution's
    REVEAL   defender    Reveal                the hashes below that one
    CHUNK    defender    RevealChunk           a chunk's bytes
    ELEMENT  challenger  PickElement           one of its elements
    PARTS    defender    RevealParts           values of the fold, where there are more terms than a leaf may have
    LEAF     challenger  Leaf or PickPart      computed: what the defender said is right, or not; or a part to divide

Everything left of a pick is agreed, because a challenger picks the first difference: a leaf's inputs are the outputs of
earlier nodes in the defender's own trace. Every move has a deadline; who misses his loses. A winner is final.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from eth_utils.crypto import keccak

from protocol.ids import ContentId
from protocol.merkle import verify
from verde.bisect.errors import BadOpening, NothingShown, SearchBegun, TooEarly, TooLate, Unfit, WrongTurn
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
from verde.bisect.openings import (
    Inputs,
    node_in,
    step_of_state,
    word_of_data,
    word_of_source,
    word_of_state,
    words_of_output,
)
from verde.commit import Opening
from verde.numerics.oracle.rounding import NotANumber
from verde.program.kinds import PART, Kind
from verde.program.leaf import SOURCES, evaluate, finish, fold
from verde.program.node import Node
from verde.program.program import STEP_LINE, key_of, program_root
from verde.program.trace import words_of
from verde.program.tree import CHUNK_BYTES, depth_of, num_chunks, root_of, top_of, width_of

STEP_LEVELS = 6
"""Levels of a tree that one exchange descends: 64 hashes, a move of about 130,000 gas (``verde.bisect.cost``)."""

MOST_PARTS = 64
"""Values of a fold that one move reveals."""

TOKENS = "tokens"
"""The result of a sampling check, which is compared with the data's tensor ``claimed``."""

NO_CLAIM = -1
"""Where ``data/claimed`` has it, nothing was claimed: a token after a rollout's last."""

_FOLD_BOUND = 1 << 127


class Side(Enum):
    """Who."""

    DEFENDER = "defender"
    CHALLENGER = "challenger"


class Phase(Enum):
    """What is waited for, and from whom."""

    TRACE = Side.DEFENDER, "trace"
    PICK = Side.CHALLENGER, "pick"
    REVEAL = Side.DEFENDER, "reveal"
    CHUNK = Side.DEFENDER, "chunk"
    ELEMENT = Side.CHALLENGER, "element"
    PARTS = Side.DEFENDER, "parts"
    LEAF = Side.CHALLENGER, "leaf"
    OVER = None, "over"

    @property
    def turn(self) -> Side | None:
        side: Side | None = self.value[0]
        return side


@dataclass(frozen=True)
class Terms:
    """What the chain knows before the game. Seconds: to post a trace, and for every later move.

    ``state_after``: what the contribution says its step ends in; ``None`` where tokens are disputed, whose claims are
    the data's tensor ``claimed``.
    """

    program_root: bytes
    state_before: ContentId
    state_after: ContentId | None
    data_root: ContentId
    trace_seconds: int
    move_seconds: int


@dataclass(frozen=True)
class Dispute:
    """A game as it stands.

    ``shown`` is what was revealed last, and ``path`` all of the defender's trace that was revealed on the way to a
    node, as (level, index, hashes below). Both are read by whoever moves next, from public moves; no rule needs them.
    """

    terms: Terms
    phase: Phase
    deadline: int
    trace_root: bytes = b""
    num_nodes: int = 0
    nodes_root: bytes = b""
    outputs_root: bytes = b""
    current: bytes = b""
    level: int = 0
    index: int = 0
    node: Node | None = None
    number: int = -1
    element: int = -1
    claimed: int = 0
    terms_left: range = range(0)
    before: int = 0
    after: int | None = None
    parts: tuple[int, ...] = ()
    shown: tuple[bytes, ...] = ()
    path: tuple[tuple[int, int, tuple[bytes, ...]], ...] = ()
    moves: int = 0
    winner: Side | None = None

    @property
    def num_leaves(self) -> int:
        """Of the tree that is searched: the trace, or one output."""
        if self.node is None:
            return self.num_nodes
        return num_chunks(self.node.num_elements * self.node.type.size)

    @property
    def levels(self) -> int:
        """How many levels the next hashes lie below the present one."""
        return min(STEP_LEVELS, self.level)

    @property
    def num_children(self) -> int:
        """How many hashes there are."""
        return min(1 << self.levels, width_of(self.num_leaves, self.level - self.levels) - (self.index << self.levels))

    @property
    def ranges(self) -> tuple[range, ...]:
        """The parts of the terms that are searched: at most ``MOST_PARTS``, each but the last a multiple of PART."""
        terms = self.terms_left
        size = PART * -(-len(terms) // (PART * MOST_PARTS))
        return tuple(terms[i : i + size] for i in range(0, len(terms), size))


def open_dispute(terms: Terms, now: int) -> Dispute:
    """A new game: the defender has ``trace_seconds`` to post his trace."""
    return Dispute(terms, Phase.TRACE, now + terms.trace_seconds)


def expire(dispute: Dispute, now: int) -> Dispute:
    """Close a game whose deadline has passed: who should have moved loses. Raises ``TooEarly`` before."""
    if dispute.phase is Phase.OVER or now <= dispute.deadline:
        raise TooEarly("its deadline has not passed, or it is over")
    return _won(dispute, Side.CHALLENGER if dispute.phase.turn is Side.DEFENDER else Side.DEFENDER)


def play(dispute: Dispute, side: Side, move: Move, now: int) -> Dispute:
    """The game after a move of ``side``.

    Raises ``BadMove`` and leaves the game as it is: ``TooLate`` after the deadline, ``WrongTurn`` for a move that is
    not waited for, ``Unfit`` and ``BadOpening`` for one whose parts are not what they must be.
    """
    if dispute.phase is Phase.OVER:
        raise WrongTurn("the game is over")
    if now > dispute.deadline:
        raise TooLate("the deadline has passed")
    rule = _RULES.get((dispute.phase, type(move)))
    if rule is None or dispute.phase.turn is not side:
        raise WrongTurn(f"{dispute.phase.name} is waited for, not {type(move).__name__} of the {side.value}")
    after = rule(dispute, move)
    return replace(after, moves=dispute.moves + 1, deadline=now + dispute.terms.move_seconds)


def _won(dispute: Dispute, side: Side) -> Dispute:
    return replace(dispute, phase=Phase.OVER, winner=side)


def _post_trace(game: Dispute, move: PostTrace) -> Dispute:
    if program_root(move.num_nodes, move.nodes_root, move.outputs_root) != game.terms.program_root:
        raise BadOpening("these are not the parts of the program's root")
    begun = replace(
        game,
        trace_root=move.trace_root,
        num_nodes=move.num_nodes,
        nodes_root=move.nodes_root,
        outputs_root=move.outputs_root,
        current=move.trace_root,
        level=depth_of(move.num_nodes),
    )
    return _reveal(begun, Reveal(move.children))


def _reveal(game: Dispute, move: Reveal) -> Dispute:
    if len(move.children) != game.num_children:
        raise Unfit(f"{len(move.children)} hashes instead of {game.num_children}")
    if top_of(move.children, game.levels) != game.current:
        raise BadOpening("these hashes do not lie below the one that is searched")
    path = (*game.path, (game.level, game.index, move.children)) if game.node is None else game.path
    return replace(game, phase=Phase.PICK, shown=move.children, path=path)


def _pick(game: Dispute, move: Pick) -> Dispute:
    if not 0 <= move.child < game.num_children:
        raise Unfit(f"there is no hash {move.child}")
    if root_of(game.num_children, move.child, [move.hash], move.proof, game.levels) != game.current:
        raise BadOpening("this hash does not lie there")
    index, level = (game.index << game.levels) + move.child, game.level - game.levels
    found = replace(game, current=move.hash, index=index, level=level, shown=())
    if found.level:
        return replace(found, phase=Phase.REVEAL)
    if found.node is not None:
        return replace(found, phase=Phase.CHUNK)
    if move.node is None:
        raise Unfit("the node whose output was found must be shown")
    node = node_in(game.nodes_root, game.num_nodes, found.index, move.node)
    begun = replace(found, node=node, number=found.index, index=0)
    begun = replace(begun, level=depth_of(begun.num_leaves))
    return replace(begun, phase=Phase.REVEAL if begun.level else Phase.CHUNK)


def _reveal_chunk(game: Dispute, move: RevealChunk) -> Dispute:
    if keccak(move.raw) != game.current:
        raise BadOpening("these bytes are not the chunk's")
    node = _node(game)
    if len(move.raw) != min(CHUNK_BYTES, node.num_elements * node.type.size - game.index * CHUNK_BYTES):
        raise Unfit(f"the chunk has another length than {len(move.raw)}")
    return replace(game, phase=Phase.ELEMENT, shown=(move.raw,))


def _pick_element(game: Dispute, move: PickElement) -> Dispute:
    if keccak(move.raw) != game.current:
        raise BadOpening("these bytes are not the chunk's")
    node = _node(game)
    words = words_of(move.raw, node.type)
    if not 0 <= move.offset < len(words):
        raise Unfit(f"the chunk has no element {move.offset}")
    element = game.index * (CHUNK_BYTES // node.type.size) + move.offset
    phase = Phase.PARTS if node.length > PART else Phase.LEAF
    found = replace(game, phase=phase, element=element, claimed=words[move.offset], shown=())
    return replace(found, terms_left=range(node.length))


def _reveal_parts(game: Dispute, move: RevealParts) -> Dispute:
    if len(move.values) != len(game.ranges):
        raise Unfit(f"{len(move.values)} parts instead of {len(game.ranges)}")
    if game.after is not None and move.values[-1] != game.after:
        raise Unfit("the last part ends in another value than was revealed before")
    if any(abs(value) >= _FOLD_BOUND for value in move.values):
        raise Unfit("a part's value has more than 128 bits")
    return replace(game, phase=Phase.LEAF, parts=move.values)


def _pick_part(game: Dispute, move: PickPart) -> Dispute:
    if not 0 <= move.part < len(game.parts):
        raise Unfit(f"there is no part {move.part}")
    terms = game.ranges[move.part]
    if len(terms) <= PART:
        raise Unfit("this part is short enough to be computed")
    before = game.parts[move.part - 1] if move.part else game.before
    after = game.parts[move.part]
    return replace(game, phase=Phase.PARTS, terms_left=terms, before=before, after=after, parts=())


def _leaf(game: Dispute, move: Leaf) -> Dispute:
    """Whoever said something that cannot be computed from agreed values loses; so does who asked in vain."""
    node = _node(game)
    try:
        is_right = _is_right(game, node, move)
    except NotANumber:
        is_right = False
    return _won(game, Side.DEFENDER if is_right else Side.CHALLENGER)


def _is_right(game: Dispute, node: Node, move: Leaf) -> bool:
    if node.kind in SOURCES:
        terms = game.terms
        return word_of_source(node, game.element, move.source, terms.state_before, terms.data_root) == game.claimed
    inputs = Inputs(node, game.trace_root, game.num_nodes, move.inputs)
    try:
        found, said = _computed(game, node, move, inputs)
    except NotANumber:
        if node.kind != Kind.GATHER:  # what it would gather from does not exist, so that nothing of it is read
            inputs.close()
        raise
    inputs.close()
    return found == said


def _computed(game: Dispute, node: Node, move: Leaf, inputs: Inputs) -> tuple[int, int]:
    """What comes out, and what the defender said."""
    if not game.parts:
        return evaluate(node, game.element, inputs.read), game.claimed
    if 0 <= move.part < len(game.parts):
        part = game.ranges[move.part]
        if len(part) > PART:
            raise Unfit(f"part {move.part} has more than {PART} terms")
        before = game.parts[move.part - 1] if move.part else game.before
        return fold(node, game.element, part, before, inputs.read), game.parts[move.part]
    if move.part == len(game.parts) and game.after is None:
        return finish(node, game.element, game.parts[-1], inputs.read), game.claimed
    raise Unfit(f"there is no part {move.part}")


def _show_result(game: Dispute, move: ShowResult) -> Dispute:
    """Right: the contribution is not what its own trace says. Wrong moves are refused, so nothing is lost by them."""
    _before_the_search(game)
    if not verify(ContentId(game.outputs_root.hex()), key_of(move.name), move.number, move.line_proof):
        raise BadOpening(f"node {move.number} does not compute {move.name}")
    node = node_in(game.nodes_root, game.num_nodes, move.number, move.node)
    size = node.num_elements, node.type
    if not 0 <= move.element < node.num_elements:
        raise Unfit(f"{move.name} has no element {move.element}")
    (traced,) = words_of_output(game.trace_root, game.num_nodes, move.number, size, move.shown, move.element, 1)
    after = game.terms.state_after
    if after is not None and isinstance(move.claimed, Opening):
        claimed = word_of_state(after, key_of(move.name), move.element, node.num_elements, move.claimed)
    elif after is None and move.name == TOKENS and not isinstance(move.claimed, Opening):
        claimed = word_of_data(game.terms.data_root, key_of("data/claimed"), size, move.element, move.claimed)
    else:
        raise BadOpening("the claim is shown against something that the game is not about")
    if traced == claimed or (after is None and claimed == NO_CLAIM):
        raise NothingShown("the result is what was claimed")
    return _won(game, Side.CHALLENGER)


def _show_step(game: Dispute, move: ShowStep) -> Dispute:
    _before_the_search(game)
    if game.terms.state_after is None:
        raise BadOpening("the game is not about a step")
    if not verify(ContentId(game.outputs_root.hex()), STEP_LINE, move.num_updates, move.line_proof):
        raise BadOpening(f"the program does not make {move.num_updates} updates")
    before = step_of_state(game.terms.state_before, move.before)
    if step_of_state(game.terms.state_after, move.after) == before + move.num_updates:
        raise NothingShown("the step count is what it should be")
    return _won(game, Side.CHALLENGER)


def _before_the_search(game: Dispute) -> None:
    if game.node is not None or game.level != depth_of(game.num_nodes):
        raise SearchBegun("what a trace ends in is compared before the search begins")


def _node(game: Dispute) -> Node:
    assert game.node is not None
    return game.node


_RULES: dict[tuple[Phase, type], Callable[[Dispute, Any], Dispute]] = {
    (Phase.TRACE, PostTrace): _post_trace,
    (Phase.PICK, ShowResult): _show_result,
    (Phase.PICK, ShowStep): _show_step,
    (Phase.PICK, Pick): _pick,
    (Phase.REVEAL, Reveal): _reveal,
    (Phase.CHUNK, RevealChunk): _reveal_chunk,
    (Phase.ELEMENT, PickElement): _pick_element,
    (Phase.PARTS, RevealParts): _reveal_parts,
    (Phase.LEAF, PickPart): _pick_part,
    (Phase.LEAF, Leaf): _leaf,
}
