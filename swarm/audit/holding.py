"""Why this module exists: whoever contributed cannot take its evidence away, because others keep it until it is paid.

    contribution verified here  ->  drawn to hold it?  ->  fetch its state  ->  on disk  ->  receipt, in the DHT

The rollouts are here anyway: they were scored. A contribution enters a result only with enough receipts; how many, and
whose count, follows from who else contributed (``verde.draw``), so members that are gone stand in nobody's way. It does
not follow from who else is in the result: then a poster could make others dispensable by leaving out their holders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from protocol.codec import decode, encode
from protocol.errors import BadRecord, NetworkError, VerificationError
from protocol.events import Held
from protocol.ids import STAGES, ContentId, PeerId
from protocol.messages import Receipt
from swarm.audit.shipping import fetch_state
from swarm.dht.transport import RecordKey
from swarm.rounds.checked import CheckedContribution
from swarm.rounds.inbox import CONTRIBUTION, Inbox
from swarm.rounds.work import RECORD_TTL_S, Bench
from verde.draw import Weights, entitled, holder_order, receipts_needed

RECEIPT = "receipt"

SPARE_S = 3.0
"""So long at most the first holders may take before the spare ones step in, and a quarter of the time for
contributions: a holder that keeps silent must not keep anybody out."""

AGAIN_S = 2.0
"""After a state could not be fetched, the next attempt waits so long."""


class Holding:
    """One round's keeping of the others' work, and who keeps whose. Nothing is kept where nothing can be replayed.

    ``weights``: which members may be drawn, and how likely (``rewards.reputation.draw_weights``)."""

    def __init__(self, bench: Bench, inbox: Inbox, weights: Weights) -> None:
        self._bench = bench
        self._inbox = inbox
        self._weights = weights
        self._orders: dict[PeerId, tuple[PeerId, ...]] = {}
        self._receipts: dict[ContentId, dict[PeerId, float]] = {}
        self._judged: set[tuple[PeerId, bytes]] = set()
        self._fetching: dict[ContentId, asyncio.Task[None]] = {}
        self._unpublished: list[ContentId] = []
        self._failed_at: dict[ContentId, float] = {}
        self._told: set[ContentId] = set()

    async def poll(self) -> None:
        """Look for receipts, keep what this peer is drawn to keep. Raises ``NetworkError`` like the transport."""
        if self._bench.genesis is None or not self._inbox.contributions:
            return
        await self._read_receipts()
        for task in self._fetching.values():
            if task.done():
                task.result()  # a full disk, say, is this peer's own trouble
        for peer, checked in self._inbox.contributions.items():
            if self._should_hold(peer, checked):
                self._fetching[checked.content] = asyncio.ensure_future(self._hold(peer, checked))
        while self._unpublished:
            content = self._unpublished[0]
            base = self._inbox.base
            envelope = self._bench.signer.seal(
                base.run, RECEIPT, base.round, encode(Receipt(content)), self._bench.contracts
            )
            await self._bench.transport.publish(envelope, ttl_s=RECORD_TTL_S)
            self._unpublished.pop(0)

    def is_held(self, peer: PeerId, among: Collection[PeerId] = (), *, by: float = float("inf")) -> bool:
        """Whether ``peer``'s contribution has the receipts that it needs among all who contributed, as known here.

        ``among``: others that may still contribute. ``by``: counting only receipts seen until then (unix seconds)."""
        checked = self._inbox.contributions.get(peer)
        if checked is None:
            return False
        if self._bench.genesis is None:
            return True
        num_holders = self._bench.run.audit.num_holders
        contributors = self._inbox.contributions.keys() | set(among)
        counted = set(entitled(self._order(peer), contributors, num_holders))
        given = {holder for holder, at in self._receipts.get(checked.content, {}).items() if at <= by}
        return len(counted & given) >= receipts_needed(num_holders, len((contributors & self._weights.keys()) - {peer}))

    def _order(self, author: PeerId) -> tuple[PeerId, ...]:
        """Drawn once a round: a look at every contribution asks for it again and again."""
        if author not in self._orders:
            self._orders[author] = holder_order(self._inbox.base.seed, author, self._weights)
        return self._orders[author]

    async def close(self) -> None:
        for task in self._fetching.values():
            task.cancel()
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    # --- receipts --------------------------------------------------------------------------------------------------

    async def _read_receipts(self) -> None:
        base = self._inbox.base
        found = await self._bench.transport.collect_all(RecordKey(base.run, RECEIPT, base.round))
        works = {checked.content: peer for peer, checked in self._inbox.contributions.items()}
        for holder, envelopes in found.items():
            for envelope in envelopes:
                if (holder, envelope.payload) in self._judged:
                    continue
                try:
                    content = decode(envelope.payload, Receipt).contribution
                    if content not in works:
                        continue  # what it is for may still arrive
                    if works[content] == holder:
                        raise BadRecord("not_drawn", "It is a receipt for the signer's own contribution.")
                except BadRecord as bad:
                    self._inbox.rejected(bad, holder, RECEIPT)
                else:
                    self._receipts.setdefault(content, {})[holder] = self._bench.now()
                self._judged.add((holder, envelope.payload))

    # --- keeping ---------------------------------------------------------------------------------------------------

    def _should_hold(self, peer: PeerId, checked: CheckedContribution) -> bool:
        me, now = self._bench.signer.peer, self._bench.now()
        is_busy = checked.content in self._fetching or checked.content in self._receipts_of(me)
        has_duty = peer != me and me in self._weights
        if not has_duty or is_busy or now - self._failed_at.get(checked.content, -AGAIN_S) < AGAIN_S:
            return False
        num_holders = self._bench.run.audit.num_holders
        alive = {one for stage in STAGES for one in self._inbox.batches[stage]} | self._inbox.contributions.keys()
        rank = [one for one in self._order(peer) if one in alive or one == me].index(me)
        patience_s = min(SPARE_S, self._bench.run.time.contribute_s / 4)
        is_spare = num_holders <= rank < 2 * num_holders + 1 and now - checked.arrived_at > patience_s
        return rank < num_holders or (is_spare and not self.is_held(peer))

    def _receipts_of(self, holder: PeerId) -> set[ContentId]:
        return {content for content, holders in self._receipts.items() if holder in holders}

    async def _hold(self, peer: PeerId, checked: CheckedContribution) -> None:
        """Fetch, check and keep what ``peer`` contributed; the receipt goes out with the next poll."""
        bench, base = self._bench, self._inbox.base
        contribution = checked.contribution
        assert bench.genesis is not None
        try:
            if contribution.after is None:
                raise BadRecord("malformed", "It does not say where its state is found.")
            already = [holder for holder in self._receipts.get(checked.content, {}) if holder != bench.signer.peer]
            providers = (peer, *already)
            parts = await fetch_state(
                bench.transport, contribution.after, contribution.state_after, bench.genesis, providers
            )
            blobs = (parts.manifest, *parts.chunks)
            batches = [encode(one.batch) for one in self._inbox.scored(peer, contribution.batches) or ()]
            await asyncio.to_thread(bench.shelf.write, base.round, contribution.state_after, blobs)
            await asyncio.to_thread(bench.shelf.write, base.round, checked.content, batches)
        except (BadRecord, VerificationError, NetworkError) as error:
            self._tell(error, peer, checked.content)
            self._failed_at[checked.content] = bench.now()
            del self._fetching[checked.content]
            return
        num_bytes = sum(len(blob) for blob in (*blobs, *batches))
        bench.events.append(Held(base.round, peer, checked.content, num_bytes))
        self._unpublished.append(checked.content)

    def _tell(self, error: BadRecord | VerificationError | NetworkError, peer: PeerId, content: ContentId) -> None:
        """Once per contribution. A stream may break once without anybody's fault: that is tried again, and not told."""
        bad = error if isinstance(error, BadRecord) else BadRecord("unavailable", error.what)
        is_first = content not in self._failed_at
        if content not in self._told and not (is_first and bad.reason in ("unavailable", "stalled")):
            self._told.add(content)
            self._inbox.rejected(bad, peer, CONTRIBUTION)
