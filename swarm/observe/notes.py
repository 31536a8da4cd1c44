"""Why this module exists: what a program says of itself stands among its peers' events, and is no event of any peer."""

from __future__ import annotations

import msgspec


class Note(msgspec.Struct, frozen=True):
    """A sentence for people. ``is_trouble``: something went wrong, even where it is mended already."""

    text: str
    is_trouble: bool = False
