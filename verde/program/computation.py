"""Why this module exists: a piece of somebody's work is named by two roots long before anybody has to run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from protocol.ids import ContentId
from verde.program.program import Program, Sources

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Computation:
    """A program, by its root, and the data it reads; the state it starts from is another thing.

    ``build`` gives the program. A large model's has a million nodes, so it is made when somebody has to run it.
    """

    program_root: ContentId
    data: Mapping[str, Array] = field(repr=False)
    build: Callable[[], Program] = field(repr=False)

    @cached_property
    def data_root(self) -> ContentId:
        return ContentId(Sources({}, self.data).data_tree.root)
