"""What a peer says of somebody's work is found once, signed once, and is the same bytes ever after."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain.fake import FakeWorld
from identity.keyfile import create_key
from identity.signer import Signer
from protocol.codec import content_id, decode
from protocol.errors import NetworkError
from protocol.ids import Address
from protocol.messages import Difference, Envelope, Finding, Verdict
from swarm.audit.saying import say
from swarm.rounds.journal import Journal
from tests.swarm.small_swarm import small_run

pytestmark = pytest.mark.asyncio

WORK = content_id(b"somebody's work")


class Network:
    def __init__(self) -> None:
        self.is_away = True
        self.published: list[Envelope] = []

    async def publish(self, envelope: Envelope, *, ttl_s: float) -> None:
        if self.is_away:
            raise NetworkError("Nobody is here.")
        self.published.append(envelope)


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    signer = Signer(create_key(tmp_path / "swarm.pem", secret=bytes([7]) * 32), Address(f"0x{7:040x}"))
    return SimpleNamespace(
        run=small_run(),
        contracts=FakeWorld().contracts,
        signer=signer,
        journal=Journal(tmp_path / "journal"),
        transport=Network(),
    )


async def test_what_was_found_is_kept_before_anybody_sees_it_and_never_found_again(bench: Any, tmp_path: Path) -> None:
    found: list[str] = []

    async def find() -> Verdict:
        found.append("looked")
        return Verdict(bench.signer.peer, WORK, 1, Finding.MISMATCH, Difference(f"look {len(found)}"), ())

    with pytest.raises(NetworkError):
        await say(bench, "verdict", 3, WORK, find)
    bench.journal = Journal(tmp_path / "journal")  # killed, and started again
    bench.transport.is_away = False
    first, again = await say(bench, "verdict", 3, WORK, find), await say(bench, "verdict", 3, WORK, find)
    assert bench.transport.published == [first, again]
    assert first is not None
    assert first == again
    assert decode(first.payload, Verdict).difference == Difference("look 1")
    assert (first.round, first.kind, found) == (3, "verdict", ["looked"])


async def test_who_has_nothing_to_say_publishes_nothing_and_may_find_something_later(bench: Any) -> None:
    async def find() -> None:
        return None

    bench.transport.is_away = False
    assert await say(bench, "verdict", 3, WORK, find) is None
    assert bench.transport.published == []
    assert bench.journal.read(3, "verdict", about=WORK) is None
