"""Why this module exists: ``swarm disputes`` tells of every game what was played, from the home's event logs alone.

    events  ->  two tables of the read-model (``fold``)  ->  ``DisputeView``s (``disputes``)  ->  tables for people

Games are the chain's, so every local peer that was there has the same ones; the one that heard most of a game counts.
Beside them stand the peers that signed twice, of whom there is no game (``swarm.observe.equivocations``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Group, RenderableType
from rich.text import Text

from protocol.errors import ConfigError
from protocol.events import DisputeDecided, DisputeMove, DisputeOpened
from swarm.observe.equivocations import EquivocationView, equivocations_of, facts
from swarm.observe.store import Store
from swarm.observe.stores import Stores
from swarm.observe.tables import FittingTable
from swarm.observe.text import credits_text, name_of, plain, short_id
from swarm.observe.views import View

GAME = "game"


class MoveView(View, frozen=True):
    """One move, as ``DisputeMove`` has it. ``at``: when it was seen, unix seconds."""

    number: int
    side: str
    name: str
    what: str
    phase: str
    searched: str
    first: int
    count: int
    total: int
    gas: int
    transaction: str
    deadline_at: float
    at: float


class DisputeView(View, frozen=True):
    """A game. ``winner`` and ``why`` are empty until it is over; ``side``: the local peer's, empty: it looks on.
    ``kind`` is ``game``."""

    game: str
    round: int
    peer: str
    nickname: str
    content: str
    subject: str
    challenger: str
    defender: str
    side: str
    phase: str
    deadline_at: float
    bond_micro: int
    stake_micro: int
    opened_at: float
    decided_at: float | None
    winner: str
    why: str
    by_clock: bool
    slashed_micro: int
    gas: int
    moves: tuple[MoveView, ...]
    kind: str = GAME


def disputes(home: Path, which: str = "") -> tuple[DisputeView | EquivocationView, ...]:
    """All games that a local peer has heard of, and all that was proven of peers that signed twice, oldest first;
    ``which``: only those whose id begins so.

    Raises ``ConfigError`` when something is asked for that is not there.
    """
    wanted = which.removeprefix("0x").lower()
    best: dict[str, DisputeView] = {}
    proven: dict[tuple[int, str], EquivocationView] = {}
    with Stores(home) as stores:
        for store in stores.peers.values():
            for one in equivocations_of(store):
                if one.id.startswith(wanted) and (one.side or (one.round, one.peer) not in proven):
                    proven[one.round, one.peer] = one
            for row in store.rows("SELECT * FROM disputes ORDER BY opened_at"):
                if not row["game"].startswith(wanted):
                    continue
                moves = store.rows("SELECT * FROM dispute_moves WHERE game = ? ORDER BY number", row["game"])
                view, known = _view(row, moves), best.get(row["game"])
                if known is None or _knowledge(view) > _knowledge(known):
                    best[row["game"]] = view
    if which and not best and not proven:
        raise ConfigError(
            f"No dispute whose id begins with {plain(which, 70)!r} was seen by a peer of {home}.",
            "Nothing was changed.",
            "`swarm disputes` lists those that were.",
        )
    return tuple(sorted((*best.values(), *proven.values()), key=_when))


def games_of(store: Store) -> tuple[DisputeView, ...]:
    """All games that one peer's log knows, newest first; those still played before those decided."""
    moves: dict[str, list[sqlite3.Row]] = {}
    for row in store.rows("SELECT * FROM dispute_moves ORDER BY game, number"):
        moves.setdefault(row["game"], []).append(row)
    games = store.rows("SELECT * FROM disputes ORDER BY decided_at IS NOT NULL, opened_at DESC, game")
    return tuple(_view(row, moves.get(row["game"], ())) for row in games)


def disputes_table(
    found: Sequence[DisputeView | EquivocationView], now: float, *, whole: bool
) -> RenderableType:
    """A line a game, and one for each peer that signed twice; ``whole``: with every move, and with both signed ids.

    ``taken``: of the accused peer's stake; ``paid``: to who was right, half of the other side's stake or bond."""
    if not found:
        return Text("No dispute was seen by a peer of this home.")
    table = FittingTable(
        "dispute", "kind", ">round", "accused", "about", "accuser", "state", ">moves", ">gas", ">taken", ">paid", "you",
        spare=("paid", "gas", "moves", "you", "accuser", "kind"),
    )  # fmt: skip
    for one in found:
        table.add_row(*(Text(str(cell)) for cell in _cells(one, now)))
    parts: list[RenderableType] = [table]
    for one in found if whole else ():
        parts += [Text(), *_whole(one)]
    return Group(*parts)


