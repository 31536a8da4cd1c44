"""Freed memory goes back to the system where the C library can be asked for it."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

HOLES = """
import psutil
from swarm.processes.heap import trim
kept, freed = [], []
for number in range(40_000):  # what is kept lies between: the heap cannot shrink from its end
    (kept if number % 32 < 8 else freed).append(bytearray(4_000))
freed.clear()
before = psutil.Process().memory_info().rss
assert trim()
print((before - psutil.Process().memory_info().rss) // 1_000_000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU library is asked")
def test_holes_between_what_is_kept_go_back_to_the_system():
    returned_mb = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True).stdout
    assert int(returned_mb) > 20
