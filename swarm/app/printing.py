"""Why this module exists: a table is read by people at a terminal and by programs at the end of a pipe."""

from __future__ import annotations

import os
import sys

from rich.console import Console, RenderableType

PIPE_WIDTH = 1000
"""A pipe has no width: whoever reads it gets every column."""


def printed(table: RenderableType) -> None:
    """Print ``table`` on stdout, as wide as its reader can take it."""
    Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH).print(table)
