"""Why this module exists: payloads are too large for a DHT, and must hurt neither who fetches nor who serves them.

A blob is named by its SHA-256 and asked for over a byte stream to a peer that has it:

    request    32 bytes   content id
    response    1 byte    0 found, 1 unknown, 2 busy (ask again)
                8 bytes   size, big-endian; then, when found, that many bytes

The client knows hash and size beforehand from a signed record: it never reads a byte more than that, waits a limited
time for every chunk and for the whole, and believes nothing but the hash. The server limits streams (in all and per
peer), bytes per peer and minute, and the time that a client may take to read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from protocol.codec import BLOB_CAP, content_id
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId, parse_content_id
from protocol.messages import BlobRef

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenStream = Callable[[PeerId], Awaitable[Streams]]
"""Opens a stream to a peer's blob service; any exception means that the peer cannot be reached."""

HEADER_BYTES = 9
_FOUND, _UNKNOWN, _BUSY = 0, 1, 2
_HASH_INLINE_BYTES = 1024 * 1024

_SILENT_STREAMS = 3
"""A busy daemon drops one of hundreds of streams now and then: what ends before a word is opened so often in all."""


@dataclass(frozen=True)
class BlobLimits:
    """Seconds for ``_s``, bytes for ``_bytes``. ``stall_s`` bounds one chunk; one fetch from one provider may take
    ``total_s`` and the time that its size needs at ``least_bytes_per_s``: who drips is not waited for.

    ``peer_bytes_per_minute``: what one peer is served; ``offered_bytes`` and ``fetched_bytes``: what is kept in memory
    of one's own blobs and of others', oldest first out. Of others', that is a few rounds' batches; states go to disk.
    """

    chunk_bytes: int = 256 * 1024
    stall_s: float = 5.0
    total_s: float = 10.0
    least_bytes_per_s: int = 256 * 1024
    streams: int = 32
    streams_per_peer: int = 4
    peer_bytes_per_minute: int = 512 * 1024 * 1024
    offered_bytes: int = 256 * 1024 * 1024
    fetched_bytes: int = 32 * 1024 * 1024


class _Silent(BadRecord):
    """A stream ended before its first byte."""


class BlobCache:
    """Blobs by content id, at most ``cap_bytes`` of them; what was used last stays longest."""

    def __init__(self, cap_bytes: int) -> None:
        self.num_bytes = 0
        self._cap_bytes = cap_bytes
        self._blobs: OrderedDict[ContentId, bytes] = OrderedDict()

    def __contains__(self, content: ContentId) -> bool:
        return content in self._blobs

    def get(self, content: ContentId) -> bytes | None:
        blob = self._blobs.get(content)
        if blob is not None:
            self._blobs.move_to_end(content)
        return blob

    def put(self, content: ContentId, blob: bytes) -> None:
        """Keep ``blob`` under its name, which the caller has checked. One larger than the cap is not kept at all."""
        if content in self._blobs or len(blob) > self._cap_bytes:
            return
        self._blobs[content] = blob
        self.num_bytes += len(blob)
        while self.num_bytes > self._cap_bytes:
            _, dropped = self._blobs.popitem(last=False)
            self.num_bytes -= len(dropped)


