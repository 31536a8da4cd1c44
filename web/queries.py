"""Why this module exists: every question that a page or the API asks of the index, and what it answers."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from swarm.observe.text import name_of
from web import schema, views
from web.board import FIELDS, Board
from web.text import paragraphs, plain

PAGE_SIZE = 50
ONLINE_S = 60
STALE_S = 60
LONGEST_CHART = 2_000


def as_of(summary: views.Summary, now: int, fresh_at: int) -> views.Summary:
    """The same summary a little later, when nothing but the time has changed."""
    is_overdue = summary.phase == "playing" and now > summary.closes_at
    changes = {"fresh_at": fresh_at, "is_stale": now - fresh_at > STALE_S}
    return summary.model_copy(update=changes | ({"phase": "overdue"} if is_overdue else {}))


class Queries:
    """Reads the index. ``now``: unix seconds. Safe for several threads.

    ``hold_s``: for so long an index that changed may be taken for unchanged, so that not every request has to look.
    """

    def __init__(self, engine: sa.Engine, now: Callable[[], float] = time.time, *, hold_s: float = 0.0) -> None:
        self._engine = engine
        self.now = now
        self._hold_s = hold_s
        self._version, self._looked_at = (0, 0), -math.inf
        self._board = Board(-1, [])
        self._looking, self._reading = threading.Lock(), threading.Lock()

    def known_version(self) -> tuple[int, int] | None:
        """What ``version`` would say without a look at the database; None: it would have to look."""
        return self._version if time.monotonic() - self._looked_at < self._hold_s else None

    def version(self) -> tuple[int, int]:
        """(a number that grows with every change of the index, when it was last fresh)."""
        with self._looking:
            if (known := self.known_version()) is None:
                looked_at = time.monotonic()
                found = dict(self._pairs(sa.select(schema.meta).where(schema.meta.c.name.in_(("version", "fresh_at")))))
                known = self._version = int(found.get("version", 0)), int(found.get("fresh_at", 0))
                self._looked_at = looked_at
            return known

    def summary(self) -> views.Summary:
        meta = dict(self._pairs(sa.select(schema.meta).where(schema.meta.c.name.not_like("check/%"))))
        run, trouble = json.loads(meta.get("run", "{}")), json.loads(meta.get("trouble", "{}"))
        now, fresh_at, r, p = int(self.now()), int(meta.get("fresh_at", 0)), schema.rounds.c, schema.peers.c
        latest = self._one(sa.select(schema.rounds).order_by(r.round.desc()).limit(1)) or {}
        settled = self._one(sa.select(schema.rounds).where(r.settled_at > 0, r.check_level != "undone")
                            .order_by(r.round.desc()).limit(1)) or {}  # fmt: skip
        sums = self._one(
            sa.select(
                sa.func.count().label("count"),
                sa.func.sum(p.num_tokens).label("tokens"),
                sa.func.sum(p.claimed_micro).label("claimed"),
                sa.func.sum(p.micro).label("ledger"),
                sa.func.sum(sa.case((p.last_seen >= now - ONLINE_S, 1), else_=0)).label("online"),
            ).where(p.is_listed == 1)
        )  # fmt: skip
        assert sums is not None
        is_settled = bool(latest) and latest["settled_at"] > 0
        phase = "waiting" if not latest else "settled" if is_settled else "playing"
        if phase == "playing" and now > latest["closes_at"]:
            phase = "overdue"
        return views.Summary(
            run=run.get("run", ""),
            name=plain(run.get("name", ""), 64),
            task=plain(run.get("task", ""), 64),
            model=plain(run.get("model_name", ""), 80),
            engine=plain(run.get("engine", ""), 32),
            chain_id=run.get("chain_id", 0),
            round=latest.get("round", 0),
            phase=phase,
            closes_at=latest.get("closes_at", 0),
            members=latest.get("num_members", 0),
            peers=sums["count"],
            online=int(sums["online"] or 0),
            tokens=int(sums["tokens"] or 0),
            settled_round=settled.get("round", 0),
            settled_tx=settled.get("settled_tx", ""),
            settled_at=settled.get("settled_at", 0),
            total_micro=settled.get("total_micro", 0),
            claimed_micro=int(sums["claimed"] or 0),
            ledger_micro=int(sums["ledger"] or 0),
            budget_micro=run.get("budget_micro", 0),
            check_level=settled.get("check_level", ""),
            fresh_at=fresh_at,
            is_stale=now - fresh_at > STALE_S,
            trouble=plain(trouble.get("what", ""), 300),
            version=int(meta.get("version", 0)),
        )

    def standings(self, q: str = "", sort: str = "credits", page: int = 1, size: int = PAGE_SIZE) -> views.Standings:
        """A page of the table. ``q``: a part of a nickname, peer id or address."""
        return self._current_board().standings(q, sort, page, size)

    def peer(self, peer: str) -> views.PeerDetails | None:
        """A peer by its id, or by its nickname where only one has it."""
        p = schema.peers.c
        query = sa.select(*_PEER.values(), *(column for column in p if column.name not in _PEER))
        row = self._one(query.where(p.peer == peer))
        if row is None:
            named = self._rows(query.where(p.nickname == peer.lower(), p.is_listed == 1).limit(2))
            row = named[0] if len(named) == 1 else None
        if row is None:
            return None
        return views.PeerDetails(
            **{name: row[name] for name in FIELDS},
            owner=row["owner"],
            signer=row["signer"],
            registered_at=row["registered_at"],
            registered_tx=row["registered_tx"],
            stake_micro=row["stake_micro"],
            slashed_micro=row["slashed_micro"],
            struck_micro=row["struck_micro"],
            judged_micro=row["judged_micro"],
            tokens=row["num_tokens"],
            weight=row["weight"],
            barred_until=row["barred_until"],
        )

    def history(self, peer: str) -> views.History:
        """The latest ``LONGEST_CHART`` ledger lines of a peer, with running totals."""
        c, w = schema.ledger.c, schema.contributions.c
        lines = self._rows(sa.select(schema.ledger).where(c.peer == peer).order_by(c.seq))
        scores = dict(self._pairs(sa.select(w.round, w.score_milli).where(w.peer == peer)))
        total, columns = 0, []
        for line in lines:
            total += line["paid_micro"]
            score = scores.get(line["round"])
            columns.append((line["round"], total, line["earned_micro"], score, line["standing_milli"]))
        columns = columns[-LONGEST_CHART:]
        names = ("round", "credits_micro", "earned_micro", "score_milli", "standing_milli")
        return views.History(**{name: [row[at] for row in columns] for at, name in enumerate(names)})

    def works(
        self, *, peer: str | None = None, round: int | None = None, page: int = 1, size: int = 50
    ) -> list[views.Work]:
        """Contributions of a peer, newest first, or of a round, best paid first."""
        o, w = schema.outcomes.c, schema.contributions.c
        picked = [("peer", peer)] if peer is not None else [("round", round)]
        offset = (max(1, page) - 1) * size
        order = (o.round.desc(),) if peer is not None else (o.micro.desc(), o.peer)
        named = self._rows(sa.select(schema.outcomes).where(*(o[n] == v for n, v in picked)).order_by(*order)
                           .limit(size).offset(offset))  # fmt: skip
        order = (w.round.desc(),) if peer is not None else (w.score_milli.desc().nulls_last(), w.peer)
        scored = self._rows(sa.select(schema.contributions).where(*(w[n] == v for n, v in picked)).order_by(*order)
                            .limit(size).offset(offset))  # fmt: skip
        by_content = {row["content"]: row for row in scored}
        lacking = [row["content"] for row in named if row["content"] not in by_content]
        by_content |= {row["content"]: row for row in self._among(w.content, lacking)}
        found = [(row, by_content.get(row["content"], {})) for row in named]
        seen = {row["content"] for row in named}
        found += [({}, row) for row in scored if row["content"] not in seen and not named]
        said = self._verdict_counts([(a or b)["content"] for a, b in found])
        return [_work(outcome, work, said) for outcome, work in found]

    def checks(self, *, about: str | None = None, by: str | None = None, round: int | None = None,
               limit: int = 50) -> list[views.Check]:  # fmt: skip
        """Verdicts on a peer's work, by a peer, or of a round, newest first."""
        v, o = schema.verdicts.c, schema.outcomes.c
        query = sa.select(schema.verdicts, o.peer.label("author"), o.round.label("work_round")).outerjoin(
            schema.outcomes, o.content == v.about
        )
        for column, value in ((o.peer, about), (v.by, by), (v.round, round)):
            query = query if value is None else query.where(column == value)
        return [
            views.Check(
                round=row["round"],
                by=row["by"],
                by_nickname=name_of(row["by"]),
                about=row["about"],
                author=row["author"] or "",
                author_nickname=name_of(row["author"]) if row["author"] else "",
                work_round=row["work_round"] or 0,
                level=row["level"],
                finding=row["finding"],
                what=plain(row["what"], 300),
            )
            for row in self._rows(query.order_by(v.round.desc(), v.by, v.content).limit(limit))
        ]

    def payouts(self, peer: str, limit: int = 50) -> list[views.Payout]:
        c = schema.payouts.c
        query = sa.select(schema.payouts).where(c.peer == peer).order_by(c.block.desc(), c.index.desc()).limit(limit)
        return [
            views.Payout(
                peer=row["peer"], owner=row["owner"], amount_micro=row["micro"],
                cumulative_micro=row["cumulative_micro"], tx=row["tx"], at=row["at"],
            )
            for row in self._rows(query)
        ]  # fmt: skip

    def rounds(self, page: int = 1, size: int = PAGE_SIZE) -> views.Rounds:
        total = int(self._scalar(sa.select(sa.func.count()).select_from(schema.rounds)) or 0)
        pages = max(1, -(-total // size))
        page = min(max(1, page), pages)
        query = sa.select(schema.rounds).order_by(schema.rounds.c.round.desc()).limit(size).offset((page - 1) * size)
        return views.Rounds(rounds=[_round(row) for row in self._rows(query)], total=total, page=page, pages=pages)

    def round(self, number: int) -> views.RoundDetails | None:
        row = self._one(sa.select(schema.rounds).where(schema.rounds.c.round == number))
        if row is None:
            return None
        works, checks = self.works(round=number, size=200), self.checks(round=number, limit=100)
        return views.RoundDetails(round=_round(row), works=works, checks=checks)

    def course(self) -> views.Course:
        """The latest ``LONGEST_CHART`` recorded rounds."""
        r = schema.rounds.c
        query = sa.select(r.round, r.mean_milli, r.num_contributions, r.total_micro).where(r.settled_at > 0)
        rows = list(reversed(self._rows(query.order_by(r.round.desc()).limit(LONGEST_CHART))))
        return views.Course(
            round=[row["round"] for row in rows],
            mean_milli=[row["mean_milli"] for row in rows],
            contributions=[row["num_contributions"] for row in rows],
            total_micro=[row["total_micro"] for row in rows],
        )

    def epochs(self, limit: int = 20) -> list[views.Epoch]:
        query = sa.select(schema.epochs).order_by(schema.epochs.c.epoch.desc()).limit(limit)
        return [views.Epoch(**row) for row in self._rows(query)]

    def disputes(self, page: int = 1, size: int = PAGE_SIZE, peer: str | None = None) -> views.Disputes:
        d = schema.disputes.c
        where = [] if peer is None else [d.peer == peer]
        total = int(self._scalar(sa.select(sa.func.count()).select_from(schema.disputes).where(*where)) or 0)
        pages = max(1, -(-total // size))
        page = min(max(1, page), pages)
        query = sa.select(schema.disputes).where(*where).order_by(d.opened_at.desc(), d.id)
        rows = self._rows(query.limit(size).offset((page - 1) * size))
        return views.Disputes(disputes=[_dispute(row) for row in rows], total=total, page=page, pages=pages)

    def dispute(self, name: str) -> views.DisputeDetails | None:
        row = self._one(sa.select(schema.disputes).where(schema.disputes.c.id == name))
        if row is None:
            return None
        m = schema.dispute_moves.c
        moves = self._rows(sa.select(schema.dispute_moves).where(m.id == name).order_by(m.block, m.index))
        return views.DisputeDetails(
            dispute=_dispute(row),
            moves=[
                views.Move(name=one["name"], at=one["at"], tx=one["tx"], arguments=_arguments(one["arguments"]))
                for one in moves
            ],
        )

    def said(self, *, peer: str | None = None, round: int | None = None, stage: str = "", page: int = 1,
             size: int = 20) -> views.Feed:  # fmt: skip
        """What peers told each other, newest round first; a question's answers, critiques and decisions together."""
        s = schema.said.c
        query = sa.select(schema.said)
        for column, value in ((s.peer, peer), (s.round, round), (s.stage, stage or None)):
            query = query if value is None else query.where(column == value)
        order = sa.case((s.stage == "answer", 0), (s.stage == "critique", 1), else_=2)
        query = query.order_by(s.round.desc(), s.question, order, s.peer)
        rows = self._rows(query.limit(size + 1).offset((max(1, page) - 1) * size))
        told = [
            views.Utterance(
                round=row["round"], peer=row["peer"], nickname=name_of(row["peer"]), stage=row["stage"],
                question=row["question"], prompt=paragraphs(row["prompt"], 800), text=paragraphs(row["text"]),
                score_milli=row["score_milli"], why=plain(row["why"], 200), tokens=row["num_tokens"],
                length=row["length"],
            )
            for row in rows[:size]
        ]  # fmt: skip
        return views.Feed(said=told, page=max(1, page), has_more=len(rows) > size)

    def _current_board(self) -> Board:
        """The whole table, read once for each version of the index, by whoever comes first."""
        with self._reading:
            version, _ = self.version()  # looked at before the rows are: these may be newer than it says, never older
            if self._board.version != version:
                p = schema.peers.c
                query = sa.select(p.search, *(_PEER[name] for name in FIELDS)).where(p.is_listed == 1).order_by(p.peer)
                self._board = Board(version, [(search, row) for search, *row in self._pairs(query)])
            return self._board

    def _verdict_counts(self, contents: list[str]) -> dict[str, tuple[int, int]]:
        v = schema.verdicts.c
        accusing = sa.func.sum(sa.case((v.finding != "match", 1), else_=0))
        query = sa.select(v.about, sa.func.count(), accusing).where(v.about.in_(contents)).group_by(v.about)
        with self._engine.connect() as connection:
            return {about: (int(count), int(against)) for about, count, against in connection.execute(query)}

    def _among(self, column: sa.Column[Any], values: list[str]) -> list[dict[str, Any]]:
        return self._rows(sa.select(column.table).where(column.in_(values))) if values else []

    def _rows(self, query: Any) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _pairs(self, query: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    def _one(self, query: Any) -> dict[str, Any] | None:
        found = self._rows(query)
        return found[0] if found else None

    def _scalar(self, query: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(query).scalar()


_p = schema.peers.c
_PEER: dict[str, Any] = {name: _p[name] for name in FIELDS if name in _p} | {
    "credits_micro": _p.micro.label("credits_micro"),
    "pending_micro": (_p.earned_micro - (_p.micro - _p.judged_micro) - _p.struck_micro).label("pending_micro"),
    "last_seen_at": _p.last_seen.label("last_seen_at"),
    "is_member": (_p.is_member == 1).label("is_member"),
}
"""What each field of ``views.Peer`` is in the index."""


def _work(outcome: dict[str, Any], work: dict[str, Any], said: dict[str, tuple[int, int]]) -> views.Work:
    either = outcome or work
    verdicts, mismatches = said.get(either["content"], (0, 0))
    return views.Work(
        round=either["round"],
        peer=either["peer"],
        nickname=name_of(either["peer"]),
        content=either["content"],
        is_checked=bool(work.get("is_checked")),
        why=plain(work.get("why", "It was recorded; nobody served it here."), 200),
        score_milli=work.get("score_milli"),
        answer_milli=work.get("answer_milli"),
        critique_milli=work.get("critique_milli"),
        decide_milli=work.get("decide_milli"),
        tokens=work.get("num_tokens", 0),
        holders=work.get("holders", 0),
        verdicts=verdicts,
        mismatches=mismatches,
        earned_micro=outcome.get("micro"),
        outcome=outcome.get("outcome", ""),
        outcome_round=outcome.get("by_round", 0),
    )


def _round(row: dict[str, Any]) -> views.Round:
    return views.Round(
        round=row["round"],
        opened_at=row["opened_at"],
        closes_at=row["closes_at"],
        settled_at=row["settled_at"],
        settled_tx=row["settled_tx"],
        members=row["num_members"],
        contributions=row["num_contributions"],
        struck=row["num_struck"],
        tokens=row["num_tokens"],
        mean_milli=row["mean_milli"],
        paid_micro=row["paid_micro"],
        total_micro=row["total_micro"],
        poster=row["poster"],
        poster_nickname=name_of(row["poster"]) if row["poster"] else "",
        attesters=row["num_attesters"],
        seed=row["seed"],
        credits_root=row["credits_root"],
        data_hash=row["data_hash"],
        check_level=row["check_level"],
        check_why=plain(row["check_why"], 300),
    )


def _dispute(row: dict[str, Any]) -> views.Dispute:
    named = {name: row[name] for name in views.Dispute.model_fields if name in row}
    return views.Dispute(**named, nickname=name_of(row["peer"]) if row["peer"] else "")


def _arguments(text: str) -> dict[str, object]:
    return {plain(name, 40): plain(str(value), 200) for name, value in json.loads(text).items()}
