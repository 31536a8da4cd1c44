"""Which run a host on somebody else's chain means, and the settings that it must not be started with."""

import pytest

from protocol.errors import ConfigError
from swarm.app.creating import run_file
from swarm.app.guesting import created_here
from swarm.settings.config import load_settings
from swarm.settings.joining import write_join_file
from tests.swarm.app.conftest import Town, spec_for


@pytest.fixture
def chosen(tmp_path):
    overrides = {"home": tmp_path, "chain.chain_id": 4242, "chain.rpc": ["http://127.0.0.1:1"]}
    return load_settings("join", overrides=overrides)


def create(chosen, **economics):
    town = Town(chosen.home, spec_for(economics.pop("chain_id", 4242), **economics))
    write_join_file(run_file(chosen.home, town.spec), town.token)
    return town.spec


def test_the_only_run_of_a_home_is_meant(chosen):
    assert created_here(chosen, None) is None
    create(chosen, chain_id=31337)
    ours = create(chosen)
    assert created_here(chosen, None).run == ours
    assert created_here(chosen, ours.id[:6]).run == ours


def test_one_of_several_is_named_or_described_by_the_settings(chosen):
    first, second = create(chosen), create(chosen, bond_micro=7)
    assert created_here(chosen, None) is None
    assert created_here(chosen, second.id).run == second
    assert first.id != second.id
    with pytest.raises(ConfigError, match="several runs"):
        created_here(chosen, first.name)
    with pytest.raises(ConfigError, match="no run"):
        created_here(chosen, "ffffffff")


def test_a_host_with_its_own_chain_is_asked_for_no_run(told, tmp_path):
    code, body, _ = told("host", "--run", "trial", "--home", tmp_path, "--json")
    assert (code, body["error"]) == (2, "ConfigError")
    assert "--config" in body["next"]


def test_settings_for_another_chain_than_the_tokens_start_no_peer(told, town, monkeypatch):
    monkeypatch.setenv("SWARM_CHAIN__CHAIN_ID", "4242")
    for command in (["run"], ["verify", "1", "QmPeer"]):
        code, body, _ = told(*command, "--home", town.home, "--json")
        assert (code, body["error"]) == (2, "ConfigError")
        assert "chain 4242" in body["what"]
