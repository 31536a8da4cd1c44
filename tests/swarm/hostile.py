"""Why this module exists: a swarm among strangers is only as good as what its worst member can do to the others.

A hostile peer is a whole, real peer (registered, enrolled, playing) whose transport lies for it: ``HostileTransport``
stands between it and the network, and hands everything that it publishes or serves to one of ``tests.swarm.misdeeds``.
It works on the shipped fake network and on libp2p; ``python -m tests.swarm.hostile MISDEEDS ARGUMENTS…`` is
``swarm ARGUMENTS…`` with one of the named misdeeds (with commas between them) a round, in turn, and then
the last one for good.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import msgspec

from chain.base import Contracts
from identity.keyfile import parse_key
from identity.signer import Signer
from protocol.codec import content_id, decode, encode
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import BatchHeader, BlobRef, Envelope, Rollout, RolloutBatch
from swarm.dht.records import slot_of, subkey_of
from swarm.dht.transport import RecordKey, Transport

Act = Callable[["HostileTransport", Envelope], Awaitable[None]]
Serve = Callable[["HostileTransport", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Misdeed:
    """``act`` publishes a record of ``kind`` in its own way; others are published honestly. ``reason``: what honest
    peers must call it (``""``: it is allowed and worthless, or nothing to reject). ``serve``: how blobs are served.
    ``is_paid``: whether the rest of this peer's honest work of the round still counts."""

    name: str
    kind: str
    reason: str
    act: Act | None = None
    serve: Serve | None = None
    is_paid: bool = False


