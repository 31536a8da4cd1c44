"""Why this module exists: ``swarm credits`` says at any time where every credit is, by log, tables and chain.

The log alone answers up to "settled"; the chain adds what is unlocked, claimed and staked, and when the rest unlocks. A
chain that cannot be asked is said, and takes nothing away from the rest.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chain.base import Balance, Chain, ClockView, Epoch, EpochState, EpochsView, PeerRecord
from protocol.errors import SwarmError
from protocol.ids import ContentId, PeerId, parse_address, parse_peer_id
from protocol.messages import CreditTable
from swarm.observe.money import NEXT_RESULT, joined
from swarm.observe.views import MICRO, CreditRow, Stage, Waiting, credits_of, waiting
from swarm.settings.home import Home

HOME_VARIABLE = "SWARM_HOME"
ASK_S = 15.0

Paid = Callable[[CreditTable | None], int | None]
"""What a table pays one peer; None without a table."""


class Asked(msgspec.Struct, frozen=True):
    """What the chain says: of the run (``view``, ``epochs``), and of each peer of the home by its id."""

    view: ClockView
    epochs: EpochsView
    records: dict[str, PeerRecord]
    balances: dict[str, Balance]
    run: ContentId


class Source(msgspec.Struct, frozen=True):
    """Where the figures come from, for ``--json``. ``why``: why the chain was not asked or did not answer, in words."""

    asked: bool
    why: str = ""
    block: int | None = None
    block_at: float | None = None
    round: int | None = None
    settled_round: int | None = None


def home_root(home: Path | None) -> Path:
    """The home that a command without settings looks into."""
    named = os.environ.get(HOME_VARIABLE)
    return home or (Path(named).expanduser() if named else Home.default().root)


def credits(
    home: Path | None, config: Path | None, join: Sequence[str], rpc: Sequence[str], *, offline: bool, as_json: bool
) -> int:
    """Print what each peer of the home has, at which stage, and what it waits for; returns the exit code."""
    from swarm.app.printing import printed
    from swarm.observe import queries, tables

    root = home_root(home)
    rows = queries.credits(root)
    rows += idle_peers(root, {row.name for row in rows})
    source = Source(False, "only this machine's log was asked")
    if rows and not offline:
        if join or rpc or Home(root).join_file.exists():
            rows, source = _with_chain(rows, root, config, join, rpc)
        else:
            source = Source(False, f"there is no {Home(root).join_file}")
    if as_json:
        print(msgspec.json.encode({"credits": rows, "chain": source}).decode(), flush=True)
        return 0
    if not rows:
        print(f"Nothing was recorded in {root} yet. Start a swarm with `swarm local`.", file=sys.stderr)
        return 0
    printed(tables.credits_table(rows, time.time()))
    for note in notes(rows, source):
        print(note, file=sys.stderr)
    return 0


def idle_peers(root: Path, known: Collection[str]) -> tuple[CreditRow, ...]:
    """Peers of the home that have never run, and so have no log: they may be registered and staked all the same.

    One whose files cannot be read is left out: the commands that need them say why.
    """
    from identity.keyfile import load_key
    from identity.names import nickname
    from identity.wallet import wallet_address

    found = []
    for file in sorted(Home(root).peers.glob("*/swarm.pem")):
        home = Home(root).peer(file.parent.name)
        if home.name in known:
            continue
        try:
            peer, address = load_key(file).peer, wallet_address(home.wallet_file)
        except SwarmError:
            continue
        nothing = credits_of(0, 0, 0)
        found.append(CreditRow(home.name, nickname(peer), peer, address or "", nothing, 0.0, None, (), {}))
    return tuple(found)


def notes(rows: Sequence[CreditRow], source: Source) -> list[str]:
    """What a reader must know about the figures: how old they are, and who was not asked."""
    told = []
    if not any(row.running for row in rows):
        told.append("No peer of this home is running; what it last knew is shown.")
    if not source.asked:
        told.append(f"The chain was not asked: {source.why}. What is unlocked is not known.")
    return told


def with_chain(row: CreditRow, asked: Asked, tables: Any) -> CreditRow:
    """``row`` with what the chain and the credit tables (``swarm.app.tables``) add to it. Pure."""
    from rewards.ledger import row_of

    record = asked.records.get(row.peer)
    balance = asked.balances.get(row.peer)
    claimed = record.claimed_micro if record is not None else row.credits.claimed_micro

    def paid(table: CreditTable | None) -> int | None:
        if table is None:
            return None
        line = row_of(table, PeerId(row.peer))
        return line.micro_credits if line is not None else 0

    latest = tables.latest(asked.view)
    settled = paid(latest) if asked.view.settled_round else 0
    settled = row.credits.settled_micro if settled is None else settled
    unlocked = paid(tables.paid_by(asked.epochs.claimable)) if asked.epochs.claimable is not None else 0
    settled = max(settled, claimed)
    unlocked = None if unlocked is None else max(unlocked, claimed)
    parts = [part for part in row.waiting if part.stage in (Stage.EARNED, Stage.VERIFIED)]
    # What the log called settled and the chain's latest result does not: a payout was undone, and it is paid anew.
    undone = max(0, row.credits.settled_micro - settled)
    if undone:
        parts.append(waiting(Stage.VERIFIED, undone, NEXT_RESULT))
    parts += locked_parts(asked, settled, paid, unlocked, tables)
    if unlocked is not None and unlocked > claimed:
        who = "the running peer, which claims by itself" if row.running else "you: `swarm claim`"
        parts.append(waiting(Stage.UNLOCKED, unlocked - claimed, who))
    verified = settled + sum(part.micro for part in parts if part.stage is Stage.VERIFIED)
    earned = max(row.credits.earned_micro, verified)
    return msgspec.structs.replace(
        row,
        credits=credits_of(earned, settled, claimed),
        unclaimed=(settled - claimed) / MICRO,
        balance_wei=str(balance.token_wei) if balance is not None else row.balance_wei,
        verified=verified / MICRO,
        verified_micro=verified,
        unlocked=None if unlocked is None else unlocked / MICRO,
        unlocked_micro=unlocked,
        waiting=joined(parts),
        staked_micro=record.stake_micro if record is not None else 0,
        exiting_micro=record.exiting_micro if record is not None else 0,
        exit_ready_at=float(record.exit_ready_at) if record is not None and record.exiting_micro else None,
    )


def locked_parts(asked: Asked, settled: int, paid: Paid, unlocked: int | None, tables: Any) -> list[Waiting]:
    """What is settled and locked, by what unlocks it: the newest epoch's waits, or an epoch that is yet to begin."""
    epochs, newest = asked.epochs, asked.epochs.newest
    if unlocked is None:
        assert epochs.claimable is not None
        missing = f"the credit table of round {epochs.claimable.round}, which `swarm run` fetches from the others"
        return [waiting(Stage.SETTLED, settled, missing)]
    in_epoch = unlocked
    parts = []
    if newest is not None and newest.state is not EpochState.VOID:
        of_epoch = paid(tables.paid_by(newest))
        if of_epoch is None:  # without its table only the newest result is known to be all of it
            of_epoch = settled if newest.round == asked.view.settled_round else unlocked
        in_epoch = max(unlocked, of_epoch)
        if in_epoch > unlocked:
            until = None if newest.state is EpochState.CHALLENGED else float(newest.unlocks_at)
            parts.append(waiting(Stage.SETTLED, in_epoch - unlocked, _lock_words(newest), until=until))
    if settled > in_epoch:
        begins = f"a payout: one begins when enough rounds are recorded after round {epochs.covered_round}"
        parts.append(waiting(Stage.SETTLED, settled - in_epoch, begins))
    return parts


