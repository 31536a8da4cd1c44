"""Two signatures of one peer are kept on disk until they are of no use, whatever happens to the process."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from protocol.events import EquivocationEnded
from swarm.disputes.evidence import Contradiction, Evidence
from tests.chain.conftest import FakeBench
from tests.swarm.disputes.houses import EVE, House, contradiction, houses, in_round_two, in_turn, stake_of

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def fake() -> FakeBench:
    """A run on the fake chain in round 2."""
    return await in_round_two()


async def test_evidence_is_kept_until_the_round_is_paid_and_a_damaged_file_harms_nothing(tmp_path: Path) -> None:
    bench = FakeBench()
    evidence = Evidence(tmp_path)
    assert evidence.open() == []
    (records,) = contradiction(bench, EVE, round=7).signed.values()
    one = Contradiction(7, EVE.peer, *records[EVE.peer], 3, 5.0)
    evidence.enter(one)
    (tmp_path / "000008-broken.json").write_bytes(b"{")
    for again in (evidence, Evidence(tmp_path)):
        assert again.open() == [one]
    evidence.enter(msgspec.structs.replace(one, ended="proven"))
    for again in (evidence, Evidence(tmp_path)):
        assert (again.open(), again.knows(7, EVE.peer)) == ([], True)
    evidence.forget_old(8)
    for again in (evidence, Evidence(tmp_path)):
        assert not again.knows(7, EVE.peer)
    assert not (tmp_path / f"000007-{EVE.peer}.json").exists()


async def test_a_look_reads_no_file_and_what_could_not_be_written_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = FakeBench()
    (records,) = contradiction(bench, EVE, round=7).signed.values()
    one = Contradiction(7, EVE.peer, *records[EVE.peer], 3, 5.0)
    evidence = Evidence(tmp_path)
    evidence.enter(one)

    def full(path: Path, data: bytes) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("swarm.disputes.evidence.write_atomically", full)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert evidence.open() == [one]
    for more in (msgspec.structs.replace(one, ended="proven"), msgspec.structs.replace(one, round=8)):
        with pytest.raises(OSError, match="no space"):
            evidence.enter(more)
    assert (evidence.open(), evidence.knows(8, EVE.peer)) == ([one], False)


async def test_evidence_that_was_damaged_is_written_anew_when_it_is_found_again(
    fake: FakeBench, tmp_path: Path
) -> None:
    records = contradiction(fake, EVE, round=2)
    first, *_ = in_turn(houses(fake, tmp_path, records), fake.world.view())
    (first.folder / "evidence").mkdir()
    (first.folder / "evidence" / f"000002-{EVE.peer}.json").write_bytes(b"{")
    again = House(fake, first.player, first.folder, records)
    await again.attend([EVE])
    await again.look()
    await again.look()
    assert await stake_of(fake, EVE) == 0
    assert [one.by_me for one in again.told(EquivocationEnded)] == [True]
