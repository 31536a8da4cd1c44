"""Why this module exists: an open page hears by itself that something changed; one look at the database serves all.

Server-sent events: ``change`` whenever the index grew, ``stale`` and ``fresh`` when it stopped or went on. Their data
are the version; what changed is asked for by the page, through the same URLs as without events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sqlalchemy as sa
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from web.queries import STALE_S, Queries

LOOK_S = 1.0
MOST_LISTENERS = 1_000


class News:
    """The latest version of the index, and everybody who waits for the next."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._version = 0
        self._is_stale = False
        self._changed = asyncio.Event()
        self.num_listeners = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look at the database while the block runs."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """Everything that happens from now on."""
        self.num_listeners += 1
        version, is_stale = self._version, self._is_stale
        try:
            yield ServerSentEvent(event="hello", data=str(version), retry=3000)
            while True:
                await self._changed.wait()
                if is_stale != self._is_stale:
                    is_stale = self._is_stale
                    yield ServerSentEvent(event="stale" if is_stale else "fresh", data=str(self._version))
                if version != self._version:
                    version = self._version
                    yield ServerSentEvent(event="change", data=str(version))
        finally:
            self.num_listeners -= 1

    async def _watch(self) -> None:
        while True:
            try:
                version, fresh_at = await run_in_threadpool(self._queries.version)
            except sa.exc.SQLAlchemyError:
                version, fresh_at = self._version, 0  # a database that is away for a while
            is_stale = self._queries.now() - fresh_at > STALE_S
            if (version, is_stale) != (self._version, self._is_stale):
                self._version, self._is_stale = version, is_stale
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()
            await asyncio.sleep(LOOK_S)


def router(news: News) -> APIRouter:
    routes = APIRouter()

    @routes.get("/events", include_in_schema=False)
    async def events() -> Response:
        if news.num_listeners >= MOST_LISTENERS:
            return PlainTextResponse("Too many listeners.", 503, {"Retry-After": "30"})
        return EventSourceResponse(news.events(), ping=20)

    return routes
