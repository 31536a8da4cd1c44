"""Why this module exists: templates get the same few functions everywhere, and escape everything else."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from web import pictures, text
from web.glossary import TERMS
from web.queries import STALE_S, Queries, as_of
from web.views import Course, Peer, Summary

FOLDER = Path(__file__).parent


MOST_ROWS = 12_000
"""Lines of the table that are kept, a kilobyte or so each."""


class Templates:
    """Renders pages. The summary on top of each is read once for each version of the index."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._summary: tuple[tuple[int, int], Summary, Course] | None = None
        self._rows: dict[tuple[Any, ...], Markup] = {}
        self._environment = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._environment.globals |= {
            "ago": lambda at: text.ago(at, queries.now()),
            "bar": pictures.bar,
            "clock": lru_cache(20_000)(text.clock),
            "credits": lru_cache(20_000)(text.credits),
            "exactly": lru_cache(20_000)(text.credits_text),
            "line": pictures.line,
            "mark": pictures.mark,
            "milli": lru_cache(1_100)(text.milli),
            "seconds": text.seconds_text,
            "row": self._row,
            "passages": text.passages,
            "short": lru_cache(50_000)(text.short_id),
            "stale_s": STALE_S,
            "static": asset,
            "terms": TERMS,
            "moment": queries.now,
        }

    def render(self, template: str, **values: Any) -> str:
        """A page or a part of one, with the ``summary`` of the swarm and its ``course``."""
        summary, course = self.summary()
        return self._environment.get_template(template).render(summary=summary, course=course, **values)

    def _row(self, peer: Peer) -> Markup:
        """A line of the table, rendered once for as long as it says the same."""
        key = (*peer.__dict__.values(), text.ago(peer.last_seen_at, self._queries.now()))
        known = self._rows.get(key)
        if known is None:
            if len(self._rows) >= MOST_ROWS:
                self._rows.clear()
            known = self._rows[key] = Markup(self._environment.get_template("_row.html").render(peer=peer))
        return known

    def summary(self) -> tuple[Summary, Course]:
        """The swarm now, and its course."""
        version, known = self._queries.version(), self._summary
        if known is None or known[0][0] != version[0]:
            known = self._summary = (version, self._queries.summary(), self._queries.course())
        return as_of(known[1], int(self._queries.now()), version[1]), known[2]


@cache
def asset(name: str) -> str:
    """URL of a static file that changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?{digest}"
