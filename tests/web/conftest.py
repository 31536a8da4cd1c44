"""Why this module exists: tests of the page look at an index of a made-up swarm, at a time that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from web import sample
from web.app import build_app
from web.database import open_database
from web.store import Store

NUM_PEERS, NUM_ROUNDS = 12, 6
NOW = sample.START + (NUM_ROUNDS + 1) * sample.ROUND_S


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(open_database(str(tmp_path / "index.sqlite")))


@pytest.fixture
def peers() -> list[str]:
    return sample.peer_ids(NUM_PEERS)


@pytest.fixture
def played(store: Store, peers: list[str]) -> Store:
    """An index of twelve peers and six rounds."""
    store.put([sample.run_row()])
    store.put(sample.register(peers))
    for rows in sample.play(peers, NUM_ROUNDS):
        store.put(rows)
    store.beat(NOW)
    return store


@pytest.fixture
def client(played: Store) -> Iterator[TestClient]:
    with TestClient(build_app(played._engine, now=lambda: NOW + 3.0)) as client:
        yield client
