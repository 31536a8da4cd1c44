"""Why this module exists: who played in a round that nobody here saw is still told, by the chain's own events."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from swarm.indexing.rows import RoundSeen
from web.schema import events


def round_from_events(connection: sa.Connection, round: int) -> RoundSeen | None:
    """Seed and members of a round that is over; ``None`` when the events do not tell all of it.

    A seat holds from the round that its event names until the next event about it; their number must be the one with
    which the round opened. A swarm has far fewer of these events than rounds."""
    facts = {name: _latest(connection, name, round) for name in ("RoundOpened", "SeedFixed")}
    opened, fixed = facts["RoundOpened"], facts["SeedFixed"]
    if opened is None or fixed is None:
        return None
    weights: dict[str, dict[str, int]] = {}
    joined: dict[str, int] = {}
    c = events.c
    query = sa.select(c.name, c.peer, c.arguments).where(c.name.in_(("SeatChanged", "MemberEnrolled")))
    for name, peer, text in connection.execute(query.order_by(c.block, c.index)):
        arguments = json.loads(text)
        if arguments["fromRound"] > round or not peer:
            continue
        if name == "SeatChanged":
            weights.setdefault(peer, {})[arguments["signer"]] = arguments["weight"]
        else:
            joined[peer] = arguments["fromRound"]
    members = {peer: (sum(seats.values()), joined.get(peer, 0)) for peer, seats in weights.items()}
    members = {peer: seat for peer, seat in members.items() if seat[0] > 0}
    if not members or len(members) != opened["numMembers"]:
        return None
    return RoundSeen(round, fixed["seed"], opened["openedAt"], opened["closesAt"], members)


def _latest(connection: sa.Connection, name: str, round: int) -> dict[str, Any] | None:
    c = events.c
    query = sa.select(c.arguments).where(c.name == name, c.round == round).order_by(c.block.desc(), c.index.desc())
    found = connection.execute(query.limit(1)).scalar()
    if found is None:
        return None
    facts: dict[str, Any] = json.loads(found)
    return facts
