"""JSON logs of a command: they name peer and run, and know what must not be said before anybody says it."""

import pytest

from swarm import failures
from swarm.app import logs
from swarm.settings.config import load_settings
from tests.swarm.small_swarm import small_run


def chosen(home, **more):
    return load_settings("join", overrides={"home": home} | more)


def test_passwords_and_the_rest_of_endpoints_are_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("SWARM_WALLET_PASSWORD", "from-outside")
    kept = tmp_path / "peers" / "1" / "wallet.password"
    kept.parent.mkdir(parents=True)
    kept.write_text("made-here\n")
    named = tmp_path / "pw"
    named.write_text("in-a-file")
    settings = chosen(
        tmp_path, **{"wallet.password_file": named, "chain.rpc": ("https://h.example/v3/k3y?x=1", "http://127.0.0.1:1")}
    )
    assert set(logs.secrets_of(settings)) == {"from-outside", "made-here", "in-a-file", "v3/k3y?x=1"}


def test_lines_need_nothing(tmp_path):
    assert logs.telling_of(chosen(tmp_path), False, 0.0) is None

    async def find():
        return None

    assert logs.naming_the_run(chosen(tmp_path), find, None) is find


class Said:
    """A printer that keeps what it is told."""

    def __init__(self):
        self.hidden, self.bound = set(), {}

    def hide(self, secrets):
        self.hidden |= set(secrets)

    def bind(self, **known):
        self.bound |= known


@pytest.mark.asyncio
async def test_once_the_run_is_found_lines_name_it_and_hide_what_was_made_since(tmp_path):
    run, said = small_run(), Said()

    async def find():
        return type("Token", (), {"run": run})

    search = logs.naming_the_run(chosen(tmp_path), find, said)
    kept = tmp_path / "peers" / "1" / "wallet.password"
    kept.parent.mkdir(parents=True)
    kept.write_text("made-just-now")
    assert (await search()).run is run
    assert said.bound == {"run": run.id[:16]}
    assert said.hidden == {"made-just-now"}


def test_failures_are_told_in_the_way_that_was_chosen_last(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(failures, "_ways", [*failures._ways])
    failures.tell_through(told.append)
    assert failures.report(failures.errors.ConfigError("a", "b", "c")) == 2
    assert [error.what for error in told] == ["a"]
    assert capsys.readouterr().err == ""
