"""Why this module exists: bootnodes are dialled as a starting peer dials them, under a name that is thrown away.

An own daemon and a fresh identity: the peer itself may be running meanwhile, and nobody must take the doctor for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from identity.keyfile import create_key
from protocol.errors import ConfigError, SwarmError
from protocol.ids import PeerId
from protocol.messages import WIRE_VERSION
from protocol.run import JoinToken
from swarm.dht.records import PRESENCE, Gate, Verify
from swarm.dht.transport import RecordKey
from swarm.doctor.facts import BootnodeFacts, NetworkFacts

STEP_S = 8.0
OTHER_VERSIONS = tuple(version for version in range(1, WIRE_VERSION + 4) if version != WIRE_VERSION)


class RealNetwork:
    """``NetworkProbe`` over a daemon of its own. ``announce``: addresses to tell others, for the port listened on."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        announce: tuple[str, ...],
        start_s: float,
        verify: Callable[[JoinToken], Verify],
    ) -> None:
        self._host, self._port, self._announce, self._start_s = host, port, announce, start_s
        self._verify = verify

    async def look(self, token: JoinToken) -> NetworkFacts:
        with tempfile.TemporaryDirectory(prefix="swarm-doctor-") as folder:
            identity = Path(folder) / "swarm.pem"
            create_key(identity)
            try:
                return await self._look(token, identity)
            except SwarmError as error:
                return NetworkFacts(problem=error.what, fix=error.next_step)

    async def _look(self, token: JoinToken, identity: Path) -> NetworkFacts:
        from swarm.dht.book import RecordBook
        from swarm.dht.daemon import start_daemon, stop_daemon
        from swarm.dht.overlay import open_node

        run = token.run.id
        p2p = await start_daemon(identity, self._host, self._port, announce=self._announce, timeout_s=self._start_s)
        node: Any = None
        try:
            book = RecordBook(Gate(run, self._verify(token)), now=time.time, own=PeerId(p2p.peer_id.to_base58()))
            node = await open_node(p2p, book, run)
            bootnodes = await asyncio.gather(*(_dial(node, text, token) for text in token.bootnodes))
            num_peers = 0
            if any(not one.failed for one in bootnodes):
                num_peers = await _presences(node, book, token)
            return NetworkFacts(
                bootnodes=tuple(bootnodes),
                listens_publicly=not ipaddress.ip_address(self._host).is_loopback,
                addresses=tuple(str(address) for address in await p2p.get_visible_maddrs()),
                num_peers=num_peers,
                rejected=tuple(sorted(book.rejected.items())),
            )
        finally:
            with contextlib.suppress(Exception):  # a daemon that is already dead cannot remove its handlers
                async with asyncio.timeout(1.0):
                    await node.shutdown()
            await stop_daemon(p2p)


async def _dial(node: Any, text: str, token: JoinToken) -> BootnodeFacts:
    from swarm.dht.joining import dial, parse_bootnode

    try:
        bootnode = parse_bootnode(text)
    except ConfigError as error:
        return BootnodeFacts(text[:120], failed="address", detail=error.what)
    report = await dial(node, bootnode, timeout_s=STEP_S)
    steps = tuple((step, took_s * 1000) for step, took_s in report.steps)
    if report.ok:
        ahead_s = report.clock_ahead_s or None
        return BootnodeFacts(bootnode.text, steps, reachable=report.reachable, clock_ahead_s=ahead_s)
    speaks = await _version_of(node, bootnode.peer) if report.step == "dht" else None
    return BootnodeFacts(bootnode.text, steps, report.step, report.detail, speaks=speaks)


async def _version_of(node: Any, peer: PeerId) -> int | None:
    """The wire version in which a peer answers for this run, where it is another one than ours."""

    async def answers(version: int) -> bool:
        try:
            async with asyncio.timeout(3.0):
                return bool(await node.protocol.ping_in_version(peer, version))
        except Exception:  # whatever the daemon says, it is no answer
            return False

    found = await asyncio.gather(*(answers(version) for version in OTHER_VERSIONS))
    return next((version for version, did in zip(OTHER_VERSIONS, found, strict=True) if did), None)


async def _presences(node: Any, book: Any, token: JoinToken) -> int:
    """How many peers announce themselves in the run."""
    from hivemind.dht.routing import DHTID

    key = RecordKey(token.run.id, PRESENCE, 0)
    slot = DHTID.from_bytes(book.watch(key))
    with contextlib.suppress(Exception):  # who joined a moment ago may know nobody who answers
        async with asyncio.timeout(STEP_S):
            await node.find_nearest_nodes([slot], k_nearest=16, beam_size=16, exclude_self=True)
    return len(book.envelopes(key))
