"""Why this module exists: a game is played on the chain, in call data and events, and here in plain values.

``encode`` and ``decode`` turn a move into a call of ``DisputeGame.sol`` and back; ``dispute_of`` plays a game again
from what the chain says of it, so that whoever comes back after a crash, or only looks, has the same state as the
contract. A call carries the whole state, of which the chain keeps the hash: it is good for exactly one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eth_abi.abi import decode as decode_abi
from eth_abi.abi import encode as encode_abi
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from chain.abi import function, functions
from chain.games import WHOLE_STEP, GameRecord, GameSide, MoveName, MoveRecord
from chain.keys import peer_key
from protocol.errors import VerificationError
from protocol.ids import ContentId
from verde.bisect.game import Dispute, Phase, Side, Terms, open_dispute, play
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
    ShownData,
    ShownInput,
    ShownNode,
    ShownStep,
    ShowResult,
    ShowStep,
)
from verde.commit import Opening
from verde.program.trace import Piece

CONTRACT = "DisputeGame"
_NOTHING = bytes(32)
_TRACE_TYPES = ("bytes32", "uint256", "bytes32", "bytes32", "bytes32[]")
_NODE_TYPE = "(bytes,bytes32[])"

Words = tuple[Any, ...]


class StrangeCall(VerificationError):
    """Call data that is no move of a game."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This is no move of a dispute: {why}.",
            "Nothing was played by it.",
            "Show the call of one of the contract's moves.",
        )


def terms_of(record: GameRecord) -> Terms:
    """What the game is about, and its times."""
    return Terms(
        program_root=bytes.fromhex(record.program_root),
        state_before=record.state_before,
        state_after=record.state_after,
        data_root=record.data_root,
        trace_seconds=record.terms.trace_s,
        move_seconds=record.terms.move_s,
    )


def state_of(record: GameRecord, game: Dispute) -> Words:
    """The contract's ``State``: what its ``stateHash`` is the hash of."""
    node, terms = game.node, game.terms
    size = node.type.size if node is not None else 0
    return (
        peer_key(record.peer),
        record.challenger.lower(),
        record.round,
        bytes.fromhex(record.content),
        record.subject == WHOLE_STEP,
        terms.program_root,
        bytes.fromhex(terms.data_root),
        bytes.fromhex(terms.state_before),
        bytes.fromhex(terms.state_after) if terms.state_after is not None else _NOTHING,
        game.trace_root or _NOTHING,
        game.nodes_root or _NOTHING,
        game.outputs_root or _NOTHING,
        game.num_nodes,
        game.current or _NOTHING,
        game.level,
        game.index,
        node.hash() if node is not None else _NOTHING,
        max(game.number, 0),
        node.num_elements * size if node is not None else 0,
        size,
        node.length if node is not None else 0,
        max(game.element, 0),
        game.claimed % (1 << 8 * size),
        game.terms_left.start,
        game.terms_left.stop,
        game.before,
        game.after or 0,
        game.after is not None,
        keccak(encode_abi(["int256[]"], [game.parts])) if game.parts else _NOTHING,
    )


def encode(record: GameRecord, game: Dispute, move: Move) -> bytes:
    """The call that makes ``move`` in ``game`` as it stands."""
    name, arguments = _ENCODERS[type(move)](game, move)
    return _call(name, record, game, *arguments)


def expiry(record: GameRecord, game: Dispute) -> bytes:
    """The call that closes a game whose deadline has passed."""
    return _call("expire", record, game)


def decode(call: bytes) -> tuple[ContentId, Words, Move]:
    """The game, its state and the move in a call. Raises ``StrangeCall`` for anything else."""
    name, called = functions(CONTRACT).get(call[:4], ("", None))
    if called is None or name not in _DECODERS:
        raise StrangeCall("it calls no move")
    try:
        game, state, *arguments = decode_abi(called.inputs, call[4:])
        return ContentId(game.hex()), state, _DECODERS[name](*arguments)
    except (DecodingError, ValueError, OverflowError) as error:
        raise StrangeCall(str(error)) from error


