"""Why this module exists: "cannot reach the bootnode" is not an error message. Which one, and how far did it get?

All bootnodes are tried at once, in steps: TCP, handshake (libp2p: is it who it should be?), DHT (does it play in this
run?). Each ends in a ``BootnodeReport``; one that answers is enough to join.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hivemind.dht.node import DHTNode
from hivemind.p2p import P2P, PeerID
from hivemind.p2p.p2p_daemon_bindings.utils import ControlFailure
from hivemind.proto import dht_pb2
from hivemind.utils.multiaddr import Multiaddr

from protocol.errors import BadRecord, ConfigError, NetworkError
from protocol.ids import PeerId, parse_peer_id
from swarm.dht.daemon import NO_CREDITS_LOST

_STEP_S = 5.0
_RETRY_S = 0.5
_MOMENT_S = 0.5
_DIAL_BACKOFF = "dial backoff"  # libp2p's answer to a second attempt; the first one had the reason
_NO_ANSWER = "no answer in time"


@dataclass(frozen=True)
class BootnodeReport:
    """How far a bootnode was reached. ``step`` is ``joined``, or the one that failed: ``tcp``, ``handshake``, ``dht``.

    ``steps``: those that went well, with their seconds. ``reachable``: the bootnode could call back, so others can
    fetch blobs from here. ``clock_ahead_s``: its clock minus this machine's; records of a
    machine whose clock is off by more than their lifetime are taken for expired.
    """

    address: str
    step: str
    detail: str = ""
    took_s: float = 0.0
    reachable: bool = False
    clock_ahead_s: float = 0.0
    steps: tuple[tuple[str, float], ...] = ()

    @property
    def ok(self) -> bool:
        return self.step == "joined"


@dataclass(frozen=True)
class Bootnode:
    """A parsed bootnode address: whom to dial, the address without its peer id, and host and port where it is TCP."""

    text: str
    peer: PeerId
    transport: str
    endpoint: tuple[str, int] | None


def parse_bootnode(text: str) -> Bootnode:
    """``/ip4/…/tcp/…/p2p/PEER`` taken apart. Raises ``ConfigError`` when it is not such an address."""
    try:
        transport, marker, peer = text.strip().rpartition("/p2p/")
        if not marker:
            raise ValueError("it does not end in /p2p/ and a peer id")
        Multiaddr(transport)
        parts = transport.split("/")
        is_tcp = len(parts) >= 5 and parts[1] in ("ip4", "ip6", "dns", "dns4", "dns6") and parts[3] == "tcp"
        return Bootnode(
            text=text.strip(),
            peer=parse_peer_id(peer),
            transport=transport,
            endpoint=(parts[2], int(parts[4])) if is_tcp else None,
        )
    except (ValueError, BadRecord) as error:
        raise ConfigError(
            f"{text[:200]!r} is not the address of a bootnode: {error}",
            "Nothing was started.",
            "It looks like /ip4/10.0.0.5/tcp/38331/p2p/16Uiu2HA…; copy it from what `swarm host` printed.",
        ) from error


async def join(node: DHTNode, bootnodes: Sequence[Bootnode], *, timeout_s: float) -> tuple[BootnodeReport, ...]:
    """Meet the swarm through any of ``bootnodes``, trying again until ``timeout_s`` is over.

    Returns a report per bootnode, at least one of them ``ok``. Raises ``NetworkError`` that tells, for each, the step
    that failed.
    """
    deadline = time.monotonic() + timeout_s
    told: dict[str, BootnodeReport] = {}
    while True:
        left_s = max(0.5, deadline - time.monotonic())
        for report in await _first_answer(node, bootnodes, left_s):
            if report.address not in told or _DIAL_BACKOFF not in report.detail:
                told[report.address] = report
        reports = tuple(told[bootnode.text] for bootnode in bootnodes)
        if any(report.ok for report in reports):
            await explore(node)
            return reports
        if time.monotonic() + _RETRY_S >= deadline:
            raise NetworkError(
                "No bootnode could be reached: " + " ".join(_sentence(report) for report in reports),
                NO_CREDITS_LOST,
                _advice(reports),
            )
        await asyncio.sleep(_RETRY_S)


async def _first_answer(node: DHTNode, bootnodes: Sequence[Bootnode], timeout_s: float) -> list[BootnodeReport]:
    """Dial all; once one has joined, the others get only a moment more."""
    dials = {asyncio.create_task(dial(node, bootnode, timeout_s=timeout_s)): bootnode for bootnode in bootnodes}
    pending = set(dials)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result().ok for task in done):
                _, pending = await asyncio.wait(pending, timeout=_MOMENT_S) if pending else (done, set())
                break
    finally:
        for task in pending:
            task.cancel()
    return [
        BootnodeReport(bootnode.text, "tcp", "not waited for: another one answered")
        if task in pending
        else task.result()
        for task, bootnode in dials.items()
    ]


async def dial(node: DHTNode, bootnode: Bootnode, *, timeout_s: float) -> BootnodeReport:
    """One attempt to reach one bootnode, step by step. Never raises for what the network does."""
    started = time.monotonic()
    step, limit_s = "tcp", min(timeout_s, _STEP_S)
    steps: list[tuple[str, float]] = []

    def report(step: str, detail: str = "", **facts: float) -> BootnodeReport:
        took_s = time.monotonic() - started
        reachable, ahead_s = bool(facts.get("reachable")), facts.get("ahead", 0.0)
        return BootnodeReport(bootnode.text, step, detail, took_s, reachable, ahead_s, tuple(steps))

    def went_well() -> None:
        steps.append((step, time.monotonic() - started - sum(took_s for _, took_s in steps)))

    try:
        if bootnode.endpoint is not None:
            async with asyncio.timeout(limit_s):
                _, writer = await asyncio.open_connection(*bootnode.endpoint)
            writer.close()
            went_well()
        step = "handshake"
        async with asyncio.timeout(limit_s):
            peer = PeerID.from_base58(bootnode.peer)
            await _client(node.p2p).connect(peer, [Multiaddr(bootnode.transport)])
        went_well()
        step = "dht"
        async with asyncio.timeout(limit_s):
            asked_at = time.time()
            request = dht_pb2.PingRequest(peer=node.protocol.node_info, validate=True)
            answer = await node.protocol.get_stub(peer).rpc_ping(request)
            ahead_s = answer.dht_time - (asked_at + time.time()) / 2 if answer.dht_time else 0.0
        went_well()
        await node.protocol.call_ping(peer)  # enters the routing table
        return report("joined", reachable=answer.available, ahead=ahead_s)
    except TimeoutError:
        return report(step, _NO_ANSWER)
    except (OSError, ControlFailure) as error:
        return report(step, _last_cause(str(error)))
    except Exception as error:  # hivemind raises whatever the daemon said, and all of it is this step's result
        return report(step, _last_cause(f"{type(error).__name__}: {error}"))


async def explore(node: DHTNode) -> None:
    """Look for this node's own neighbours, which also makes it known to them."""
    await node.find_nearest_nodes([node.node_id])


