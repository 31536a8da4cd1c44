"""Why this module exists: transposes, slices and broadcasts are ways to read a tensor, not work to be done.

A ``View`` is an output of a node (or part of it) with sizes and strides of its own, as in torch and numpy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from verde.program.kinds import Type


class View(NamedTuple):
    """Elements of node ``node`` of type ``type``: sizes, strides in elements, and the first element."""

    node: int
    type: Type
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    start: int = 0

    @property
    def num_elements(self) -> int:
        return math.prod(self.sizes)

    def permute(self, *axes: int) -> View:
        """Axes in another order."""
        return self._replace(sizes=tuple(self.sizes[a] for a in axes), strides=tuple(self.strides[a] for a in axes))

    def transpose(self) -> View:
        """The last two axes swapped."""
        rest = tuple(range(len(self.sizes) - 2))
        return self.permute(*rest, len(rest) + 1, len(rest))

    def insert(self, axis: int) -> View:
        """A new axis of one, at ``axis`` of the result."""
        axis = axis % (len(self.sizes) + 1)
        return self._replace(
            sizes=(*self.sizes[:axis], 1, *self.sizes[axis:]),
            strides=(*self.strides[:axis], 0, *self.strides[axis:]),
        )

    def narrow(self, axis: int, begin: int, size: int) -> View:
        """``size`` positions of an axis, from ``begin`` on."""
        axis = axis % len(self.sizes)
        sizes = (*self.sizes[:axis], size, *self.sizes[axis + 1 :])
        return self._replace(sizes=sizes, start=self.start + begin * self.strides[axis])

    def reverse(self, axis: int) -> View:
        """An axis backwards."""
        axis = axis % len(self.sizes)
        strides = (*self.strides[:axis], -self.strides[axis], *self.strides[axis + 1 :])
        return self._replace(strides=strides, start=self.start + (self.sizes[axis] - 1) * self.strides[axis])

    def split(self, axis: int, outer: int) -> View:
        """One axis as two: ``outer`` times the rest."""
        axis = axis % len(self.sizes)
        inner = self.sizes[axis] // outer
        if outer * inner != self.sizes[axis]:
            raise ValueError(f"an axis of {self.sizes[axis]} is not {outer} times anything")
        sizes = (*self.sizes[:axis], outer, inner, *self.sizes[axis + 1 :])
        stride = self.strides[axis]
        strides = (*self.strides[:axis], inner * stride, stride, *self.strides[axis + 1 :])
        return self._replace(sizes=sizes, strides=strides)

    def merge(self, axis: int) -> View:
        """Axes ``axis`` and ``axis + 1`` as one. Raises ``ValueError`` where memory does not allow it."""
        axis = axis % len(self.sizes)
        (outer, inner), (far, near) = self.sizes[axis : axis + 2], self.strides[axis : axis + 2]
        if inner != 1 and outer != 1 and far != inner * near:
            raise ValueError(f"axes {axis} and {axis + 1} of {self.sizes} with strides {self.strides} are not one")
        stride = near if inner != 1 else far
        return self._replace(
            sizes=(*self.sizes[:axis], outer * inner, *self.sizes[axis + 2 :]),
            strides=(*self.strides[:axis], stride, *self.strides[axis + 2 :]),
        )

    def expand(self, sizes: tuple[int, ...]) -> View:
        """Broadcast to ``sizes``. Raises ``ValueError`` where an axis is neither 1 nor that size."""
        missing, strides = len(sizes) - len(self.sizes), []
        for axis, size in enumerate(sizes):
            own = self.sizes[axis - missing] if axis >= missing else 1
            if own not in (1, size):
                missing = -1
                break
            strides.append(0 if own == 1 else self.strides[axis - missing])
        if missing < 0:
            raise ValueError(f"{self.sizes} does not broadcast to {sizes}")
        return View(self.node, self.type, sizes, tuple(strides), self.start)


def dense_strides(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Strides of a row-major tensor."""
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def broadcast(*sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes that all of these broadcast to."""
    first = sizes[0]
    if all(one == first for one in sizes):
        return first
    rank = max(map(len, sizes))
    padded = [(1,) * (rank - len(one)) + one for one in sizes]
    return tuple(max(axis) for axis in zip(*padded, strict=True))