def _lock_words(epoch: Epoch) -> str:
    match epoch.state:
        case EpochState.OPEN:
            return f"the end of payout {epoch.number}'s time to be challenged, and of its lock"
        case EpochState.CHALLENGED:
            return f"payout {epoch.number}, which is challenged: members affirm it, or it is undone"
    return f"the end of the lock of payout {epoch.number}, which is final"


# --- asking ----------------------------------------------------------------------------------------------------------


def _with_chain(
    rows: tuple[CreditRow, ...], root: Path, config: Path | None, join: Sequence[str], rpc: Sequence[str]
) -> tuple[tuple[CreditRow, ...], Source]:
    try:
        asked = asyncio.run(asyncio.wait_for(_ask(rows, root, config, join, rpc), ASK_S))
    except TimeoutError:
        return rows, Source(False, f"it did not answer within {ASK_S:g} s")
    except SwarmError as error:
        return rows, Source(False, error.what.rstrip("."))
    from swarm.app.tables import Tables

    view = asked.view
    found = tuple(
        with_chain(row, asked, Tables.of_home(Home(root).peer(row.name), asked.run)) if row.peer else row
        for row in rows
    )
    return found, Source(True, "", view.block, float(view.block_at), view.round, view.settled_round)


async def _ask(
    rows: Sequence[CreditRow], root: Path, config: Path | None, join: Sequence[str], rpc: Sequence[str]
) -> Asked:
    from swarm import app
    from swarm.app import chain_access

    chosen = app.settings("join", config, home=root)
    token = await app.token_finder(chosen, join, rpc)()
    peers = [(row.peer, row.address) for row in rows if row.peer and row.address]
    account = parse_address(peers[0][1]) if peers else token.contracts.token
    chain: Chain = await chain_access.open_chain(chosen, token, account, num_attempts=1)
    try:
        view, epochs = await chain.clock(), await chain.epochs()
        records, balances = {}, {}
        for peer, address in peers:
            record = await chain.peer(parse_peer_id(peer))
            if record is not None:
                records[peer] = record
            balances[peer] = await chain.balance(parse_address(address))
    finally:
        await chain.close()
    return Asked(view, epochs, records, balances, token.run.id)
