"""Why this module exists: a piece counts only where it is part of what both sides agreed on before.

Every function raises ``BadOpening`` for a piece that is not, and ``Unfit`` for too many or too few.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

from protocol.errors import VerificationError
from protocol.ids import ContentId
from protocol.merkle import verify
from verde.bisect.errors import BadOpening, Unfit
from verde.bisect.moves import ShownData, ShownInput, ShownNode, ShownStep, Source
from verde.commit import Opening, check_opening
from verde.program.kinds import RULES, Kind, Type
from verde.program.node import Node, decode_node
from verde.program.program import STEP_LINE, key_bytes, key_of
from verde.program.trace import tensor_root, words_in, words_of
from verde.program.tree import root_of


def node_in(nodes_root: bytes, num_nodes: int, number: int, shown: ShownNode) -> Node:
    """Node ``number`` of the program."""
    if root_of(num_nodes, number, [keccak(shown.encoded)], shown.proof) != nodes_root:
        raise BadOpening(f"these bytes are not node {number} of the program")
    return decode_node(shown.encoded)


def words_of_output(
    trace_root: bytes, num_nodes: int, number: int, size: tuple[int, Type], shown: ShownInput, first: int, count: int
) -> tuple[int, ...]:
    """Elements of node ``number``'s output, which has ``size`` = (elements, type), in the defender's trace."""
    root = tensor_root(shown.piece, *size)
    if root is None or root_of(num_nodes, number, [root], shown.proof) != trace_root:
        raise BadOpening(f"a piece is not part of node {number}'s output")
    words = words_in(shown.piece, size[1], first, count)
    if words is None:
        raise BadOpening(f"a piece does not hold elements {first} to {first + count - 1} of node {number}'s output")
    return words


class Inputs:
    """A reader for ``verde.program.leaf`` that takes its words from pieces, one for each input that is read."""

    def __init__(self, node: Node, trace_root: bytes, num_nodes: int, shown: Sequence[ShownInput | None]) -> None:
        if len(shown) != len(node.inputs):
            raise Unfit(f"{len(shown)} inputs of a node that has {len(node.inputs)}")
        self._node, self._trace_root, self._num_nodes, self._shown = node, trace_root, num_nodes, shown
        self._read: set[int] = set()

    def read(self, number: int, first: int, count: int) -> tuple[int, ...]:
        """Words of input ``number``. Raises ``BadOpening`` also where the element lies beyond the input's end."""
        access, shown = self._node.inputs[number], self._shown[number]
        if shown is None:
            raise BadOpening(f"input {number} is missing")
        if not 0 <= first <= first + count <= access.elements:
            raise BadOpening(f"input {number} has no elements {first} to {first + count - 1}")
        self._read.add(number)
        size = access.elements, input_type(self._node, number)
        return words_of_output(self._trace_root, self._num_nodes, access.node, size, shown, first, count)

    def close(self) -> None:
        """Raises ``BadOpening`` where a piece was given for an input that is not read."""
        for number, shown in enumerate(self._shown):
            if shown is not None and number not in self._read:
                raise BadOpening(f"the element does not depend on input {number}")


def input_type(node: Node, number: int) -> Type:
    """What an input's elements are."""
    fixed = RULES[node.kind].type_of(number)
    return node.type if fixed is None else fixed


def word_of_source(node: Node, element: int, source: Source | None, state_root: ContentId, data_root: ContentId) -> int:
    """The element of a node that is one of ``verde.program.leaf.SOURCES``."""
    if node.kind == Kind.STEP and isinstance(source, ShownStep):
        return step_of_state(state_root, source)
    key = key_bytes(node.attributes)
    if node.kind == Kind.STATE and isinstance(source, Opening):
        return word_of_state(state_root, key, element, node.num_elements, source)
    if node.kind == Kind.DATA and isinstance(source, ShownData):
        return word_of_data(data_root, key, (node.num_elements, node.type), element, source)
    raise BadOpening(f"an element of {node.kind.name} is shown by something else")


def step_of_state(root: ContentId, shown: ShownStep) -> int:
    """The state's step count."""
    if not 0 <= shown.step < 1 << 31 or not verify(root, STEP_LINE, shown.step, shown.line_proof):
        raise BadOpening("this is not the state's step count")
    return shown.step


def word_of_state(root: ContentId, key: bytes, element: int, elements: int, opening: Opening) -> int:
    """Element ``element`` of the state's tensor whose line is ``key``."""
    if key_of(f"tensor/{opening.name}") != key or opening.index != element or opening.num_elements != elements:
        raise BadOpening("another element of the state is shown")
    try:
        return words_of(check_opening(root, opening), Type.F32)[0]
    except VerificationError as error:
        raise BadOpening(f"the state does not hold it ({error.what})") from error


def word_of_data(root: ContentId, key: bytes, size: tuple[int, Type], element: int, shown: ShownData) -> int:
    """Element ``element`` of the data's tensor whose line is ``key``, of ``size`` = (elements, type)."""
    tensor = tensor_root(shown.piece, *size)
    if tensor is None or not verify(root, key, tensor, shown.line_proof):
        raise BadOpening("a piece is not part of the step's data")
    words = words_in(shown.piece, size[1], element, 1)
    if words is None:
        raise BadOpening(f"a piece does not hold element {element}")
    return words[0]
