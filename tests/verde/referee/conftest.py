"""One dev chain with one evaluator for all tests of leaves."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Iterator

import pytest

from chain.devchain import DevChain
from tests.verde.referee.evm import Evm

FEW, MANY = 250, 10_000


@pytest.fixture(scope="session")
def evm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evm]:
    chain = asyncio.run(DevChain.start(tmp_path_factory.mktemp("referee"), block_time_s=0.2))
    yield Evm(chain)
    asyncio.run(chain.stop())


@pytest.fixture(
    params=[
        pytest.param(FEW, marks=pytest.mark.integration, id="few"),
        pytest.param(MANY, marks=pytest.mark.slow, id="many"),
    ]
)
def num_cases(request: pytest.FixtureRequest) -> int:
    """How many cases a fuzz test tries."""
    return request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers that depend on the test's name alone."""
    return random.Random(zlib.crc32(request.node.name.encode()))
