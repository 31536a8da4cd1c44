"""What the contract took of peers that signed twice is told by everybody, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from chain.reports import EquivocationReport
from protocol.errors import ChainUnreachable
from protocol.events import EquivocationProven
from protocol.ids import Address, ContentId
from swarm.disputes.archive import Archive
from swarm.disputes.reported import OVERLAP_BLOCKS, Reported
from swarm.observe.eventlog import EventLog, read
from tests.chain.players import Player

pytestmark = pytest.mark.asyncio

EVE, REPORTER = Player("eve"), Address(Player("ada").wallet)
REPORT = EquivocationReport(
    EVE.peer, 7, REPORTER, ContentId("aa" * 32), ContentId("bb" * 32), 25_000_001, "0x01", 500, 1_700_000_000
)


class Ledger:
    """What the chain has of reports, and from which block on it was asked."""

    def __init__(self, *reports: EquivocationReport) -> None:
        self.reports, self.asked = list(reports), list[int]()

    async def equivocations(self, since_block: int = 0) -> tuple[EquivocationReport, ...]:
        self.asked.append(since_block)
        return tuple(one for one in self.reports if one.block >= since_block)


def reader(ledger: Any, folder: Path) -> Reported:
    """The same peer again, when it is made anew in the same folder."""
    return Reported(ledger, Archive(folder / "disputes"), EventLog(folder / "events.jsonl"))


def told(folder: Path) -> list[Any]:
    return [logged.event for logged in read(folder / "events.jsonl").events]


async def test_a_report_is_told_once_also_after_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(REPORT)
    for _ in range(2):
        one = reader(ledger, tmp_path)
        await one.tell(510)
        await one.tell(511)
    assert told(tmp_path) == [
        EquivocationProven(
            7, EVE.peer, REPORTER, REPORT.first, REPORT.second, 25_000_001, 12_500_000, "0x01", 500, 1_700_000_000.0
        )
    ]


async def test_only_new_blocks_are_read_and_the_last_ones_again(tmp_path: Path) -> None:
    ledger = Ledger()
    one = reader(ledger, tmp_path)
    for block in (3, 500, 900):
        await one.tell(block)
    assert ledger.asked == [0, 0, 500 - OVERLAP_BLOCKS]
    ledger.reports = [msgspec.structs.replace(REPORT, block=899)]
    await one.tell(901)
    assert len(told(tmp_path)) == 1


async def test_a_chain_that_went_back_and_took_it_from_another_reporter_is_told_anew(tmp_path: Path) -> None:
    ledger = Ledger(REPORT)
    one = reader(ledger, tmp_path)
    await one.tell(501)
    ledger.reports = [msgspec.structs.replace(REPORT, transaction="0x02", reporter=Address(EVE.wallet), block=503)]
    await one.tell(504)
    assert [(event.transaction, event.reporter) for event in told(tmp_path)] == [
        ("0x01", REPORTER), ("0x02", EVE.wallet),
    ]  # fmt: skip


async def test_a_chain_that_is_away_loses_nothing(tmp_path: Path) -> None:
    class Away(Ledger):
        async def equivocations(self, since_block: int = 0) -> tuple[EquivocationReport, ...]:
            raise ChainUnreachable("No answer.")

    with pytest.raises(ChainUnreachable):
        await reader(Away(), tmp_path).tell(900)
    one = reader(Ledger(REPORT), tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "_reports", Away())
        with pytest.raises(ChainUnreachable):
            await one.tell(900)
    await one.tell(900)
    assert len(told(tmp_path)) == 1


async def test_a_damaged_list_of_what_was_told_means_that_it_is_told_again(tmp_path: Path) -> None:
    await reader(Ledger(REPORT), tmp_path).tell(501)
    (tmp_path / "disputes" / "reported.json").write_bytes(b"[")
    await reader(Ledger(REPORT), tmp_path).tell(501)
    assert len(told(tmp_path)) == 2
