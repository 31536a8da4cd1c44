"""Why this module exists: the real network, in the caller's own event loop.

One p2pd process (``daemon``), one hivemind DHT node (``overlay``) and one blob service per peer; a bootnode is the
same with nobody to dial. All records that were seen and still count are in one ``RecordBook``: publishing puts a record
there and on the nodes nearest to its key, collecting asks those nodes now and then and answers from the book. A watch
over the whole starts the daemon again when it dies, and dials bootnodes that were lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hivemind.dht.node import DHTNode
from hivemind.dht.routing import DHTID
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.datastructures import StreamInfo

from protocol.codec import RECORD_CAP, encode
from protocol.errors import BadRecord, IdentityError, NetworkError
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import BlobRef, Envelope
from swarm.dht.blobs import BlobExchange, BlobLimits, Streams
from swarm.dht.book import BookLimits, RecordBook
from swarm.dht.daemon import NO_CREDITS_LOST, daemon_is_alive, last_words, start_daemon, stop_daemon
from swarm.dht.joining import Bootnode, BootnodeReport, dial, explore, join, parse_bootnode
from swarm.dht.overlay import namespace_of, open_node
from swarm.dht.records import PRESENCE, Gate, OnRejected, Verify, key_of, subkey_of
from swarm.dht.taken import other_holder
from swarm.dht.transport import RecordKey

_ACQUAINTED = 64

OnTrouble = Callable[[NetworkError | None], None]
"""Told that the network is away, and with ``None`` that it is back."""


def _daemon_ended() -> NetworkError:
    return NetworkError("The libp2p daemon has ended.", NO_CREDITS_LOST, "It is started again by itself.")


@dataclass(frozen=True)
class Libp2pSettings:
    """How a node takes part. ``host``/``port``: where to listen (an IP address; 0 is any free port).

    ``bootnodes``: whom to dial, none for the first node of a swarm. ``announce``: addresses to tell others when they
    differ from the ones listened on. ``start_s``: for everything until the DHT answers. ``replicas``: nodes that are
    asked to keep a record. ``lookup_every_s``: how often, at most, the network is asked for one key; ``patience_s``:
    how long a caller waits for that. ``watch_every_s``: how often daemon and bootnodes are looked after.
    """

    identity: Path
    bootnodes: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 0
    announce: tuple[str, ...] = ()
    start_s: float = 30.0
    replicas: int = 8
    lookup_every_s: float = 0.5
    patience_s: float = 1.5
    watch_every_s: float = 5.0
    blobs: BlobLimits = field(default_factory=BlobLimits)
    book: BookLimits = field(default_factory=BookLimits)


@dataclass(frozen=True)
class Health:
    """For displays: peers known, restarts of the daemon, rejected records by reason, the daemon's last words."""

    num_peers: int
    num_daemon_restarts: int
    rejected: dict[str, int]
    last_words: tuple[str, ...]


