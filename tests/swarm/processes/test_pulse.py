"""The heartbeat, and what systemd is told: that a peer is up, what it does, and when it has to be started again."""

import asyncio
import socket

import pytest

from swarm.observe.health import WELL, Condition, Health
from swarm.processes.pulse import Pulse, ServiceManager, look_at
from tests.swarm.observe import playback


@pytest.fixture
def manager(tmp_path):
    """(what ``ServiceManager`` reads in the environment, the messages that arrived)"""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)

        def arrived():
            found = []
            while True:
                try:
                    found += listener.recv(4096).decode().splitlines()
                except BlockingIOError:
                    return found

        yield {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "60000"}, arrived


def found(condition, *, elsewhere=False):
    return Health(condition in WELL, condition, "Round 3: training.", 3, "train", 1.0, 1.0, 600.0, elsewhere)


async def told_about(environment, arrived, health):
    posting = asyncio.ensure_future(ServiceManager(environment).keep_posted(lambda: health))
    await asyncio.sleep(0.1)
    posting.cancel()
    return arrived()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("health", "is_kept_quiet"),
    [
        (found(Condition.PLAYING), True),
        (found(Condition.WAITING), True),
        (found(Condition.STALLED), False),
        (found(Condition.STALLED, elsewhere=True), True),
    ],
)
async def test_the_watchdog_is_kept_quiet_unless_starting_again_would_help(manager, health, is_kept_quiet):
    lines = await told_about(*manager, health)
    assert lines[:2] == ["READY=1", "STATUS=Starting."]
    assert "STATUS=Round 3: training." in lines
    assert ("WATCHDOG=1" in lines) is is_kept_quiet


@pytest.mark.asyncio
async def test_a_log_that_cannot_be_read_now_is_no_reason_to_start_again(manager):
    environment, arrived = manager

    def look():
        raise OSError("disk on fire")

    posting = asyncio.ensure_future(ServiceManager(environment).keep_posted(look))
    await asyncio.sleep(0.1)
    posting.cancel()
    assert {"STATUS=Its log cannot be read: disk on fire", "WATCHDOG=1"} <= set(arrived())


@pytest.mark.asyncio
async def test_without_systemd_nothing_is_sent_and_nobody_waits():
    service = ServiceManager({})
    assert (service.is_there, service.watchdog_s, service.tell("READY=1")) == (False, 0.0, False)
    await asyncio.wait_for(service.keep_posted(lambda: found(Condition.PLAYING)), 1)


def test_a_manager_that_is_gone_is_no_error(tmp_path):
    assert ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1") is False


@pytest.mark.asyncio
async def test_a_loop_that_beats_is_not_silent():
    clock = [100.0]
    pulse = Pulse(lambda: clock[0])
    clock[0] = 170.0
    assert pulse.silent_s() == 70.0
    beating = asyncio.ensure_future(pulse.beat())
    await asyncio.sleep(0)
    assert pulse.silent_s() == 0.0
    beating.cancel()


def test_a_look_may_come_from_any_thread(tmp_path):
    playback.write(tmp_path, num_peers=1, num_rounds=2)
    look = look_at(tmp_path / "peers" / "peer-1" / "events.jsonl", lambda: 30.0)
    assert asyncio.run(asyncio.to_thread(look)).limit_s == 60.0
