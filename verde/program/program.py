"""Why this module exists: which operator comes next is nobody's opinion: nodes are shown against one root.

    root    keccak256(keccak256("verde/program/1") ++ number of nodes (256 bits) ++ root of the nodes' tree ++ outputs)
    outputs root of the ``protocol.merkle`` tree over the lines (SHA-256 of the output's name, node that computes it),
            and one more line for a step: (SHA-256("step"), how many updates it makes)
    data    root of the ``protocol.merkle`` tree over the lines (SHA-256("data/" name), root of the tensor's tree)

Names of a state's tensors are ``tensor/weight/N``, ``tensor/first/N`` and ``tensor/second/N``, so that the line of an
output is that of the tensor in the state after (``verde.commit``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from eth_utils.crypto import keccak

from protocol.merkle import MerkleTree
from verde.program.keccak import keccak_rows
from verde.program.kinds import Type
from verde.program.node import Node, check_node
from verde.program.tree import Tree, tensor_roots

FORMAT = keccak(b"verde/program/1")

Array = np.ndarray[Any, Any]
DTYPES: dict[Type, Any] = {Type.F32: np.float32, Type.I32: np.int32, Type.I16: np.int16, Type.U8: np.uint8}


def key_of(name: str) -> bytes:
    """The line of a tensor: SHA-256 of its name."""
    return hashlib.sha256(name.encode()).digest()


STEP_LINE = key_of("step")
"""The line of a state's step count, and of how many updates a program makes."""


def key_words(name: str) -> tuple[int, ...]:
    """The same as attributes of a node."""
    key = key_of(name)
    return tuple(int.from_bytes(key[i : i + 4], "big") for i in range(0, 32, 4))


def key_bytes(words: tuple[int, ...]) -> bytes:
    """Attributes of a STATE or DATA node as a line's key."""
    return b"".join(word.to_bytes(4, "big") for word in words)


@dataclass(frozen=True)
class Program:
    """Nodes in the order in which they are computed, and which of them are results. Immutable once made.

    ``num_updates``: by how much a step moves the state's step count; 0 for what is no step.
    """

    nodes: tuple[Node, ...]
    outputs: Mapping[str, int] = field(default_factory=dict)
    num_updates: int = 0

    def check(self) -> None:
        """Raises ``VerificationError`` when a node breaks a rule or reads beyond what there is."""
        known: list[Node] = []
        for number, node in enumerate(self.nodes):
            check_node(node, known, number)
            known.append(node)

    @cached_property
    def tree(self) -> Tree:
        """The tree over the nodes' hashes."""
        return Tree(node_hashes(self.nodes))

    @cached_property
    def outputs_tree(self) -> MerkleTree:
        """The lines of the results."""
        lines = [(key_of(name), node) for name, node in self.outputs.items()]
        return MerkleTree([*lines, (STEP_LINE, self.num_updates)] if self.num_updates else lines)

    @property
    def root(self) -> bytes:
        """What the program is called: 32 bytes."""
        return program_root(len(self.nodes), self.tree.root, bytes.fromhex(self.outputs_tree.root))


def node_hashes(nodes: Sequence[Node]) -> Array:
    """uint8 [nodes, 32]: the hash of each node's byte string, those of one length at once."""
    found = np.empty((len(nodes), 32), np.uint8)
    by_length: dict[int, tuple[list[int], list[bytes]]] = {}
    for number, node in enumerate(nodes):
        raw = node.encoded()
        numbers, rows = by_length.setdefault(len(raw), ([], []))
        numbers.append(number)
        rows.append(raw)
    for length, (numbers, rows) in by_length.items():
        found[numbers] = keccak_rows(np.frombuffer(b"".join(rows), np.uint8).reshape(-1, length))
    return found


def program_root(num_nodes: int, nodes_root: bytes, outputs_root: bytes) -> bytes:
    """A program's name from its parts."""
    return keccak(FORMAT + num_nodes.to_bytes(32, "big") + nodes_root + outputs_root)


@dataclass(frozen=True)
class Sources:
    """What a run starts from. ``state``: float32 arrays by name (``weight/N`` …); ``data``: arrays by name, of
    the types that the program's DATA nodes have; ``step``: how often the state was updated before."""

    state: Mapping[str, Array]
    data: Mapping[str, Array]
    step: int = 0

    @cached_property
    def data_tree(self) -> MerkleTree:
        """The lines of the data."""
        roots = tensor_roots(list(self.data.values()))
        return MerkleTree((key_of(f"data/{name}"), root) for name, root in zip(self.data, roots, strict=True))
