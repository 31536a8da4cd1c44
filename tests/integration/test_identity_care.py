"""A peer is saved while it plays, its disk is lost, and it goes on elsewhere: as itself, and signing nothing twice.

One swarm lives through all tests of this file, in their order: a host and three peers, each in a home of its own.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from protocol.events import ContributionSigned, HeldBack, RecordRejected, RoundEnded, RoundSettled
from swarm.rounds.journal import Journal
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.history import PAID
from tests.integration.processes import PeerLog, must_live, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PASSWORD = {"SWARM_BACKUP_PASSWORD": "a password of a test"}
PATIENT = {"SWARM_TIME__STAGE_S": "40", "SWARM_TIME__CONTRIBUTE_S": "30", "SWARM_TIME__ROUND_S": "200"}
LONG_S = 420.0


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("host", "ann", "bob", "cyd", "other")
    return {name: tmp_path_factory.mktemp(name) / "home" for name in names}


@pytest.fixture(scope="module")
def token(start: Start, homes: dict[str, Path]) -> Iterator[str]:
    host = start("host", "--home", str(homes["host"]), "--min-peers", "3", "--json", **PATIENT)
    wait_until(lambda: (homes["host"] / "join.yaml").exists() and host.stdout.read_text(), "the host's token")
    must_live.append(host)
    yield json.loads(host.stdout.read_text().splitlines()[0])["token"]
    must_live.clear()


@pytest.fixture(scope="module")
def peers(start: Start, token: str, homes: dict[str, Path]) -> dict[str, PeerLog]:
    """Three peers that play until the end; cyd's first round is settled."""
    for name in ("ann", "bob", "cyd"):
        start("run", "--join", token, "--home", str(homes[name]), **PATIENT)
    logs = {name: PeerLog(homes[name], "1") for name in ("ann", "bob", "cyd")}
    wait_until(lambda: logs["cyd"].path.exists(), "cyd has begun")
    logs["cyd"].wait(RoundSettled, timeout_s=LONG_S)
    return logs


@pytest.fixture(scope="module")
def backup(start: Start, peers: dict[str, PeerLog], homes: dict[str, Path]) -> Path:
    file = homes["cyd"].parent / "cyd.backup"
    saved = start("identity", "backup", str(file), "--home", str(homes["cyd"]), "--json", **PASSWORD).result()
    assert saved["backup"]["bytes"] == file.stat().st_size > 0
    return file


def elsewhere(homes: dict[str, Path]) -> dict[str, str]:
    """What makes a process of this machine look like one of another: its own place for locks."""
    place = homes["other"].parent / "tmp"
    place.mkdir(exist_ok=True)
    return {"TMPDIR": str(place)} | PATIENT | PASSWORD


def test_a_peer_that_plays_elsewhere_is_not_played_by_a_second_machine(
    start: Start, token: str, homes: dict[str, Path], backup: Path, peers: dict[str, PeerLog]
) -> None:
    place = str(homes["other"])
    start("identity", "restore", str(backup), "--home", place, "--json", **elsewhere(homes)).result()
    second = start("run", "--join", token, "--home", place, **elsewhere(homes))
    assert second.wait(LONG_S) == 3, second.told()
    assert "with this identity is running at" in second.told() or "runs this peer already" in second.told()
    copied = Home(homes["other"]).peer("1").run(read_join_file(homes["host"] / "join.yaml").run.id).journal
    original = Home(homes["cyd"]).peer("1").run(read_join_file(homes["host"] / "join.yaml").run.id).journal
    signed = {path.relative_to(copied): path.read_bytes() for path in copied.glob("*/*.envelope")}
    assert {name: (original / name).read_bytes() for name in signed} == signed, "it signed nothing of its own"
    assert psutil.pid_exists(peers["cyd"].pid()), "the first one plays on"


