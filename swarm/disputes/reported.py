"""Why this module exists: a peer that signed twice loses its stake for all to see, not only before those who held both.

Every peer tells what the contract took, whoever showed it, once: also one that came later, or never met the records.
"""

from __future__ import annotations

from chain.reports import EquivocationReport, Reports
from protocol.events import EquivocationProven
from swarm.disputes.archive import Archive
from swarm.observe.eventlog import EventLog

OVERLAP_BLOCKS = 64
"""Blocks that are looked at again: a chain may lose its last ones, and what they said may come back in others."""


class Reported:
    """What one peer tells of the reports that the contract took in its run."""

    def __init__(self, reports: Reports, archive: Archive, events: EventLog) -> None:
        self._reports = reports
        self._archive = archive
        self._events = events
        self._told = archive.reported()
        self._from_block = 0

    async def tell(self, block: int) -> None:
        """Look once; ``block``: one that was there when the look began. Raises ``ChainError`` like the chain."""
        for report in await self._reports.equivocations(self._from_block):
            name = f"{report.round}-{report.peer}-{report.transaction}"
            if name not in self._told:
                self._events.append(proven(report))
                self._told.add(name)
                self._archive.report(self._told)
        self._from_block = max(0, block - OVERLAP_BLOCKS)


def proven(report: EquivocationReport) -> EquivocationProven:
    """A report as an event. Pure."""
    return EquivocationProven(
        round=report.round,
        peer=report.peer,
        reporter=report.reporter,
        first=report.first,
        second=report.second,
        slashed_micro=report.slashed_micro,
        award_micro=report.award_micro,
        transaction=report.transaction,
        block=report.block,
        proven_at=float(report.at),
    )
