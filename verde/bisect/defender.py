"""Why this module exists: who is accused answers from his trace, and needs nothing else."""

from __future__ import annotations

from verde.bisect.errors import WrongTurn
from verde.bisect.game import STEP_LEVELS, Dispute, Phase
from verde.bisect.moves import DefenderMove, PostTrace, Reveal, RevealChunk, RevealParts
from verde.program.leaf import fold
from verde.program.trace import Trace


def answer(trace: Trace, game: Dispute) -> DefenderMove:
    """The move that ``trace`` gives. Raises ``WrongTurn`` when it is not the defender's."""
    if game.phase is Phase.TRACE:
        program, depth = trace.program, trace.tree.depth
        below = trace.tree.below(depth, 0, min(depth, STEP_LEVELS))
        return PostTrace(
            trace.root, below, len(program.nodes), program.tree.root, bytes.fromhex(program.outputs_tree.root)
        )
    if game.phase is Phase.REVEAL:
        tree = trace.tree if game.node is None else trace.tensor(game.number)
        return Reveal(tree.below(game.level, game.index, game.levels))
    if game.phase is Phase.CHUNK:
        return RevealChunk(trace.chunk(game.number, game.index))
    if game.phase is Phase.PARTS:
        return RevealParts(_parts(trace, game))
    raise WrongTurn(f"the challenger is to move, {game.phase.name}")


def _parts(trace: Trace, game: Dispute) -> tuple[int, ...]:
    """The value of a reduction's fold after each part, from the outputs of earlier nodes in ``trace``."""
    node, read, whole = trace.node(game.number), trace.reader(game.number), game.before
    values = []
    for terms in game.ranges:
        whole = fold(node, game.element, terms, whole, read)
        values.append(whole)
    return tuple(values)