class Libp2pTransport:
    """``Transport`` over hivemind. Made by ``start_libp2p``; all methods belong to the loop that it was made in."""

    def __init__(
        self, settings: Libp2pSettings, run: ContentId, bootnodes: tuple[Bootnode, ...], on_trouble: OnTrouble
    ) -> None:
        self.peer: PeerId
        self.bootnode_reports: tuple[BootnodeReport, ...] = ()
        self.book: RecordBook
        self._settings = settings
        self._run = run
        self._bootnodes = bootnodes
        self._on_trouble = on_trouble
        self._blobs = BlobExchange(self._open_stream, settings.blobs)
        self._p2p: P2P
        self._node: DHTNode
        self._port = settings.port
        self._addresses: tuple[str, ...] = ()
        self._lookups: dict[bytes, tuple[float, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._acquainted: list[PeerID] = []
        self._reconnecting: asyncio.Task[None] | None = None
        self._num_restarts = 0
        self._closed = False

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._addresses

    @property
    def health(self) -> Health:
        return Health(
            num_peers=self._num_known,
            num_daemon_restarts=self._num_restarts,
            rejected=dict(self.book.rejected),
            last_words=tuple(last_words.lines),
        )

    def set_members(
        self, members: Collection[PeerId] | None, accounts: Mapping[PeerId, Address] | None = None, round: int = 0
    ) -> None:
        """Whose records enter from now on; see ``RecordBook.set_members``."""
        self.book.set_members(members, accounts, round)

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        data = encode(envelope)
        if len(data) > RECORD_CAP:
            raise BadRecord("oversized", f"A record of {len(data)} bytes; at most {RECORD_CAP} are stored.")
        expires_at = time.time() + ttl_s
        self.book.put_own(envelope, data, expires_at)
        await self._require_network()
        slot = self.book.watch(key_of(envelope))
        keepers = await self._keepers(slot)
        if not keepers:
            return  # alone and founding: the own book is the swarm's
        protocol, key = self._node.protocol, DHTID.from_bytes(slot)
        subkey = subkey_of(envelope)
        stores = [
            self._spawn(protocol.call_store(keeper, [key], [data], expires_at, subkeys=[subkey])) for keeper in keepers
        ]
        done, slow = await asyncio.wait(stores, timeout=self._settings.patience_s)
        if slow and not _stored(done):
            done, _ = await asyncio.wait(stores)
        if not _stored(done):
            refused = sum(task.result() is not None for task in done)
            raise NetworkError(
                f"No node stored the {envelope.kind} record of round {envelope.round}: "
                f"{refused} of {len(keepers)} answered and refused it.",
                "Others cannot see this record; work that nobody sees earns nothing.",
                "Check this machine's clock. If others refuse, they hold another record of yours in that place.",
            )

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        await self._look_up(self.book.watch(key))
        return self.book.envelopes(key)

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        await self._look_up(self.book.watch(key))
        return self.book.revisions(key)

    def offer(self, blob: bytes) -> BlobRef:
        return self._blobs.offer(blob)

    def serve_from(self, find: Callable[[ContentId], bytes | None]) -> None:
        self._blobs.serve_from(find)

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        return await self._blobs.fetch(ref, (provider, *others))

    async def require_free_identity(self) -> None:
        """Raises ``IdentityError`` when a living peer with this identity has announced itself from somewhere else."""
        key = RecordKey(run=self._run, kind=PRESENCE, round=0)
        announced = (await self.collect(key)).get(self.peer)
        address = await other_holder(announced, self._addresses) if announced is not None else None
        if address is not None:
            raise IdentityError(
                f"Another peer with this identity is running at {address}.",
                "Two peers with one identity contradict each other, and lose the credits of both.",
                "Stop the other one, or give this one an identity of its own (`--home DIR`).",
            )

    async def close(self) -> None:
        """Leave the swarm and end the daemon. A second call is harmless."""
        if self._closed:
            return
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._blobs.close()
        with contextlib.suppress(Exception):  # a daemon that is already dead cannot remove its handlers
            async with asyncio.timeout(1.0):
                await self._node.shutdown()
        await stop_daemon(self._p2p)

    async def open(self, verify: Verify, on_rejected: OnRejected | None) -> None:
        """Daemon, node, bootnodes, in this order, within ``start_s``; see ``start_libp2p``."""
        deadline = time.monotonic() + self._settings.start_s
        self._p2p = await self._start_daemon()
        try:
            self.peer = PeerId(self._p2p.peer_id.to_base58())
            gate = Gate(self._run, verify)
            self.book = RecordBook(
                gate, now=time.time, own=self.peer, on_rejected=on_rejected, limits=self._settings.book
            )
            self._bootnodes = tuple(bootnode for bootnode in self._bootnodes if bootnode.peer != self.peer)
            await self._open_node()
            if self._bootnodes:
                left_s = max(1.0, deadline - time.monotonic())
                self.bootnode_reports = await join(self._node, self._bootnodes, timeout_s=left_s)
        except BaseException:
            await stop_daemon(self._p2p)
            raise
        self._spawn(self._watch())

    async def _start_daemon(self) -> P2P:
        settings = self._settings
        return await start_daemon(
            settings.identity, settings.host, self._port, announce=settings.announce, timeout_s=settings.start_s
        )

    async def _open_node(self) -> None:
        addresses = tuple(str(address) for address in await self._p2p.get_visible_maddrs())
        self._addresses = addresses
        self._port = _port_of(addresses) or self._port
        self._node = await open_node(self._p2p, self.book, self._run)
        await self._p2p.add_binary_stream_handler(self._blob_protocol, self._serve)

    @property
    def _num_known(self) -> int:
        return len(self._node.protocol.routing_table.uid_to_peer_id)

    @property
    def _blob_protocol(self) -> str:
        return f"{namespace_of(self._run)}/blob"

    async def _serve(self, info: StreamInfo, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._blobs.serve(PeerId(info.peer_id.to_base58()), reader, writer)

    async def _open_stream(self, provider: PeerId) -> Streams:
        _, reader, writer = await self._p2p.call_binary_stream_handler(
            PeerID.from_base58(provider), self._blob_protocol
        )
        return reader, writer

    async def _keepers(self, slot: bytes) -> list[PeerID]:
        """The nodes nearest to a slot. A swarm that fits into the routing table needs no search."""
        key, table, count = DHTID.from_bytes(slot), self._node.protocol.routing_table, self._settings.replicas
        if self._num_known <= count:
            return [peer for _, peer in table.get_nearest_neighbors(key, count, exclude=self._node.node_id)]
        found = await self._node.find_nearest_nodes([key], k_nearest=count, exclude_self=True)
        return list(found[key].values())

    async def _look_up(self, slot: bytes) -> None:
        await self._require_network()
        now = time.monotonic()
        asked_at, task = self._lookups.get(slot, (float("-inf"), None))
        if task is None or (task.done() and now - asked_at >= self._settings.lookup_every_s):
            task = self._spawn(self._ask(DHTID.from_bytes(slot)))
            self._lookups[slot] = (now, task)
            while len(self._lookups) > 256:
                del self._lookups[next(iter(self._lookups))]
        if not task.done():
            await asyncio.wait({task}, timeout=self._settings.patience_s)

    async def _ask(self, key: DHTID) -> None:
        """Ask the nodes nearest to ``key``; what they answer enters the book on the way (``SwarmProtocol``)."""
        beam = 2 * self._settings.replicas
        await self._node.find_nearest_nodes([key], k_nearest=beam, beam_size=beam, exclude_self=True)

    async def _require_network(self) -> None:
        """One lost answer empties a small routing table: whoever was known is asked again before anything is said."""
        if not daemon_is_alive(self._p2p):
            raise _daemon_ended()
        if self._num_known or not (self._bootnodes or self._acquainted):
            return
        if self._reconnecting is None or self._reconnecting.done():
            self._reconnecting = self._spawn(self._reconnect())
        await asyncio.wait({self._reconnecting}, timeout=self._settings.patience_s)
        if not self._num_known:
            raise NetworkError(
                "No peer of the swarm answers any more.", NO_CREDITS_LOST, "They are dialled again by itself."
            )

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.watch_every_s)
            try:
                self.book.sweep()
                if not daemon_is_alive(self._p2p):
                    await self._revive()
                await self._reconnect()
                await explore(self._node)
            except Exception as error:  # whatever it was, it must be tried again, and the watch must go on
                last_words.lines.append(f"watch {type(error).__name__}: {error}")

    async def _revive(self) -> None:
        """A daemon that was killed comes back on the same port, with everything that is known; told in any case, since
        it may be back before anybody missed it."""
        self._on_trouble(_daemon_ended())
        with contextlib.suppress(Exception):
            await stop_daemon(self._p2p)
        self._p2p = await self._start_daemon()
        await self._open_node()
        self._num_restarts += 1
        self._on_trouble(None)

    async def _reconnect(self) -> None:
        """Dial the bootnodes that are not known any more and, when nobody is, everybody who ever was."""
        known = self._node.protocol.routing_table.peer_id_to_uid
        lost = [bootnode for bootnode in self._bootnodes if PeerID.from_base58(bootnode.peer) not in known]
        calls: list[Coroutine[Any, Any, Any]] = [dial(self._node, bootnode, timeout_s=3.0) for bootnode in lost]
        if not known:
            calls += [self._node.protocol.call_ping(peer) for peer in self._acquainted]
        self._acquainted = list(dict.fromkeys([*known, *self._acquainted]))[:_ACQUAINTED]
        await asyncio.gather(*calls)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _stored(done: Collection[asyncio.Task[Any]]) -> bool:
    return any(task.result() and any(task.result()) for task in done)


def _port_of(addresses: tuple[str, ...]) -> int:
    for address in addresses:
        parts = address.split("/")
        if "tcp" in parts:
            return int(parts[parts.index("tcp") + 1])
    return 0


async def start_libp2p(
    settings: Libp2pSettings,
    *,
    run: ContentId,
    verify: Verify,
    on_rejected: OnRejected | None = None,
    on_trouble: OnTrouble = lambda _: None,
) -> Libp2pTransport:
    """Start a node of ``run`` in the running loop; a bootnode is one without ``settings.bootnodes``.

    ``verify`` checks an envelope's signature; ``on_trouble`` hears when the daemon has died, and when it is back.

    Raises ``ConfigError`` (bootnode address, host, port taken), ``IdentityError`` (identity file), ``NetworkError``
    (which step failed, for each bootnode). Nothing is left running after an error.
    """
    bootnodes = tuple(parse_bootnode(text) for text in settings.bootnodes)
    transport = Libp2pTransport(settings, run, bootnodes, on_trouble)
    await transport.open(verify, on_rejected)
    return transport
