"""Which engine a peer computes with: the run's, or one that the run tolerates."""

import pytest

from protocol.errors import ConfigError
from protocol.run import AuditRules
from swarm.app.building import engine_of
from swarm.settings.config import load_settings
from tests.swarm.small_swarm import small_run

MIXED = small_run(audit=AuditRules("exact", 2, 1, 3, 16, 50_000, 3, ("trl",)))


def chosen(kind: str):
    return load_settings("local", overrides={"engine.kind": kind})


def test_a_peer_takes_the_runs_engine_unless_it_chooses_a_tolerated_one():
    assert [engine_of(chosen(kind), MIXED) for kind in ("run", "exact", "trl")] == ["exact", "exact", "trl"]


def test_an_engine_whose_work_would_not_count_does_not_start():
    with pytest.raises(ConfigError, match="native engine does not count") as caught:
        engine_of(chosen("native"), MIXED)
    assert "one of: exact, trl" in caught.value.next_step
