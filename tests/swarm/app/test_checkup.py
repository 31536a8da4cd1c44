"""`swarm doctor` as a command: lines or one JSON object, an exit code, and a short form before a swarm is joined."""

from __future__ import annotations

import asyncio

import pytest

from swarm.app import checkup
from swarm.cli import execute
from swarm.settings.config import load_settings
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file


def levels(body: dict) -> dict[str, str]:
    return {one["name"]: one["level"] for one in body["doctor"]["findings"]}


def test_a_machine_without_a_swarm_is_fit_and_told_what_was_not_looked_at(told, tmp_path):
    code, body, _ = told("doctor", "--quick", "--home", tmp_path / "home", "--json")
    assert (code, body["doctor"]["fit"]) == (0, True)
    found = levels(body)
    assert (found["bootnodes"], found["chain"], found["key file"], found["model"]) == ("skipped",) * 3 + ("ok",)
    assert not (tmp_path / "home").exists()


def test_a_dead_endpoint_is_named_and_the_exit_code_is_2(town, told):
    town.add_peer()
    code, body, _ = told("doctor", "--quick", "--home", town.home, "--json")
    assert (code, body["doctor"]["fit"]) == (2, False)
    found = {one["name"]: one for one in body["doctor"]["findings"]}
    assert found["endpoint"]["level"] == "fail"
    assert "--rpc URL" in found["endpoint"]["fix"]
    assert "numerics" not in found, "that is not of the short form"


def test_people_get_a_line_each_and_the_cure_below(town, capsys):
    town.add_peer()
    assert execute(["doctor", "--quick", "--home", str(town.home)]) == 2
    lines = capsys.readouterr().out.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("WARN  backup")]
    assert "swarm identity backup FILE" in lines[at + 1]
    assert lines[-1] == "This machine is not fit to take part: endpoint."


def test_a_join_token_that_is_none_is_a_finding(told, tmp_path):
    code, body, _ = told("doctor", "--quick", "--home", tmp_path / "home", "--join", "swarm1-x", "--json")
    assert (code, levels(body)["join token"]) == (2, "fail")


def test_a_peer_and_a_device_that_cannot_be_are_told(told, tmp_path, monkeypatch):
    monkeypatch.setenv("SWARM_ENGINE__DEVICE", "cuda:99")
    code, body, _ = told("doctor", "--quick", "--home", tmp_path / "home", "--json")
    assert (code, levels(body)["device"]) == (2, "fail")
    assert (
        told("doctor", "--quick", "--peer", "../x", "--home", tmp_path / "home", "--json")[1]["error"] == "ConfigError"
    )


def test_before_a_swarm_is_joined_only_what_is_not_well_is_told_and_nothing_stops(town, capsys):
    town.add_peer()
    chosen = load_settings("join", overrides={"home": str(town.home)})

    async def find():
        return read_join_file(Home(town.home).join_file)

    asyncio.run(checkup.warn_before_joining(chosen, find, "1"))
    out, err = capsys.readouterr()
    assert out == ""
    names = [line.split(": ")[1] for line in err.splitlines()]
    assert set(names) == {"backup", "endpoint"}


def test_a_swarm_that_cannot_be_found_is_left_to_the_start_to_tell(town, capsys):
    async def find():
        raise checkup.ConfigError("no")

    asyncio.run(checkup.warn_before_joining(load_settings("join"), find, "1"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("ok", [True, False])
def test_wrong_bits_make_a_machine_unfit(monkeypatch, ok, capsys):
    from swarm.app import doctor

    route = {"name": "int8", "reason": "x"}
    found = {"version": "exact/1", "threads": 1, "route": route, "conformance": {"failures": []}, "golden": {},
             "expected": {}, "ok": ok, "time_s": 1.0}  # fmt: skip
    monkeypatch.setattr(doctor, "examine", lambda: found)
    finding = asyncio.run(checkup._numerics())
    assert finding.level.value == ("ok" if ok else "fail")
    assert ("swarm doctor --numerics" in finding.fix) is not ok