def shown_by(game: Dispute, move: Move) -> tuple[MoveName, int, bytes]:
    """What the contract's event says of ``move`` in ``game``: its kind, what it chose, what the other side must see."""
    match move:
        case PostTrace():
            words = (move.trace_root, move.num_nodes, move.nodes_root, move.outputs_root, move.children)
            return MoveName.POST_TRACE, 0, encode_abi(_TRACE_TYPES, words)
        case Reveal():
            return MoveName.REVEAL, 0, encode_abi(["bytes32[]"], [move.children])
        case Pick():
            is_node = game.node is None and game.level == game.levels and move.node is not None
            return MoveName.PICK, move.child, encode_abi([_NODE_TYPE], [_node(move.node)]) if is_node else b""
        case RevealChunk():
            return MoveName.REVEAL_CHUNK, 0, move.raw
        case PickElement():
            return MoveName.PICK_ELEMENT, move.offset, b""
        case RevealParts():
            return MoveName.REVEAL_PARTS, 0, encode_abi(["int256[]"], [move.values])
        case PickPart():
            return MoveName.PICK_PART, move.part, b""
        case ShowResult():
            return MoveName.SHOW_RESULT, move.element, b""
        case ShowStep():
            return MoveName.SHOW_STEP, move.num_updates, b""
        case Leaf():
            return MoveName.LEAF, 0 if move.source is not None else move.part, b""


def dispute_of(record: GameRecord, moves: Sequence[MoveRecord]) -> Dispute:
    """The game as it stands after ``moves``, which are all that the chain has of it.

    Raises ``BadMove`` or ``VerificationError`` where they do not follow from one another: the endpoint lies.
    """
    game = open_dispute(terms_of(record), record.opened_at)
    for one in moves:
        if one.name in (MoveName.LEAF, MoveName.SHOW_RESULT, MoveName.SHOW_STEP):
            game = replace(game, moves=game.moves + 1)
            break
        try:
            move = _REPLAYED[one.name](game, one)
        except (DecodingError, IndexError) as error:
            raise StrangeCall(str(error)) from error
        game = play(game, Side.DEFENDER if one.side is GameSide.DEFENDER else Side.CHALLENGER, move, one.at_s)
    if record.winner is not None:
        winner = Side.CHALLENGER if record.winner is GameSide.CHALLENGER else Side.DEFENDER
        game = replace(game, phase=Phase.OVER, winner=winner)
    return game


def _call(name: str, record: GameRecord, game: Dispute, *arguments: object) -> bytes:
    called = function(CONTRACT, name)
    return bytes.fromhex(called.call_data(bytes.fromhex(record.game), state_of(record, game), *arguments)[2:])


# --- moves as arguments -----------------------------------------------------------------------------------------------


def _hashes(ids: Sequence[ContentId]) -> list[bytes]:
    return [bytes.fromhex(one) for one in ids]


def _ids(hashes: Sequence[bytes]) -> tuple[ContentId, ...]:
    return tuple(ContentId(one.hex()) for one in hashes)


def _node(node: ShownNode | None) -> Words:
    return (node.encoded, node.proof) if node is not None else (b"", ())


def _input(shown: ShownInput | None) -> Words:
    if shown is None:
        return 0, b"", (), ()
    return shown.piece.first_chunk, shown.piece.raw, shown.piece.proof, shown.proof


def _data(shown: ShownData) -> Words:
    return shown.piece.first_chunk, shown.piece.raw, shown.piece.proof, _hashes(shown.line_proof)


def _element(shown: Opening) -> Words:
    return (
        shown.name,
        shown.index,
        shown.start,
        shown.num_elements,
        shown.piece,
        _hashes(shown.piece_proof),
        bytes.fromhex(shown.chunk),
        _hashes(shown.chunk_proof),
        _hashes(shown.tensor_proof),
    )


def _step(shown: ShownStep) -> Words:
    return shown.step, _hashes(shown.line_proof)


def _leaf(game: Dispute, move: Leaf) -> tuple[str, Words]:
    encoded = game.node.encoded() if game.node is not None else b""
    match move.source:
        case Opening():
            return "leafState", (encoded, _element(move.source))
        case ShownStep():
            return "leafStep", (encoded, _step(move.source))
        case ShownData():
            return "leafData", (encoded, _data(move.source))
        case None:
            return "leaf", ((encoded, move.part, game.parts, [_input(one) for one in move.inputs]),)


def _show_result(game: Dispute, move: ShowResult) -> tuple[str, Words]:
    result = (
        move.name,
        move.number,
        _hashes(move.line_proof),
        _node(move.node),
        move.element,
        _input(move.shown),
    )
    if isinstance(move.claimed, Opening):
        return "showResult", (result, _element(move.claimed))
    return "showToken", (result, _data(move.claimed))


_ENCODERS: dict[type, Callable[[Dispute, Any], tuple[str, Words]]] = {
    PostTrace: lambda _, m: (
        "postTrace",
        (m.trace_root, m.num_nodes, m.nodes_root, m.outputs_root, m.children),
    ),
    Reveal: lambda _, m: ("reveal", (m.children,)),
    Pick: lambda _, m: ("pick", (m.child, m.hash, m.proof, _node(m.node))),
    RevealChunk: lambda _, m: ("revealChunk", (m.raw,)),
    PickElement: lambda _, m: ("pickElement", (m.offset, m.raw)),
    RevealParts: lambda _, m: ("revealParts", (m.values,)),
    PickPart: lambda game, m: ("pickPart", (m.part, game.parts)),
    Leaf: _leaf,
    ShowResult: _show_result,
    ShowStep: lambda _, m: ("showStep", (m.num_updates, _hashes(m.line_proof), _step(m.before), _step(m.after))),
}


