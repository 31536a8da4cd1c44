"""What holds for every test: property tests draw the same examples everywhere, no setting leaks in from outside, and
those marked ``virtual_time`` own their time; files that take minutes begin first."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.virtual_time import VirtualTimeLoop

settings.register_profile("everywhere", derandomize=True, database=None, deadline=None, max_examples=60)
settings.load_profile("everywhere")

LONGEST_FIRST = (
    "tests/integration/test_churn.py",
    "tests/chain/test_contracts.py",
    "tests/integration/test_shutdown.py",
    "tests/integration/test_local_swarm.py",
    "tests/integration/test_hostile.py",
    "tests/chain/test_analysis.py",
    "tests/chaos/test_kills.py",
)
"""Where several files run at once, one that begins last and takes minutes would keep everybody waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parents[1]
    turns = {root / name: turn for turn, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: turns.get(item.path, len(turns)))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SWARM_")]:
        monkeypatch.delenv(name)


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
