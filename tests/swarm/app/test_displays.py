"""``swarm top`` and ``swarm replay`` as people type them."""

import os
import subprocess
import sys
import time

import pytest

from protocol.errors import ConfigError
from protocol.events import PeerStarted, Stopped
from swarm.app import displays
from swarm.observe.eventlog import EventLog
from tests.integration.terminal import Terminal
from tests.swarm.observe import playback
from tests.swarm.observe.playback import address, peer_id


def drawn(terminal, words, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while words.encode() not in terminal.drawn:
        assert time.monotonic() < deadline, terminal.drawn[-2000:]
        assert terminal.process.poll() is None, terminal.drawn[-2000:]
        time.sleep(0.05)


def start(*arguments):
    command = [sys.executable, "-m", "swarm.cli", *arguments]
    return Terminal(command, os.environ | {"LC_ALL": "C.UTF-8", "COLORTERM": "truecolor"})


def test_top_is_left_without_ending_the_peer_that_it_shows(tmp_path):
    peer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with EventLog(tmp_path / "peers" / "1" / "events.jsonl") as log:
            log.append(PeerStarted("able-baker", peer_id(0), address(0), "/h", "m", "exact", "1", peer.pid))
            before = log.path.read_bytes()
        terminal = start("top", "--home", str(tmp_path))
        drawn(terminal, "able-baker")
        drawn(terminal, "running")
        terminal.press("2q")
        assert terminal.process.wait(30) == 0
        assert peer.poll() is None
        assert log.path.read_bytes() == before
    finally:
        peer.kill()
        peer.wait()


def test_a_recording_is_played_from_the_round_that_was_asked_for(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=3)
    with EventLog(tmp_path / "peers" / "peer-1" / "events.jsonl", now=lambda: playback.START_AT + 90) as log:
        log.append(Stopped("done", 0, 100))
    terminal = start("replay", "2", "--paused", "--home", str(tmp_path))
    drawn(terminal, "Round 2")
    drawn(terminal, "⏸")
    terminal.press(".q")
    assert terminal.process.wait(30) == 0


def top(home, **options):
    return displays.top(home, **{"peer": None, "light": False} | options)


def replay(home, number=None, **options):
    given = {"peer": None, "speed": 4.0, "paused": False, "light": False}
    return displays.replay(home, number, **given | options)


def test_without_a_terminal_nothing_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    with pytest.raises(ConfigError, match="draws on a terminal"):
        top(tmp_path)


@pytest.mark.parametrize("command", [top, replay])
def test_a_home_that_is_not_there_is_said(tmp_path, monkeypatch, command):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    with pytest.raises(ConfigError, match="Nothing was recorded"):
        command(tmp_path / "nowhere")


def test_a_round_or_a_peer_that_is_not_in_the_logs_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    playback.write(tmp_path, num_peers=2, num_rounds=3)
    with pytest.raises(ConfigError, match=r"Round 7 is not in the logs .* It has rounds 1 to 3\."):
        replay(tmp_path, 7)
    with pytest.raises(ConfigError, match="No peer 'x' was recorded") as refused:
        top(tmp_path, peer="x")
    assert refused.value.next_step == "Its peers: peer-1, peer-2."
