"""Members that hold two signatures of one of them: what each has of its own, and what the network has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from chain.keys import sign_digest
from chain.typed_data import record_digest
from protocol.codec import content_id
from protocol.messages import WIRE_VERSION, Envelope
from rewards.outbox import Outbox
from swarm.dht.transport import RecordKey
from swarm.disputes.equivocation import Equivocations, turn_of
from swarm.disputes.evidence import Evidence
from swarm.observe.eventlog import EventLog, read
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from tests.chain.conftest import RULES, Bench, FakeBench
from tests.chain.players import Player

ADA, BEN, CYD, EVE = (Player(name) for name in ("ada", "ben", "cyd", "eve"))
HONEST = (ADA, BEN, CYD)
STAKE = RULES.min_stake_micro
POSTER_S = 10


async def in_round_two() -> FakeBench:
    """A run on the fake chain, by now in round 2, of which all four are members."""
    found = FakeBench()
    await found.join(*HONEST, EVE)
    found.world.roster.open_next()
    found.world.pass_time(1, blocks=3)
    return found


class Records:
    """What the network has of the round, and how often it was asked."""

    def __init__(self) -> None:
        self.signed: dict[tuple[str, int], dict[Any, tuple[Envelope, ...]]] = {}
        self.asked = 0

    async def collect_all(self, key: RecordKey) -> dict[Any, tuple[Envelope, ...]]:
        self.asked += 1
        return self.signed.get((key.kind, key.round), {})


class House:
    """What a member has of its own. Made anew in the same folder it is the same peer, started again."""

    def __init__(self, bench: Bench, player: Player, folder: Path, records: Records) -> None:
        self.bench, self.player, self.folder, self.records = bench, player, folder, records
        self.now = 1000.0
        self.log = EventLog(folder / "events.jsonl")
        self.outbox = Outbox(folder / "outbox.log")
        self.chain: Any = bench.chain(player)
        self.evidence = Evidence(folder / "evidence")
        own = SimpleNamespace(
            signer=SimpleNamespace(peer=player.peer, wallet=player.wallet),
            run=SimpleNamespace(id=bench.run, time=SimpleNamespace(poster_s=POSTER_S)),
            transport=records,
            events=self.log,
            now=lambda: self.now,
        )
        troubles = Troubles(self.log)
        settler = Settler(self.chain, self.outbox, player.wallet, self.log, troubles)
        self.equivocations = Equivocations(
            own,
            self.chain,
            self.outbox,
            settler,
            troubles,
            self.evidence,  # type: ignore[arg-type]
        )

    async def attend(self, contradicting: Sequence[Player]) -> None:
        inbox: Any = SimpleNamespace(contradicting={player.peer for player in contradicting})
        self.equivocations.attend(await self.chain.clock(), inbox)

    async def look(self, *, after_s: float = 0.0) -> None:
        self.now += after_s
        await self.equivocations.tend()

    async def rests(self) -> int:
        """Tokens in its wallet, in millionths."""
        return int((await self.chain.balance(self.player.wallet)).token_wei // 10**12)

    def told(self, *kinds: type) -> list[Any]:
        return [logged.event for logged in read(self.log.path).events if isinstance(logged.event, kinds)]


def signed(
    bench: Bench, of: Player, payload: bytes, *, round: int, kind: str = "contribution", by: Any = None
) -> Envelope:
    digest = record_digest(bench.contracts, bench.run, kind, round, content_id(payload))
    return Envelope(
        version=WIRE_VERSION, run=bench.run, kind=kind, round=round, peer=of.peer, payload=payload,
        signature=sign_digest((by or of).secret, digest), delegation=None,
    )  # fmt: skip


def contradiction(bench: Bench, of: Player, *, round: int, kind: str = "contribution") -> Records:
    """Two records of ``of``, and one of everybody else."""
    records = Records()
    twice = tuple(signed(bench, of, payload, round=round, kind=kind) for payload in (b"one", b"other"))
    once = {player.peer: (signed(bench, player, b"mine", round=round),) for player in HONEST}
    records.signed[kind, round] = {of.peer: twice} | once
    return records


def houses(bench: Bench, folder: Path, records: Records) -> list[House]:
    return [House(bench, player, folder / player.peer, records) for player in HONEST]


def in_turn(found: list[House], view: Any) -> list[House]:
    """In the order in which they accuse."""
    return sorted(found, key=lambda house: turn_of(house.player.peer, EVE.peer, view))


async def stake_of(bench: Bench, player: Player) -> int:
    record = await bench.chain(ADA).peer(player.peer)
    assert record is not None
    return record.liable_micro
