"""Why this module exists: the web application is put together here, and every answer leaves through its rules.

Read-only: GET and HEAD, no cookies, no state but the database. A strict content security policy (no inline script or
style, nothing from other hosts) stands behind the escaping, in case that ever fails.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from web import api, live, pages
from web.queries import Queries
from web.templating import Templates

STATIC = Path(__file__).parent / "static"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HOLD_S = 0.2
"""An index that changed may be taken for unchanged for so long: less than it takes to tell open pages."""

HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


def build_app(engine: sa.Engine, *, now: Callable[[], float] = time.time) -> FastAPI:
    """The application over an index. ``now``: unix seconds, for ages on the page."""
    queries = Queries(engine, now, hold_s=HOLD_S)
    templates = Templates(queries)
    news = live.News(queries)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with news.watching():
            yield

    app = FastAPI(
        title="RL Swarm leaderboard",
        description="What everybody in this swarm did and earned, read from the chain and from signed records, and "
        "computed again. Read-only.",
        version="1",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(pages.router(queries, templates, app))
    app.include_router(live.router(news))
    app.include_router(api.router(queries))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"detail": error.detail}, status_code=error.status_code)
        body = templates.render("error.html", code=error.status_code, detail=error.detail)
        return HTMLResponse(body, status_code=error.status_code)

    @app.exception_handler(RequestValidationError)
    async def correct(request: Request, error: RequestValidationError) -> Response:
        """Which parameter is wrong, and why; what was sent is not repeated."""
        wrong = [f"{one['loc'][-1]}: {one['msg']}" for one in error.errors()]
        if request.url.path.startswith("/api/"):
            return JSONResponse({"detail": wrong}, status_code=422)
        return HTMLResponse(templates.render("error.html", code=422, detail=". ".join(wrong)[:200]), status_code=422)

    app.add_middleware(SafeHeaders)
    return app


class SafeHeaders:
    """Adds ``HEADERS`` to every answer; as plain ASGI, because it is on the way of each."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *HEADERS]
                if scope["path"].startswith("/static/vendor/"):
                    headers.append((b"cache-control", b"public, max-age=31536000, immutable"))
                message = message | {"headers": headers}
            await send(message)

        await self._app(scope, receive, send_safely)
