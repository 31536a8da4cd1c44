"""Why this module exists: a peer plays once the chain knows it and the state that it goes on from is here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chain.base import Chain
from identity.registration import register_and_enrol
from protocol.errors import ConfigError, NetworkError
from protocol.events import HeldBack, Registered, TransactionSent
from protocol.ids import ContentId
from swarm.member.recovering import fetch_own_state
from swarm.pay.ledger_book import LedgerBook
from swarm.rounds.work import Bench


async def register(bench: Bench, chain: Chain) -> None:
    """Bind the identity to the wallet, put up its stake and enrol it; all are no-ops for a peer that is back."""
    done = await register_and_enrol(chain, bench.signer, bench.run.economics.min_stake_micro)
    for purpose, receipt in (("register", done.registered), ("stake", done.staked), ("enrol", done.enrolled)):
        if receipt.transaction:
            bench.events.append(TransactionSent(purpose, receipt.transaction, receipt.gas))
    bench.events.append(Registered(bench.signer.wallet, done.registered.transaction))


async def close_signed_elsewhere(bench: Bench, chain: Chain) -> None:
    """For a peer that was restored from a backup: nothing is signed in the round that is open now, or before it."""
    fence = bench.signer.fence
    if fence is None or fence.restored is None:
        return
    if fence.is_undecided(bench.run.id):
        fence.close(bench.run.id, (await chain.clock()).round)
    bench.events.append(HeldBack(fence.closed(bench.run.id), fence.restored.made_at))


async def take_up_state(
    bench: Bench, chain: Chain, book: LedgerBook, first_exam: Callable[[], Awaitable[None]]
) -> None:
    """Make sure that the state is here which the chain included last (for a newcomer: the run's genesis), and serve
    what this peer keeps for others. ``first_exam`` is taken by a peer that never played.

    The engine must be in the genesis state. Raises ``NetworkError`` when nobody serves the latest credit table,
    ``ConfigError`` when model, engine or files are not those of this run and peer.
    """
    bench.transport.serve_from(bench.shelf.find)
    view = await chain.clock()
    if not await book.sync(view, [member.peer for member in view.members if member.peer != bench.signer.peer]):
        raise NetworkError(
            f"Nobody serves the credit table of round {view.settled_round}.",
            "Without it this peer cannot agree to any result, so it would earn nothing.",
            "Try again when more peers are online.",
        )
    state = book.state_of(bench.signer.peer)
    genesis = await bench.room.call(bench.engine.state_hash)
    if genesis != bench.run.model:
        raise ConfigError(
            "This model is not the one that the run started from.",
            "Its work would be rejected by everyone.",
            f"Use the model whose state hash is {bench.run.model}.",
        )
    if bench.engine_name != bench.run.audit.engine:
        raise ConfigError(
            f"This run computes with the {bench.run.audit.engine} engine, not with the {bench.engine_name} one.",
            "Nobody could do this peer's work again, so it would be rejected by everyone.",
            "Choose the run's engine, or join a run of this one.",
        )
    if bench.checkpoints.head() is None:
        bench.checkpoints.include(await bench.room.call(bench.checkpoints.save, bench.engine), 0)
        await first_exam()
    if state != genesis:
        await require_state(bench, chain, book, state)


async def require_state(bench: Bench, chain: Chain, book: LedgerBook, state: ContentId) -> None:
    """See that ``state``, in which this peer's included work ended, is on disk; if not, it is fetched from others. So
    a restored peer also takes up what the machine before it had under way.

    Raises ``ConfigError`` where nobody serves it."""
    if bench.checkpoints.has(state):
        return
    if not await fetch_own_state(bench, book.current, await chain.clock(), state):
        raise ConfigError(
            f"The state that this peer's work ended in ({state[:16]}…) is not on this machine, and nobody serves it.",
            "Its next contribution would be rejected, so nothing was started. Its credits are safe.",
            "Try again while the swarm plays, or restore a newer backup: the whole peer, not only its swarm.pem.",
        )
