"""Why this module exists: the chain knows one hash of all credits; what it stands for is in the tables on this disk."""

from __future__ import annotations

from collections.abc import Iterable

from chain.base import ClockView, Epoch
from protocol.codec import BLOB_CAP, content_id, decode
from protocol.errors import BadRecord
from protocol.ids import ContentId
from protocol.messages import CreditTable
from rewards.ledger import credits_tree
from swarm.rounds.journal import Journal
from swarm.settings.home import PeerHome


class Tables:
    """Credit tables of one run, by content id and by the round whose result they are. Damaged ones are left out."""

    def __init__(self, blobs: Iterable[bytes], run: ContentId) -> None:
        self._by_content: dict[str, CreditTable] = {}
        for blob in blobs:
            try:
                table = decode(blob, CreditTable, cap=BLOB_CAP)
            except BadRecord:
                continue
            if table.run == run:
                self._by_content[content_id(blob)] = table

    @classmethod
    def of_home(cls, home: PeerHome, run: ContentId) -> Tables:
        """Those that a peer keeps in its journal."""
        return cls(Journal(home.run(run).journal).tables(), run)

    def latest(self, view: ClockView) -> CreditTable | None:
        """The table behind the latest recorded result; ``None`` when it is not here."""
        return self._by_content.get(view.data_hash) if view.settled_round else None

    def paid_by(self, epoch: Epoch) -> CreditTable | None:
        """The table that ``epoch`` pays: the one with its round and root."""
        for table in self._by_content.values():
            if table.round == epoch.round and credits_tree(table).root == epoch.credits_root:
                return table
        return None
