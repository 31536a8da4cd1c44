import subprocess
import sys

import pytest


@pytest.mark.slow
def test_set_up_compiles_what_a_model_needs(model_directory):
    command = [sys.executable, "-m", "swarm.policy.exact_warm", str(model_directory)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
