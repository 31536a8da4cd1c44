"""One peer, one hand: a restored peer sits out what it may have signed, twins stop, a rotated key signs in its time."""

from __future__ import annotations

import asyncio
import shutil

import msgspec
import pytest

from chain.base import Refresh, Rotate
from chain.fake import FakeChain
from identity.fence import FILE as RESTORED
from identity.fence import Fence, Restored, write_restored
from identity.keyfile import load_key
from identity.signer import Signer
from identity.signing_keys import load_signing_keys, make_signing_key
from protocol.codec import decode, encode
from protocol.errors import IdentityError
from protocol.events import ContributionSigned, HeldBack, Progress, RecordRejected, RoundEnded, RoundSettled
from protocol.messages import Contribution, Presence
from swarm.dht.transport import RecordKey
from swarm.member.presence import Spoken, announce, is_second, require_only_one
from swarm.rounds.journal import Journal
from swarm.settings.home import PeerHome
from tests.swarm.small_swarm import Seat, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]


def signer_of(home: PeerHome, seat: Seat) -> Signer:
    """As a starting peer makes it."""
    return Signer(
        load_key(home.key_file), seat.wallet, rotated=lambda: load_signing_keys(home.root), fence=Fence(home.root)
    )


def signed_rounds(home: PeerHome, run: str) -> dict[int, bytes]:
    """The contributions in a journal, by round."""
    journal = Journal(home.run(run).journal)
    kept = {number: journal.read(number, "contribution") for number in range(1, 12)}
    return {number: found[0].payload for number, found in kept.items() if found is not None}


