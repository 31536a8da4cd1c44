"""What holds for every test: property tests draw the same examples everywhere, no setting leaks in from outside, and
those marked ``virtual_time`` own their time."""

import asyncio
import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from tests.virtual_time import VirtualTimeLoop

settings.register_profile("everywhere", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("everywhere")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SWARM_")]:
        monkeypatch.delenv(name)


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
