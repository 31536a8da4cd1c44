"""The in-memory network's faults: what tests of the layers above may rely on."""

from __future__ import annotations

import pytest

from protocol.errors import BadRecord, NetworkError
from swarm.dht.blobs import BlobLimits
from swarm.dht.memory import Faults, MemoryNetwork
from tests.swarm.dht.people import RUN, Person, check_signature, key
from tests.virtual_time import now

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

ANN, BOB = Person("ann"), Person("bob")
QUICK = BlobLimits(stall_s=0.1, total_s=0.5)


def pair() -> tuple:
    network = MemoryNetwork(RUN, check_signature, now=now)
    return network, network.join(ANN.peer, blobs=QUICK), network.join(BOB.peer, blobs=QUICK)


async def test_a_dropping_peer_is_not_heard_until_it_stops_dropping() -> None:
    network, a, b = pair()
    network.faults[ANN.peer] = Faults(drop_records=True)
    await a.publish(ANN.says(b"a"), ttl_s=60)
    assert await b.collect(key()) == {}
    del network.faults[ANN.peer]
    assert await b.collect(key()) == {ANN.peer: ANN.says(b"a")}


async def test_a_slow_peer_is_heard_late() -> None:
    network, a, b = pair()
    network.faults[ANN.peer] = Faults(delay_s=0.05)
    started = now()
    await a.publish(ANN.says(b"a"), ttl_s=60)
    assert now() - started == pytest.approx(0.05)
    assert await b.collect(key()) == {ANN.peer: ANN.says(b"a")}


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (Faults(corrupt_blobs=True), "hash_mismatch"),
        (Faults(stall_blobs=True), "stalled"),
        (Faults(unreachable=True), "unavailable"),
    ],
)
async def test_a_faulty_blob_provider_gets_its_word(faults: Faults, reason: str) -> None:
    network, a, b = pair()
    ref = a.offer(bytes(100_000))
    network.faults[ANN.peer] = faults
    with pytest.raises(BadRecord) as caught:
        await b.fetch(ref, ANN.peer)
    assert caught.value.reason == reason


async def test_a_peer_that_is_cut_off_cannot_publish_or_collect() -> None:
    network, a, _ = pair()
    network.faults[ANN.peer] = Faults(unreachable=True)
    with pytest.raises(NetworkError):
        await a.publish(ANN.says(b"a"), ttl_s=60)
    with pytest.raises(NetworkError):
        await a.collect(key())


async def test_a_peer_that_restarts_finds_its_own_record_at_the_others() -> None:
    network, a, b = pair()
    await a.publish(ANN.says(b"a"), ttl_s=60)
    await a.close()
    again = network.join(ANN.peer)
    assert await again.collect(key()) == {ANN.peer: ANN.says(b"a")}
    with pytest.raises(BadRecord) as caught:
        await again.publish(ANN.says(b"another"), ttl_s=60)
    assert caught.value.reason == "equivocation"
    assert await b.collect(key()) == {ANN.peer: ANN.says(b"a")}