def _cells(one: DisputeView | EquivocationView, now: float) -> tuple[object, ...]:
    taken, you = credits_text(one.slashed_micro), one.side or "–"
    if isinstance(one, EquivocationView):
        about, paid = "two contributions", credits_text(one.award_micro)
        who = one.round, one.nickname, about, short_id(one.reporter)
        return one.id[:10], one.kind, *who, "proven", "–", "–", taken, paid, you
    who = one.round, one.nickname, one.subject, short_id(one.challenger)
    award_micro = (one.slashed_micro if one.winner == "challenger" else one.bond_micro) // 2
    paid = credits_text(award_micro) if one.winner else "–"
    return one.game[:10], one.kind, *who, _state(one, now), len(one.moves), f"{one.gas:,}", taken, paid, you


def _whole(one: DisputeView | EquivocationView) -> list[Text]:
    if isinstance(one, EquivocationView):
        heading, *rest = facts(one)
        return [Text(heading, "bold"), *map(Text, rest)]
    lines = [
        Text(f"Dispute {one.game}", "bold"),
        Text(f"{one.subject} of {one.nickname} in round {one.round}, contribution {one.content}"),
        Text(f"accused {one.defender}, stake {credits_text(one.stake_micro)}"),
        Text(f"challenger {one.challenger}, bond {credits_text(one.bond_micro)}"),
    ]
    for move in one.moves:
        left = f"; left: {move.count:,} of {move.total:,} {move.searched}" if move.searched else ""
        lines.append(Text(f"{move.number:>3}  {move.side:<10}  {move.name:<12} {move.gas:>9,} gas  {move.what}{left}"))
    if one.why:
        lines.append(Text(one.why, "bold"))
    return lines


def _state(one: DisputeView, now: float) -> str:
    if one.winner:
        return "proven false" if one.winner == "challenger" else "stands"
    return f"waits for {one.phase}, {max(0, round(one.deadline_at - now))} s left"


def _when(one: DisputeView | EquivocationView) -> tuple[float, str]:
    return (one.proven_at, one.id) if isinstance(one, EquivocationView) else (one.opened_at, one.game)


def _knowledge(view: DisputeView) -> tuple[bool, int, bool]:
    return bool(view.winner), len(view.moves), bool(view.side)


def _view(row: sqlite3.Row, moves: Sequence[sqlite3.Row]) -> DisputeView:
    opened = msgspec.json.decode(row["opened"], type=DisputeOpened)
    decided = msgspec.json.decode(row["decided"], type=DisputeDecided) if row["decided"] else None
    played = tuple(_move(msgspec.json.decode(one["move"], type=DisputeMove), one["at"]) for one in moves)
    return DisputeView(
        game=opened.game,
        round=opened.round,
        peer=opened.peer,
        nickname=name_of(opened.peer),
        content=opened.content,
        subject=plain(opened.subject, 80),
        challenger=opened.challenger,
        defender=opened.defender,
        side=plain(opened.side, 20),
        phase="over" if decided else played[-1].phase if played else "trace",
        deadline_at=played[-1].deadline_at if played else opened.deadline_at,
        bond_micro=opened.bond_micro,
        stake_micro=opened.stake_micro,
        opened_at=row["opened_at"],
        decided_at=row["decided_at"],
        winner=plain(decided.winner, 20) if decided else "",
        why=plain(decided.why, 600) if decided else "",
        by_clock=decided.by_clock if decided else False,
        slashed_micro=decided.slashed_micro if decided else 0,
        gas=sum(one.gas for one in played),
        moves=played,
    )


def _move(move: DisputeMove, at: float) -> MoveView:
    return MoveView(
        number=move.number,
        side=plain(move.side, 20),
        name=plain(move.name, 40),
        what=plain(move.what, 600),
        phase=plain(move.phase, 20),
        searched=plain(move.searched, 20),
        first=move.first,
        count=move.count,
        total=move.total,
        gas=move.gas,
        transaction=plain(move.transaction, 80),
        deadline_at=move.deadline_at,
        at=at,
    )
