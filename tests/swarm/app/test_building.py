"""A peer is built only for a run by whose rules it can play."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import ConfigError
from protocol.run import JoinToken
from swarm.app import building
from swarm.observe.eventlog import EventLog
from swarm.settings.config import load_settings
from tests.protocol.test_run import CONTRACTS
from tests.swarm.small_swarm import small_run


def test_a_run_whose_stake_leaves_before_lies_are_found_is_not_joined(tmp_path: Path) -> None:
    run = small_run()  # for tests that withdraw
    assert run.economics.unbonding_s == 30

    async def find() -> JoinToken:
        return JoinToken(run, CONTRACTS, (), (), "tiny")

    async def build() -> None:
        nothing: Any = None  # it does not come so far as to need any of these
        with EventLog(tmp_path / "events.jsonl") as events:
            async with AsyncExitStack() as parts:
                chosen = load_settings("join", overrides={"home": tmp_path})
                await building._build_node(chosen, "1", find, nothing, nothing, events, parts, nothing)

    with pytest.raises(ConfigError, match="liable for 30 s, and a lie may be found up to 184 s later"):
        asyncio.run(build())
