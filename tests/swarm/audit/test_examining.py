"""Anybody can check anybody: a stranger who joins after the fact sees what the auditors saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from identity.names import nickname
from protocol.errors import ConfigError
from protocol.events import Audited, ContributionSigned, RoundSettled
from protocol.ids import PeerId
from protocol.messages import Finding
from protocol.run import AuditRules
from swarm.app.verifying import EXIT_CODES
from swarm.audit.casework import Casework
from swarm.audit.commitments import Clerk
from swarm.audit.examining import Examined, examine, name_peer
from swarm.policy.fake import FakeEngine
from swarm.rounds.engine_room import EngineRoom
from tests.swarm import cheats
from tests.swarm.small_swarm import QUICK_BLOBS, Doubling, Seat, SmallSwarm, pupil, small_swarm
from tests.swarm.test_cheats import QUICK, play
from tests.virtual_time import now

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

NOBODY_LOOKS = AuditRules("fake", 2, 0, 3, 16, 0, 3)
STRANGER = PeerId("16Uiu2HAmGrKz1qLyn6jLHoQVUoLSCCyAoPfnpyz8sRYzayJiFcpV")


async def check(
    swarm: SmallSwarm, seat: Seat, round_number: int, level: int = 2, *, replayable: bool = True
) -> Examined:
    transport = swarm.network.join(STRANGER, blobs=QUICK_BLOBS)
    engine = FakeEngine(pupil)
    casework = Casework(
        swarm.run, Doubling(), transport, engine.text_of, Clerk(engine, 2).derive, engine.parts(), {}, now, poll_s=0.01
    )
    room = EngineRoom()
    try:
        peer = await name_peer(transport, swarm.run, round_number, nickname(seat.peer), patience_s=0.2)
        return await examine(casework, transport, engine, room, swarm.run, round_number, peer, level=level, now=now)
    finally:
        room.close()
        await transport.close()


async def test_honest_work_comes_out_the_same_at_every_level(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, audit=NOBODY_LOOKS, **QUICK) as swarm:
        await play(swarm, [seat.node() for seat in swarm.seats], 2)
        for round_number in (1, 2):
            for level in (0, 1, 2):
                found = await check(swarm, swarm.seats[1], round_number, level)
                assert (found.verdict, found.level, found.first_difference) == (Finding.MATCH, level, None)
                assert found.content == swarm.seats[1].told(ContributionSigned)[round_number - 1].content
                assert found.bytes > 60_000
                assert EXIT_CODES[found.verdict] == 0
        with pytest.raises(ConfigError, match="can be seen"):
            await check(swarm, swarm.seats[1], 7)


@pytest.mark.parametrize(
    ("name", "level", "place"),
    [("one_token_changed", 1, ("answer", 0, 0, 0, None)), ("one_bit_of_one_moment", 2, (None, None, None, None, 0))],
)
async def test_a_cheat_that_nobody_audited_is_found_by_whoever_looks(
    tmp_path: Path, name: str, level: int, place: tuple[object, ...]
) -> None:
    async with small_swarm(tmp_path, 4, audit=NOBODY_LOOKS, **QUICK) as swarm:
        *honest, eve = swarm.seats
        engine, _ = cheats.ENGINES[name]
        await play(swarm, [*(seat.node() for seat in honest), eve.node(engine=engine)], 1)
        assert eve.peer in honest[0].told(RoundSettled)[0].micro_credits
        assert (await check(swarm, eve, 1, level - 1)).verdict is Finding.MATCH
        found = await check(swarm, eve, 1)
        assert (found.verdict, found.level) == (Finding.MISMATCH, level)
        where = found.first_difference
        assert where is not None
        assert (where.stage, where.question, where.sample, where.position, where.chunk) == place
        assert EXIT_CODES[found.verdict] == 6


async def test_what_nobody_serves_any_more_is_unavailable(tmp_path: Path) -> None:
    async with small_swarm(tmp_path, 3, audit=NOBODY_LOOKS, **QUICK) as swarm:
        await play(swarm, [seat.node() for seat in swarm.seats], 2)
        Casework.PATIENCE_S, patience_s = 0.3, Casework.PATIENCE_S
        try:
            for seat in swarm.seats:
                shutil.rmtree(seat.home.run(swarm.run.id).held)
                assert seat.transport is not None
                seat.transport._blobs._offered._blobs.clear()
                seat.transport._blobs._fetched._blobs.clear()
            found = await check(swarm, swarm.seats[0], 2)
        finally:
            Casework.PATIENCE_S = patience_s
        assert (found.verdict, found.level) == (Finding.UNAVAILABLE, 0)
        assert EXIT_CODES[found.verdict] == 4


async def test_an_engine_that_cannot_be_replayed_is_checked_at_level_0_and_says_so(tmp_path: Path) -> None:
    class Native:
        name, profile = "fake", "bytes"

        def __init__(self, inner: FakeEngine) -> None:
            for verb in ("generate", "step", "state_hash", "save", "load", "text_of"):
                setattr(self, verb, getattr(inner, verb))

    async with small_swarm(tmp_path, 3, **QUICK) as swarm:
        await play(swarm, [seat.node(engine=Native, genesis=None) for seat in swarm.seats], 2)
        transport = swarm.network.join(STRANGER, blobs=QUICK_BLOBS)
        engine = Native(FakeEngine(pupil))
        casework = Casework(
            swarm.run, Doubling(), transport, engine.text_of, Clerk(engine, 2).derive, None, {}, now, poll_s=0.01
        )
        found = await examine(
            casework, transport, engine, EngineRoom(), swarm.run, 2, swarm.seats[0].peer, level=2, now=now
        )
        assert (found.verdict, found.level) == (Finding.MATCH, 0)
        assert "only scores were checked" in found.why
        for seat in swarm.seats:
            audited = seat.told(Audited)
            assert {(event.level, event.finding) for event in audited} <= {(0, Finding.MATCH)}
            earned = sum(event.micro_credits.get(seat.peer, 0) for event in seat.told(RoundSettled))
            assert swarm.world.token_wei[seat.wallet] == earned * 10**12
        assert any(seat.told(Audited) for seat in swarm.seats)
