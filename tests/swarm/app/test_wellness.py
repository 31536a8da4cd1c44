"""``swarm health``: one line per peer, and an exit code for health checks."""

import json
import os
import time

from protocol import events as e
from swarm.cli import execute
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import playback


def test_a_living_peer_is_well_and_a_dead_one_is_not(tmp_path, capsys):
    for name, pid in (("1", os.getpid()), ("2", 2**22 + 1)):
        with EventLog(tmp_path / "peers" / name / "events.jsonl") as log:
            log.append(e.PeerStarted("ann", playback.peer_id(0), playback.address(0), "h", "m", "exact", "1", pid))
            log.append(e.RoundOpened(7, playback.content("s"), (), (), time.time(), time.time() + 60))
    assert execute(["health", "--home", str(tmp_path), "--peer", "1"]) == 0
    assert capsys.readouterr().out == "1: playing. Round 7: in phase open.\n"
    assert execute(["health", "--home", str(tmp_path), "--json"]) == 4
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["health"]
    assert (found["1"]["ok"], found["2"]["ok"], found["2"]["condition"]) == (True, False, "died")


def test_nobody_to_ask_about_is_a_usage_error(tmp_path, capsys):
    assert execute(["health", "--home", str(tmp_path), "--peer", "9"]) == 2
    assert "No peer '9' has ever run" in capsys.readouterr().err
