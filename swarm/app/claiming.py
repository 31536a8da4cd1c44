"""Why this module exists: credits can be claimed without running the peer: its tables are on disk."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from chain.base import Chain, Claim, EpochState, EpochsView, OpenEpoch
from chain.credit_line import micro_of
from identity.keyfile import load_key
from identity.lock import IdentityLock
from identity.names import nickname
from protocol.errors import ChainError
from protocol.events import Claimed, TransactionSent
from protocol.ids import PeerId
from protocol.run import JoinToken
from rewards.settlement import claim_intent
from swarm.app.acting import Actor, Terminal, open_actor, when
from swarm.app.amounts import WEI_PER_TOKEN, tokens_text, wei_text
from swarm.app.tables import Tables
from swarm.observe.eventlog import EventLog
from swarm.pay.epochs import is_due
from swarm.settings.config import Settings
from swarm.settings.home import Home


async def claim_for(
    chosen: Settings, name: str, token: JoinToken, password: str | None, *, dry_run: bool, as_json: bool
) -> dict[str, Any]:
    """Claim everything that is unlocked for one peer of this home, while it is not running; what came of it.

    Begins the payout of what is recorded and in no epoch yet, where the rules let it. A dry run looks and prices only.
    Raises ``IdentityError`` while the peer runs: it claims by itself.
    """
    terminal, home = Terminal(as_json=as_json), Home(chosen.home).peer(name)
    is_locked = not dry_run and home.root.exists()
    with IdentityLock(home.root, load_key(home.key_file).peer) if is_locked else nullcontext():
        async with open_actor(chosen, token, name, terminal, password=password, dry_run=dry_run) as actor:
            return await claim_unlocked(actor)


async def claim_unlocked(actor: Actor) -> dict[str, Any]:
    """Claim what is unlocked for the actor's peer, and say what is not."""
    peer = actor.signer.peer
    await actor.finish_earlier()
    tables = Tables.of_home(actor.home, actor.token.run.id)
    before = await actor.chain.balance(actor.signer.wallet)
    epochs = await actor.chain.epochs()
    intent = await _claim_of(actor.chain, tables, peer, epochs)
    step = None
    if intent is not None:
        claimed = (await _claimed_micro(actor.chain, peer), micro_of(intent.line))
        step = await actor.order(f"claim {tokens_text(claimed[1] - claimed[0])} tokens", intent)
    else:
        actor.terminal.note(f"{nickname(peer)}: nothing to claim now. {locked_words(epochs)}")
        await _begin_payout(actor, epochs)
    after = await actor.chain.balance(actor.signer.wallet)
    claimed_wei = 0 if intent is None or actor.dry_run else after.token_wei - before.token_wei
    if step is not None and step.transaction:
        with EventLog(actor.home.events_file) as events:
            events.append(TransactionSent("claim", step.transaction, step.gas_used))
            if claimed_wei > 0:
                events.append(Claimed(claimed_wei, after.token_wei, step.transaction))
    if not actor.dry_run:
        actor.terminal.answer(
            f"{nickname(peer)}: {wei_text(claimed_wei)} tokens claimed, {wei_text(after.token_wei)} in the wallet"
        )
    return actor.report(
        peer_id=peer,
        claimed_now=claimed_wei / WEI_PER_TOKEN,
        claimed_now_wei=str(claimed_wei),
        balance=after.token_wei / WEI_PER_TOKEN,
        balance_wei=after.token_wei,
    )


def locked_words(epochs: EpochsView) -> str:
    """What the newest payout waits for, in a sentence."""
    newest = epochs.newest
    if newest is None:
        return "No payout has begun yet."
    about = f"Payout {newest.number} (up to round {newest.round})"
    if newest.state is EpochState.OPEN:
        return f"{about} can still be challenged; it unlocks at {when(newest.unlocks_at)}."
    if newest.state is EpochState.CHALLENGED:
        return f"{about} is challenged: members affirm it, or it is undone."
    if newest.state is EpochState.VOID:
        return f"{about} was undone; what it paid is recorded and paid anew."
    if newest.unlocks_at > epochs.block_at:
        return f"{about} is final and unlocks at {when(newest.unlocks_at)}."
    return f"Everything up to round {newest.round} is unlocked."


async def _claim_of(chain: Chain, tables: Tables, peer: PeerId, epochs: EpochsView) -> Claim | None:
    epoch = epochs.claimable
    record = await chain.peer(peer)
    if epoch is None or record is None:
        return None
    table = tables.paid_by(epoch)
    if table is None:
        raise ChainError(
            f"The credit table of round {epoch.round} is not on this machine.",
            "Your credits are safe on the chain.",
            "Start the peer once (`swarm run`): it fetches the table from the others and claims.",
        )
    return claim_intent(table, peer, record.claimed_micro, epoch)


async def _begin_payout(actor: Actor, epochs: EpochsView) -> None:
    """Open an epoch over what is recorded since the last one: anybody may, and no peer may be running to do it."""
    view = await actor.chain.clock()
    settled = view.settled_round
    if not is_due(epochs, view, actor.token.run.economics):
        return
    try:
        await actor.order(f"begin the payout of everything up to round {settled}", OpenEpoch(settled))
    except ChainError as error:
        actor.terminal.note(f"It cannot be begun yet: {error.what}")
        return
    if not actor.dry_run:
        newest = (await actor.chain.epochs()).newest
        if newest is not None:
            actor.terminal.note(f"Run `swarm claim` again after {when(newest.unlocks_at)}.")


async def _claimed_micro(chain: Chain, peer: PeerId) -> int:
    record = await chain.peer(peer)
    return record.claimed_micro if record is not None else 0
