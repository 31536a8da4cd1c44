"""Why this module exists: what an owner orders for a peer on the chain: register it, stake for it, take stake back.

Each function is one command on an open ``Actor``, returns what ``--json`` shows, and may be repeated: what the chain
has already costs nothing.
"""

from __future__ import annotations

import secrets
from typing import Any

from chain.base import PeerRecord, Stake, Unstake, Withdraw
from identity.names import nickname
from protocol.errors import ChainError, ConfigError, IdentityError
from swarm.app.acting import Actor, when
from swarm.app.amounts import in_tokens, tokens_micro, tokens_text
from swarm.app.chain_access import NOTHING_SIGNED

ALL = "all"


async def register(actor: Actor) -> dict[str, Any]:
    """Bind the peer to its wallet. Done when it is; raises ``IdentityError`` when it is another wallet's."""
    record = await actor.chain.peer(actor.signer.peer)
    if record is not None:
        _require_own(actor, record)
        actor.terminal.answer(f"{_called(actor)} is registered to {record.owner} already.")
    else:
        step = await actor.order("register", actor.signer.registration(actor.chain.contracts))
        if not actor.dry_run:
            done = f" in transaction {step.transaction}" if step.transaction else ""
            actor.terminal.answer(f"{_called(actor)} is registered to {actor.signer.wallet}{done}.")
            record = await actor.chain.peer(actor.signer.peer)
    least = actor.token.run.economics.min_stake_micro
    if record is not None and record.stake_micro < least:
        actor.terminal.note(
            f"This run asks for a stake of {tokens_text(least)} tokens: "
            f"`swarm stake {tokens_text(least - record.stake_micro)}`."
        )
    return actor.report(registered=record is not None, **_stake_of(record))


async def stake(actor: Actor, amount: str) -> dict[str, Any]:
    """Deposit ``amount`` (in tokens, as typed) for the peer."""
    micro = tokens_micro(amount)
    earlier = await actor.finish_earlier()
    await own_record(actor)
    if not (isinstance(earlier, Stake) and earlier.amount_micro == micro):  # else it was this very order
        await actor.order(f"stake {tokens_text(micro)} tokens", Stake(actor.signer.peer, micro, _number()))
    record = await own_record(actor)
    if not actor.dry_run:
        weight = f"; its weight is {record.weight}" if record.weight else ""
        actor.terminal.answer(
            f"{_called(actor)} has {tokens_text(record.stake_micro)} tokens staked{weight} ({_transaction(actor)})."
        )
    return actor.report(**in_tokens("amount", micro), **_stake_of(record))


async def unstake(actor: Actor, amount: str) -> dict[str, Any]:
    """Begin to take ``amount`` (in tokens, or ``all``) out of the stake; until it may be withdrawn it stays liable."""
    wanted = None if amount.strip().lower() == ALL else tokens_micro(amount)
    earlier = await actor.finish_earlier()
    record = await own_record(actor)
    if isinstance(earlier, Unstake) and wanted in (None, earlier.amount_micro):
        _tell_exit(actor, record)
        return actor.report(**in_tokens("amount", earlier.amount_micro), **_stake_of(record))
    micro = record.stake_micro if wanted is None else wanted
    if not 0 < micro <= record.stake_micro:
        raise ConfigError(
            f"{_called(actor)} has {tokens_text(record.stake_micro)} tokens staked; {tokens_text(micro)} cannot leave.",
            NOTHING_SIGNED,
            "Order at most what is staked, or `swarm unstake all`.",
        )
    left, least = record.stake_micro - micro, actor.token.run.economics.min_stake_micro
    if record.enrolled and left < least:
        actor.terminal.note(
            f"With {tokens_text(left)} of the {tokens_text(least)} tokens that the run asks for, "
            f"{_called(actor)} is no member from the next round on."
        )
    await actor.order(f"unstake {tokens_text(micro)} tokens", Unstake(actor.signer.peer, micro, _number()))
    record = await own_record(actor)
    if not actor.dry_run:
        _tell_exit(actor, record)
    return actor.report(**in_tokens("amount", micro), **_stake_of(record))


async def withdraw(actor: Actor) -> dict[str, Any]:
    """Pay out to the wallet what left the stake and is liable no longer. Raises ``ChainError`` when it still is."""
    await actor.finish_earlier()
    record = await own_record(actor)
    micro = record.exiting_micro
    if not micro:
        actor.terminal.answer(f"Nothing is leaving the stake of {_called(actor)}. `swarm unstake AMOUNT` begins it.")
        return actor.report(**in_tokens("amount", 0), **_stake_of(record))
    now = (await actor.chain.clock()).block_at
    if now < record.exit_ready_at:
        raise ChainError(
            f"{tokens_text(micro)} tokens stay liable until {when(record.exit_ready_at)}, "
            f"{record.exit_ready_at - now} s from the chain's latest block.",
            NOTHING_SIGNED,
            "Run `swarm withdraw` again after that.",
            reason="StillUnbonding",
        )
    await actor.order(f"withdraw {tokens_text(micro)} tokens", Withdraw(actor.signer.peer))
    record = await own_record(actor)
    if not actor.dry_run:
        actor.terminal.answer(f"{tokens_text(micro)} tokens are in {actor.signer.wallet} ({_transaction(actor)}).")
    return actor.report(**in_tokens("amount", micro), **_stake_of(record))


def _tell_exit(actor: Actor, record: PeerRecord) -> None:
    actor.terminal.answer(
        f"{tokens_text(record.exiting_micro)} tokens are leaving and can be withdrawn from "
        f"{when(record.exit_ready_at)} on ({_transaction(actor)})."
    )


def _transaction(actor: Actor) -> str:
    """The transaction of the latest step, for people."""
    return f"transaction {actor.steps[-1].transaction}" if actor.steps and actor.steps[-1].transaction else "already"


def _number() -> int:
    """One that no other order has: nobody's memory is needed to tell a repetition from a second order."""
    return secrets.randbits(63)


async def own_record(actor: Actor) -> PeerRecord:
    """The chain's entry of the actor's peer. Raises ``ChainError`` when there is none, ``IdentityError`` when another
    wallet owns it."""
    record = await actor.chain.peer(actor.signer.peer)
    if record is None:
        raise ChainError(
            f"{_called(actor)} is not registered on chain {actor.token.run.chain_id}.",
            NOTHING_SIGNED,
            "Run `swarm register` first.",
            reason="PeerUnknown",
        )
    _require_own(actor, record)
    return record


def _require_own(actor: Actor, record: PeerRecord) -> None:
    if record.owner.lower() != actor.signer.wallet.lower():
        raise IdentityError(
            f"{_called(actor)} is registered to the wallet {record.owner}; yours is {actor.signer.wallet}.",
            "What it earns and stakes is the other wallet's. Nothing was sent.",
            f"Put the wallet.json of {record.owner} beside swarm.pem, or use another swarm.pem with this wallet.",
        )


def _called(actor: Actor) -> str:
    return nickname(actor.signer.peer)


def _stake_of(record: PeerRecord | None) -> dict[str, Any]:
    if record is None:
        return in_tokens("staked", 0) | in_tokens("exiting", 0) | {"exit_ready_at": None, "weight": 0}
    return (
        in_tokens("staked", record.stake_micro)
        | in_tokens("exiting", record.exiting_micro)
        | {"exit_ready_at": record.exit_ready_at or None, "weight": record.weight}
    )
