"""Why this module exists: values of a long step do not fit any disk, and what one move asks for must not cost the step.

A program is cut into stages where few values are alive. Those are kept, and any output is computed again from the
beginning of its own stage. In a training step that is between micro-batches, where gradients have been added up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from verde.program.kinds import Kind
from verde.program.program import Program

SOURCE_KINDS = frozenset({Kind.STATE, Kind.STEP, Kind.DATA, Kind.CONST})
"""Kinds that read no other node, and so are never kept."""

MOST_STAGES = 512
LEAST_NODES = 512

Array = np.ndarray[Any, Any]


def num_bytes(program: Program) -> int:
    """Of all outputs together."""
    return sum(node.num_elements * node.type.size for node in program.nodes)


def inputs_before(program: Program, start: int, stop: int) -> set[int]:
    """What nodes ``start`` to ``stop`` read of the nodes before them."""
    return {access.node for node in program.nodes[start:stop] for access in node.inputs if access.node < start}


@dataclass(frozen=True)
class Stages:
    """``starts``: the first node of each stage, the first stage begins with node 0. ``kept``: outputs that are needed
    to begin any of them."""

    starts: Sequence[int]
    kept: frozenset[int]

    @classmethod
    def of(cls, program: Program, most: int = MOST_STAGES, least_nodes: int = LEAST_NODES) -> Stages:
        """At most ``most``. Each begins at that place of a stretch of nodes where the fewest bytes are alive."""
        count = len(program.nodes)
        last = _last_uses(program)
        sizes = np.array([0 if n.kind in SOURCE_KINDS else n.num_elements * n.type.size for n in program.nodes])
        # alive[p]: bytes of nodes before p that are read at p or later
        alive = np.zeros(count + 1, np.int64)
        alive[1:] = np.cumsum(sizes)
        gone = np.zeros(count + 1, np.int64)
        np.add.at(gone, np.minimum(last + 1, count), sizes)
        alive -= np.cumsum(gone)
        stretch = max(least_nodes, -(-count // most))
        starts = [0]
        for begin in range(stretch, count, stretch):
            starts.append(begin + int(alive[begin : min(begin + stretch, count)].argmin()))
        kept: set[int] = set(program.outputs.values())
        is_computed = sizes > 0
        for start in starts[1:]:
            kept.update(np.flatnonzero((last[:start] >= start) & is_computed[:start]).tolist())
        return cls(tuple(starts), frozenset(kept))

    def by_start(self, numbers: Collection[int]) -> Iterator[tuple[int, frozenset[int]]]:
        """The first nodes of the stages that ``numbers`` are in, each with its numbers."""
        stages: dict[int, set[int]] = {}
        for number in numbers:
            stages.setdefault(self.starts[bisect_right(self.starts, number) - 1], set()).add(number)
        for start, wanted in sorted(stages.items()):
            yield start, frozenset(wanted)


def _last_uses(program: Program) -> Array:
    """int64 [nodes]: who reads each node last; itself where nobody does; beyond the end for results."""
    last = np.arange(len(program.nodes), dtype=np.int64)
    for number, node in enumerate(program.nodes):
        for access in node.inputs:
            last[access.node] = number
    last[list(program.outputs.values())] = len(program.nodes)
    return last
