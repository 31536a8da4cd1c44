"""Why this module exists: an index is a loop that reads what is new, checks it and writes it down, and never gives up.

    chain     events up to the newest block that counts; blocks that were lost are taken back first
    round     its members and seed, and what they say while they play
    results   of each recorded one the credit table, its contributions and verdicts, and the ledger computed again

Whatever fails is tried again with the next turn, and told as a ``Trouble`` row. Killed at any moment, it goes on where
the sink's last complete ``put`` left it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence

from protocol.codec import BLOB_CAP, decode
from protocol.errors import BadRecord, SwarmError
from protocol.ids import ContentId, PeerId
from protocol.messages import CreditTable, Presence, Proposal
from protocol.run import RunSpec
from rewards.ledger import total_micro
from swarm.dht.transport import RecordKey, Transport
from swarm.indexing.chain_source import ChainSource, with_peers
from swarm.indexing.gathering import RoundReading, find_table
from swarm.indexing.ledger_rows import lines_between, outcomes, recorded_table
from swarm.indexing.recompute import result_of, ruling_on
from swarm.indexing.rows import AnyRow, ChainEvent, Present, RoundChecked, RoundSeen, Sink, Trouble
from swarm.indexing.sampling import check_sample
from swarm.rounds.timing import Now
from swarm.tasks.base import Task

GIVE_UP_S = 180.0
"""A table that nobody serves is looked for so long after its result was recorded (by the indexer's clock)."""

PASS_OVER_S = 20.0
"""… and for so long when a later result is there, which accounts for it."""

PATIENCE_S = 6.0
MANY = 3
"""So many results that wait are a backlog: they are read in haste."""

READINGS = 4
"""Rounds that are kept open, for results that come late."""


class Indexer:
    """Reads one run into ``sink``. ``set_members``: tells the transport whose records count."""

    def __init__(
        self,
        run: RunSpec,
        task: Task,
        source: ChainSource,
        transport: Transport,
        sink: Sink,
        now: Now,
        *,
        set_members: Callable[[Collection[PeerId]], None] = lambda _: None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._run = run
        self._task = task
        self._source = source
        self._transport = transport
        self._sink = sink
        self._now = now
        self._set_members = set_members
        self._patience_s = patience_s
        self._members: list[PeerId] = []
        self._readings: dict[int, RoundReading] = {}
        self._wanted_since: dict[str, float] = {}
        self._trouble = ""
        self._told: dict[str, int] = {}

    async def follow(self, every_s: float) -> None:
        """Turn after turn, until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(every_s)

    async def turn(self) -> bool:
        """Everything once; whether all of it went well. Never raises for what chain, network or peers do."""
        problems: list[str] = []
        for part in (self._read_chain, self._look_at_round, self._look_at_peers, self._read_results):
            try:
                await part()
            except (SwarmError, BadRecord) as error:
                problems.append(error.what)
        trouble = " ".join(problems)[:500]
        if trouble != self._trouble:
            self._trouble = trouble
            self._sink.put([Trouble(int(self._now()), trouble)])
        if not problems:
            self._sink.beat(int(self._now()))
        return not problems

    async def look_once_more(self) -> bool:
        """A last turn, which waits for nobody."""
        self._patience_s = 0.0
        return await self.turn()

    async def close(self) -> None:
        for reading in self._readings.values():
            await reading.close()
        self._readings.clear()

    # --- chain -----------------------------------------------------------------------------------------------------

    async def _read_chain(self) -> None:
        head = await self._source.head()
        await self._step_back()
        known = self._sink.cursors()
        first = known[0].block + 1 if known else 0
        while first <= head.block:
            events, cursor = await self._source.events(first, head.block)
            self._sink.put(with_peers(events, self._sink.peer_of), cursor=cursor)
            first = cursor.block + 1

    async def _step_back(self) -> None:
        """Take back what stood in blocks that are no longer the chain's.

        An endpoint that does not know a block may be late: only another block in its place says that it is gone."""
        for number, cursor in enumerate(cursors := self._sink.cursors()):
            found = await self._source.block_hash(cursor.block)
            if found in ("", cursor.block_hash):
                if number:
                    self._sink.forget_after(cursor.block)
                return
        if cursors:
            self._sink.forget_after(-1)

    # --- the round -------------------------------------------------------------------------------------------------

    async def _look_at_round(self) -> None:
        clock = await self._source.clock()
        if clock.members:
            self._members = [member.peer for member in clock.members]
            self._set_members(self._members)
        if clock.round and clock.seed and clock.round not in self._readings:
            members = {str(member.peer): (member.weight, member.joined_round) for member in clock.members}
            seen = RoundSeen(clock.round, clock.seed, clock.opened_at, clock.closes_at, members)
            self._sink.put([seen])
            await self._open(seen)
        for reading in list(self._readings.values())[-2:]:
            await reading.poll()

    async def _open(self, seen: RoundSeen, in_haste: bool = False) -> RoundReading | None:
        """Begin to read a round; ``None`` while it cannot be told which table it began with."""
        ledger = self._sink.table_at_opening(seen.round)
        if ledger is None or not seen.members:
            return None
        opening = self._table(ledger)
        if ledger and opening is None:
            return None
        reading = RoundReading(self._run, self._task, self._transport, seen, opening, self._now, in_haste=in_haste)
        self._readings[seen.round] = reading
        while len(self._readings) > READINGS:
            await self._readings.pop(next(iter(self._readings))).close()
        return reading

    async def _look_at_peers(self) -> None:
        found = await self._transport.collect(RecordKey(self._run.id, "presence", 0))
        rows, latest = [], int(self._now())
        for peer, envelope in found.items():
            try:
                at = min(latest, decode(envelope.payload, Presence).at_ms // 1000)
            except BadRecord:
                continue
            if at > self._told.get(peer, 0) + 5:
                self._told[peer] = at
                rows.append(Present(peer, at))
        if rows:
            self._sink.put(rows)

    # --- results ---------------------------------------------------------------------------------------------------

    async def _read_results(self) -> None:
        unread = self._sink.unread_rounds()
        for settled in unread:
            self._wanted_since.setdefault(str(settled.arguments["dataHash"]), self._now())
        for settled in unread:
            patience_s = GIVE_UP_S if settled is unread[-1] else PASS_OVER_S
            if not await self._read_result(settled, patience_s, in_haste=len(unread) >= MANY):
                return

    async def _read_result(self, settled: ChainEvent, patience_s: float, *, in_haste: bool) -> bool:
        """Read one result; ``False`` while it must be waited for, ``patience_s`` in all."""
        facts = settled.arguments
        round, data_hash = int(facts["round"]), str(facts["dataHash"])
        reading = await self._reading(round, in_haste)
        if reading is not None:
            await reading.poll()
        proposal = reading.proposals.get(ContentId(data_hash)) if reading is not None else None
        blob = self._sink.table_of(data_hash)
        if blob is None and reading is not None and proposal is not None:
            blob = await reading.table(proposal)
        if blob is None:
            blob = await find_table(self._transport, self._run.id, round, data_hash, self._members)
        if blob is None:
            if self._now() - self._wanted_since[data_hash] < patience_s:
                return False
            why = "Nobody serves its credit table any more; the next result that is seen accounts for it."
            self._sink.put([RoundChecked(round, "unseen", why, int(facts["totalMicroCredits"]))])
            return True
        total = int(facts["totalMicroCredits"])
        try:
            table = recorded_table(
                blob,
                self._run.id,
                round=round,
                data_hash=data_hash,
                credits_root=str(facts["creditsRoot"]),
                total=total,
            )
        except BadRecord as bad:
            self._sink.put([RoundChecked(round, "differs", bad.what, total)])
            return True
        last = self._sink.table()
        before = decode(last, CreditTable, cap=BLOB_CAP) if last is not None else None
        rows: list[AnyRow] = [*lines_between(before, table, data_hash), *outcomes(before, table)]
        level, why = "root", "What its members published could not be found."
        if reading is not None and proposal is not None:
            more, level, why = await self._check(reading, proposal, before, table, settled)
            rows += more
        self._sink.put([*rows, RoundChecked(round, level, why, total_micro(table))], table=blob)
        return True

    async def _check(
        self,
        reading: RoundReading,
        proposal: Proposal,
        before: CreditTable | None,
        table: CreditTable,
        settled: ChainEvent,
    ) -> tuple[Sequence[AnyRow], str, str]:
        """Rows of what was done in the round, and how far its result could be computed again."""
        rows, verified = await reading.works(proposal, self._patience_s)
        rows = [*rows, *reading.verdict_rows()]
        if not reading.is_whole:
            return rows, *check_sample(self._run, reading, proposal, verified, before, table)
        missing = set(proposal.contributions) - verified.keys()
        unheard = set(proposal.verdicts) - reading.verdicts.keys()
        if missing or unheard:
            what = f"{len(missing)} of its contributions and {len(unheard)} of its verdicts could not be checked."
            return rows, "root", what
        if self._sink.table_of(str(settled.arguments["dataHash"])) is not None:
            return rows, "root", "It was recorded again after the chain went back."
        opening = self._table(self._sink.table_at_opening(reading.seen.round))
        named = [reading.verdicts[content] for content in proposal.verdicts]
        try:
            ruling = ruling_on(self._run, reading.seen, opening, before, named)
            result = result_of(self._run, reading.seen, verified.values(), ruling, before)
        except ValueError as error:
            return rows, "differs", str(error)
        facts = settled.arguments
        same = (result.contributions_root, result.credits_root, result.data_hash) == (
            facts["contributionsRoot"],
            facts["creditsRoot"],
            facts["dataHash"],
        )
        why = "" if same else "Its contributions, scored again here, lead to another ledger than the recorded one."
        return rows, "recomputed" if same else "differs", why

    async def _reading(self, round: int, in_haste: bool) -> RoundReading | None:
        if round in self._readings:
            return self._readings[round]
        seen = self._sink.round_seen(round)
        return await self._open(seen, in_haste) if seen is not None else None

    def _table(self, data_hash: str | None) -> CreditTable | None:
        blob = self._sink.table_of(data_hash) if data_hash else None
        return decode(blob, CreditTable, cap=BLOB_CAP) if blob is not None else None
