"""One dev chain with one run for all games that are played on a chain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from benchmarks.court import Court

Run = Callable[[Awaitable[Any]], Any]


@pytest.fixture(scope="session")
def run() -> Iterator[Run]:
    """Waits for something, on the loop that the court lives on."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


@pytest.fixture(scope="session")
def court(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    court = run(Court.start(tmp_path_factory.mktemp("court")))
    yield court
    run(court.stop())
