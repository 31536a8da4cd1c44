"""Why this module exists: all events are one kind of thing, whichever module they stand in."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="type", tag=lambda name: name):
    """Base of all events. ``at`` is set by the event log when the event is written."""
