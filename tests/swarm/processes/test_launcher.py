import asyncio
import os
import signal
import socket
import sys
import time

import pytest

from protocol.errors import ConfigError, IdentityError, SwarmError
from swarm.processes import children
from swarm.processes.boarding import Board
from swarm.processes.launcher import Launcher
from swarm.processes.process import run_until_signal
from swarm.settings.home import Home

ACTOR = """
import json, os, pathlib, signal, sys, time
arguments = sys.argv[1:]
home = pathlib.Path(arguments[arguments.index("--home") + 1])
who = dict(host="host", leaderboard="page").get(arguments[0])
who = who or "peer-" + arguments[arguments.index("--peer") + 1]
(home / (who + ".args")).write_text("\\n".join(arguments))
with (home / (who + ".runs")).open("a") as runs:
    print(os.getpid(), file=runs)
SCRIPT = {script!r}
exec(SCRIPT.get(who, SCRIPT.get("else", "time.sleep(600)")))
"""


def fail(code, what):
    body = {"error": "X", "exit_code": code, "what": what, "so_what": "So it is.", "next": "Do that."}
    return f"print({__import__('json').dumps(body)!r}); sys.exit({code})"


@pytest.fixture
def launch(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.01)
    program = tmp_path / "actor.py"
    home = Home(tmp_path / "home")
    home.root.mkdir()

    def launcher(script, num_peers=2, num_rounds=None, board=None):
        program.write_text(ACTOR.format(script=script))
        return Launcher(
            home,
            num_peers,
            num_rounds,
            1234.5,
            ["--private"],
            ["--quiet"],
            program=[sys.executable, "-S", str(program)],
            board=board,
        )

    return launcher


async def look_on(_launcher):
    await asyncio.Event().wait()


