"""Why this module exists: hivemind's DHT, made safe to run among strangers.

Wire format, routing table and search are hivemind's (``DHTProtocol``, ``DHTNode``). Five of its habits are changed:

* one bad entry voids a node's whole answer, so that one liar could blank a key for everybody: bad entries are dropped
  one by one, and a node that passes on what every honest node refuses is ignored for a while;
* the copy with the later, unsigned expiry wins, and a plain value can block a dictionary: ``RecordBook`` decides;
* memory, the size of a decoded dictionary and the number of keys in a call are unbounded: all are capped;
* a node picks its own place in the key space: here it follows from the peer id, so that nobody can settle around a key;
* any hivemind DHT mixes with any other: the calls are named after the run and the wire version.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import msgpack
from hivemind.dht.node import DHTNode
from hivemind.dht.protocol import DHTProtocol
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DHTLocalStorage, DictionaryDHTValue
from hivemind.dht.validation import DHTRecord, RecordValidatorBase
from hivemind.p2p import P2P, P2PContext, PeerID
from hivemind.proto import dht_pb2
from hivemind.utils import MSGPackSerializer
from hivemind.utils.timed_storage import ValueWithExpiration

from protocol.ids import ContentId, PeerId
from protocol.messages import WIRE_VERSION
from swarm.dht.book import RecordBook, Verdict

MAX_ENTRIES = 512
"""Most entries of a dictionary that are decoded; twice what an honest book holds in a slot."""

MAX_KEYS = 64
"""Most keys that one call may name; honest nodes send one, and ``_HANDED_OVER`` to a newcomer."""

SHUN_AFTER, SHUN_S = 4, 60.0
"""A node that passed on this many bad records is ignored for so many seconds."""

_HANDED_OVER = 32
_DICTIONARY = 0x50
_source: ContextVar[PeerID | None] = ContextVar("source", default=None)


def node_id_of(peer: PeerID) -> DHTID:
    """A peer's place in the key space."""
    return DHTID.generate(source=b"rl-swarm/node" + peer.to_bytes())


def namespace_of(run: ContentId, version: int = WIRE_VERSION) -> str:
    """Prefix of all stream and call names of a run in a wire version."""
    return f"rl-swarm/{version}/{run[:32]}"


class CappedSerializer(MSGPackSerializer):
    """Hivemind's serializer for hostile input: dictionaries of at most ``MAX_ENTRIES`` entries, no other extension."""

    @classmethod
    def loads(cls, buf: bytes) -> object:
        return msgpack.loads(buf, ext_hook=cls._decode_ext_types, raw=False, max_array_len=0, max_map_len=0)

    @classmethod
    def _decode_ext_types(cls, type_code: int, data: bytes) -> DictionaryDHTValue:
        if type_code != _DICTIONARY:
            raise ValueError(f"extension {type_code} has no place in a record")
        _, _, items = msgpack.loads(data, raw=False, max_array_len=MAX_ENTRIES, max_map_len=0, max_ext_len=0)
        dictionary = DictionaryDHTValue()
        with dictionary.freeze():
            for subkey, value, expiration_time in items:
                if not (isinstance(subkey, str) and isinstance(value, bytes) and isinstance(expiration_time, float)):
                    raise ValueError("an entry is (text, bytes, time)")
                dictionary.store(subkey, value, expiration_time)
        return dictionary


class OwnedRecordValidator(RecordValidatorBase):
    """Lets a hivemind node store and relay only what the book admits: signed, owned, and filed where it belongs."""

    def __init__(self, book: RecordBook) -> None:
        self._book = book

    def validate(self, record: DHTRecord) -> bool:
        return self.judge(record) is Verdict.HELD

    def judge(self, record: DHTRecord) -> Verdict:
        """Plain values (no subkey) have no owner and are never ours."""
        try:
            subkey = msgpack.loads(record.subkey, raw=False, max_ext_len=0)
        except ValueError:
            subkey = None
        if not isinstance(subkey, str):
            return Verdict.BAD
        return self._book.admit(record.key, subkey, record.value, record.expiration_time)


class BookStorage(DHTLocalStorage):
    """The book in the shape of hivemind's storage, so that there is one set of records and one set of rules."""

    def __init__(self, book: RecordBook) -> None:
        super().__init__()
        self._book = book

    def store(self, key: DHTID, value: Any, expiration_time: float, subkey: Any = None) -> bool:
        return isinstance(subkey, str) and self.store_subkey(key, subkey, value, expiration_time)

    def store_subkey(self, key: DHTID, subkey: str, value: bytes, expiration_time: float) -> bool:
        return self._book.admit(key.to_bytes(), subkey, value, expiration_time) is Verdict.HELD

    def get(self, key: DHTID) -> ValueWithExpiration | None:
        dictionary = DictionaryDHTValue()
        for subkey, data, expires_at in self._book.passed_on(key.to_bytes()):
            dictionary.store(subkey, data, expires_at)
        return ValueWithExpiration(dictionary, dictionary.latest_expiration_time) if dictionary.data else None

    def items(self) -> Iterator[tuple[DHTID, ValueWithExpiration]]:
        """What hivemind hands over to a node that it meets for the first time: the latest keys only."""
        for slot in self._book.latest_slots(_HANDED_OVER):
            key = DHTID.from_bytes(slot)
            if (value := self.get(key)) is not None:
                yield key, value


