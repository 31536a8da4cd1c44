"""Whoever lies in tests of real processes can still do so: each way changes something that is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.swarm import lying

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("manners", lying.MANNERS)
def test_a_way_to_lie_finds_what_it_changes(manners):
    script = f"from tests.swarm import lying; lying.MANNERS[{manners!r}]()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
