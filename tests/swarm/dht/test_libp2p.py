"""The real network: how it starts, says why it does not, survives what dies, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hivemind.dht.routing import DHTID
from hivemind.dht.storage import DictionaryDHTValue
from hivemind.p2p import PeerID
from hivemind.proto import crypto_pb2
from hivemind.utils.timed_storage import ValueWithExpiration

from protocol.codec import content_id, encode
from protocol.errors import ConfigError, IdentityError, NetworkError
from protocol.ids import ContentId
from swarm.dht.joining import parse_bootnode
from swarm.dht.libp2p import Libp2pSettings, Libp2pTransport, start_libp2p
from swarm.dht.overlay import MAX_ENTRIES, CappedSerializer
from swarm.dht.records import slot_name, slot_of
from tests.swarm.dht.people import RUN, Person, Rejections, check_signature, key

pytestmark = [pytest.mark.integration, pytest.mark.asyncio]

ROOT = Path(__file__).resolve().parents[3]
ANN, BOB, CAT = Person("ann"), Person("bob"), Person("cat")


async def start(person: Person, folder: Path, *bootnodes: str, run: ContentId = RUN, **settings) -> Libp2pTransport:
    told = {"on_rejected": settings.pop("rejections", None)}
    if "troubles" in settings:
        told["on_trouble"] = settings.pop("troubles").append
    quick = {"watch_every_s": 0.2, "lookup_every_s": 0.05, "start_s": 30.0, **settings}
    wanted = Libp2pSettings(person.identity_file(folder), bootnodes, **quick)
    return await start_libp2p(wanted, run=run, verify=check_signature, **told)


@asynccontextmanager
async def running(person: Person, folder: Path, *bootnodes: str, **settings) -> AsyncIterator[Libp2pTransport]:
    transport = await start(person, folder, *bootnodes, **settings)
    try:
        yield transport
    finally:
        await transport.close()


def daemons() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == "p2pd"]


async def no_daemon_is_left() -> bool:
    """A daemon that has ended is a child until somebody has asked for its exit code, which a busy machine delays."""
    return daemons() == []


async def eventually(true: Callable[[], Awaitable[bool]], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not await true():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.02)


@contextmanager
def listener() -> Iterator[int]:
    """A TCP port where somebody listens who is no libp2p node."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def address(port: int, person: Person = ANN) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{person.peer}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_a_bootnode_names_its_addresses_and_a_peer_joins_in_seconds(tmp_path: Path, capfd) -> None:
    async with running(ANN, tmp_path) as bootnode:
        assert bootnode.addresses == (address(int(bootnode.addresses[0].split("/")[4])),)
        assert await bootnode.collect(key()) == {}
        started = time.monotonic()
        async with running(BOB, tmp_path, *bootnode.addresses) as peer:
            assert time.monotonic() - started < 15
            (report,) = peer.bootnode_reports
            assert (report.ok, report.reachable) == (True, True)
            assert abs(report.clock_ahead_s) < 1
            assert peer.health.num_peers == 1
    await eventually(no_daemon_is_left, 3.0)
    assert capfd.readouterr().err == ""


async def test_a_fixed_port_is_used_and_a_taken_one_is_a_clear_error(tmp_path: Path) -> None:
    port = free_port()
    async with running(ANN, tmp_path, port=port) as first:
        assert first.addresses == (address(port),)
        with pytest.raises(ConfigError, match=f"Port {port} on 127.0.0.1"):
            await start(BOB, tmp_path, port=port)
    async with running(BOB, tmp_path, port=port) as second:  # free again at once
        assert second.addresses == (address(port, BOB),)
    with listener() as port, pytest.raises(ConfigError, match=f"Port {port}"):
        await start(ANN, tmp_path, port=port)


@pytest.mark.parametrize("host", ["localhost", "300.1.1.1", ""])
async def test_a_host_that_is_no_address_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="not an IP address"):
        await start(ANN, tmp_path, host=host)


