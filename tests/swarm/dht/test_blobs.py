"""Blobs: what was announced arrives, or the fetch ends in time with the right word for why."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from protocol.codec import BLOB_CAP, content_id
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef
from swarm.dht.blobs import BlobCache, BlobExchange, BlobLimits, Streams
from tests.virtual_time import now

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

ANN, BOB = PeerId("ann"), PeerId("bob")
QUICK = BlobLimits(stall_s=0.1, total_s=1.0, chunk_bytes=1024)
BLOB = bytes(range(256)) * 40
REF = BlobRef(content=content_id(BLOB), size=len(BLOB))

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Wire:
    """Opens streams to whatever handler a peer has; counts them."""

    def __init__(self) -> None:
        self.handlers: dict[PeerId, Handler] = {}
        self.num_opened = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, provider: PeerId) -> Streams:
        self.num_opened += 1
        handler = self.handlers[provider]
        near, far = socket.socketpair()
        far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        server = await asyncio.open_connection(sock=far)
        task = asyncio.ensure_future(handler(*server))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.open_connection(sock=near)

    def honest(self, provider: PeerId, limits: BlobLimits = QUICK) -> BlobExchange:
        exchange = BlobExchange(self.open, limits)
        self.handlers[provider] = lambda reader, writer: exchange.serve(BOB, reader, writer)
        return exchange

    def client(self, limits: BlobLimits = QUICK) -> BlobExchange:
        return BlobExchange(self.open, limits)


def found(size: int) -> bytes:
    return b"\x00" + size.to_bytes(8, "big")


def sends(*parts: bytes, then_waits: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(32)
        for part in parts:
            writer.write(part)
        if then_waits:
            await reader.read()
        writer.close()

    return handler


async def reason_of(wire: Wire, ref: BlobRef = REF, *providers: PeerId) -> str:
    with pytest.raises(BadRecord) as caught:
        await wire.client().fetch(ref, providers or (ANN,))
    return caught.value.reason


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 300_000])
async def test_a_blob_arrives_whatever_its_size(size: int) -> None:
    wire = Wire()
    blob = bytes(index % 251 for index in range(size))
    ref = wire.honest(ANN).offer(blob)
    assert ref == BlobRef(content=content_id(blob), size=size)
    assert await wire.client().fetch(ref, [ANN]) == blob


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (sends(found(REF.size), b"\x01" + BLOB[1:]), "hash_mismatch"),
        (sends(found(REF.size), BLOB[:-1]), "unavailable"),
        (sends(found(REF.size), BLOB, b"more"), "oversized"),
        (sends(found(REF.size + 1), BLOB + b"x"), "oversized"),
        (sends(found(2**63), BLOB), "oversized"),
        (sends(found(REF.size - 1), BLOB[:-1]), "hash_mismatch"),
        (sends(found(REF.size), BLOB[:5000], then_waits=True), "stalled"),
        (sends(then_waits=True), "stalled"),
        (sends(b"\x00\x00", then_waits=True), "stalled"),
        (sends(b"\x01" + bytes(8)), "unavailable"),
        (sends(b"\x77" + bytes(8)), "unavailable"),
        (sends(), "unavailable"),
    ],
)
async def test_a_hostile_provider_gets_its_word(handler: Handler, reason: str) -> None:
    wire = Wire()
    wire.handlers[ANN] = handler
    started = now()
    assert await reason_of(wire) == reason
    assert now() - started < 1.0


async def test_a_provider_that_drips_is_cut_off_by_the_total_limit() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(found(REF.size))
        for byte in BLOB:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    wire = Wire()
    wire.handlers[ANN] = drip
    started = now()
    assert await reason_of(wire) == "stalled"
    assert 0.9 < now() - started < 2.0


async def test_a_provider_that_is_always_busy_is_asked_again_and_then_given_up() -> None:
    wire = Wire()
    wire.handlers[ANN] = sends(b"\x02" + bytes(8))
    assert await reason_of(wire) == "stalled"
    assert 3 <= wire.num_opened <= 6


@pytest.mark.parametrize(("num_silent", "num_opened"), [(0, 1), (2, 3), (3, 3), (9, 3)])
async def test_a_stream_that_ends_before_a_word_is_opened_again_and_not_for_ever(
    num_silent: int, num_opened: int
) -> None:
    wire = Wire()
    honest = wire.honest(ANN)
    honest.offer(BLOB)

    async def drops_some(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if wire.num_opened <= num_silent:
            writer.close()
        else:
            await honest.serve(BOB, reader, writer)

    wire.handlers[ANN] = drops_some
    if num_silent < num_opened:
        assert await wire.client().fetch(REF, [ANN]) == BLOB
    else:
        with pytest.raises(BadRecord, match=r"closed|broke") as caught:
            await wire.client().fetch(REF, [ANN])
        assert caught.value.reason == "unavailable"
    assert wire.num_opened == num_opened


async def test_an_unknown_provider_is_unavailable() -> None:
    assert await reason_of(Wire()) == "unavailable"
    with pytest.raises(BadRecord, match="Nobody is known"):
        await Wire().client().fetch(REF, [])


async def test_a_reference_above_the_cap_or_without_a_hash_opens_no_stream() -> None:
    wire = Wire()
    assert await reason_of(wire, BlobRef(content=REF.content, size=BLOB_CAP + 1)) == "oversized"
    assert await reason_of(wire, BlobRef(content=REF.content, size=-1)) == "oversized"
    assert await reason_of(wire, BlobRef(content=ContentId("../../etc/passwd"), size=1)) == "malformed"
    assert wire.num_opened == 0


async def test_several_providers_are_tried_and_the_first_ones_reason_is_told() -> None:
    wire = Wire()
    wire.handlers[ANN] = sends(found(REF.size), bytes(REF.size))
    wire.honest(BOB).offer(BLOB)
    assert await wire.client().fetch(REF, [ANN, BOB]) == BLOB
    wire.handlers[BOB] = sends(b"\x01" + bytes(8))
    assert await reason_of(wire, REF, ANN, BOB) == "hash_mismatch"


async def test_equal_concurrent_fetches_share_one_stream_and_later_ones_need_none() -> None:
    wire = Wire()
    wire.honest(ANN).offer(BLOB)
    client = wire.client()
    assert await asyncio.gather(*(client.fetch(REF, [ANN]) for _ in range(5))) == [BLOB] * 5
    assert await client.fetch(REF, [ANN]) == BLOB
    assert wire.num_opened == 1


async def test_one_callers_cancellation_does_not_take_the_blob_from_another() -> None:
    wire = Wire()
    wire.honest(ANN).offer(BLOB)
    client = wire.client()
    first, second = (asyncio.ensure_future(client.fetch(REF, [ANN])) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == BLOB
    assert first.cancelled()
    assert wire.num_opened == 1


async def test_a_client_that_does_not_read_is_dropped() -> None:
    wire = Wire()
    server = wire.honest(ANN)
    ref = server.offer(bytes(4 * 1024 * 1024))
    _, writer = await wire.open(ANN)
    writer.write(bytes.fromhex(ref.content))
    for expected in (1, 0):
        deadline = now() + 2.0
        while server.num_streams != expected:
            assert now() < deadline
            await asyncio.sleep(0.01)
    writer.close()


async def test_a_client_that_asks_nothing_is_dropped() -> None:
    wire = Wire()
    wire.honest(ANN)
    reader, writer = await wire.open(ANN)
    assert await asyncio.wait_for(reader.read(), 2.0) == b""
    writer.close()


async def test_one_peer_gets_so_many_streams_and_bytes_and_the_rest_hears_busy() -> None:
    wire = Wire()
    wire.honest(ANN, replace(QUICK, streams_per_peer=2, stall_s=1.0)).offer(BLOB)
    idle = [await wire.open(ANN) for _ in range(2)]
    await asyncio.sleep(0.05)
    assert await answer(wire) == 2
    for _, writer in idle:
        writer.close()

    wire.honest(ANN, replace(QUICK, peer_bytes_per_minute=2 * len(BLOB))).offer(BLOB)
    assert [await answer(wire) for _ in range(3)] == [0, 0, 2]


async def test_hundreds_of_idle_streams_of_one_peer_take_no_place_from_the_others() -> None:
    wire = Wire()
    server = wire.honest(ANN, replace(QUICK, streams=8, stall_s=1.0))
    server.offer(BLOB)
    idle = [await wire.open(ANN) for _ in range(50)]  # all of them are BOB's
    await asyncio.sleep(0.05)
    assert server.num_streams == 4
    wire.handlers[ANN] = lambda reader, writer: server.serve(ANN, reader, writer)
    assert await answer(wire) == 0
    for _, writer in idle:
        writer.close()


async def answer(wire: Wire) -> int:
    reader, writer = await wire.open(ANN)
    writer.write(bytes.fromhex(REF.content))
    status = (await reader.readexactly(9))[0]
    await reader.read()
    writer.close()
    return status


async def test_offering_more_than_a_blob_may_be_is_refused() -> None:
    with pytest.raises(BadRecord) as caught:
        Wire().client().offer(bytes(BLOB_CAP + 1))
    assert caught.value.reason == "oversized"


async def test_the_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    cache = BlobCache(cap_bytes=10)
    names = [ContentId(str(number)) for number in range(4)]
    for name in names[:2]:
        cache.put(name, b"12345")
    assert cache.get(names[0]) == b"12345"
    cache.put(names[2], b"123")
    assert [name in cache for name in names] == [True, False, True, False]
    cache.put(names[3], b"x" * 11)
    assert names[3] not in cache
    assert cache.num_bytes == 8


async def test_others_blobs_never_push_out_ones_own() -> None:
    wire = Wire()
    source = wire.honest(ANN)
    client = wire.client(replace(QUICK, fetched_bytes=100))
    own = client.offer(b"mine")
    for number in range(20):
        await client.fetch(source.offer(bytes([number]) * 60), [ANN])
    assert await client.fetch(own, []) == b"mine"
