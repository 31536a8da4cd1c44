"""Why this module exists: templates get the same few functions everywhere, and escape everything else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from web import pictures, text
from web.glossary import TERMS
from web.queries import STALE_S, Queries, as_of
from web.views import Course, Peer, Summary

FOLDER = Path(__file__).parent

MOST_ROWS = 12_000
"""Lines of the table that are kept, a kilobyte or so each."""

HOLE = "\0"
"""Stands in a kept line where the time goes."""

MOST_PAGES = 128
"""Pages that are kept, for a second at most, a hundred kilobytes or less each."""


@dataclass(frozen=True)
class Moment:
    """What is rendered is the same for all who ask within a second, unless the index changes meanwhile."""

    key: tuple[int, int, int]
    """Version of the index, when it was fresh, and now."""
    summary: Summary
    course: Course
    parts: dict[str, Markup] = field(default_factory=dict)
    pages: dict[Hashable, Response] = field(default_factory=dict)


class Templates:
    """Renders pages, and keeps of them what others ask for in the same moment. Safe for several threads."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._summary: tuple[int, Summary, Course] | None = None
        self._moment: Moment | None = None
        self._rows: dict[tuple[Any, ...], tuple[str, str, str]] = {}
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
            "lines": self._lines,
            "passages": text.passages,
            "short": lru_cache(50_000)(text.short_id),
            "stale_s": STALE_S,
            "static": asset,
            "terms": TERMS,
            "moment": queries.now,
            "when": self._when,
        }

    def render(self, template: str, **values: Any) -> str:
        """A page or a part of one, with the ``summary`` of the swarm and its ``course``."""
        return self._render(self.moment(), template, **values)

    def known(self, key: Hashable) -> Response | None:
        """An answer that was kept and still holds; does not wait for anything."""
        version, moment = self._queries.known_version(), self._moment
        if moment is None or version is None or moment.key != (*version, int(self._queries.now())):
            return None
        return moment.pages.get(key)

    def keep(self, key: Hashable, answer: Callable[[], Response]) -> Response:
        """``answer``, kept for those who ask for ``key`` in the same moment."""
        moment = self.moment()  # before the answer is made: it may be newer than this moment, never older
        made = answer()
        if len(moment.pages) < MOST_PAGES:
            moment.pages[key] = made
        return made

    def moment(self) -> Moment:
        """The swarm now, and its course."""
        (version, fresh_at), known, moment = self._queries.version(), self._summary, self._moment
        key = version, fresh_at, int(self._queries.now())
        if moment is None or moment.key != key:
            if known is None or known[0] != version:
                known = self._summary = version, self._queries.summary(), self._queries.course()
            moment = self._moment = Moment(key, as_of(known[1], key[2], fresh_at), known[2])
        return moment

    def _render(self, moment: Moment, template: str, **values: Any) -> str:
        def part(name: str) -> Markup:
            """What is the same on every page is rendered once for each moment."""
            if name not in moment.parts:
                moment.parts[name] = Markup(self._render(moment, name))
            return moment.parts[name]

        found = self._environment.get_template(template)
        return found.render(summary=moment.summary, course=moment.course, part=part, **values)

    def _lines(self, peers: Sequence[Peer]) -> Markup:
        """Lines of the table, each rendered once for as long as it says the same but for when the peer was seen."""
        return Markup("".join(piece for peer in peers for piece in self._line(peer)))

    def _line(self, peer: Peer) -> tuple[str, str, str]:
        key = tuple(peer.__dict__.values())
        known = self._rows.get(key)
        if known is None:
            if len(self._rows) >= MOST_ROWS:
                self._rows.clear()
            line = self._environment.get_template("_row.html").render(peer=peer, seen=HOLE)
            known = self._rows[key] = line.rpartition(HOLE)
        return known[0], self._when(peer.last_seen_at), known[2]

    def _when(self, at: int) -> Markup:
        return _when(at, text.ago(at, self._queries.now()))


@lru_cache(20_000)
def _when(at: int, ago: str) -> Markup:
    """A time: how long ago for the eye, all of it for programs and on demand."""
    if not at:
        return Markup('<span class="faint">never</span>')
    clock = text.clock(at)
    return Markup('<time datetime="{}Z" data-at="{}" title="{} UTC">{}</time>').format(
        clock.replace(" ", "T"), at, clock, ago
    )


@cache
def asset(name: str) -> str:
    """URL of a static file that changes with its content, so that browsers may keep it."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?{digest}"
