"""Operations on the network are counted with their result, once, and nothing else changes."""

import pytest

from protocol.errors import BadRecord, NetworkError
from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef
from swarm.dht.counted import CountedTransport, Tally
from swarm.dht.transport import RecordKey

KEY = RecordKey(ContentId("ab" * 32), "answer", 1)
PEER = PeerId("QmX")


class Scripted:
    """A transport that gives or raises what it is told to."""

    addresses = ("/ip4/127.0.0.1/tcp/1",)

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)

    async def collect(self, key):
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    collect_all = collect

    async def publish(self, envelope, *, ttl_s):
        await self.collect(envelope)

    async def fetch(self, ref, provider, *others):
        return await self.collect(ref)


@pytest.mark.asyncio
async def test_results_are_counted_by_name_and_given_on():
    tally = Tally()
    failures = [NetworkError("away"), BadRecord("unavailable", "nobody has it")]
    transport = CountedTransport(Scripted({}, {PEER: ()}, failures[0], b"blob", failures[1], None), tally)
    assert await transport.collect(KEY) == {}
    assert await transport.collect_all(KEY) == {PEER: ()}
    with pytest.raises(NetworkError):
        await transport.collect(KEY)
    ref = BlobRef(ContentId("cd" * 32), 4)
    assert await transport.fetch(ref, PEER) == b"blob"
    with pytest.raises(BadRecord):
        await transport.fetch(ref, PEER)
    await transport.publish(None, ttl_s=1)
    assert transport.addresses == Scripted.addresses
    assert tally.take() == {
        "collect ok": 2, "collect unreachable": 1, "fetch ok": 1, "fetch unavailable": 1, "publish ok": 1,
    }  # fmt: skip
    assert tally.take() == {}
