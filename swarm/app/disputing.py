"""Why this module exists: `swarm dispute` asks the running peer, and says what became of it, or what it would cost."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from chain.intents import OpenDispute
from protocol.errors import ConfigError, SwarmError, VerificationError
from protocol.events import DisputeNotPossible, DisputeOpened, Problem
from swarm.app.acting import Actor
from swarm.app.amounts import in_tokens, tokens_text
from swarm.disputes.words import subject_words
from swarm.observe.eventlog import read, read_from
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
    answer = _ask(home, name, round_number, peer, level, is_dry=False)
    if isinstance(answer, DisputeOpened):
        found = {"game": answer.game, "opened": msgspec.to_builtins(answer)}
        told = f"Dispute {answer.game} is open about {answer.subject} of {name_of(answer.peer)}."
        print(told, file=sys.stderr if as_json else sys.stdout, flush=True)
        if as_json:
            print(msgspec.json.encode(found).decode(), flush=True)
        return 0
    raise _no_dispute(answer, round_number, peer)


async def price(actor: Actor, home: Path, round_number: int, peer: str, level: int) -> dict[str, Any]:
    """What it would cost the actor's running peer to open that dispute: a dry run's ``--json``. Raises as ``dispute``,
    and what the chain says to the opening."""
    answer = await asyncio.to_thread(_ask, home, actor.home.name, round_number, peer, level, is_dry=True)
    if not isinstance(answer, OpenDispute):
        raise _no_dispute(answer, round_number, peer)
    bond_micro = actor.token.run.economics.dispute_bond_micro
    what = f"dispute {subject_words(answer.subject)} of {name_of(answer.peer)} in round {answer.round}"
    await actor.order(what, answer)
    actor.terminal.answer(
        f"A bond of {tokens_text(bond_micro)} tokens lies on the chain until the game is decided; the moves of a game"
        " take gas, too."
    )
    return actor.report(
        round=answer.round, accused=answer.peer, subject=answer.subject, **in_tokens("bond", bond_micro)
    )


def _no_dispute(answer: Any, round_number: int, peer: str) -> VerificationError:
    what = answer.why if isinstance(answer, DisputeNotPossible) else answer.what
    return VerificationError(
        f"There is no dispute about round {round_number} of {peer}: {what}.",
        "No game was opened and no bond was put up.",
        f"See what `swarm verify {round_number} {peer}` finds.",
    )


def _ask(home: Path, name: str, round_number: int, peer: str, level: int, *, is_dry: bool) -> Any:
    """Leave the order for the running peer, and wait for what decides it: an event, or what would open the game."""
    from swarm.disputes.ordering import Order, Orders

    if not any(one.name == name and one.running for one in status(home)):
        raise ConfigError(
            f"The peer {name!r} of {home} is not running.",
            "Nothing was asked for: a dispute is played by a running peer, which has the wallet and the engine.",
            "Start it with `swarm run`, or name another one with --peer and --home.",
        )
    peer_home = Home(home).peer(name)
    log, orders = peer_home.events_file, Orders(peer_home.dispute_orders)
    position = read(log).position
    order = orders.give(Order(round_number, peer, level, is_dry))
    print("Asked the running peer; it does the work again first.", file=sys.stderr, flush=True)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        opening = orders.take_answer(order) if is_dry else None
        if opening is not None:
            return opening
        chunk = read_from(log, position)
        position = chunk.position
        for logged in chunk.events:
            event = logged.event
            if isinstance(event, DisputeOpened | DisputeNotPossible):
                is_it = event.round == round_number and peer in (event.peer, name_of(event.peer))
                is_own_game = isinstance(event, DisputeOpened) and event.side == "challenger" and not is_dry
                if is_it and (is_own_game or isinstance(event, DisputeNotPossible)):
                    return event
            elif isinstance(event, Problem) and event.error == "Dispute":
                return event
        time.sleep(0.3)
    if is_dry:
        orders.done(order)
        raise SwarmError(
            "The running peer did not answer in time.",
            "No game was opened, and nothing was signed or sent.",
            "Ask again when it has less to do; `swarm status` tells what it does.",
        )
    raise SwarmError(
        "The running peer did not answer in time.",
        f"Its order stays in {order.parent} and is looked into as soon as that can be.",
        "`swarm disputes` tells whether a game was opened.",
    )
