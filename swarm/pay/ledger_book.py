"""Why this module exists: a peer must know the credit table behind the chain's latest root, or it can agree to nothing.

The chain holds 32 bytes; the table itself is kept on disk by whoever helped to make it, served as a blob, and adopted
from others by a newcomer. What is adopted must hash to what the chain says, so its provider need not be trusted.
"""

from __future__ import annotations

from collections.abc import Iterable

from chain.base import ClockView, Epoch
from protocol.codec import BLOB_CAP, content_id, decode, encode
from protocol.errors import BadRecord, NetworkError
from protocol.ids import ContentId, PeerId
from protocol.messages import CreditTable, Proposal
from protocol.run import RunSpec
from rewards.ledger import credits_tree, row_of
from rewards.settlement import adopt_table
from swarm.dht.transport import RecordKey, Transport
from swarm.rounds.journal import Journal

PROPOSAL = "proposal"


class LedgerBook:
    """Credit tables by content id, and which of them is the latest recorded one."""

    def __init__(self, run: RunSpec, journal: Journal, transport: Transport) -> None:
        self._run = run
        self._journal = journal
        self._transport = transport
        self._tables: dict[ContentId, bytes] = {}
        self.current: CreditTable | None = None
        for blob in journal.tables():
            self._tables[content_id(blob)] = blob
            transport.offer(blob)

    def keep(self, table: CreditTable) -> None:
        """Remember and serve a table that may become the recorded one; on disk before this returns."""
        blob = encode(table)
        name = content_id(blob)
        if name not in self._tables:
            self._journal.write_table(table.round, name, blob)
            self._tables[name] = blob
        self._transport.offer(blob)

    async def sync(self, view: ClockView, others: Iterable[PeerId]) -> bool:
        """Make ``current`` the table behind the chain's latest result, asking ``others`` for it where needed.

        Returns whether it is here now. Raises ``NetworkError`` when the network cannot be asked.
        """
        if view.settled_round == 0:
            self.current = None
            return True
        if view.data_hash not in self._tables:
            blob = await self._find(view, list(others))
            if blob is None:
                return False
            self.keep(adopt_table(blob, self._run.id, view))
        self.current = decode(self._tables[view.data_hash], CreditTable, cap=BLOB_CAP)
        return True

    def state_of(self, peer: PeerId) -> ContentId:
        """The state that ``peer``'s next step starts from: its last included one, or the run's genesis."""
        row = row_of(self.current, peer)
        return row.state if row is not None else self._run.model

    def state_at(self, view: ClockView, peer: PeerId) -> ContentId | None:
        """Like ``state_of``, by the result that was the latest in ``view``, whatever was recorded since; ``None`` while
        that result's table is not here."""
        if view.settled_round == 0:
            return self._run.model
        if view.data_hash not in self._tables:
            return None
        row = row_of(decode(self._tables[view.data_hash], CreditTable, cap=BLOB_CAP), peer)
        return row.state if row is not None else self._run.model

    def behind(self, view: ClockView) -> CreditTable | None:
        """The table of the latest result in ``view``; ``None`` before the first one, or while it is not here."""
        blob = self._tables.get(view.data_hash) if view.settled_round else None
        return decode(blob, CreditTable, cap=BLOB_CAP) if blob is not None else None

    def paid_by(self, epoch: Epoch) -> CreditTable | None:
        """The table that ``epoch`` pays; ``None`` when it is not here."""
        return self.table_of(epoch.round, epoch.credits_root)

    def table_of(self, round: int, credits_root: ContentId) -> CreditTable | None:
        """The table of ``round`` with this root; ``None`` when it is not here."""
        for blob in reversed(self._tables.values()):
            table = decode(blob, CreditTable, cap=BLOB_CAP)
            if table.round == round and credits_tree(table).root == credits_root:
                return table
        return None

    async def _find(self, view: ClockView, others: list[PeerId]) -> bytes | None:
        key = RecordKey(self._run.id, PROPOSAL, view.settled_round)
        found = await self._transport.collect_all(key)
        for poster, envelope in ((poster, envelope) for poster, signed in found.items() for envelope in signed):
            try:
                proposal = decode(envelope.payload, Proposal)
            except BadRecord:
                continue
            if proposal.result.data_hash != view.data_hash or proposal.table.content != view.data_hash:
                continue
            for provider in [poster, *(peer for peer in others if peer != poster)]:
                try:
                    blob = await self._transport.fetch(proposal.table, provider)
                    adopt_table(blob, self._run.id, view)
                except (BadRecord, NetworkError):
                    continue
                return blob
        return None
