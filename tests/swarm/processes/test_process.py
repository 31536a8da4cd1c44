import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest

from protocol.errors import NetworkError
from swarm.processes.process import peak_mb, run_until_signal


def test_the_exit_code_is_what_the_command_returns():
    async def main() -> int:
        return 7

    assert run_until_signal(main) == 7


def test_its_errors_are_the_callers():
    async def main() -> int:
        raise NetworkError("away")

    with pytest.raises(NetworkError, match="away"):
        run_until_signal(main)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_in_order_with_its_number(number):
    closed = []

    async def main() -> int:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            closed.append(True)
        raise AssertionError("unreachable")

    assert run_until_signal(main) == 128 + number
    assert closed == [True]


def test_a_failure_on_the_way_out_is_told_and_the_signal_still_counts(capsys):
    async def main() -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            raise NetworkError("The door is stuck.", "Never mind.", "Leave it.")

    assert run_until_signal(main) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "error: The door is stuck.\nNever mind.\nLeave it.\n"


def test_a_second_signal_cuts_the_orderly_end_short():
    async def main() -> int:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        raise AssertionError("unreachable")

    assert run_until_signal(main) == 128 + signal.SIGINT


def test_nothing_of_it_outlives_the_command():
    async def main() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    before = signal.getsignal(signal.SIGTERM)
    run_until_signal(main)
    assert signal.getsignal(signal.SIGTERM) == before
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(5)
            assert not thread.is_alive()


def test_leaving_does_not_wait_for_threads_and_keeps_the_output():
    program = (
        "import threading, time; from swarm.processes.process import leave\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "print('said', end=''); leave(6)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (6, b"said")


def test_peak_memory_is_megabytes():
    assert 10 < peak_mb() < 100_000