def test_after_its_machine_is_lost_the_peer_goes_on_from_the_backup(
    start: Start, token: str, homes: dict[str, Path], backup: Path, peers: dict[str, PeerLog]
) -> None:
    lost = peers["cyd"]
    lost.wait(ContributionSigned, after=lost.now(), timeout_s=LONG_S)  # work that is in no backup
    psutil.Process(lost.pid()).kill()
    signed = {event.round: event.content for event in lost.all(ContributionSigned)}
    earned = peers["ann"].last(RoundSettled).micro_credits
    peer = json.loads((homes["cyd"] / "peers" / "1" / "backup.json").read_text())
    assert peer["num_bytes"] == backup.stat().st_size
    shutil.rmtree(homes["cyd"])
    shutil.rmtree(homes["other"])

    place = str(homes["other"])
    restored = start("identity", "restore", str(backup), "--home", place, "--json", **elsewhere(homes)).result()
    started_at = time.time()
    run = start("run", "--join", token, "--home", place, "--rounds", "1", **elsewhere(homes))
    assert run.wait(LONG_S) == 0, run.told()

    log = PeerLog(homes["other"], "1")
    who = start("identity", "show", "--home", place, "--json").result()["identity"][0]
    assert who["peer"] == restored["restore"]["peer"]
    assert who["peer"] in earned
    held = log.last(HeldBack)
    assert held.until_round >= max(signed), "every round that it signed elsewhere is closed"
    again = {event.round: event.content for event in log.all(ContributionSigned)}
    assert {number: again[number] for number in again if number <= held.until_round}.items() <= signed.items()
    assert max(again) > held.until_round, "it played a later round"
    assert log.last(RoundEnded).outcome in PAID
    credits = start("credits", "--home", place, "--join", token, "--json").result()["credits"][0]
    assert credits["peer"] == who["peer"]
    before = sum(event.paid.get(who["peer"], 0) for event in peers["ann"].all(RoundSettled))
    assert credits["credits"]["settled_micro"] == before > 0, "all that it earned on both machines"
    assert started_at < log.path.stat().st_mtime


def test_a_key_that_is_changed_while_the_peer_plays_signs_from_the_next_round_on(
    start: Start, token: str, homes: dict[str, Path], peers: dict[str, PeerLog]
) -> None:
    ann, bob = peers["ann"], peers["bob"]
    place = str(homes["ann"])
    before = start("identity", "show", "--home", place, "--json").result()["identity"][0]["signing_accounts"]
    rotated = start("identity", "rotate", "--join", token, "--home", place, "--json", **PATIENT).result()["rotate"]
    assert (rotated["former"], [step["intent"] for step in rotated["steps"]]) == (before[0], ["Rotate", "Refresh"])
    at, bobs = ann.now(), bob.now()
    for _ in range(2):
        ended = ann.wait(RoundEnded, after=at, timeout_s=LONG_S)
        at = next(seq for seq, event in ann.numbered(RoundEnded, after=at))
    assert ended.outcome in PAID, "the second round that ended was begun and played with the new key"
    content = {event.round: event.content for event in ann.all(ContributionSigned)}[ended.round]
    assert content in bob.wait(RoundSettled, after=bobs, round=ended.round, timeout_s=LONG_S).contributions
    assert {event.reason for event in bob.all(RecordRejected, after=bobs)} & {"wrong_signature", "unsigned"} == set()
    journal = Home(homes["ann"]).peer("1").run(read_join_file(homes["host"] / "join.yaml").run.id).journal
    kept = Journal(journal).read(ended.round, "contribution")
    assert kept is not None
    assert kept[0].delegation is not None
    assert kept[0].delegation.signer == rotated["signer"]


def test_a_wrong_password_changes_nothing_and_the_doctor_finds_a_living_swarm(
    start: Start, token: str, homes: dict[str, Path], backup: Path, peers: dict[str, PeerLog]
) -> None:
    wrong = elsewhere(homes) | {"SWARM_BACKUP_PASSWORD": "wrong"}
    refused = start("identity", "restore", str(backup), "--home", str(homes["cyd"]), **wrong)
    assert refused.wait() == 3
    assert not Home(homes["cyd"]).peer("1").root.exists()

    command = start("doctor", "--no-numerics", "--join", token, "--home", str(homes["ann"]), "--json", **PATIENT)
    found = command.result(LONG_S)
    assert found["doctor"]["fit"] is True
    names = {one["name"]: one["level"] for one in found["doctor"]["findings"]}
    assert (names["backup"], names["process"]) == ("warn", "ok")
    well = {"bootnode", "wire version", "clock", "endpoint", "chain id", "chain time", "contracts", "contract version"}
    well |= {"stake", "registration", "signing account", "membership", "key file"}
    assert {name: names[name] for name in well} == dict.fromkeys(well, "ok")
    (wire,) = [one for one in found["doctor"]["findings"] if one["name"] == "wire version"]
    assert "0 other peers" not in wire["what"]