def _client(p2p: P2P):  # type: ignore[no-untyped-def]
    """Hivemind keeps the daemon's ``connect`` private, and only calls it from its own identity check."""
    return p2p._client


def _last_cause(text: str) -> str:
    """libp2p nests causes over several lines; the last one says it."""
    lines = [line.strip(" *") for line in text.splitlines() if line.strip(" *")]
    return (lines[-1] if lines else text)[:300]


_STEP_WORDS = {
    "tcp": "no TCP connection",
    "handshake": "TCP answers, but the libp2p handshake failed",
    "dht": "it is the right libp2p node, but takes no part in this run",
}


def _sentence(report: BootnodeReport) -> str:
    if report.step == "dht" and report.detail == _NO_ANSWER:
        return f"{report.address}: it is the right libp2p node, but hangs ({report.detail})."
    return f"{report.address}: {_STEP_WORDS[report.step]} ({report.detail})."


def _advice(reports: Sequence[BootnodeReport]) -> str:
    steps = {report.step for report in reports}
    if any(report.step == "dht" and report.detail != _NO_ANSWER for report in reports):
        return "Check that host and peer use the same join token and the same version of this program."
    if "handshake" in steps:
        return "Another program or another identity listens there: ask the host for its present address."
    return "Check that the host runs, that its address is reachable from here, and that no firewall is in between."
