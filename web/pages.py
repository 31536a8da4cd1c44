"""Why this module exists: the pages. Each works by plain links and forms; ``part`` asks for a piece to swap in."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from web.board import SORTS
from web.queries import Queries
from web.templating import Templates

Page = Annotated[int, Query(ge=1, le=1_000_000)]
STAGES = ("answer", "critique", "decide")
HEALTHY_S = 300


def router(queries: Queries, templates: Templates, app: FastAPI) -> APIRouter:
    routes = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @routes.get("/")
    async def leaderboard(
        q: Annotated[str, Query(max_length=140)] = "",
        sort: Annotated[str, Query(max_length=20)] = "credits",
        page: Page = 1,
        part: Annotated[str, Query(max_length=20)] = "",
    ) -> Response:
        key = q, sort, page, part
        if (known := templates.known(key)) is not None:
            return known
        return await run_in_threadpool(templates.keep, key, lambda: standings(*key))

    def standings(q: str, sort: str, page: int, part: str) -> Response:
        if part in ("summary", "banner"):
            return HTMLResponse(templates.render(f"_{part}.html"))
        table = queries.standings(q, sort, page)

        def link(**changes: object) -> str:
            values = {"q": table.q, "sort": table.sort, "page": 1} | changes
            kept = {name: value for name, value in values.items() if value not in ("", "credits", 1)}
            return f"/?{urlencode(kept)}" if kept else "/"

        if part == "table":
            headers = {"HX-Push-Url": link(page=table.page)}
            return HTMLResponse(templates.render("_table.html", table=table, link=link), headers=headers)
        return HTMLResponse(templates.render("leaderboard.html", table=table, link=link, sorts=list(SORTS)))

    @routes.get("/peers/{peer}")
    def peer(peer: str, page: Page = 1) -> Response:
        found = queries.peer(peer[:128])
        if found is None:
            raise HTTPException(404, "No peer of this name is known here.")
        if found.peer != peer:
            return RedirectResponse(f"/peers/{quote(found.peer)}", 307)
        works = queries.works(peer=found.peer, page=page, size=25)
        return HTMLResponse(
            templates.render(
                "peer.html",
                peer=found,
                works=works,
                page=page,
                has_more=len(works) == 25,
                history=queries.history(found.peer),
                audits=queries.checks(about=found.peer, limit=12),
                verdicts=queries.checks(by=found.peer, limit=12),
                payouts=queries.payouts(found.peer, 12),
                disputes=queries.disputes(peer=found.peer).disputes,
                said=queries.said(peer=found.peer, size=6).said,
            )
        )

    @routes.get("/rounds")
    def rounds(page: Page = 1) -> Response:
        return HTMLResponse(templates.render("rounds.html", found=queries.rounds(page), epochs=queries.epochs(8)))

    @routes.get("/rounds/{number}")
    def round(number: int) -> Response:
        found = queries.round(number) if 0 <= number < 2**53 else None
        if found is None:
            raise HTTPException(404, "There was no such round.")
        return HTMLResponse(templates.render("round.html", found=found, said=queries.said(round=number, size=9).said))

    @routes.get("/disputes")
    def disputes(page: Page = 1) -> Response:
        return HTMLResponse(templates.render("disputes.html", found=queries.disputes(page)))

    @routes.get("/disputes/{name}")
    def dispute(name: str) -> Response:
        found = queries.dispute(name[:80])
        if found is None:
            raise HTTPException(404, "There was no such dispute.")
        return HTMLResponse(templates.render("dispute.html", found=found))

    @routes.get("/said")
    def said(
        stage: Annotated[str, Query(max_length=20)] = "",
        round: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
    ) -> Response:
        chosen = stage if stage in STAGES else ""
        feed = queries.said(stage=chosen, round=round, page=page, size=18)
        return HTMLResponse(templates.render("said.html", feed=feed, stage=chosen, round=round, stages=STAGES))

    @routes.get("/glossary")
    def glossary() -> Response:
        return HTMLResponse(templates.render("glossary.html"))

    @routes.get("/api")
    def api() -> Response:
        paths = app.openapi()["paths"]
        calls = [(path, one["get"]) for path, one in paths.items() if "get" in one]
        return HTMLResponse(templates.render("api.html", calls=calls))

    @routes.get("/healthz")
    def health() -> Response:
        _, fresh_at = queries.version()
        age_s = max(0, int(queries.now()) - fresh_at) if fresh_at else None
        is_well = age_s is not None and age_s < HEALTHY_S
        return JSONResponse({"ok": is_well, "index_age_s": age_s}, 200 if is_well else 503)

    return routes