class HostileTransport:
    """A ``Transport`` that does ``misdeed_of(round)`` with whatever its peer publishes in that round."""

    def __init__(
        self,
        inner: Any,
        signer: Signer,
        contracts: Contracts,
        misdeed_of: Callable[[int], Misdeed | None],
        *,
        hides: Collection[PeerId] = (),
    ) -> None:
        self.inner = inner
        self.signer = signer
        self.contracts = contracts
        self.old: list[Envelope] = []
        self._misdeed_of = misdeed_of
        self._misdeed: Misdeed | None = None
        self._hides = hides
        self._blobs: dict[ContentId, bytes] = {}
        self._serve_honestly = inner._blobs.serve
        inner._blobs.serve = self._serve

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        if envelope.kind != "presence":
            self._misdeed = self._misdeed_of(envelope.round)
        misdeed = self._misdeed
        if misdeed is not None and misdeed.act is not None and misdeed.kind in (envelope.kind, "*"):
            await misdeed.act(self, envelope)
        else:
            await self.inner.publish(envelope, ttl_s=ttl_s)
        self.old.append(envelope)

    async def collect(self, key: RecordKey) -> dict[PeerId, Envelope]:
        return await self.inner.collect(key)  # type: ignore[no-any-return]

    async def collect_all(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        found = await self.inner.collect_all(key)
        if key.kind == "contribution":
            return {peer: signed for peer, signed in found.items() if peer not in self._hides}
        return found  # type: ignore[no-any-return]

    def offer(self, blob: bytes) -> BlobRef:
        self._blobs[content_id(blob)] = blob
        return self.inner.offer(blob)  # type: ignore[no-any-return]

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        return await self.inner.fetch(ref, provider, *others)  # type: ignore[no-any-return]

    # --- what a hostile peer has at hand -----------------------------------------------------------------------------

    async def send(self, envelope: Envelope, to: Collection[PeerId] | None = None) -> None:
        """Store an envelope as it is where it says it belongs; ``to`` some peers only."""
        key = RecordKey(envelope.run, envelope.kind, envelope.round)
        await self.store(encode(envelope), key, subkey_of(envelope), to)

    async def store(self, data: bytes, key: RecordKey, subkey: str, to: Collection[PeerId] | None = None) -> None:
        """Ask everybody (or some) to store these bytes under this key, whatever they are."""
        slot = slot_of(key)
        if hasattr(self.inner, "send_raw"):
            await asyncio.sleep(0)  # all peers share one loop
            for other in self.inner._network.others(self.inner.peer):
                if to is None or other.peer in to:
                    other.book.admit(slot, subkey, data, self.inner._network.now() + 600)
            return
        from hivemind.dht.routing import DHTID

        protocol = self.inner._node.protocol
        keepers = [one for one in await self.inner._keepers(slot) if to is None or one.to_base58() in to]
        expires_at = time.time() + 600
        await asyncio.gather(
            *(
                protocol.call_store(one, [DHTID.from_bytes(slot)], [data], expires_at, subkeys=[subkey])
                for one in keepers
            )
        )

    def peers(self) -> list[PeerId]:
        """Everybody whom this peer can reach, in a fixed order."""
        if hasattr(self.inner, "send_raw"):
            return sorted(other.peer for other in self.inner._network.others(self.inner.peer))
        return sorted(PeerId(one.to_base58()) for one in self.inner._node.protocol.routing_table.peer_id_to_uid)

    def seal(self, like: Envelope, payload: bytes) -> Envelope:
        """Another payload, properly signed for the same place."""
        return self.signer.seal(like.run, like.kind, like.round, payload, self.contracts)

    def batch(self, envelope: Envelope) -> tuple[BatchHeader, RolloutBatch]:
        header = decode(envelope.payload, BatchHeader)
        return header, decode(self._blobs[header.blob.content], RolloutBatch, cap=1 << 26)

    def with_rollouts(self, envelope: Envelope, change: Callable[[Rollout], Rollout]) -> Envelope:
        """The same batch with every rollout changed, as a proper record."""
        _, batch = self.batch(envelope)
        groups = tuple(
            msgspec.structs.replace(group, rollouts=tuple(change(rollout) for rollout in group.rollouts))
            for group in batch.groups
        )
        return self.with_batch(envelope, msgspec.structs.replace(batch, groups=groups))

    def with_batch(self, envelope: Envelope, batch: RolloutBatch) -> Envelope:
        header = decode(envelope.payload, BatchHeader)
        return self.seal(envelope, encode(msgspec.structs.replace(header, blob=self.offer(encode(batch)))))

    def with_header(self, envelope: Envelope, **changes: Any) -> Envelope:
        return self.seal(envelope, encode(msgspec.structs.replace(decode(envelope.payload, BatchHeader), **changes)))

    async def _serve(self, remote: PeerId, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._misdeed is not None and self._misdeed.serve is not None:
            await self._misdeed.serve(self, reader, writer)
        else:
            await self._serve_honestly(remote, reader, writer)

    async def requested(self, reader: asyncio.StreamReader) -> bytes:
        return self._blobs.get(ContentId((await reader.readexactly(32)).hex()), b"")


def stranger(number: int) -> Signer:
    """An identity that nobody registered."""
    secret = number.to_bytes(32, "big")
    return Signer(parse_key(b"\x08\x02\x12\x20" + secret), Address("0x" + secret.hex()[-40:]))


# --- as a process ----------------------------------------------------------------------------------------------------


def main() -> None:
    """``swarm`` with one of the named misdeeds in each round, in turn."""
    import swarm.app.building as building
    import swarm.dht.libp2p as libp2p
    from tests.swarm.misdeeds import MISDEEDS

    misdeeds = [MISDEEDS[name] for name in sys.argv[1].split(",")]
    start, build = libp2p.start_libp2p, building._build_node
    at_hand: list[Any] = []
    rounds: list[int] = []

    def misdeed_of(number: int) -> Misdeed:
        if number not in rounds:
            rounds.append(number)
        return misdeeds[min(rounds.index(number), len(misdeeds) - 1)]

    async def build_node(chosen: Any, name: str, find: Any, signer: Signer, *rest: Any) -> Any:
        at_hand.append(signer)
        return await build(chosen, name, find, signer, *rest)

    async def start_hostile(settings: Any, *, run: ContentId, verify: Any, **told: Any) -> Transport:
        inner = await start(settings, run=run, verify=verify, **told)
        contracts = verify.__closure__[0].cell_contents
        return HostileTransport(inner, at_hand[0], contracts, misdeed_of)

    building._build_node = build_node
    libp2p.start_libp2p = start_hostile
    sys.argv = ["swarm", *sys.argv[2:]]
    from swarm.cli import main as run_swarm

    run_swarm()


if __name__ == "__main__":
    main()
