"""What docs/tutorial.md and docs/operations.md promise, on real processes: ask, check, kill, stop, go on, look after.

One private swarm lives through the first tests, in their order; the last ones have one of their own.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from protocol.events import (
    CreditsChanged,
    PeerStarted,
    Problem,
    Recovered,
    Restarted,
    RoundEnded,
    RoundOpened,
    Serving,
    StageStarted,
    Stopped,
)
from protocol.run import format_token
from swarm.settings.joining import read_join_file
from tests.integration.conftest import Start
from tests.integration.history import PAID, check_history, plays_on
from tests.integration.processes import Command, Family, PeerLog, must_live, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DOCS = Path(__file__).parents[2] / "docs"
NAMES = ("1", "2")
UNHURRIED = {"SWARM_GAME__NUM_QUESTIONS": "24", "SWARM_GAME__NUM_SAMPLES": "8"}
"""Rounds so long that a command which checks the last one finds everything that it needs."""


@pytest.fixture(scope="module")
def logs(home: Path) -> list[PeerLog]:
    return [PeerLog(home, name) for name in NAMES]


@pytest.fixture(scope="module")
def swarm(start: Start, logs: list[PeerLog]) -> Iterator[Command]:
    command = start("local", "--peers", "2", "--logs", "json", **UNHURRIED)
    must_live.append(command)
    for log in logs:
        log.wait(RoundEnded, timeout_s=300)
    yield command
    must_live.clear()
    if command.process.poll() is None:
        command.signal(signal.SIGTERM)
        command.wait()


def got(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def commands_of(page: str, heading: str) -> list[list[str]]:
    """The commands under a heading of a document, as arguments of ``swarm``."""
    text = (DOCS / page).read_text()
    section = re.search(rf"^## [\d. ]*{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, heading
    block = re.search(r"^```sh\n(.*?)^```", section.group(1), re.MULTILINE | re.DOTALL)
    assert block, heading
    return [shlex.split(line, comments=True)[1:] for line in block.group(1).splitlines()]


def test_what_the_tutorial_asks_is_answered_while_it_runs(swarm: Command, start: Start) -> None:
    for arguments in commands_of("tutorial.md", "Ask it"):
        command = start(*arguments)
        assert command.wait() == 0, command.told()
        assert command.stdout.read_text().strip(), arguments


def test_what_the_tutorial_checks_comes_out_the_same(swarm: Command, start: Start, logs: list[PeerLog]) -> None:
    (arguments,) = commands_of("tutorial.md", "Check somebody's work")
    assert arguments == ["verify", "1", "PEER"]
    number = logs[0].wait(RoundEnded, after=logs[0].now()).round
    found = start("verify", str(number), logs[1].last(PeerStarted).nickname, "--json").result()
    assert (found["verdict"], found["level"]) == ("match", 2)


def test_every_peer_serves_its_health_and_metrics(swarm: Command, logs: list[PeerLog], home: Path) -> None:
    urls = {log.last(Serving).url for log in logs}
    assert len(urls) == 2, "ports of their own"
    for log in logs:
        url = log.last(Serving).url
        assert got(f"{url}/healthz")[0] == 200
        metrics = got(f"{url}/metrics")[1]
        assert f"swarm_round {log.last(RoundOpened).round}.0" in metrics or "swarm_round " in metrics
        targets = json.loads((log.folder / "metrics.json").read_text())
        assert targets[0]["targets"] == [url.removeprefix("http://")]


def test_every_line_on_stderr_is_an_object(swarm: Command, logs: list[PeerLog]) -> None:
    lines = [json.loads(line) for line in swarm.stderr.read_text().splitlines()]
    assert {line["peer"] for line in lines if "peer" in line} == {"1", "2", "host"}
    assert {"timestamp", "level", "event"} <= set.intersection(*(set(line) for line in lines))
    secret = (logs[0].folder / "wallet.password").read_text().strip()
    assert secret not in swarm.stderr.read_text()


def test_a_killed_p2p_daemon_is_started_again_shown_and_costs_nobody_anything(
    swarm: Command, logs: list[PeerLog], family: Family, home: Path
) -> None:
    log, seen = logs[0], logs[0].now()
    log.wait(StageStarted, after=seen)
    (daemon,) = [one for one in psutil.Process(log.pid()).children() if "p2pd" in one.name()]
    daemon.kill()
    assert log.wait(Problem, after=seen).error == "NetworkError"
    assert log.wait(Recovered, after=seen).error == "NetworkError"
    assert log.wait(RoundEnded, after=seen).outcome in PAID
    assert log.all(PeerStarted, after=seen) == [], "the peer itself lived on"
    plays_on(log, seen)
    check_history(logs, log, read_join_file(home / "join.yaml").run.model)


def test_a_killed_peer_says_itself_why_it_was_started_again(swarm: Command, logs: list[PeerLog], home: Path) -> None:
    log, seen = logs[1], logs[1].now()
    psutil.Process(log.pid()).kill()
    told = log.wait(Restarted, after=seen)
    assert (told.why, told.count) == ("ended with signal SIGKILL", 1)
    plays_on(log, seen)
    check_history(logs, log, read_join_file(home / "join.yaml").run.model)


@pytest.mark.parametrize("part", ["--serve", "--index"])
def test_a_killed_part_of_the_leaderboard_is_started_again_and_its_totals_are_right(
    swarm: Command, logs: list[PeerLog], family: Family, part: str
) -> None:
    (url,) = re.findall(r"Leaderboard: (http://[\w.:]+)/", swarm.stderr.read_text())
    (killed,) = family.of("leaderboard", part)
    killed.kill()
    seen = logs[0].now()
    wait_until(lambda: [one for one in family.of("leaderboard", part) if one.pid != killed.pid], f"a new {part}")
    logs[0].wait(RoundEnded, after=seen)

    def shown() -> dict[str, int]:
        try:
            return {one["peer"]: one["credits_micro"] for one in json.loads(got(f"{url}/api/v1/peers")[1])["peers"]}
        except (OSError, ValueError, KeyError):
            return {}

    wait_until(
        lambda: shown() == {log.last(PeerStarted).peer: log.last(CreditsChanged).settled_micro for log in logs},
        f"the page shows what the peers were told, after {shown()}",
    )
    assert all(log.last(CreditsChanged).settled_micro > 0 for log in logs)


def test_it_stops_in_order_and_takes_what_it_wrote_for_prometheus_away(
    swarm: Command, logs: list[PeerLog], family: Family
) -> None:
    must_live.clear()
    swarm.signal(signal.SIGINT)
    assert swarm.wait() == 128 + signal.SIGINT
    wait_until(family.is_gone, "every process has ended", 15)
    for log in logs:
        assert log.last(Stopped).exit_code == 0
        assert not (log.folder / "metrics.json").exists()


def test_several_peers_in_somebodys_swarm_are_looked_after(
    start: Start, family: Family, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A host, and ``swarm up`` in another home, with settings of one peer's own; one that hangs is noticed."""
    hosting, playing = tmp_path_factory.mktemp("host"), tmp_path_factory.mktemp("up")
    short = {"SWARM_TIME__STAGE_S": "5", "SWARM_TIME__CONTRIBUTE_S": "5", "SWARM_TIME__ROUND_S": "25"}
    host = start("host", "--private", "--json", "--min-peers", "2", "--home", str(hosting), **short)
    wait_until(lambda: host.stdout.read_text().endswith("\n"), "the host prints its token")
    assert start("health", "--host", "--home", str(hosting)).wait() == 0
    own = playing / "peers" / "2" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("observe: {metrics: false}\n")
    token = format_token(read_join_file(hosting / "join.yaml"))
    keeper = start("up", "--peers", "2", "--join", token, "--home", str(playing), **short)
    first, second = (PeerLog(playing, name) for name in NAMES)
    for log in (first, second):
        assert log.wait(RoundEnded).outcome in PAID
    assert len(first.all(Serving)) == 1
    assert second.all(Serving) == []

    seen = first.now()
    psutil.Process(first.pid()).suspend()  # it lives and does nothing: two rounds are 50 s
    told = first.wait(Restarted, after=seen)
    assert told.why.startswith("is stalled: No progress for ")
    plays_on(first, seen)
    assert "peer 1 is stalled: No progress for" in keeper.stderr.read_text()
    keeper.signal(signal.SIGTERM)
    assert keeper.wait() == 128 + signal.SIGTERM
    host.signal(signal.SIGTERM)
    assert host.wait() == 128 + signal.SIGTERM
    wait_until(family.is_gone, "every process has ended", 15)
