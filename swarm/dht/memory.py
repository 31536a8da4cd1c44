"""Why this module exists: the network's rules without a network, so that everything above it is tested in milliseconds.

``MemoryTransport`` keeps its records in the same ``RecordBook`` and speaks the same blob protocol as the real one, over
socket pairs; only the wire is missing. ``Faults`` make a peer drop, delay, corrupt or stall what it sends.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from protocol.codec import RECORD_CAP, encode
from protocol.errors import BadRecord, NetworkError
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import BlobRef, Envelope
from swarm.dht.blobs import HEADER_BYTES, BlobExchange, BlobLimits, Streams
from swarm.dht.book import BookLimits, RecordBook, Verdict
from swarm.dht.records import Gate, OnRejected, Verify, key_of, subkey_of
from swarm.dht.transport import RecordKey


@dataclass
class Faults:
    """What a peer does to everything it sends: records are lost or late, blobs are flipped or never finish."""

    drop_records: bool = False
    delay_s: float = 0.0
    corrupt_blobs: bool = False
    stall_blobs: bool = False
    unreachable: bool = False


class MemoryNetwork:
    """A swarm in one event loop. ``now`` is everybody's clock (unix seconds); ``faults`` apply to the named sender."""

    def __init__(self, run: ContentId, verify: Verify, *, now: Callable[[], float] = time.time) -> None:
        self.faults: dict[PeerId, Faults] = {}
        self._run = run
        self._verify = verify
        self._now = now
        self._peers: dict[PeerId, MemoryTransport] = {}

    def join(
        self,
        peer: PeerId,
        *,
        on_rejected: OnRejected | None = None,
        book: BookLimits | None = None,
        blobs: BlobLimits | None = None,
    ) -> MemoryTransport:
        """A transport for ``peer``; joining again replaces the former one, as a restart does."""
        gate = Gate(self._run, self._verify)
        records = RecordBook(gate, now=self._now, own=peer, on_rejected=on_rejected, limits=book)
        self._peers[peer] = transport = MemoryTransport(self, peer, records, blobs or BlobLimits())
        return transport

    def leave(self, transport: MemoryTransport) -> None:
        if self._peers.get(transport.peer) is transport:
            del self._peers[transport.peer]

    def others(self, peer: PeerId) -> list[MemoryTransport]:
        """Everyone that ``peer`` can reach now."""
        reachable = (other for other in self._peers.values() if not self.faults_of(other.peer).unreachable)
        return [] if self.faults_of(peer).unreachable else [other for other in reachable if other.peer != peer]

    def get(self, peer: PeerId) -> MemoryTransport | None:
        return None if self.faults_of(peer).unreachable else self._peers.get(peer)

    def faults_of(self, peer: PeerId) -> Faults:
        return self.faults.get(peer, Faults())

    def now(self) -> float:
        return self._now()


class MemoryTransport:
    """``Transport`` within a ``MemoryNetwork``."""

    def __init__(self, network: MemoryNetwork, peer: PeerId, book: RecordBook, blobs: BlobLimits) -> None:
        self.peer = peer
        self.book = book
        self._network = network
        self._blobs = BlobExchange(self._open_stream, blobs)
        self._serving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        return (f"/memory/{self.peer}/p2p/{self.peer}",)

    def set_members(
        self, members: Collection[PeerId] | None, accounts: Mapping[PeerId, Address] | None = None, round: int = 0
    ) -> None:
        self.book.set_members(members, accounts, round)

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        self._require_network()
        data = encode(envelope)
        if len(data) > RECORD_CAP:
            raise BadRecord("oversized", f"A record of {len(data)} bytes; at most {RECORD_CAP} are stored.")
        expires_at = self._network.now() + ttl_s
        self.book.put_own(envelope, data, expires_at)
        await self.send_raw(self.book.watch(key_of(envelope)), subkey_of(envelope), data, expires_at)

    async def send_raw(self, slot: bytes, subkey: str, data: bytes, expires_at: float) -> list[Verdict]:
        """Ask everyone to store these bytes, whatever they are; what a hostile peer can do. Returns their verdicts."""
        faults = self._network.faults_of(self.peer)
        await asyncio.sleep(faults.delay_s)
        if faults.drop_records:
            return []
        return [other.book.admit(slot, subkey, data, expires_at) for other in self._network.others(self.peer)]

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        await self._look_up(key)
        return self.book.envelopes(key)

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        await self._look_up(key)
        return self.book.revisions(key)

    def offer(self, blob: bytes) -> BlobRef:
        return self._blobs.offer(blob)

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None:
        self._blobs.serve_from(find)

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        return await self._blobs.fetch(ref, (provider, *others))

    async def close(self) -> None:
        self._closed = True
        self._network.leave(self)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._blobs.close()

    async def _look_up(self, key: RecordKey) -> None:
        self._require_network()
        slot = self.book.watch(key)
        for other in self._network.others(self.peer):
            faults = self._network.faults_of(other.peer)
            await asyncio.sleep(faults.delay_s)
            if not faults.drop_records:
                for subkey, data, expires_at in list(other.book.passed_on(slot)):
                    self.book.admit(slot, subkey, data, expires_at)

    def _require_network(self) -> None:
        if self._closed or self._network.faults_of(self.peer).unreachable:
            raise NetworkError("This peer is cut off from the network.", "Nobody sees its work.", "Reconnect it.")

    async def _open_stream(self, provider: PeerId) -> Streams:
        server = self._network.get(provider)
        if server is None or self._network.faults_of(self.peer).unreachable:
            raise ConnectionError("no such peer")
        near, far = socket.socketpair()
        faults = self._network.faults_of(provider)
        server.start_serving(self.peer, far, faults)
        return await asyncio.open_connection(sock=near)

    def start_serving(self, remote: PeerId, connection: socket.socket, faults: Faults) -> None:
        task = asyncio.create_task(self._serve(remote, connection, faults))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, remote: PeerId, connection: socket.socket, faults: Faults) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        await asyncio.sleep(faults.delay_s)
        if faults.stall_blobs:
            await reader.read()  # until the client gives up
            writer.close()
            return
        if faults.corrupt_blobs:
            writer = _Flipping(writer)  # type: ignore[assignment]
        await self._blobs.serve(remote, reader, writer)


class _Flipping:
    """A stream writer that damages what follows the header: sizes stay true, so that only the hash can tell."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._num_written = 0
        self.drain = writer.drain
        self.close = writer.close

    def write(self, data: bytes) -> None:
        header = max(0, min(len(data), HEADER_BYTES - self._num_written))
        self._num_written += len(data)
        self._writer.write(bytes(data[:header]) + bytes(byte ^ 1 for byte in data[header:]))