class SwarmProtocol(DHTProtocol):
    """Hivemind's DHT calls with the changes above. Made by ``join_protocol``."""

    _rpc_handlers = None  # hivemind caches these per class, and would otherwise take the parent's
    _stub_type = None
    serializer = CappedSerializer
    run: ContentId
    namespace: str
    _offences: dict[PeerID, tuple[int, float]]

    @classmethod
    async def open(cls, p2p: P2P, book: RecordBook, run: ContentId, *, wait_s: float) -> SwarmProtocol:
        """Start answering calls of this run on ``p2p``. ``wait_s``: how long one call to another node may take."""
        self: SwarmProtocol = await cls.create(
            p2p,
            node_id_of(p2p.peer_id),
            bucket_size=20,
            depth_modulo=5,
            num_replicas=5,
            wait_timeout=wait_s,
            client_mode=True,  # no handlers before the storage is ours
            record_validator=OwnedRecordValidator(book),
        )
        self.run, self.namespace = run, namespace_of(run)
        self.storage = self.cache = BookStorage(book)
        self._offences = {}
        self.client_mode = False
        self.node_info = dht_pb2.NodeInfo(node_id=self.node_id.to_bytes())
        await self.add_p2p_handlers(p2p, namespace=self.namespace)
        return self

    def get_stub(self, peer: PeerID) -> Any:
        return super(DHTProtocol, self).get_stub(self.p2p, peer, namespace=self.namespace)

    async def ping_in_version(self, peer: PeerId, version: int) -> Any:
        """What a peer of this run answers to a ping in another wire version; raises what the daemon does."""
        namespace = namespace_of(self.run, version)
        stub = super(DHTProtocol, self).get_stub(self.p2p, PeerID.from_base58(peer), namespace=namespace)
        return await stub.rpc_ping(dht_pb2.PingRequest(peer=self.node_info, validate=False))

    async def shutdown(self) -> None:
        await self.remove_p2p_handlers(self.p2p, namespace=self.namespace)

    def is_shunned(self, peer: PeerID) -> bool:
        count, until = self._offences.get(peer, (0, 0.0))
        return count >= SHUN_AFTER and time.monotonic() < until

    async def call_find(self, peer: PeerID, keys: Any) -> Any:
        if self.is_shunned(peer):
            return None
        _source.set(peer)
        found = await super().call_find(peer, keys)
        if found is None:
            return None
        return {
            key: (value, {node: other for node, other in nearest.items() if node == node_id_of(other)})
            for key, (value, nearest) in found.items()
        }

    async def rpc_store(self, request: dht_pb2.StoreRequest, context: P2PContext) -> dht_pb2.StoreResponse:
        if len(request.keys) > MAX_KEYS or self.is_shunned(context.remote_id):
            return dht_pb2.StoreResponse(store_ok=[False] * min(len(request.keys), MAX_KEYS), peer=self.node_info)
        _source.set(context.remote_id)
        return await super().rpc_store(request, context)

    async def rpc_find(self, request: dht_pb2.FindRequest, context: P2PContext) -> dht_pb2.FindResponse:
        if len(request.keys) > MAX_KEYS:
            raise ValueError(f"a call names at most {MAX_KEYS} keys")
        return await super().rpc_find(request, context)

    async def update_routing_table(self, node_id: DHTID | None, peer_id: PeerID, responded: bool = True) -> None:
        if node_id is None or node_id == node_id_of(peer_id):
            await super().update_routing_table(node_id, peer_id, responded=responded)

    def _validate_record(
        self, key_bytes: bytes, subkey_bytes: bytes, value_bytes: bytes, expiration_time: float
    ) -> bool:
        return self._judge(DHTRecord(key_bytes, subkey_bytes, value_bytes, expiration_time)) is Verdict.HELD

    def _validate_dictionary(self, key_bytes: bytes, dictionary: DictionaryDHTValue) -> bool:
        """Take good entries into the book and the others out of the dictionary; stop at a sender to be shunned."""
        source = _source.get()
        for subkey, (value, expires_at) in list(dictionary.data.items()):
            if source is not None and self.is_shunned(source):
                dictionary.clear()
                break
            record = DHTRecord(key_bytes, MSGPackSerializer.dumps(subkey), value, expires_at)
            if self._judge(record) is not Verdict.HELD:
                del dictionary[subkey]
        return True

    def _judge(self, record: DHTRecord) -> Verdict:
        verdict: Verdict = self.record_validator.judge(record)
        source = _source.get()
        if verdict is Verdict.BAD and source is not None:
            count, _ = self._offences.get(source, (0, 0.0))
            self._offences[source] = (count + 1, time.monotonic() + SHUN_S)
            while len(self._offences) > 1024:
                del self._offences[next(iter(self._offences))]
        return verdict


async def open_node(p2p: P2P, book: RecordBook, run: ContentId, *, wait_s: float = 5.0) -> DHTNode:
    """A DHT node of this run on ``p2p``, in the running loop, knowing nobody yet; its protocol is a ``SwarmProtocol``.

    Hivemind's caches are off: what it would cache is in the book. A node that does not answer is left out of searches
    for five seconds each time.
    """
    protocol = await SwarmProtocol.open(p2p, book, run, wait_s=wait_s)
    node = await DHTNode.create(
        p2p=p2p,
        node_id=protocol.node_id,
        client_mode=True,  # the handlers are registered above
        cache_locally=False,
        cache_nearest=0,
        cache_on_store=False,
        cache_refresh_before_expiry=0,
        reuse_get_requests=False,
        blacklist_time=5.0,
        backoff_rate=1.0,
        wait_timeout=wait_s,
    )
    node.protocol = protocol
    return node
