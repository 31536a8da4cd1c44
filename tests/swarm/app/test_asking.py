"""A run's own questions reach whoever joins, from anybody who has them, and are given on."""

from __future__ import annotations

import msgspec
import pytest

from protocol.errors import ConfigError, NetworkError
from protocol.ids import PeerId
from protocol.run import RunSpec, TaskSpec
from swarm.app.asking import open_run_task
from swarm.dht.memory import Faults, MemoryNetwork
from swarm.tasks.files import QuestionFiles
from swarm.tasks.own import own_version
from swarm.tasks.questions import pack
from tests.swarm.dht.people import RUN, Person, check_signature
from tests.swarm.small_swarm import small_run
from tests.virtual_time import now

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

HOST, ANN, BOB = Person("host"), Person("ann"), Person("bob")
DATA, BLOB = pack(tuple((f"What is {number} + 1?", str(number + 1)) for number in range(64)), "number")


def run_with(data=DATA) -> RunSpec:
    return msgspec.structs.replace(small_run(), task=TaskSpec("mine", own_version(), (), 4, data))


def at(peer: PeerId) -> str:
    return f"/ip4/192.0.2.1/tcp/1/p2p/{peer}"


async def test_a_newcomer_gets_the_questions_from_the_host_and_gives_them_on(tmp_path) -> None:
    network = MemoryNetwork(RUN, check_signature, now=now)
    host, ann, bob = (network.join(person.peer) for person in (HOST, ANN, BOB))
    files = {name: QuestionFiles(tmp_path / name) for name in ("host", "ann", "bob")}
    files["host"].keep(BLOB)
    host.serve_from(files["host"].find)

    task = await open_run_task(run_with(), files["ann"], ann, [at(HOST.peer)])
    network.faults[HOST.peer] = Faults(unreachable=True)
    again = await open_run_task(run_with(), files["bob"], bob, [at(HOST.peer), at(ANN.peer)])

    assert task.questions(3, 5) == again.questions(3, 5)
    assert files["bob"].find(DATA.content) == BLOB


async def test_after_a_restart_nobody_is_asked(tmp_path) -> None:
    alone = MemoryNetwork(RUN, check_signature, now=now).join(ANN.peer)
    files = QuestionFiles(tmp_path)
    files.keep(BLOB)
    assert len((await open_run_task(run_with(), files, alone, [])).questions(3, 5)) == 5


@pytest.mark.parametrize("faults", [Faults(unreachable=True), Faults(corrupt_blobs=True), Faults(stall_blobs=True)])
async def test_a_host_that_gives_out_nothing_good_is_told_in_words(tmp_path, faults: Faults) -> None:
    network = MemoryNetwork(RUN, check_signature, now=now)
    host, ann = network.join(HOST.peer), network.join(ANN.peer)
    host.offer(BLOB)
    network.faults[HOST.peer] = faults
    with pytest.raises(NetworkError, match="64 questions"):
        await open_run_task(run_with(), QuestionFiles(tmp_path / "ann"), ann, [at(HOST.peer)])
    assert not (tmp_path / "ann").exists()


async def test_a_set_that_is_not_what_the_run_says_is_not_kept(tmp_path) -> None:
    network = MemoryNetwork(RUN, check_signature, now=now)
    host, ann = network.join(HOST.peer), network.join(ANN.peer)
    host.offer(BLOB)
    wrong = msgspec.structs.replace(DATA, rows=65)
    with pytest.raises(ConfigError, match="64 questions, not 65"):
        await open_run_task(run_with(wrong), QuestionFiles(tmp_path / "ann"), ann, [at(HOST.peer)])
    assert not (tmp_path / "ann").exists()


@pytest.mark.parametrize(
    ("levels", "too_few"), [((), False), ((32, 32), False), ((62, 2), True), ((1,) * 31 + (33,), True)]
)
async def test_a_strangers_run_with_a_level_that_cannot_be_asked_is_refused_at_once(tmp_path, levels, too_few) -> None:
    network = MemoryNetwork(RUN, check_signature, now=now)
    host, ann = network.join(HOST.peer), network.join(ANN.peer)
    host.offer(BLOB)
    joining = open_run_task(
        run_with(msgspec.structs.replace(DATA, levels=levels)), QuestionFiles(tmp_path), ann, [at(HOST.peer)]
    )
    if too_few:
        with pytest.raises(ConfigError, match=r"training questions of level \d+; 3 are asked at once"):
            await joining
    else:
        await joining
