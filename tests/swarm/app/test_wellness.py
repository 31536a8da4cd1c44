"""``swarm health``: one line per peer, and an exit code for health checks."""

import http.server
import json
import os
import socket
import threading
import time

import pytest

from protocol import events as e
from protocol.ids import Address
from protocol.run import JoinToken, RunContracts
from swarm.cli import execute
from swarm.observe.eventlog import EventLog
from swarm.settings.joining import write_join_file
from tests.swarm.observe import playback
from tests.swarm.small_swarm import small_run

CONTRACTS = RunContracts(*(Address("0x" + "ab" * 20) for _ in RunContracts.__struct_fields__))


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


class Answering(http.server.BaseHTTPRequestHandler):
    """A gate that knows one thing, or nothing."""

    result: object = "0x1f"

    def do_POST(self):
        body = json.dumps({"result": self.result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def gate():
    server = http.server.HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def hosted(home, *, rpc, port):
    token = JoinToken(small_run(), CONTRACTS, (f"/ip4/127.0.0.1/tcp/{port}/p2p/QmX",), (rpc,), "tiny")
    write_join_file(home / "join.yaml", token)


def test_a_host_is_well_when_its_chain_answers_and_its_bootnode_listens(tmp_path, capsys, gate, monkeypatch):
    with socket.socket() as bootnode:
        bootnode.bind(("127.0.0.1", 0))
        bootnode.listen()
        hosted(tmp_path, rpc=gate, port=bootnode.getsockname()[1])
        assert execute(["health", "--host", "--home", str(tmp_path)]) == 0
        assert capsys.readouterr().out == "chain: answers\nbootnode: answers\n"
        monkeypatch.setattr(Answering, "result", None)
        assert execute(["health", "--host", "--home", str(tmp_path)]) == 4
    assert execute(["health", "--host", "--home", str(tmp_path), "--json"]) == 4
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["health"]["host"]
    assert found["bootnode"].startswith("does not listen: ")


def test_a_home_without_a_host_is_told_so(tmp_path, capsys):
    assert execute(["health", "--host", "--home", str(tmp_path)]) == 2