async def until(true, timeout_s: float = 600.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_restored_peer_signs_nothing_in_the_round_that_was_open_and_plays_the_next(tmp_path):
    async with small_swarm(tmp_path, 3) as swarm:
        others = [asyncio.ensure_future(seat.node().run(None)) for seat in swarm.seats[:2]]
        mine = swarm.seats[2]
        first_life = asyncio.ensure_future(mine.node().run(None))
        await until(lambda: mine.told(RoundSettled))
        old = PeerHome(tmp_path / "backup")
        shutil.copytree(mine.home.root, old.root)  # a backup of the middle of a round …
        since = swarm.world.roster.round
        await until(lambda: swarm.world.roster.round > since and signed_rounds(mine.home, swarm.run.id).get(since + 1))
        first_life.cancel()  # … after which the old machine signed more, and died
        await asyncio.gather(first_life, return_exceptions=True)
        lost = signed_rounds(mine.home, swarm.run.id)
        shutil.rmtree(mine.home.root)
        shutil.copytree(old.root, mine.home.root)
        write_restored(mine.home.root / RESTORED, Restored(made_at=1.0, restored_at=2.0))
        mine.signer = signer_of(mine.home, mine)
        await mine.node().run(1)
        for other in others:
            other.cancel()

        closed = mine.told(HeldBack)[-1].until_round
        again = signed_rounds(mine.home, swarm.run.id)
        assert closed >= max(lost)
        assert max(again) > closed
        assert [number for number in again if number <= closed and again[number] != lost.get(number)] == []
        assert [event.outcome for event in mine.told(RoundEnded)[-1:]] == ["complete"]
        assert [event for event in mine.told(Progress) if event.what.startswith("fetching this peer's own state")]
        assert Fence(mine.home.root).closed(swarm.run.id) == closed
        rejected = [one.reason for seat in swarm.seats for one in seat.told(RecordRejected)]
        assert "equivocation" not in rejected


async def test_a_second_machine_ends_before_it_says_anything_and_the_first_plays_on(tmp_path):
    async with small_swarm(tmp_path, 2) as swarm:
        seat, other = swarm.seats
        first, second = seat.node()._bench, seat.node()._bench
        spoken = Spoken(seat.home.presence_file)
        speaking = asyncio.ensure_future(announce(first, first.events, spoken))
        other.node()
        await asyncio.sleep(11.0)
        with pytest.raises(IdentityError, match="Another machine runs this peer already"):
            await require_only_one(second, Spoken())
        await require_only_one(second, Spoken(seat.home.presence_file))  # restarted in the same folder: it is its own
        speaking.cancel()
        await require_only_one(second, Spoken())  # whoever was there a moment ago says nothing more
        assert not speaking.done() or speaking.cancelled()


@pytest.mark.parametrize(
    ("own", "other", "silent_s", "is_the_second"),
    [("/a", "/b", 10.0, False), ("/b", "/a", 10.0, True), ("/a", "/b", 46.0, True), ("/a", "/a", 10.0, True)],
)
async def test_of_two_machines_that_run_already_the_silent_one_or_the_later_address_ends(
    own, other, silent_s, is_the_second
):
    assert is_second((own,), Presence((other,), 0, "online", 1), silent_s=silent_s) is is_the_second


async def test_two_machines_that_began_together_do_not_both_go_on(tmp_path):
    async with small_swarm(tmp_path, 2) as swarm:
        seat, other = swarm.seats
        asleep, awake = seat.node()._bench, seat.node()._bench
        other.node()
        sleeper = asyncio.ensure_future(announce(asleep, asleep.events, Spoken()))
        await asyncio.sleep(1.0)
        held = asyncio.ensure_future(announce(awake, awake.events, Spoken()))
        with pytest.raises(IdentityError, match="this one stopped"):
            await asyncio.wait_for(asyncio.gather(sleeper, held), 60.0)
        held.cancel()
        sleeper.cancel()


async def test_who_finds_a_record_of_its_own_that_it_did_not_write_signs_no_second_one(tmp_path):
    async with small_swarm(tmp_path, 2) as swarm:
        seat, other = swarm.seats
        playing = asyncio.ensure_future(other.node().run(1))
        twin = PeerHome(tmp_path / "twin")
        shutil.copytree(seat.home.root, twin.root)
        first = asyncio.ensure_future(seat.node().run(1))
        await until(lambda: Journal(seat.home.run(swarm.run.id).journal).read(1, "answer"))
        second = Seat(twin, signer_of(twin, seat), seat.wallet, swarm)
        node = second.node()
        with pytest.raises(IdentityError, match=r"published its \w+ of round 1 already"):
            await asyncio.wait_for(node.run(1), 60)
        assert signed_rounds(twin, swarm.run.id) == {}
        first.cancel()
        playing.cancel()


async def test_nothing_is_signed_before_the_open_round_is_known_or_in_a_closed_one(tmp_path):
    async with small_swarm(tmp_path, 1) as swarm:
        seat = swarm.seats[0]
        write_restored(seat.home.root / RESTORED, Restored(1.0, 2.0))
        signer = signer_of(seat.home, seat)

        def seal(number: int):
            return signer.seal(swarm.run.id, "answer", number, b"x", swarm.world.contracts)

        with pytest.raises(IdentityError, match="Round 1 may have been signed"):
            seal(1)
        assert signer.fence is not None
        signer.fence.close(swarm.run.id, 4)
        with pytest.raises(IdentityError, match="Round 4 may have been signed"):
            seal(4)
        assert seal(5).round == 5
        assert seal(0).round == 0, "presence belongs to no round"
        signer.fence.close(swarm.run.id, 2)
        assert Fence(seat.home.root).closed(swarm.run.id) == 4, "what is closed stays closed"


async def test_a_rotated_account_signs_from_the_round_on_in_which_the_chain_gives_it_the_seat(tmp_path):
    async with small_swarm(tmp_path, 3) as swarm:
        seat = swarm.seats[0]
        seat.signer = signer_of(seat.home, seat)
        former = seat.signer.address
        nodes = [asyncio.ensure_future(one.node().run(4)) for one in swarm.seats]
        await until(lambda: seat.told(ContributionSigned))
        chain = FakeChain(swarm.world, seat.wallet)
        secret = make_signing_key(seat.home.root, 1)
        rotation = seat.signer.rotation(swarm.world.contracts, secret, 1)
        await chain.send(rotation)
        await chain.send(Refresh(seat.peer))
        rotated_in = swarm.world.roster.round
        await asyncio.gather(*nodes)

        assert seat.signer.address == rotation.signer != former
        assert isinstance(rotation, Rotate)
        assert [event.outcome for event in seat.told(RoundEnded)] == ["complete"] * 4
        reasons = {one.reason for other in swarm.seats for one in other.told(RecordRejected)}
        assert reasons & {"former_signer", "wrong_signature", "wrong_owner"} == set()
        transport = swarm.seats[1].transport
        assert transport is not None
        for number in (1, 2, 3, 4):
            found = transport.book.envelopes(RecordKey(swarm.run.id, "contribution", number)).get(seat.peer)
            assert found is not None
            assert decode(found.payload, Contribution).peer == seat.peer
            account = former if found.delegation is None else found.delegation.signer
            assert account == (former if number <= rotated_in else rotation.signer)
        # The old key is worth nothing any more, also in the hands of whoever stole it.
        stolen = Signer(load_key(seat.home.key_file), seat.wallet)
        forged = stolen.seal(swarm.run.id, "answer", 4, encode("x"), swarm.world.contracts)
        with pytest.raises(Exception, match="does not sign for"):
            transport.book.gate.open(*_place(forged), encode(forged))


def _place(envelope):
    from swarm.dht.records import key_of, slot_of, subkey_of

    return slot_of(key_of(envelope)), subkey_of(envelope)


async def test_a_restored_file_that_is_damaged_stops_the_peer_instead_of_opening_the_fence(tmp_path):
    (tmp_path / RESTORED).write_bytes(msgspec.json.encode({"made_at": "?"}))
    with pytest.raises(IdentityError, match="cannot be read"):
        Fence(tmp_path)
