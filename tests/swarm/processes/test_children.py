import asyncio
import os
import signal
import sys
import time

import msgspec
import pytest

from protocol.errors import ChainError, NetworkError
from protocol.events import Restarted
from swarm.observe.health import WELL, Condition, Health
from swarm.observe.notes import Note
from swarm.processes import children
from swarm.processes.children import MAX_RESTARTS, MAX_SAME_FAILURES, RESTARTED, Child, describe_exit


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.01)


def child_of(tmp_path, program, **options):
    """The child, and what it tells: of trouble, in words; of anything else, as the note that it is."""
    told = []

    def hear(note):
        told.append(note.text if note.is_trouble else note)

    command = [sys.executable, "-S", "-c", program]
    return Child("peer 1", command, tmp_path / "logs" / "child.log", hear, **options), told


def failing(code, what="'it broke'"):
    """A program that ends as ours do, with its error as JSON on the last line."""
    return (
        "import json, os, sys;"
        f"print(json.dumps({{'error': 'X', 'exit_code': {code}, 'what': {what}, 'so_what': 's', 'next': 'n'}}));"
        f"sys.exit({code})"
    )


async def until(true):
    """What other processes do can only be looked for."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [0, 2, 3])
async def test_a_child_that_starting_again_cannot_help_runs_once(tmp_path, code):
    child, told = child_of(tmp_path, f"print('once'); raise SystemExit({code})")
    assert await child.supervise() == code
    assert child.exit_code == code
    assert child.log_file.read_text().count("once") == 1
    assert told == []


@pytest.mark.asyncio
async def test_the_same_words_twice_are_enough(tmp_path):
    child, told = child_of(tmp_path, failing(5))
    assert await child.supervise() == 5
    assert child.log_file.read_text().count("it broke") == MAX_SAME_FAILURES == 2
    assert told == ["peer 1 ended with exit code 5 (it broke); starting it again in 0.01 s."]
    error = child.error()
    assert isinstance(error, ChainError)
    assert (error.what, error.so_what, error.next_step) == ("it broke", "s", "n")


@pytest.mark.asyncio
async def test_other_words_every_time_are_given_all_restarts(tmp_path):
    child, told = child_of(tmp_path, failing(4, "str(os.getpid())"))
    assert await child.supervise() == 4
    assert len(told) == MAX_RESTARTS == 5
    assert isinstance(child.error(), NetworkError)


@pytest.mark.asyncio
async def test_a_killed_child_comes_back_with_growing_pauses(tmp_path):
    child, told = child_of(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert await child.supervise() == -signal.SIGKILL
    assert [line.rsplit("in ", 1)[1] for line in told] == ["0.01 s.", "0.02 s.", "0.04 s.", "0.08 s.", "0.16 s."]
    assert told[0].startswith("peer 1 ended with signal SIGKILL;")


@pytest.mark.asyncio
async def test_a_child_that_had_run_for_long_gets_its_restarts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "STEADY_S", -1.0)
    child, told = child_of(tmp_path, failing(5))
    supervising = asyncio.ensure_future(child.supervise())
    await until(lambda: len(told) > MAX_RESTARTS)
    await child.stop()
    supervising.cancel()
    assert set(told) == {"peer 1 ended with exit code 5 (it broke); starting it again in 0.01 s."}


@pytest.mark.asyncio
async def test_an_error_of_an_earlier_run_is_not_taken_for_this_ones(tmp_path):
    first, _ = child_of(tmp_path, failing(2))
    await first.supervise()
    assert first.error() is not None
    second, _ = child_of(tmp_path, "raise SystemExit(2)")
    assert await second.supervise() == 2
    assert second.error() is None


@pytest.mark.asyncio
async def test_what_it_left_is_tidied_up_before_each_restart_only(tmp_path):
    tidied = []
    child, _ = child_of(tmp_path, failing(5), before_restart=lambda: tidied.append(time.monotonic()))
    await child.supervise()
    assert len(tidied) == 1


async def started(child, word):
    await until(lambda: word in child.last_words())


@pytest.mark.asyncio
async def test_stopping_is_a_polite_request_first(tmp_path):
    polite = (
        "import signal, sys, time\n"
        "def bye(*_): print('bye', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye); print('ready', flush=True); time.sleep(600)"
    )
    child, told = child_of(tmp_path, polite)
    supervising = asyncio.ensure_future(child.supervise())
    await started(child, "ready")
    await child.stop()
    assert await supervising == 0
    assert child.last_words(1) == "bye"
    assert told == []


@pytest.mark.asyncio
async def test_who_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "STOP_GRACE_S", 0.05)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"
    child, told = child_of(tmp_path, deaf)
    supervising = asyncio.ensure_future(child.supervise())
    await started(child, "ready")
    pid = child.pid
    await child.stop()
    assert await supervising == -signal.SIGKILL
    assert told == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.asyncio
async def test_a_child_stopped_in_its_pause_stays_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.3)
    child, told = child_of(tmp_path, "print('run'); raise SystemExit(9)")
    supervising = asyncio.ensure_future(child.supervise())
    await until(lambda: told)
    await child.stop()
    assert await supervising == 9
    assert child.log_file.read_text().count("run") == 1


@pytest.mark.asyncio
async def test_the_childs_ctrl_c_is_not_the_owners(tmp_path):
    child, _ = child_of(tmp_path, "import os; print(os.getsid(0) == os.getpid())")
    await child.supervise()
    assert child.last_words(1) == "True"


@pytest.mark.asyncio
async def test_a_log_of_any_length_and_content_is_read_at_its_end(tmp_path):
    child, _ = child_of(tmp_path, "import os; os.write(1, b'\\xff' * 100_000 + b'\\nlast')")
    assert child.last_words() == ""
    await child.supervise()
    assert child.last_words(1) == "last"
    assert child.error() is None


def test_exits_have_words():
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(-15) == "signal SIGTERM"


# --- a child that lives and does not get on ---------------------------------------------------------------------------


def looking(*conditions, elsewhere=False):
    """A look that finds these conditions, one after the other, the last one for ever."""
    left = list(conditions)

    def look():
        condition = left.pop(0) if len(left) > 1 else left[0]
        why = f"No progress for {len(left)} s. Last known: training."
        return Health(condition in WELL, condition, why, 3, "train", 1.0, 9.0, 4.0, elsewhere)

    return look


@pytest.mark.asyncio
async def test_a_stalled_child_is_started_again_and_both_sides_say_why(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOOK_S", 0.05)
    program = (
        f"import os, time; told = os.environ.get('{RESTARTED}')\n"
        "if told: print(told); raise SystemExit(0)\n"
        "print('hangs', flush=True); time.sleep(600)"
    )
    child, told = child_of(tmp_path, program, look=looking(Condition.PLAYING, Condition.STALLED, Condition.PLAYING))
    assert await child.supervise() == 0
    why = "is stalled: No progress for 1 s. Last known: training"
    assert told == [f"peer 1 {why}; starting it again in 0.01 s."]
    restarted = msgspec.json.decode(child.last_words(1), type=Restarted)
    assert restarted == Restarted(why, 1)


@pytest.mark.asyncio
async def test_a_stall_whose_cause_is_elsewhere_is_told_once_and_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOOK_S", 0.02)
    look = looking(Condition.STALLED, Condition.STALLED, Condition.STALLED, Condition.PLAYING, elsewhere=True)
    child, told = child_of(tmp_path, "print('lives', flush=True); import time; time.sleep(600)", look=look)
    supervising = asyncio.ensure_future(child.supervise())
    await until(lambda: len(told) == 2)
    await child.stop()
    await supervising
    assert told == [
        "peer 1 is stalled, and starting it again would not help: No progress for 3 s. Last known: training.",
        Note("peer 1 gets on again."),
    ]
    assert child.log_file.read_text().count("lives") == 1


@pytest.mark.asyncio
async def test_a_log_that_cannot_be_read_is_told_once_and_is_no_stall(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LOOK_S", 0.01)
    num_looks = []

    def look():
        num_looks.append(1)
        raise OSError("disk on fire")

    child, told = child_of(tmp_path, "import time; time.sleep(600)", look=look)
    supervising = asyncio.ensure_future(child.supervise())
    await until(lambda: len(num_looks) >= 3)
    await child.stop()
    await supervising
    assert told == ["peer 1 cannot be looked at: disk on fire"]


@pytest.mark.asyncio
async def test_one_that_never_gives_up_still_ends_for_what_cannot_change(tmp_path, monkeypatch):
    monkeypatch.setattr(children, "LONGEST_PAUSE_S", 0.01)
    flag = tmp_path / "count"
    program = (
        f"import pathlib; p = pathlib.Path({str(flag)!r}); n = len(p.read_text()) if p.exists() else 0\n"
        "p.write_text('x' * (n + 1)); raise SystemExit(3 if n == 8 else 4)"
    )
    child, told = child_of(tmp_path, program, gives_up=False)
    assert await child.supervise() == 3
    assert len(told) == 8 > MAX_RESTARTS
