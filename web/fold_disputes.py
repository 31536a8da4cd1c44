"""Why this module exists: whoever disputes something on the chain leaves events; here they become one story each.

epoch         a challenge to what is paid out: opened, answered, affirmed or void
equivocation  a peer signed two contributions for one round: proven, there and then
game          a bisection about one contribution: every event of the dispute contract with a ``game`` argument
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import sqlalchemy as sa

from swarm.indexing.rows import ChainEvent
from web.database import inserted_once
from web.schema import dispute_moves, disputes

GAME_CONTRACT = "DisputeGame"
MOVES = ("post trace", "show result", "show step", "pick", "reveal", "reveal chunk", "pick element", "reveal parts",
         "pick part", "leaf")  # fmt: skip
PHASES = ("trace", "pick", "reveal", "chunk", "element", "parts", "leaf", "over")
"""By the numbers that the contract gives them."""

_ENDS = {"EpochAffirmed": "affirmed: the payout stands", "EpochVoided": "void: nobody affirmed the payout in time"}


def fold(connection: sa.Connection, event: ChainEvent) -> None:
    """Enter an event into its dispute, if it is of one."""
    facts = event.arguments
    if event.contract == GAME_CONTRACT:
        _game(connection, event, facts)
    elif event.name == "EquivocationProven":
        _begin(
            connection, event, f"equivocation-{event.block}-{event.index}", "equivocation", peer=event.peer,
            round=facts["round"], content=facts["contentA"], opener=facts["reporter"], state="decided",
            outcome="proven: two contributions signed for one round; the stake was slashed", ended_at=event.at,
        )  # fmt: skip
    elif event.name == "EpochChallenged":
        name = f"epoch-{facts['epoch']}"
        _begin(connection, event, name, "epoch", opener=facts["challenger"], state="open", round=0)
        _move(connection, event, name)
    elif event.name in ("EpochAnswered", *_ENDS):
        name = f"epoch-{facts['epoch']}"
        _move(connection, event, name)
        if event.name in _ENDS:
            _end(connection, name, _ENDS[event.name], event.at)


def _game(connection: sa.Connection, event: ChainEvent, facts: dict[str, Any]) -> None:
    if "game" not in facts:
        return  # what it says stands in the game's own last event, too
    name = f"game-{str(facts['game'])[:16]}"
    if event.name == "DisputeOpened":
        _begin(
            connection, event, name, "game", peer=event.peer, round=int(facts["round"]), content=str(facts["content"]),
            opener=str(facts["challenger"]), state="open",
        )  # fmt: skip
    words = dict(facts)
    for key, known in (("move", MOVES), ("phase", PHASES)):
        if isinstance(words.get(key), int) and words[key] < len(known):
            words[key] = known[words[key]]
    _move(connection, msgspec.structs.replace(event, arguments=words), name)
    if event.name == "DisputeDecided":
        won = (
            "refuted: the work was not what it claims" if facts["challengerWon"] else "upheld: the challenger was wrong"
        )
        _end(connection, name, won + (", by the clock" if facts["byClock"] else ""), event.at)


def _begin(connection: sa.Connection, event: ChainEvent, name: str, kind: str, **values: Any) -> None:
    row = {"id": name, "kind": kind, "opened_at": event.at, "tx": event.transaction, **values}
    inserted_once(connection, disputes, [row])


def _move(connection: sa.Connection, event: ChainEvent, name: str) -> None:
    if connection.execute(sa.select(disputes.c.id).where(disputes.c.id == name)).first() is None:
        return  # an epoch that nobody challenged
    row = {
        "id": name, "block": event.block, "index": event.index, "name": event.name, "tx": event.transaction,
        "at": event.at, "arguments": json.dumps(event.arguments),
    }  # fmt: skip
    inserted_once(connection, dispute_moves, [row])
    connection.execute(sa.update(disputes).where(disputes.c.id == name).values(num_moves=disputes.c.num_moves + 1))


def _end(connection: sa.Connection, name: str, outcome: str, at: int) -> None:
    connection.execute(
        sa.update(disputes).where(disputes.c.id == name).values(state="decided", outcome=outcome, ended_at=at)
    )
