"""Why this module exists: every view of the page is there for programs, too: ``/api/v1``, with OpenAPI, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from fastapi import Path as InPath
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from web import views
from web.glossary import TERMS
from web.queries import Queries

Page = Annotated[int, Query(ge=1, le=1_000_000)]
Size = Annotated[int, Query(ge=1, le=500)]
PeerName = Annotated[str, InPath(max_length=128, description="A peer id, or a nickname that only one peer has.")]
Search = Annotated[str, Query(max_length=140, description="A part of a nickname, peer id or address.")]
Sort = Literal["credits", "name", "rounds", "score", "standing", "seen"]
CSV_CHUNK = 500
Lines = list[views.Peer] | list[views.Work] | list[views.Round]


def router(queries: Queries) -> APIRouter:
    """The JSON twin of every page, under ``/api/v1``."""
    routes = APIRouter(prefix="/api/v1", tags=["leaderboard"])

    def known(peer: str) -> views.PeerDetails:
        found = queries.peer(peer)
        if found is None:
            raise HTTPException(404, "No peer of this name is known.")
        return found

    @routes.get("/summary", response_model=views.Summary)
    def summary() -> Response:
        """The swarm now."""
        return _json(queries.summary())

    @routes.get("/course", response_model=views.Course)
    def course() -> Response:
        """The swarm's course over its recorded rounds."""
        return _json(queries.course())

    @routes.get("/peers", response_model=views.Standings)
    def peers(q: Search = "", sort: Sort = "credits", page: Page = 1, size: Size = 50) -> Response:
        """The table: search, sort, pages."""
        return _json(queries.standings(q, sort, page, size))

    @routes.get("/peers.csv")
    def peers_csv(q: Search = "", sort: Sort = "credits") -> Response:
        """The whole table as CSV."""
        return _csv("peers", views.Peer, lambda page: queries.standings(q, sort, page, CSV_CHUNK).peers)

    @routes.get("/peers/{peer}", response_model=views.PeerDetails)
    def peer(peer: PeerName) -> Response:
        """One peer."""
        return _json(known(peer))

    @routes.get("/peers/{peer}/history", response_model=views.History)
    def history(peer: PeerName) -> Response:
        """Its course, for charts."""
        return _json(queries.history(known(peer).peer))

    @routes.get("/peers/{peer}/contributions", response_model=list[views.Work])
    def works(peer: PeerName, page: Page = 1, size: Size = 50) -> Response:
        """What it contributed, newest first, and what became of each."""
        return _json_list(queries.works(peer=known(peer).peer, page=page, size=size))

    @routes.get("/peers/{peer}/contributions.csv")
    def works_csv(peer: PeerName) -> Response:
        """All of its contributions as CSV."""
        name = known(peer).peer
        return _csv("contributions", views.Work, lambda page: queries.works(peer=name, page=page, size=CSV_CHUNK))

    @routes.get("/peers/{peer}/audits", response_model=list[views.Check])
    def audits(peer: PeerName, size: Size = 50) -> Response:
        """Spot-checks of its work."""
        return _json_list(queries.checks(about=known(peer).peer, limit=size))

    @routes.get("/peers/{peer}/verdicts", response_model=list[views.Check])
    def verdicts(peer: PeerName, size: Size = 50) -> Response:
        """Its spot-checks of others."""
        return _json_list(queries.checks(by=known(peer).peer, limit=size))

    @routes.get("/peers/{peer}/payouts", response_model=list[views.Payout])
    def payouts(peer: PeerName, size: Size = 50) -> Response:
        """Its credits that became tokens."""
        return _json_list(queries.payouts(known(peer).peer, size))

    @routes.get("/rounds", response_model=views.Rounds)
    def rounds(page: Page = 1, size: Size = 50) -> Response:
        """Rounds, newest first."""
        return _json(queries.rounds(page, size))

    @routes.get("/rounds.csv")
    def rounds_csv() -> Response:
        """All rounds as CSV."""
        return _csv("rounds", views.Round, lambda page: _within(queries.rounds(page, CSV_CHUNK), page))

    @routes.get("/rounds/{number}", response_model=views.RoundDetails)
    def round(number: Annotated[int, InPath(ge=0, le=2**53)]) -> Response:
        """One round: contributions and spot-checks."""
        found = queries.round(number)
        if found is None:
            raise HTTPException(404, "There was no such round.")
        return _json(found)

    @routes.get("/epochs", response_model=list[views.Epoch])
    def epochs(size: Size = 20) -> Response:
        """Payouts of the run, newest first."""
        return _json_list(queries.epochs(size))

    @routes.get("/disputes", response_model=views.Disputes)
    def disputes(page: Page = 1, size: Size = 50) -> Response:
        """What was disputed on the chain, newest first."""
        return _json(queries.disputes(page, size))

    @routes.get("/disputes/{name}", response_model=views.DisputeDetails)
    def dispute(name: Annotated[str, InPath(max_length=80)]) -> Response:
        """One dispute with its moves."""
        found = queries.dispute(name)
        if found is None:
            raise HTTPException(404, "There was no such dispute.")
        return _json(found)

    @routes.get("/said", response_model=views.Feed)
    def said(
        peer: Annotated[str, Query(max_length=128)] = "",
        round: Annotated[int | None, Query(ge=0, le=2**53)] = None,
        stage: Literal["", "answer", "critique", "decide"] = "",
        page: Annotated[int, Query(ge=1, le=10_000)] = 1,
        size: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """What peers told each other."""
        name = known(peer).peer if peer else None
        return _json(queries.said(peer=name, round=round, stage=stage, page=page, size=size))

    @routes.get("/glossary")
    def glossary() -> dict[str, dict[str, str]]:
        """What the words mean."""
        return {key: {"term": term, "meaning": meaning} for key, (term, meaning) in TERMS.items()}

    return routes


def _json(view: BaseModel) -> Response:
    return Response(view.model_dump_json(), media_type="application/json")


def _json_list(found: list[views.Work] | list[views.Check] | list[views.Payout] | list[views.Epoch]) -> Response:
    return Response(f"[{','.join(one.model_dump_json() for one in found)}]", media_type="application/json")


def _within(found: views.Rounds, page: int) -> list[views.Round]:
    return found.rounds if page <= found.pages else []


def _csv(name: str, kind: type[BaseModel], read: Callable[[int], Lines]) -> Response:
    """All pages that ``read`` gives, as CSV. Cells that a spreadsheet would take for a formula begin with a quote."""

    def lines() -> Iterator[str]:
        columns = list(kind.model_fields)
        yield ",".join(columns) + "\r\n"
        page, last = 1, None
        while found := read(page):
            if found == last:  # a page past the end is the last one again
                return
            buffer = io.StringIO()
            writer = csv.writer(buffer)
            for row in found:
                writer.writerow([_cell(getattr(row, column)) for column in columns])
            yield buffer.getvalue()
            if len(found) < CSV_CHUNK:
                return
            page, last = page + 1, found

    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return int(value)
    is_formula = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if is_formula else value
