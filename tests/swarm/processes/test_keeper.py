"""Several peers of one machine: each of its own, looked after, and none goes down with another."""

import asyncio
import os
import sys

import pytest

from swarm.processes import children
from swarm.processes.keeper import Keeper
from swarm.settings.home import Home

ACTOR = """
import json, pathlib, sys, time
arguments = sys.argv[1:]
home = pathlib.Path(arguments[arguments.index("--home") + 1])
name = arguments[arguments.index("--peer") + 1]
with (home / (name + ".runs")).open("a") as runs:
    print(" ".join(arguments), file=runs)
num_runs = len((home / (name + ".runs")).read_text().splitlines())
exec({script!r}[name])
"""
REFUSED = """
print(json.dumps({"error": "IdentityError", "exit_code": 3, "what": "No key.", "so_what": "", "next": "Restore it."}))
sys.exit(3)
"""


@pytest.fixture
def keep(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.01)
    program, home = tmp_path / "actor.py", Home(tmp_path / "home")
    home.root.mkdir()

    def keeper(script, **more):
        program.write_text(ACTOR.format(script=script))
        command = [sys.executable, "-S", str(program)]
        return Keeper(home, list(script), more.get("rounds"), 1234.5, ["--join", "swarm1-x"], program=command)

    return keeper


def runs(keeper, name):
    return (keeper.home.root / f"{name}.runs").read_text().splitlines()


@pytest.mark.asyncio
async def test_each_is_a_process_of_its_own_told_who_it_is(keep):
    keeper = keep({"1": "sys.exit(0)", "east": "sys.exit(0)"}, rounds=3)
    assert await keeper.run() == 0
    (line,) = runs(keeper, "east")
    options = "--rounds 3 --since 1234.5 --join swarm1-x"
    assert line == f"run --peer east --kept --json {options} --home {keeper.home.root}"


@pytest.mark.asyncio
async def test_one_that_dies_comes_back_and_one_that_cannot_play_ends_alone(keep, capsys):
    keeper = keep({"1": "sys.exit(9 if num_runs < 8 else 0)", "2": REFUSED})
    assert await keeper.run() == 3
    assert (len(runs(keeper, "1")), len(runs(keeper, "2"))) == (8, 1)
    err = capsys.readouterr().err
    assert "peer 1 ended with exit code 9; starting it again in 0.01 s." in err
    assert "peer 2 ended for good with exit code 3: No key. Restore it." in err


@pytest.mark.asyncio
async def test_why_the_last_one_ended_is_told_though_nothing_comes_after_it(keep, capsys):
    assert await keep({"1": REFUSED}).run() == 3
    assert "peer 1 ended for good with exit code 3: No key. Restore it." in capsys.readouterr().err


@pytest.mark.asyncio
async def test_stopping_it_stops_everybody(keep):
    keeper = keep({"1": "time.sleep(600)", "2": "time.sleep(600)"})
    running = asyncio.ensure_future(keeper.run())
    async with asyncio.timeout(30):
        while len(list(keeper.home.root.glob("*.runs"))) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    for child in keeper._peers:
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)