def _to_node(words: Words) -> ShownNode:
    return ShownNode(words[0], tuple(words[1]))


def _to_input(words: Words) -> ShownInput:
    first, raw, proof, place = words
    return ShownInput(Piece(first, raw, tuple(proof)), tuple(place))


def _to_data(words: Words) -> ShownData:
    first, raw, proof, place = words
    return ShownData(Piece(first, raw, tuple(proof)), _ids(place))


def _to_element(words: Words) -> Opening:
    name, index, start, num_elements, piece, piece_proof, chunk, chunk_proof, tensor_proof = words
    return Opening(
        name=name,
        index=index,
        start=start,
        num_elements=num_elements,
        piece=piece,
        piece_proof=_ids(piece_proof),
        chunk=ContentId(chunk.hex()),
        chunk_proof=_ids(chunk_proof),
        tensor_proof=_ids(tensor_proof),
    )


def _to_step(words: Words) -> ShownStep:
    return ShownStep(words[0], _ids(words[1]))


def _to_result(words: Words, claimed: Opening | ShownData) -> ShowResult:
    name, number, line_proof, node, element, shown = words
    return ShowResult(name, number, _ids(line_proof), _to_node(node), element, _to_input(shown), claimed)


def _to_leaf(words: Words) -> Leaf:
    _, part, _, inputs = words
    return Leaf(part, tuple(_to_input(one) if one[1] else None for one in inputs))


_DECODERS: dict[str, Callable[..., Move]] = {
    "postTrace": lambda root, count, nodes, outputs, below: PostTrace(root, tuple(below), count, nodes, outputs),
    "reveal": lambda children: Reveal(tuple(children)),
    "pick": lambda child, hash, proof, node: Pick(child, hash, tuple(proof), _to_node(node) if node[0] else None),
    "revealChunk": RevealChunk,
    "pickElement": PickElement,
    "revealParts": lambda values: RevealParts(tuple(values)),
    "pickPart": lambda part, _: PickPart(part),
    "leaf": _to_leaf,
    "leafState": lambda _, shown: Leaf(source=_to_element(shown)),
    "leafStep": lambda _, shown: Leaf(source=_to_step(shown)),
    "leafData": lambda _, shown: Leaf(source=_to_data(shown)),
    "showResult": lambda result, claimed: _to_result(result, _to_element(claimed)),
    "showToken": lambda result, claimed: _to_result(result, _to_data(claimed)),
    "showStep": lambda updates, line, before, after: ShowStep(updates, _ids(line), _to_step(before), _to_step(after)),
}


# --- moves from events ------------------------------------------------------------------------------------------------


def _replay_trace(game: Dispute, one: MoveRecord) -> Move:
    root, count, nodes, outputs, below = decode_abi(_TRACE_TYPES, one.shown)
    return PostTrace(root, tuple(below), count, nodes, outputs)


def _replay_pick(game: Dispute, one: MoveRecord) -> Move:
    node = _to_node(decode_abi([_NODE_TYPE], one.shown)[0]) if one.shown else None
    return Pick(one.choice, game.shown[one.choice], _siblings(game.shown, one.choice, game.levels), node)


def _siblings(nodes: Sequence[bytes], child: int, levels: int) -> tuple[bytes, ...]:
    """The proof of one of the hashes that were revealed."""
    below, found = list(nodes), []
    for _ in range(levels):
        other = child ^ 1
        if other < len(below):
            found.append(below[other])
        below += [_NOTHING] * (len(below) % 2)
        below = [keccak(below[i] + below[i + 1]) for i in range(0, len(below), 2)]
        child //= 2
    return tuple(found)


_REPLAYED: dict[MoveName, Callable[[Dispute, MoveRecord], Move]] = {
    MoveName.POST_TRACE: _replay_trace,
    MoveName.REVEAL: lambda _, one: Reveal(tuple(decode_abi(["bytes32[]"], one.shown)[0])),
    MoveName.PICK: _replay_pick,
    MoveName.REVEAL_CHUNK: lambda _, one: RevealChunk(one.shown),
    MoveName.PICK_ELEMENT: lambda game, one: PickElement(one.choice, game.shown[0]),
    MoveName.REVEAL_PARTS: lambda _, one: RevealParts(tuple(decode_abi(["int256[]"], one.shown)[0])),
    MoveName.PICK_PART: lambda _, one: PickPart(one.choice),
}
