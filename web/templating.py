"""Why this module exists: templates get the same few functions everywhere, and escape everything else."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from web import pictures, text
from web.glossary import TERMS
from web.queries import STALE_S, Queries

FOLDER = Path(__file__).parent
SUMMARY_LASTS_S = 1.0


class Templates:
    """Renders pages. The summary on top of each is read once per second at most."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._summary: tuple[float, Any, Any] | None = None
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
            "clock": text.clock,
            "credits": text.credits,
            "exactly": text.credits_text,
            "line": pictures.line,
            "mark": pictures.mark,
            "milli": text.milli,
            "seconds": text.seconds_text,
            "passages": text.passages,
            "short": text.short_id,
            "stale_s": STALE_S,
            "static": asset,
            "terms": TERMS,
            "moment": queries.now,
        }

    def render(self, template: str, **values: Any) -> str:
        """A page or a part of one, with the ``summary`` of the swarm and its ``course``."""
        summary, course = self.summary()
        return self._environment.get_template(template).render(summary=summary, course=course, **values)

    def summary(self) -> tuple[Any, Any]:
        now = self._queries.now()
        if self._summary is None or not 0 <= now - self._summary[0] < SUMMARY_LASTS_S:
            self._summary = (now, self._queries.summary(), self._queries.course())
        return self._summary[1:]


@cache
def asset(name: str) -> str:
    """URL of a static file that changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?{digest}"
