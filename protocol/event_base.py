"""Why this module exists: all events share one form, whichever module tells what they mean."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True, tag_field="type", tag=lambda name: name):
    """Base of all events. ``at`` is set by the event log when the event is written."""
