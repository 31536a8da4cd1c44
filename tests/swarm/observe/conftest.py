import pytest

from tests.swarm.observe import playback


@pytest.fixture
def busy_home(tmp_path):
    """Three peers after twelve rounds."""
    playback.write(tmp_path)
    return tmp_path
