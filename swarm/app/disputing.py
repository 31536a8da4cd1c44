"""Why this module exists: `swarm dispute` asks the running peer, and says what became of it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from protocol.errors import ConfigError, SwarmError, VerificationError
from protocol.events import DisputeNotPossible, DisputeOpened, Problem
from swarm.observe.eventlog import Position, read, read_from
from swarm.observe.queries import status
from swarm.observe.text import name_of
from swarm.settings.home import Home

PATIENCE_S = 900.0
"""To do the work again, to trace it and to open the game; the peer goes on after that, too."""


def dispute(home: Path, name: str, round_number: int, peer: str, level: int, as_json: bool) -> int:
    """Have peer ``name`` of a home look into ``peer``'s contribution to a round, and dispute what differs.

    Returns 0 once the game is open. Raises ``ConfigError`` when the peer does not run, ``VerificationError`` when there
    is nothing to dispute, ``SwarmError`` when nothing was heard in time.
    """
    from swarm.disputes.ordering import Order, Orders

    if not any(one.name == name and one.running for one in status(home)):
        raise ConfigError(
            f"The peer {name!r} of {home} is not running.",
            "Nothing was asked for: a dispute is played by a running peer, which has the wallet and the engine.",
            "Start it with `swarm run`, or name another one with --peer and --home.",
        )
    peer_home = Home(home).peer(name)
    position = read(peer_home.events_file).position
    order = Orders(peer_home.dispute_orders).give(Order(round_number, peer, level))
    print("Asked the running peer; it does the work again first.", file=sys.stderr, flush=True)
    answer = _answer(peer_home.events_file, position, order, round_number, peer)
    if isinstance(answer, DisputeOpened):
        found = {"game": answer.game, "opened": msgspec.to_builtins(answer)}
        told = f"Dispute {answer.game} is open about {answer.subject} of {name_of(answer.peer)}."
        print(told, file=sys.stderr if as_json else sys.stdout, flush=True)
        if as_json:
            print(msgspec.json.encode(found).decode(), flush=True)
        return 0
    what = answer.why if isinstance(answer, DisputeNotPossible) else answer.what
    raise VerificationError(
        f"There is no dispute about round {round_number} of {peer}: {what}.",
        "No game was opened and no bond was put up.",
        f"See what `swarm verify {round_number} {peer}` finds.",
    )


def _answer(log: Path, position: Position, order: Path, round_number: int, peer: str) -> Any:
    """The first event that decides the order."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        chunk = read_from(log, position)
        position = chunk.position
        for logged in chunk.events:
            event = logged.event
            if isinstance(event, DisputeOpened | DisputeNotPossible):
                is_it = event.round == round_number and peer in (event.peer, name_of(event.peer))
                if is_it and (isinstance(event, DisputeNotPossible) or event.side == "challenger"):
                    return event
            elif isinstance(event, Problem) and event.error == "Dispute":
                return event
        time.sleep(0.3)
    raise SwarmError(
        "The running peer did not answer in time.",
        f"Its order stays in {order.parent} and is looked into as soon as that can be.",
        "`swarm disputes` tells whether a game was opened.",
    )