def pids(launcher):
    return [int(line) for path in launcher.home.root.glob("*.runs") for line in path.read_text().split()]


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until(true):
    """What other processes do can only be looked for."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_it_is_over_when_every_peer_has_played_its_rounds(launch):
    launcher = launch({"peer-1": "sys.exit(0)", "peer-2": "sys.exit(0)"}, num_rounds=3)
    assert await launcher.run(look_on) == 0
    root = launcher.home.root
    join = ["--wait", "600", "--fresh-since", "1234.5"]
    rounds = ["--rounds", "3", "--since", "1234.5"]
    home = ["--home", str(root)]
    assert (root / "host.args").read_text().split("\n") == ["host", "--private", *home]
    assert (root / "peer-2.args").read_text().split("\n") == ["run", "--peer", "2", *join, *rounds, "--quiet", *home]
    assert all(is_gone(pid) for pid in pids(launcher))


@pytest.mark.asyncio
async def test_a_peers_own_error_and_code_are_the_launchers(launch):
    launcher = launch({"peer-2": fail(3, "The key is lost.")})
    with pytest.raises(IdentityError) as caught:
        await launcher.run(look_on)
    assert caught.value.what == "peer 2: The key is lost."
    assert (caught.value.so_what, caught.value.next_step) == ("So it is.", "Do that.")
    assert caught.value.exit_code == 3
    assert (launcher.home.root / "peer-2.runs").read_text().count("\n") == 1
    assert all(is_gone(pid) for pid in pids(launcher))


@pytest.mark.asyncio
async def test_a_hosts_own_error_and_code_are_the_launchers(launch):
    with pytest.raises(ConfigError) as caught:
        await launch({"host": fail(2, "No such model.")}).run(look_on)
    assert caught.value.what == "host: No such model."


@pytest.mark.asyncio
async def test_a_defect_of_a_child_is_told_with_its_log(launch):
    launcher = launch({"peer-1": fail(1, "Unexpected KeyError: 'x'")})
    with pytest.raises(SwarmError) as caught:
        await launcher.run(look_on)
    assert caught.value.exit_code == 1
    assert caught.value.what == "peer 1: Unexpected KeyError: 'x'"
    assert caught.value.next_step == f"Its whole log is {launcher.home.peer('1').log_file}."
    assert (launcher.home.root / "peer-1.runs").read_text().count("\n") == 2


@pytest.mark.asyncio
async def test_a_child_without_last_words_is_told_by_its_exit(launch, monkeypatch):
    monkeypatch.setattr(children, "MAX_RESTARTS", 0)
    launcher = launch({"peer-1": "print('so far, so good', flush=True); os.kill(os.getpid(), signal.SIGSEGV)"})
    with pytest.raises(SwarmError, match="peer 1 ended with signal SIGSEGV") as caught:
        await launcher.run(look_on)
    assert "so far, so good" in caught.value.what
    assert caught.value.exit_code == 1


@pytest.mark.asyncio
async def test_the_person_who_quits_the_view_ends_everything_well(launch):
    launcher = launch({})

    async def glance(launcher):
        await until(lambda: len(pids(launcher)) == 3)

    assert await launcher.run(glance) == 0
    assert all(is_gone(pid) for pid in pids(launcher))


@pytest.mark.asyncio
async def test_a_view_that_breaks_ends_everything_and_says_why(launch):
    launcher = launch({})

    async def broken(launcher):
        await until(lambda: len(pids(launcher)) == 3)
        raise ZeroDivisionError("plot")

    with pytest.raises(ZeroDivisionError, match="plot"):
        await launcher.run(broken)
    assert all(is_gone(pid) for pid in pids(launcher))


def test_a_signal_ends_all_children_and_is_the_exit_code(launch):
    launcher = launch({})

    async def interrupted(launcher):
        await until(lambda: len(pids(launcher)) == 3)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()

    started_at = time.monotonic()
    assert run_until_signal(lambda: launcher.run(interrupted)) == 128 + signal.SIGTERM
    assert time.monotonic() - started_at < 15
    assert all(is_gone(pid) for pid in pids(launcher))


@pytest.mark.asyncio
async def test_while_a_host_is_away_nobody_is_sent_to_its_old_address(launch):
    again = (
        "(home / 'seen').open('a').write(str((home / 'join.yaml').exists()) + ' ');"
        "(home / 'join.yaml').write_text('token');"
        "os.kill(os.getpid(), 9) if (home / 'host.runs').read_text().count('\\n') < 3 else time.sleep(600)"
    )
    launcher = launch({"host": again})

    async def until_third(launcher):
        seen = launcher.home.root / "seen"
        await until(lambda: seen.exists() and len(seen.read_text().split()) == 3)

    assert await launcher.run(until_third) == 0
    assert (launcher.home.root / "seen").read_text().split() == ["False", "False", "False"]
    assert [note.text.split(" ended")[0] for note in launcher.notes] == ["host", "host"]


@pytest.mark.asyncio
async def test_starting_in_a_home_that_is_in_use_leaves_its_join_file_alone(launch):
    launcher = launch({"host": fail(3, "It runs already.")})
    launcher.home.join_file.write_text("token")
    with pytest.raises(IdentityError):
        await launcher.run(look_on)
    assert launcher.home.join_file.read_text() == "token"


@pytest.mark.asyncio
async def test_a_leaderboard_that_dies_is_started_again_and_ends_no_swarm(launch, tmp_path):
    page = Board(8844, tmp_path / "page.log")
    launcher = launch(
        {"page": "sys.exit(2)", "peer-1": "time.sleep(0.5)", "peer-2": "time.sleep(0.5)"}, num_rounds=3, board=page
    )
    assert await launcher.run(look_on) == 0
    said = [note.text for note in launcher.notes if note.is_trouble]
    assert any("The leaderboard has ended" in text and "The swarm goes on" in text for text in said)


@pytest.mark.asyncio
async def test_a_leaderboard_is_ended_with_the_swarm(launch, tmp_path):
    page = Board(8844, tmp_path / "page.log")
    launcher = launch({"peer-1": "time.sleep(0.5)", "peer-2": "time.sleep(0.5)"}, num_rounds=3, board=page)
    assert await launcher.run(look_on) == 0
    assert launcher.notes == []
    assert len(pids(launcher)) == 4
    assert all(is_gone(pid) for pid in pids(launcher))


def test_the_address_of_the_leaderboard_is_remembered(tmp_path):
    first = Board.of(Home(tmp_path))
    assert Board.of(Home(tmp_path)) == first
    assert first.address == f"http://127.0.0.1:{first.port}/"
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first.port))
        other.listen()
        assert Board.of(Home(tmp_path)).port != first.port
