"""What every transport must do; the same sentences for the one in memory and the real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import pytest
import pytest_asyncio

from protocol.codec import RECORD_CAP, encode
from protocol.errors import BadRecord
from protocol.messages import BlobRef
from swarm.dht.blobs import BlobLimits
from swarm.dht.memory import MemoryNetwork, MemoryTransport
from swarm.dht.records import slot_of
from swarm.dht.transport import RecordKey
from tests.swarm.dht.people import RUN, Person, Rejections, check_signature, key

pytestmark = pytest.mark.asyncio

ANN, BOB, CAT = Person("ann"), Person("bob"), Person("cat")
BLOBS = BlobLimits(stall_s=2.0, total_s=8.0)


class Swarm(Protocol):
    """Peers of one network, and what a hostile one may send: any bytes, under any key and subkey, to any peer."""

    async def join(self, person: Person, rejections: Rejections | None = None): ...

    async def send(self, sender, receiver, key: RecordKey, subkey: str, data: bytes, expires_at: float) -> None: ...


@dataclass
class InMemory:
    network: MemoryNetwork = field(default_factory=lambda: MemoryNetwork(RUN, check_signature))

    async def join(self, person: Person, rejections: Rejections | None = None) -> MemoryTransport:
        return self.network.join(person.peer, on_rejected=rejections, blobs=BLOBS)

    async def send(self, sender, receiver, key, subkey, data, expires_at) -> None:
        receiver.book.admit(slot_of(key), subkey, data, expires_at)


@dataclass
class Real:
    folder: Path
    transports: list = field(default_factory=list)

    async def join(self, person: Person, rejections: Rejections | None = None):
        from swarm.dht.libp2p import Libp2pSettings, start_libp2p

        bootnodes = self.transports[0].addresses if self.transports else ()
        settings = Libp2pSettings(person.identity_file(self.folder), bootnodes, lookup_every_s=0.05, blobs=BLOBS)
        transport = await start_libp2p(settings, run=RUN, verify=check_signature, on_rejected=rejections)
        self.transports.append(transport)
        return transport

    async def send(self, sender, receiver, key, subkey, data, expires_at) -> None:
        from hivemind.dht.routing import DHTID
        from hivemind.p2p import PeerID

        await sender._node.protocol.call_store(
            PeerID.from_base58(receiver.peer),
            [DHTID.from_bytes(slot_of(key))],
            [data],
            expires_at,
            subkeys=[subkey],
        )

    async def close(self) -> None:
        await asyncio.gather(*(transport.close() for transport in self.transports))


@pytest_asyncio.fixture(params=["memory", pytest.param("libp2p", marks=pytest.mark.integration)])
async def swarm(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Swarm]:
    if request.param == "memory":
        yield InMemory()
        return
    real = Real(tmp_path)
    yield real
    await real.close()


async def eventually(found: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not await found():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)


async def test_what_one_publishes_the_others_collect(swarm: Swarm) -> None:
    a, b, c = [await swarm.join(person) for person in (ANN, BOB, CAT)]
    assert await c.collect(key()) == {}
    said = {ANN.peer: ANN.says(b"a"), BOB.peer: BOB.says(b"b")}
    await a.publish(said[ANN.peer], ttl_s=60)
    await b.publish(said[BOB.peer], ttl_s=60)
    for reader in (a, b, c):

        async def sees_both(reader=reader) -> bool:
            return await reader.collect(key()) == said

        await eventually(sees_both)
    assert await a.collect(key(round=2)) == {}


async def test_publishing_the_same_bytes_again_is_harmless(swarm: Swarm) -> None:
    heard = Rejections()
    a, b = await swarm.join(ANN), await swarm.join(BOB, heard)
    for _ in range(3):
        await a.publish(ANN.says(b"a"), ttl_s=60)

    async def sees() -> bool:
        return await b.collect(key()) == {ANN.peer: ANN.says(b"a")}

    await eventually(sees)
    assert heard == []


async def test_a_peer_that_joins_late_finds_what_was_said_before(swarm: Swarm) -> None:
    a, _ = await swarm.join(ANN), await swarm.join(BOB)
    await a.publish(ANN.says(b"a"), ttl_s=60)
    late = await swarm.join(CAT)

    async def sees() -> bool:
        return await late.collect(key()) == {ANN.peer: ANN.says(b"a")}

    await eventually(sees)


async def test_the_later_presence_of_a_peer_is_what_others_see(swarm: Swarm) -> None:
    a, b = await swarm.join(ANN), await swarm.join(BOB)
    for at_ms in (1, 2, 3):
        await a.publish(ANN.is_here(at_ms), ttl_s=60)

    async def sees() -> bool:
        return await b.collect(key("presence", 0)) == {ANN.peer: ANN.is_here(3)}

    await eventually(sees)


async def test_all_revisions_of_an_attestation_can_be_read(swarm: Swarm) -> None:
    a, b = await swarm.join(ANN), await swarm.join(BOB)
    said = tuple(ANN.says(payload, kind="attestation") for payload in (b"first", b"second"))
    for envelope in said:
        await a.publish(envelope, ttl_s=60)

    async def sees() -> bool:
        return set((await b.collect_all(key("attestation"))).get(ANN.peer, ())) == set(said)

    await eventually(sees)


async def test_a_record_above_the_cap_is_not_published(swarm: Swarm) -> None:
    a = await swarm.join(ANN)
    with pytest.raises(BadRecord) as caught:
        await a.publish(ANN.says(b"x" * RECORD_CAP), ttl_s=60)
    assert caught.value.reason == "oversized"


async def test_a_record_at_the_cap_travels(swarm: Swarm) -> None:
    a, b = await swarm.join(ANN), await swarm.join(BOB)
    room = RECORD_CAP - len(encode(ANN.says(b"x" * 1000))) + 1000
    envelope = ANN.says(b"x" * room)
    assert len(encode(envelope)) == RECORD_CAP
    await a.publish(envelope, ttl_s=60)

    async def sees() -> bool:
        return await b.collect(key()) == {ANN.peer: envelope}

    await eventually(sees)


def hostile_records() -> dict[str, tuple[RecordKey, str, bytes]]:
    """By the reason for which each must be refused: key, subkey, bytes."""
    honest = BOB.says(b"b")
    return {
        "oversized": (key(), BOB.peer, b"\x00" * (RECORD_CAP + 1)),
        "malformed": (key(), BOB.peer, b"\xc1 junk"),
        "wrong_version": (key(), BOB.peer, encode(msgspec.structs.replace(honest, version=99))),
        "wrong_run": (key(), BOB.peer, encode(BOB.says(b"b", run=msgspec.convert("e" * 64, str)))),
        "wrong_owner": (key(), ANN.peer, encode(honest)),
        "wrong_round": (key(round=2), BOB.peer, encode(honest)),
        "unsigned": (key(), BOB.peer, encode(msgspec.structs.replace(honest, signature=b""))),
        "wrong_signature": (key(), ANN.peer, encode(BOB.signs(ANN.says(b"a")))),
    }


async def test_every_kind_of_bad_record_is_refused_named_and_reported_once(swarm: Swarm) -> None:
    heard = Rejections()
    reader = await swarm.join(ANN, heard)
    expected = set()
    for number, (reason, (where, subkey, data)) in enumerate(hostile_records().items()):
        hostile = await swarm.join(Person(f"hostile {number}"))  # each from a new sender: none is shunned yet
        await reader.collect(where)
        for _ in range(3):
            await swarm.send(hostile, reader, where, subkey, data, time.time() + 60)
        expected.add((reason, subkey, where.kind, where.round))
        if number >= 2:
            await hostile.close()
    assert set(heard) == expected
    assert len(heard) == len(expected)
    assert await reader.collect(key()) == {}
    assert await reader.collect(key(round=2)) == {}


async def test_one_owners_two_batches_are_reported_as_equivocation(swarm: Swarm) -> None:
    heard = Rejections()
    a, reader = await swarm.join(ANN), await swarm.join(BOB, heard)
    first, second = ANN.says(b"first"), ANN.says(b"second")
    await swarm.send(a, reader, key(), ANN.peer, encode(first), time.time() + 60)
    await swarm.send(a, reader, key(), ANN.peer, encode(second), time.time() + 3600)
    assert await reader.collect(key()) == {ANN.peer: first}
    assert heard.reasons == ["equivocation"]


async def test_whoever_was_shown_one_batch_only_learns_that_its_owner_signed_another(swarm: Swarm) -> None:
    a, knows, learns = [await swarm.join(person) for person in (ANN, BOB, CAT)]
    first, second = ANN.says(b"first"), ANN.says(b"second")
    for reader in (knows, learns):
        await swarm.send(a, reader, key(), ANN.peer, encode(first), time.time() + 60)
    await swarm.send(a, knows, key(), ANN.peer, encode(second), time.time() + 60)

    async def sees_both() -> bool:
        return await learns.collect_all(key()) == {ANN.peer: (first, second)}

    await eventually(sees_both)
    assert await learns.collect(key()) == {ANN.peer: first}


async def test_thousands_of_junk_subkeys_hide_nobodys_record(swarm: Swarm) -> None:
    heard = Rejections()
    a, hostile, reader = [await swarm.join(p, h) for p, h in ((ANN, None), (CAT, None), (BOB, heard))]
    await a.publish(ANN.says(b"a"), ttl_s=60)
    started = time.monotonic()
    for number in range(2000):
        await swarm.send(hostile, reader, key(), f"junk {number}", b"\xc1", time.time() + 60)

    async def sees() -> bool:
        return await reader.collect(key()) == {ANN.peer: ANN.says(b"a")}

    await eventually(sees)
    assert time.monotonic() - started < 20
    assert len(heard) <= 110
    assert reader.book.num_bytes < 100_000


async def test_a_blob_arrives_as_it_was_offered(swarm: Swarm) -> None:
    a, b = await swarm.join(ANN), await swarm.join(BOB)
    for blob in (b"", b"x", bytes(range(256)) * 8192):
        assert await b.fetch(a.offer(blob), ANN.peer) == blob


async def test_a_blob_that_nobody_offered_is_unavailable_and_another_provider_helps(swarm: Swarm) -> None:
    a, b, c = [await swarm.join(person) for person in (ANN, BOB, CAT)]
    ref = a.offer(b"only ann has it")
    with pytest.raises(BadRecord) as caught:
        await c.fetch(ref, BOB.peer)
    assert caught.value.reason == "unavailable"
    assert await c.fetch(ref, BOB.peer, ANN.peer) == b"only ann has it"
    assert await b.fetch(ref, CAT.peer) == b"only ann has it"  # whoever fetched a blob serves it


async def test_a_false_size_in_a_blob_reference_is_found(swarm: Swarm) -> None:
    a, b = await swarm.join(ANN), await swarm.join(BOB)
    ref = a.offer(b"twelve bytes")
    for size, reason in ((11, "oversized"), (13, "hash_mismatch")):
        with pytest.raises(BadRecord) as caught:
            await b.fetch(BlobRef(content=ref.content, size=size), ANN.peer)
        assert caught.value.reason == reason


async def test_addresses_end_in_the_peer_id(swarm: Swarm) -> None:
    a = await swarm.join(ANN)
    assert a.addresses
    assert all(address.endswith(f"/p2p/{ANN.peer}") for address in a.addresses)


async def test_closing_twice_is_harmless(swarm: Swarm) -> None:
    a = await swarm.join(ANN)
    await a.close()
    await a.close()
