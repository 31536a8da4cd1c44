"""Why this module exists: a peer whose disk is gone, or whose backup is older than its last round, is not lost.

Its present state was published by itself: the contribution that ended in it names the manifest, and others keep the
chunks until that round is paid, or longer. What comes back is checked piece by piece like any stranger's state.
"""

from __future__ import annotations

from chain.base import ClockView
from protocol.codec import decode
from protocol.errors import BadRecord, NetworkError, VerificationError
from protocol.events import Progress
from protocol.ids import ContentId
from protocol.messages import BlobRef, Contribution, CreditTable
from rewards.ledger import row_of
from swarm.audit.shipping import fetch_state
from swarm.dht.transport import RecordKey
from swarm.policy.base import Replayable
from swarm.rounds.inbox import CONTRIBUTION
from swarm.rounds.work import Bench


async def fetch_own_state(bench: Bench, table: CreditTable | None, view: ClockView, state: ContentId) -> bool:
    """Whether ``state``, in which this peer's last paid or pending work ended, could be had from others; it is on disk
    then. Never raises for what the network does."""
    engine = bench.engine
    if not isinstance(engine, Replayable):
        return False
    providers = [member.peer for member in view.members if member.peer != bench.signer.peer]
    for reference in await _references(bench, table, view, state):
        bench.events.append(Progress("fetching this peer's own state from others"))
        try:
            own = await bench.room.call(engine.parts)
            parts = await fetch_state(bench.transport, reference, state, own, providers)
            replica = await bench.room.call(engine.replica, parts)
        except (BadRecord, NetworkError, VerificationError):
            continue
        return bool(await bench.room.call(bench.checkpoints.save, replica) == state)
    return False


async def _references(bench: Bench, table: CreditTable | None, view: ClockView, state: ContentId) -> list[BlobRef]:
    """Where the manifest of ``state`` is found, by this peer's own signed words: in its journal or in the network."""
    row = row_of(table, bench.signer.peer)
    rounds = {row.last_round, *(pay.round for pay in row.pending)} if row is not None else set()
    found: list[BlobRef] = []
    for number in sorted(rounds | {view.round}, reverse=True):
        kept = bench.journal.read(number, CONTRIBUTION)
        envelopes = [kept[0]] if kept is not None else []
        try:
            published = await bench.transport.collect_all(RecordKey(bench.run.id, CONTRIBUTION, number))
            envelopes += published.get(bench.signer.peer, ())
        except NetworkError:
            pass
        for envelope in envelopes:
            contribution = decode(envelope.payload, Contribution)
            named = ((contribution.state_after, contribution.after), (contribution.state_before, contribution.before))
            found += [reference for one, reference in named if one == state and reference is not None]
    return list(dict.fromkeys(found))
