"""Why this module exists: ``swarm local --json`` ends with one object that benchmarks and tests stand on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from swarm.observe.queries import NOT_COMPLETED, peer_status
from swarm.observe.store import Store
from swarm.observe.stores import Stores
from swarm.observe.views import TIME_PARTS


def summary(home: Path, since: float = 0.0) -> dict[str, Any]:
    """What the local peers did since ``since`` (unix seconds; credits and balances are totals of all time).

    ``rounds``: rounds that ended for at least one local peer. ``peers[].rounds_completed`` leaves out rounds that
    ended without the peer's work (``not_included``, ``no_quorum``). ``contributions``: ``signed`` by local peers;
    ``rescored`` = those recomputed by every local member of their cohort that ended the round; ``verified`` = those of
    which somebody did sampled work again (level 1 or 2) and found the same; ``struck`` = those whose pay was refused
    for a confirmed difference; ``rejected`` = contributions dropped for breaking a rule; ``settled`` = recorded on the
    chain.
    ``rejections``: dropped records of any kind by reason. ``eval``: accuracy pooled over the peers (0 to 1, or null).
    ``time_s``: seconds summed over peers and rounds. ``chain``: mined transactions and their gas, the host's included.
    ``first_round_s``: from the first event in HOME after ``since`` to the end of the first round, or null.
    ``overhead_share``: 1 - (generate + train) / total, or null. ``peak_mb``: largest resident memory of a stopped peer.
    """
    with Stores(home) as stores:
        local = list(stores.peers.values())
        ended = [row["round"] for store in local for row in _ended(store, since)]
        time_s = {
            part: round(sum(row[f"{part}_s"] or 0.0 for store in local for row in _ended(store, since)), 3)
            for part in ("total", *TIME_PARTS)
        }
        busy = time_s["generate"] + time_s["train"]
        statuses = [peer_status(name, store, since, lambda _pid, _at: False) for name, store in stores.peers.items()]
        transactions = {
            row["hash"]: row["gas"]
            for store in stores.all()
            for row in store.rows("SELECT hash, gas FROM transactions WHERE at >= ?", since)
        }
        return {
            "rounds": len(set(ended)),
            "peers": [
                {
                    "nickname": one.nickname,
                    "peer_id": one.peer,
                    "address": one.address,
                    "registered": one.registered,
                    "rounds_completed": _num_completed(store, since),
                    "credits": one.credits.settled,
                    "claimed": one.credits.claimed,
                    "credits_micro": one.credits.settled_micro,
                    "claimed_micro": one.credits.claimed_micro,
                }
                for one, store in zip(statuses, local, strict=True)
            ],
            "contributions": _contributions(local, since),
            "rejections": _rejections(local, since),
            "eval": _eval(local, since),
            "time_s": time_s,
            "overhead_share": round(1 - busy / time_s["total"], 4) if time_s["total"] > 0 else None,
            "chain": {"transactions": len(transactions), "gas": sum(transactions.values())},
            "first_round_s": _first_round_s(stores, since),
            "peak_mb": max((one.peak_mb for one in statuses), default=0),
        }


def _ended(store: Store, since: float) -> list[Any]:
    return store.rows("SELECT * FROM rounds WHERE ended_at >= ? ORDER BY round", since)


def _num_completed(store: Store, since: float) -> int:
    return sum(row["outcome"] not in NOT_COMPLETED for row in _ended(store, since))


def _contributions(local: list[Store], since: float) -> dict[str, int]:
    peers = [(row["peer"] if (row := store.row("SELECT peer FROM self")) else "") or "" for store in local]
    played = [{row["round"]: msgspec.json.decode(row["cohort"]) for row in _ended(store, since)} for store in local]
    saw = [
        {(row["round"], row["content"]) for row in store.rows("SELECT round, content FROM contributions WHERE own = 0")}
        for store in local
    ]
    signed = settled = rescored = verified = struck = 0
    matching = {
        row["content"]
        for store in local
        for row in store.rows("SELECT content FROM audits WHERE finding = 'match' AND level > 0")
    }
    refused = {row["content"] for store in local for row in store.rows("SELECT content FROM struck")}
    on_chain = {(row["round"], row["content"]) for store in local for row in store.rows("SELECT * FROM settled")}
    for author, store in zip(peers, local, strict=True):
        own = store.rows("SELECT round, content FROM contributions WHERE own = 1 AND produced_at >= ?", since)
        for number, content in ((row["round"], row["content"]) for row in own):
            signed += 1
            settled += (number, content) in on_chain
            verified += content in matching
            struck += content in refused
            mates = [
                (number, content) in seen
                for peer, rounds, seen in zip(peers, played, saw, strict=True)
                if peer != author and author in rounds.get(number, ())
            ]
            rescored += bool(mates) and all(mates)
    rejected = {
        (row["round"], row["peer"])
        for store in local
        for row in store.rows("SELECT round, peer FROM rejections WHERE kind = 'contribution' AND last_at >= ?", since)
    }
    return {
        "signed": signed,
        "rescored": rescored,
        "verified": verified,
        "struck": struck,
        "rejected": len(rejected),
        "settled": settled,
    }


def _rejections(local: list[Store], since: float) -> dict[str, int]:
    counts: dict[str, int] = {}
    for store in local:
        for row in store.rows("SELECT reason, count FROM rejections WHERE last_at >= ?", since):
            counts[row["reason"]] = counts.get(row["reason"], 0) + row["count"]
    return dict(sorted(counts.items()))


def _eval(local: list[Store], since: float) -> dict[str, float | None]:
    pooled = {}
    for name, order in (("first", "ASC"), ("last", "DESC")):
        query = f"SELECT * FROM evaluations WHERE at >= ? ORDER BY round {order} LIMIT 1"
        found = [row for store in local if (row := store.row(query, since)) is not None]
        asked = sum(row["num_questions"] for row in found)
        pooled[name] = round(sum(row["num_correct"] for row in found) / asked, 4) if asked else None
    return pooled


def _first_round_s(stores: Stores, since: float) -> float | None:
    ends = [rows[0]["ended_at"] for store in stores.peers.values() if (rows := _ended(store, since))]
    starts = [
        max(row["first_at"], since)
        for store in stores.all()
        if (row := store.row("SELECT first_at FROM log")) is not None and row["first_at"] is not None
    ]
    return round(min(ends) - min(starts), 3) if ends and starts else None
