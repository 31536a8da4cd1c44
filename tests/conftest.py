"""What holds for every test: property tests draw the same examples everywhere, and no setting leaks in from outside."""

import os

import pytest
from hypothesis import settings

settings.register_profile("everywhere", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("everywhere")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SWARM_")]:
        monkeypatch.delenv(name)
