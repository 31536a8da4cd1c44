"""Why this module exists: "my work was done, and I was not paid": this names the step at which a contribution stands.

A contribution is produced, published, seen by others, verified, credited by a recorded result, settled (paid by a later
result) and claimed. What this machine's logs say of each step is put together here, and the first one that is missing
is named in words. Of a stranger's contribution less is known than of one made here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from protocol.events import Outcome
from swarm.observe.snapshot import StageView, stages_of
from swarm.observe.store import Store
from swarm.observe.text import name_of, plain
from swarm.observe.views import TIME_PARTS, TimeSplit, View, time_split


class WayView(View, frozen=True):
    """One contribution's way. ``seen_by`` others of ``seen_of`` are known to have it; ``checked_level`` is the deepest
    check that found the same (0: scores only, None: none), by ``num_checks`` peers. ``credited_micro`` is None before
    a recorded result; ``claimed`` is None where this machine cannot know. ``missing``: the step that it waits for or
    was lost at, in words; empty when there is nothing left to do; ``is_lost``: nothing more will happen.
    """

    peer: str
    nickname: str
    me: bool
    local: bool
    content: str
    produced: bool
    published: bool
    seen_by: int
    seen_of: int
    checked_level: int | None
    num_checks: int
    num_accusers: int
    expected_micro: int | None
    credited_micro: int | None
    settled: bool
    claimed: bool | None
    struck: bool
    missing: str
    is_lost: bool


class RoundDetail(View, frozen=True):
    """One round as one local peer knows it, and the way of every member's contribution.

    ``history``: (number, outcome) of the rounds around it, the newest last.
    """

    round: int
    first_round: int
    last_round: int
    outcome: Outcome | None
    opened_at: float | None
    closes_at: float | None
    ended_at: float | None
    num_members: int
    num_cohort: int
    stages: tuple[StageView, ...]
    loss: float | None
    num_own: int | None
    num_external: int | None
    num_tokens: int | None
    step_s: float | None
    time: TimeSplit | None
    num_proposals: int
    num_signers: int
    poster: str
    settled_at: float | None
    num_rejected: int
    ways: tuple[WayView, ...]
    history: tuple[tuple[int, Outcome | None], ...] = ()


NUM_ROUNDS_AROUND = 240


def round_detail(stores: Mapping[str, Store], name: str, number: int | None = None) -> RoundDetail | None:
    """Round ``number`` (the newest when None or unknown) as the peer in folder ``name`` knows it; None before any."""
    store = stores[name]
    span = store.row("SELECT min(round) AS first, max(round) AS last FROM rounds")
    assert span is not None
    if span["last"] is None:
        return None
    row = store.row("SELECT * FROM rounds WHERE round = ?", number) if number is not None else None
    row = row or store.row("SELECT * FROM rounds WHERE round = ?", span["last"])
    assert row is not None
    number = int(row["round"])
    seconds = tuple(row[f"{part}_s"] for part in ("total", *TIME_PARTS))
    settlement = store.row("SELECT * FROM settlements WHERE round = ?", number)
    signers = store.row(
        "SELECT count(DISTINCT by) AS num FROM attestors WHERE round = ? AND (? IS NULL OR credits_root = ?)",
        number, *(2 * (settlement["credits_root"] if settlement else None,)),
    )  # fmt: skip
    proposals = store.row("SELECT count(*) AS num FROM proposals WHERE round = ?", number)
    rejected = store.row("SELECT coalesce(sum(count), 0) AS num FROM rejections WHERE round = ?", number)
    assert signers is not None
    assert proposals is not None
    assert rejected is not None
    members = list(dict.fromkeys(msgspec.json.decode(row["members"])))
    return RoundDetail(
        round=number,
        first_round=span["first"],
        last_round=span["last"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        opened_at=row["opened_at"],
        closes_at=row["closes_at"],
        ended_at=row["ended_at"],
        num_members=len(members),
        num_cohort=len(msgspec.json.decode(row["cohort"])),
        stages=stages_of(store, number),
        loss=row["loss"],
        num_own=row["num_own"],
        num_external=row["num_external"],
        num_tokens=row["num_tokens"],
        step_s=row["step_s"],
        time=None if None in seconds else time_split(*seconds),
        num_proposals=proposals["num"],
        num_signers=signers["num"],
        poster=name_of(settlement["poster"]) if settlement and settlement["poster"] else "",
        settled_at=settlement["at"] if settlement else None,
        num_rejected=rejected["num"],
        ways=_ways(stores, store, row, members, settlement, signers["num"]),
        history=_history(store, number),
    )


def _history(store: Store, number: int) -> tuple[tuple[int, Outcome | None], ...]:
    rows = store.rows(
        "SELECT round, outcome FROM rounds WHERE round < ? ORDER BY round DESC LIMIT ?",
        number + NUM_ROUNDS_AROUND // 2,
        NUM_ROUNDS_AROUND,
    )
    return tuple((row["round"], Outcome(row["outcome"]) if row["outcome"] else None) for row in reversed(rows))


def _ways(
    stores: Mapping[str, Store], store: Store, row: sqlite3.Row, members: list[str],
    settlement: sqlite3.Row | None, num_signers: int,
) -> tuple[WayView, ...]:  # fmt: skip
    number = row["round"]
    local = {peer: one for one in stores.values() if (peer := _peer_of(one))}
    me = _peer_of(store)
    made = {one["peer"]: one for one in store.rows("SELECT * FROM contributions WHERE round = ?", number)}
    peers = sorted(dict.fromkeys([*members, *made]), key=lambda peer: (peer != me, peer not in local, name_of(peer)))
    seers = _seers(store, local, number)
    in_result = {one["content"] for one in store.rows("SELECT content FROM settled WHERE round = ?", number)}
    earned = {one["peer"]: one["micro_credits"] for one in store.rows("SELECT * FROM credits WHERE round = ?", number)}
    struck = {one["content"] for one in store.rows("SELECT content FROM struck WHERE round = ?", number)}
    paid = _paid(store, number)
    checks: dict[str, list[sqlite3.Row]] = {}
    for one in store.rows("SELECT * FROM audits WHERE round = ?", number):
        checks.setdefault(one["content"], []).append(one)
    ways = []
    for peer in peers:
        home = local.get(peer)
        theirs = home.row("SELECT * FROM contributions WHERE round = ? AND own = 1", number) if home else None
        known = theirs or made.get(peer)
        content = known["content"] if known else ""
        about = checks.get(content, [])
        same = [one for one in about if one["finding"] == "match"]
        is_credited = bool(content) and content in in_result
        way = WayView(
            peer=plain(peer, 128),
            nickname=name_of(peer),
            me=peer == me,
            local=home is not None,
            content=content,
            produced=known is not None,
            published=known is not None
            and (theirs is None or theirs["published_at"] is not None or bool(seers.get(content)) or is_credited),
            seen_by=len(seers.get(content, set()) - {peer}),
            seen_of=max(0, len(members) - 1),
            checked_level=max((one["level"] for one in same), default=None),
            num_checks=len({one["by"] for one in same if one["level"] > 0}),
            num_accusers=len({one["by"] for one in about if one["finding"] == "mismatch"}),
            expected_micro=made[peer]["micro_credits"] if peer in made else None,
            credited_micro=earned.get(peer, 0) if is_credited else None,
            settled=is_credited and peer in paid,
            claimed=_is_claimed(home, peer, number) if home is not None and is_credited else None,
            struck=content in struck,
            missing="",
            is_lost=False,
        )
        words, is_lost = _missing(way, row, settlement, num_signers)
        ways.append(msgspec.structs.replace(way, missing=words, is_lost=is_lost))
    return tuple(ways)


def _missing(way: WayView, row: sqlite3.Row, settlement: sqlite3.Row | None, num_signers: int) -> tuple[str, bool]:
    """The first step that has not happened, in words, and whether it never will."""
    over = row["ended_at"] is not None
    if way.struck:
        return "struck: a check found another result, its pay was refused", True
    if not way.produced:
        if over:
            return "produced: nothing arrived before the round was over", True
        return "produced: not here yet", False
    if not way.published:
        return ("published: signed, and never seen by anybody" if over else "published: signed, not sent yet"), over
    if way.credited_micro is None:
        if settlement is not None:
            return "credited: left out of the recorded result", True
        if over:
            return "credited: no result was recorded, too few members signed one", True
        if not way.seen_by:
            return "seen: nobody has said yet that it arrived", False
        return f"credited: waits for a result that enough members sign ({num_signers} so far)", False
    if way.num_accusers:
        return f"verified: {way.num_accusers} found another result; attestors judge it", False
    if not way.settled:
        if way.checked_level:
            return "settled: waits for the next recorded result, which pays it", False
        return "settled: one more result, before which a spot-check can strike it", False
    if way.claimed is False:
        return "claimed: waits until its epoch is final and unlocked", False
    return "", False


def _peer_of(store: Store) -> str:
    me = store.row("SELECT peer FROM self")
    return (me["peer"] or "") if me else ""


def _seers(store: Store, local: Mapping[str, Store], number: int) -> dict[str, set[str]]:
    """Who is known to have each contribution: local peers say so, others by signing a result that it is in."""
    seen: dict[str, set[str]] = {}
    for peer, one in local.items():
        for row in one.rows("SELECT content FROM contributions WHERE round = ? AND own = 0", number):
            seen.setdefault(row["content"], set()).add(peer)
    results: dict[str, set[str]] = {}
    for row in store.rows("SELECT credits_root, contributions FROM proposals WHERE round = ?", number):
        results.setdefault(row["credits_root"], set()).update(msgspec.json.decode(row["contributions"]))
    recorded = store.row("SELECT credits_root FROM settlements WHERE round = ?", number)
    if recorded is not None:
        contents = {row["content"] for row in store.rows("SELECT content FROM settled WHERE round = ?", number)}
        results.setdefault(recorded["credits_root"], set()).update(contents)
    for row in store.rows("SELECT by, credits_root FROM attestors WHERE round = ?", number):
        for content in results.get(row["credits_root"], ()):
            seen.setdefault(content, set()).add(row["by"])
    return seen


def _paid(store: Store, number: int) -> set[str]:
    """Whose pay for this round has come. Pay keeps its order: a round is paid once all that was paid covers everything
    earned up to it."""
    earned = "SELECT peer, total(micro_credits) AS num FROM credits WHERE round <= ? GROUP BY peer"
    paid = {
        row["peer"]: row["num"]
        for row in store.rows("SELECT peer, total(micro_credits) AS num FROM paid GROUP BY peer")
    }
    me = store.row("SELECT peer, settled_micro FROM self")
    if me is not None:
        paid[me["peer"]] = max(paid.get(me["peer"], 0), me["settled_micro"])
    return {row["peer"] for row in store.rows(earned, number) if paid.get(row["peer"], 0) >= row["num"] > 0}


def _is_claimed(home: Store, peer: str, number: int) -> bool:
    row = home.row(
        "SELECT (SELECT total(micro_credits) FROM credits WHERE peer = ? AND round <= ?) AS earned, claimed_micro"
        " FROM self",
        peer, number,
    )  # fmt: skip
    return row is not None and row["claimed_micro"] >= row["earned"] > 0