async def test_an_identity_that_is_missing_or_pem_text_is_an_identity_error(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pem", tmp_path / "text.pem"):
        if path.name == "text.pem":
            path.write_text("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n")
        with pytest.raises(IdentityError, match=path.name):
            await start_libp2p(Libp2pSettings(path), run=RUN, verify=check_signature)
    assert not (tmp_path / "missing.pem").exists()
    await eventually(no_daemon_is_left, 3.0)


async def test_an_rsa_identity_of_hivemind_takes_part(tmp_path: Path) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    der = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path = tmp_path / "rsa.pem"
    path.write_bytes(crypto_pb2.PrivateKey(key_type=crypto_pb2.RSA, data=der).SerializeToString())
    transport = await start_libp2p(Libp2pSettings(path), run=RUN, verify=check_signature)
    try:
        assert transport.peer == PeerID.from_identity(path.read_bytes()).to_base58()
        async with running(BOB, tmp_path, *transport.addresses) as peer:
            assert await peer.fetch(transport.offer(b"from an RSA peer"), transport.peer) == b"from an RSA peer"
    finally:
        await transport.close()


async def test_each_bootnode_is_named_with_the_step_that_failed(tmp_path: Path) -> None:
    other_run = content_id(b"another run")
    async with running(ANN, tmp_path) as bootnode, running(BOB, tmp_path, run=other_run) as stranger:
        refused, imposter = address(free_port()), bootnode.addresses[0].replace(ANN.peer, Person("eve").peer)
        with listener() as port:
            silent = address(port, Person("dan"))
            with pytest.raises(NetworkError) as caught:
                await start(CAT, tmp_path, refused, imposter, silent, *stranger.addresses, start_s=8.0)
    said = str(caught.value)
    assert f"{refused}: no TCP connection" in said
    assert f"{imposter}: TCP answers, but the libp2p handshake failed (" in said
    assert f"{silent}: TCP answers, but the libp2p handshake failed (no answer in time)" in said
    assert f"{stranger.addresses[0]}: it is the right libp2p node, but takes no part in this run" in said
    assert "same join token" in caught.value.next_step
    await eventually(no_daemon_is_left, 3.0)


async def test_no_start_takes_longer_than_its_limit(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(NetworkError, match="no TCP connection"):
        await start(ANN, tmp_path, address(free_port(), BOB), start_s=2.0)
    assert time.monotonic() - started < 10


async def test_one_bootnode_that_answers_is_enough_and_no_other_is_waited_for(tmp_path: Path) -> None:
    async with running(ANN, tmp_path) as bootnode:
        with listener() as port:
            silent, refused = address(port, Person("dan")), address(free_port(), CAT)
            started = time.monotonic()
            async with running(BOB, tmp_path, silent, refused, *bootnode.addresses) as peer:
                assert time.monotonic() - started < 15
                assert [report.ok for report in peer.bootnode_reports] == [False, False, True]


async def test_a_bootnode_that_is_told_its_own_address_founds_the_swarm(tmp_path: Path) -> None:
    port = free_port()
    async with running(ANN, tmp_path, address(port), port=port) as bootnode:
        assert bootnode.bootnode_reports == ()
        await bootnode.publish(ANN.says(b"alone"), ttl_s=60)
        assert await bootnode.collect(key()) == {ANN.peer: ANN.says(b"alone")}


async def test_an_announced_address_replaces_the_one_listened_on_and_must_name_a_port(tmp_path: Path) -> None:
    async with running(ANN, tmp_path, announce=("/ip4/203.0.113.7/tcp/4001",)) as peer:
        assert peer.addresses == (f"/ip4/203.0.113.7/tcp/4001/p2p/{ANN.peer}",)
    for text in ("203.0.113.7:4001", "/ip4/203.0.113.7/tcp/0"):
        with pytest.raises(ConfigError, match="cannot be announced"):
            await start(ANN, tmp_path, announce=(text,))


async def test_a_bootnode_that_starts_later_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    joining = asyncio.create_task(start(BOB, tmp_path, address(port)))
    await asyncio.sleep(1.0)
    assert not joining.done()
    async with running(ANN, tmp_path, port=port):
        peer = await joining
        assert peer.bootnode_reports[0].ok
        await peer.close()


@pytest.mark.parametrize("text", ["", "10.0.0.5:38331", "/ip4/127.0.0.1/tcp/1", "/ip4/x/tcp/1/p2p/Qm", "/p2p/"])
async def test_what_is_no_bootnode_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a bootnode"):
        parse_bootnode(text)


async def test_a_killed_daemon_comes_back_on_the_same_port_with_everything(tmp_path: Path) -> None:
    troubles: list[NetworkError | None] = []
    async with (
        running(ANN, tmp_path) as bootnode,
        running(BOB, tmp_path, *bootnode.addresses, troubles=troubles) as peer,
    ):
        ref = peer.offer(b"still here")
        addresses, before = peer.addresses, set(daemons())
        child = psutil.Process(peer._p2p._child.pid)
        child.kill()

        async def is_back() -> bool:
            return peer.health.num_daemon_restarts == 1 and peer.health.num_peers == 1

        await eventually(is_back)
        assert [error and error.what for error in troubles] == ["The libp2p daemon has ended.", None]
        assert peer.addresses == addresses
        assert len(daemons()) == len(before)
        await peer.publish(BOB.says(b"b"), ttl_s=60)

        async def heard() -> bool:
            return await bootnode.collect(key()) == {BOB.peer: BOB.says(b"b")}

        await eventually(heard)
        assert await bootnode.fetch(ref, BOB.peer) == b"still here"


async def test_a_bootnode_that_restarts_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    bootnode = await start(ANN, tmp_path, port=port)
    async with running(BOB, tmp_path, *bootnode.addresses) as peer:
        await bootnode.close()

        async def is_alone() -> bool:
            try:
                await peer.collect(key())
            except NetworkError:
                return True
            return False

        await eventually(is_alone)
        async with running(ANN, tmp_path, port=port) as again:

            async def is_heard() -> bool:
                try:
                    await peer.publish(BOB.says(b"b"), ttl_s=60)
                except NetworkError:
                    return False
                return await again.collect(key()) == {BOB.peer: BOB.says(b"b")}

            await eventually(is_heard)


async def test_a_second_peer_with_the_same_identity_is_told(tmp_path: Path) -> None:
    async with running(ANN, tmp_path) as bootnode:
        first = await start(BOB, tmp_path, *bootnode.addresses)
        await first.publish(BOB.is_here(1, *first.addresses), ttl_s=60)
        await first.require_free_identity()
        second = await start(BOB, tmp_path, *bootnode.addresses)
        with pytest.raises(IdentityError, match=first.addresses[0]):
            await second.require_free_identity()
        await first.close()
        await second.require_free_identity()  # a dead one's announcement is no obstacle
        await second.close()


async def test_a_node_that_serves_junk_hides_nothing_and_is_shunned(tmp_path: Path) -> None:
    heard = Rejections()
    honest = ANN.says(b"a")

    class Junk:
        """Storage of a hostile node: one true record among hundreds of false ones."""

        def __init__(self, size: int) -> None:
            self.value = DictionaryDHTValue()
            for number in range(size):
                self.value.store(f"{number:05d}", b"\xc1" * 30, time.time() + 60)
            self.value.store(ANN.peer, encode(honest), time.time() + 60)

        def get(self, _: DHTID) -> ValueWithExpiration:
            return ValueWithExpiration(self.value, time.time() + 60)

    async with (
        running(ANN, tmp_path) as a,
        running(CAT, tmp_path, *a.addresses) as hostile,
        running(BOB, tmp_path, *a.addresses, rejections=heard) as reader,
    ):
        await a.publish(honest, ttl_s=60)
        protocol, source = reader._node.protocol, hostile._p2p.peer_id
        for size, num_heard in ((MAX_ENTRIES + 10, 0), (400, 4), (400, 4)):
            hostile._node.protocol.storage = hostile._node.protocol.cache = Junk(size)
            await protocol.call_find(source, [DHTID.from_bytes(slot_of(key()))])
            assert len(heard) == num_heard
            assert await reader.collect(key()) == {ANN.peer: honest}
        assert protocol.is_shunned(source)


async def test_slots_are_hivemind_keys() -> None:
    assert DHTID.generate(slot_name(key())).to_bytes() == slot_of(key())


async def test_dictionaries_above_the_cap_and_foreign_extensions_are_not_decoded() -> None:
    small, large = DictionaryDHTValue(), DictionaryDHTValue()
    for number in range(MAX_ENTRIES + 1):
        large.store(str(number), b"", time.time() + 60)
    small.store("a", b"b", time.time() + 60)
    assert list(CappedSerializer.loads(CappedSerializer.dumps(small)).data) == ["a"]
    for hostile in (large, (1, 2), [1], {"a": 1}):
        with pytest.raises(ValueError, match=r"exceeds|extension"):
            CappedSerializer.loads(CappedSerializer.dumps(hostile))


async def test_no_daemon_and_no_socket_outlives_a_killed_peer(tmp_path: Path) -> None:
    token, daemon = run_and_kill_a_peer(ANN.identity_file(tmp_path))

    async def gone() -> bool:
        alive = daemon.is_running() and daemon.status() != psutil.STATUS_ZOMBIE
        return not alive and not sockets_of(token)

    await eventually(gone, 3.0)


def run_and_kill_a_peer(identity: Path) -> tuple[str, psutil.Process]:
    """A guarded peer in a process of its own, killed with -9 once it runs: its guard token and its daemon."""
    code = f"""
    import asyncio
    from pathlib import Path
    from swarm.processes.guardian import start_guardian
    guardian = start_guardian()
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p
    from tests.swarm.dht.people import RUN, check_signature

    async def main():
        node = await start_libp2p(Libp2pSettings(Path({str(identity)!r})), run=RUN, verify=check_signature)
        print(guardian.token, node._p2p._child.pid, flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout is not None
        token, pid = owner.stdout.readline().split()
        daemon = psutil.Process(int(pid))
        assert sockets_of(token)
        owner.send_signal(signal.SIGKILL)
    return token, daemon


def sockets_of(token: str) -> list[Path]:
    return list(Path("/tmp").glob(f"rlswarm-{token}-*"))