class BlobExchange:
    """Both sides of the blob protocol for one peer: ``offer`` and ``serve``, ``fetch``. Lives in one event loop."""

    def __init__(self, open_stream: OpenStream, limits: BlobLimits | None = None) -> None:
        self._open_stream = open_stream
        self._limits = limits or BlobLimits()
        self._offered = BlobCache(self._limits.offered_bytes)
        self._fetched = BlobCache(self._limits.fetched_bytes)
        self._sources: list[Callable[[ContentId], bytes | None]] = []
        self._fetching: dict[tuple[BlobRef, PeerId], asyncio.Task[bytes]] = {}
        self._streams: Counter[PeerId] = Counter()
        self._served: dict[PeerId, tuple[float, int]] = {}

    @property
    def num_streams(self) -> int:
        """Streams that are being served now."""
        return self._streams.total()

    def offer(self, blob: bytes) -> BlobRef:
        """Serve ``blob`` until newer ones push it out. Raises ``BadRecord('oversized')`` above ``BLOB_CAP``."""
        if len(blob) > BLOB_CAP:
            raise BadRecord("oversized", f"A blob of {len(blob)} bytes; at most {BLOB_CAP} are served.")
        content = content_id(blob)
        self._offered.put(content, blob)
        return BlobRef(content=content, size=len(blob))

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None:
        """Serve what ``find`` has under its name, too, such as blobs on disk."""
        self._sources.append(find)

    async def fetch(self, ref: BlobRef, providers: Sequence[PeerId]) -> bytes:
        """The blob, from memory or from the first provider that delivers it. Equal concurrent fetches share one stream.

        Raises ``BadRecord`` with the first provider's reason and everybody's words: ``unavailable``, ``stalled``,
        ``oversized`` (more than announced, or above ``BLOB_CAP``), ``hash_mismatch``; ``malformed`` for a reference
        that names no hash.
        """
        parse_content_id(ref.content)
        if not 0 <= ref.size <= BLOB_CAP:
            raise BadRecord("oversized", f"A blob of {ref.size} bytes is announced; at most {BLOB_CAP} are fetched.")
        if (known := self._known(ref.content)) is not None:
            if len(known) != ref.size:
                raise BadRecord("hash_mismatch", f"The blob has {len(known)} bytes, not the announced {ref.size}.")
            return known
        failures: list[BadRecord] = []
        for provider in dict.fromkeys(providers):
            try:
                return await self._shared(ref, provider)
            except BadRecord as error:
                failures.append(error)
        if not failures:
            raise BadRecord("unavailable", "Nobody is known to have the blob.")
        raise BadRecord(failures[0].reason, " ".join(error.what for error in failures))

    async def serve(self, remote: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request of ``remote`` and close the stream. Misbehaviour ends the stream and nothing else.

        A stream too many is not counted: who opens hundreds takes no place from the others.
        """
        is_admitted = self._streams[remote] < self._limits.streams_per_peer and self.num_streams < self._limits.streams
        self._streams[remote] += is_admitted
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout(self._limits.stall_s):
                    request = await reader.readexactly(32)
                await self._answer(remote, ContentId(request.hex()) if is_admitted else None, writer)
        finally:
            self._streams[remote] -= is_admitted
            if not self._streams[remote]:
                del self._streams[remote]
            writer.close()

    async def close(self) -> None:
        """Give up fetches that nobody may be waiting for any more."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _known(self, content: ContentId) -> bytes | None:
        places = (self._offered.get, self._fetched.get, *self._sources)
        return next((blob for find in places if (blob := find(content)) is not None), None)

    async def _answer(self, remote: PeerId, content: ContentId | None, writer: asyncio.StreamWriter) -> None:
        """Send the blob ``content``; ``None``: this stream is one too many."""
        blob = self._known(content) if content is not None else None
        if content is None:
            status = _BUSY
        elif blob is None:
            status = _UNKNOWN
        else:
            status = _FOUND if self._may_serve(remote, len(blob)) else _BUSY
        body = memoryview(blob) if blob is not None and status == _FOUND else memoryview(b"")
        writer.write(bytes([status]) + len(body).to_bytes(8, "big"))
        for start in range(0, len(body), self._limits.chunk_bytes):
            writer.write(body[start : start + self._limits.chunk_bytes])
            async with asyncio.timeout(self._limits.stall_s):
                await writer.drain()
        async with asyncio.timeout(self._limits.stall_s):
            await writer.drain()

    def _may_serve(self, remote: PeerId, size: int) -> bool:
        now = asyncio.get_running_loop().time()
        since, served = self._served.get(remote, (now, 0))
        if now - since >= 60.0:
            since, served = now, 0
        if served and served + size > self._limits.peer_bytes_per_minute:
            return False
        if len(self._served) >= 4096:
            self._served = {peer: entry for peer, entry in self._served.items() if now - entry[0] < 60.0}
        self._served[remote] = (since, served + size)
        return True

    async def _shared(self, ref: BlobRef, provider: PeerId) -> bytes:
        key = (ref, provider)
        task = self._fetching.get(key)
        if task is None:
            task = asyncio.create_task(self._fetch_from(ref, provider))
            task.add_done_callback(lambda done: self._finished(key, done))
            self._fetching[key] = task
        return await asyncio.shield(task)  # one caller's cancellation must not take the blob from the others

    def _finished(self, key: tuple[BlobRef, PeerId], task: asyncio.Task[bytes]) -> None:
        del self._fetching[key]
        if not task.cancelled() and task.exception() is None:
            self._fetched.put(key[0].content, task.result())

    async def _fetch_from(self, ref: BlobRef, provider: PeerId) -> bytes:
        patience_s, num_silent = 0.1, 0
        total_s = self._limits.total_s + ref.size / self._limits.least_bytes_per_s
        try:
            async with asyncio.timeout(total_s):
                while True:
                    try:
                        blob = await self._attempt(ref, provider)
                    except _Silent:
                        num_silent += 1
                        if num_silent >= _SILENT_STREAMS:
                            raise
                    else:
                        if blob is not None:
                            return blob
                    await asyncio.sleep(patience_s)
                    patience_s = min(2.0, 2 * patience_s)
        except TimeoutError as error:
            what = f"{provider} did not deliver {ref.size} bytes within {total_s:.3g} s."
            raise BadRecord("stalled", what) from error

    async def _attempt(self, ref: BlobRef, provider: PeerId) -> bytes | None:
        """One request; ``None`` when the provider is busy."""
        try:
            async with asyncio.timeout(self._limits.stall_s):
                reader, writer = await self._open_stream(provider)
        except TimeoutError as error:
            raise BadRecord("unavailable", f"{provider} could not be reached in {self._limits.stall_s:g} s.") from error
        except Exception as error:  # the transport's own errors are of many types, and all mean the same here
            raise BadRecord("unavailable", f"{provider} cannot be reached: {error}.") from error
        try:
            writer.write(bytes.fromhex(ref.content))
            header = await self._read(reader, HEADER_BYTES, provider)
            status, size = header[0], int.from_bytes(header[1:], "big")
            if status == _BUSY:
                return None
            if status != _FOUND:
                raise BadRecord("unavailable", f"{provider} does not have the blob.")
            if size != ref.size:
                reason = "oversized" if size > ref.size else "hash_mismatch"
                raise BadRecord(reason, f"{provider} sends {size} bytes where {ref.size} were announced.")
            blob = await self._read(reader, size, provider)
            if await self._has_more(reader):
                raise BadRecord("oversized", f"{provider} sends more than the {size} bytes it announced.")
        finally:
            writer.close()
        # hashing releases the GIL: a large blob is hashed beside the loop
        content = content_id(blob) if size <= _HASH_INLINE_BYTES else await asyncio.to_thread(content_id, blob)
        if content != ref.content:
            raise BadRecord("hash_mismatch", f"What {provider} sent is not the blob that was asked for.")
        return blob

    async def _read(self, reader: asyncio.StreamReader, size: int, provider: PeerId) -> bytes:
        """Exactly ``size`` bytes, each chunk within ``stall_s``."""
        received = bytearray()
        try:
            while len(received) < size:
                async with asyncio.timeout(self._limits.stall_s):
                    chunk = await reader.read(min(self._limits.chunk_bytes, size - len(received)))
                if not chunk:
                    what = f"{provider} closed the stream after {len(received)} bytes."
                    raise (BadRecord if received else _Silent)("unavailable", what)
                received += chunk
        except TimeoutError as error:
            what = f"{provider} sent nothing for {self._limits.stall_s:g} s after {len(received)} of {size} bytes."
            raise BadRecord("stalled", what) from error
        except OSError as error:
            what = f"{provider} broke the stream: {error}."
            raise (BadRecord if received else _Silent)("unavailable", what) from error
        return bytes(received)

    async def _has_more(self, reader: asyncio.StreamReader) -> bool:
        """Whether a byte follows. An honest server closes at once; one that merely lingers has still delivered."""
        try:
            async with asyncio.timeout(min(1.0, self._limits.stall_s)):
                return bool(await reader.read(1))
        except (TimeoutError, OSError):
            return False
