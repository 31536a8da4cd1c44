"""A report tells what happened, and no secret of the home is in it, wherever somebody may have written it down."""

from __future__ import annotations

import base64
import json
import zipfile

import msgspec
import pytest

from identity.keyfile import load_key
from identity.signing_keys import make_signing_key
from identity.wallet import open_wallet
from protocol import events as e
from swarm.app import bug_report, checkup
from swarm.cli import execute
from swarm.observe.eventlog import EventLog
from swarm.settings.home import Home
from swarm.settings.joining import write_join_file
from swarm.settings.redaction import redacted, secrets_in_url, without_key

KEY = "a1B2c3D4e5F6-very-secret"


@pytest.fixture
def secrets(town, books, monkeypatch, tmp_path) -> set[str]:
    """A home full of secrets, all of which somebody wrote into its logs, too."""
    home = Home(town.home).peer("1")
    signing = make_signing_key(home.root, 1)
    url = f"https://user:hunter22@rpc.example:8545/v3/{KEY}?apikey=QWERTYUIOP"
    write_join_file(Home(town.home).join_file, msgspec.structs.replace(town.token, rpc=(url,)))
    (town.home / "config.yaml").write_text(f"chain:\n  rpc: ['{url}']\n")
    monkeypatch.setenv("SWARM_BACKUP_PASSWORD", "pw-of-a-backup")
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    key, wallet = load_key(home.key_file).secret, open_wallet(home.wallet_file).secret
    password = (home.root / "wallet.password").read_text().strip()
    found = {KEY, "hunter22", "QWERTYUIOP", "pw-of-a-backup", "hf_abcdefghijkl", password}
    for raw in (key, wallet, signing):
        found |= {raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode()}
    with EventLog(home.events_file) as log:
        for secret in sorted(found):
            log.append(e.Problem("ChainUnreachable", f"failed at {secret}!", f"{url}", "look"))
    home.log_file.write_text("\n".join(sorted(found)))

    async def examine(*_, **__):
        return []

    monkeypatch.setattr(checkup, "examine", examine)
    return found


def test_no_secret_is_anywhere_in_the_report(town, secrets, told, tmp_path):
    to = tmp_path / "report"
    code, body, err = told("export", to, "--redacted", "--home", town.home, "--json")
    assert code == 0, err
    files = {str(path.relative_to(to)): path.read_bytes() for path in to.rglob("*") if path.is_file()}
    assert sorted(files) == body["export"]["files"]
    for name, data in files.items():
        for secret in secrets:
            assert secret.encode() not in data, (name, secret)
    assert str(town.home).encode() not in b"".join(files.values())
    assert {"versions.json", "settings.yaml", "doctor.json", "swarm.json", "outbox.json", "peers/1/events.jsonl"} <= (
        files.keys()
    )
    events = [json.loads(line) for line in files["peers/1/events.jsonl"].splitlines()]
    assert any(one["event"]["type"] == "Problem" and one["event"]["what"] == "failed at …!" for one in events)
    assert b"https://rpc.example:8545" in files["swarm.json"]
    assert json.loads(files["versions.json"])["packages"]["torch"]
    assert json.loads(files["peers/1/identity.json"])["peer"] == load_key(Home(town.home).peer("1").key_file).peer


def test_it_fits_into_one_file_and_overwrites_none(town, secrets, told, tmp_path):
    to = tmp_path / "report.zip"
    assert told("export", to, "--redacted", "--home", town.home, "--json")[0] == 0
    with zipfile.ZipFile(to) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert [secret for secret in secrets if secret.encode() in everything] == []
    code, body, _ = told("export", to, "--redacted", "--home", town.home, "--json")
    assert (code, "exists already" in body["what"]) == (2, True)


def test_a_secret_that_would_slip_through_keeps_the_report_from_being_written(
    town, secrets, told, tmp_path, monkeypatch
):
    monkeypatch.setattr(bug_report, "redacted", lambda text, _: text)
    code, body, _ = told("export", tmp_path / "report", "--redacted", "--home", town.home, "--json")
    assert (code, "A secret would be in" in body["what"]) == (1, True)
    assert not (tmp_path / "report").exists()


def test_a_report_is_made_without_secrets_or_not_at_all(town, tmp_path):
    assert execute(["export", str(tmp_path / "report"), "--home", str(town.home)]) == 2
    assert execute(["export", str(tmp_path / "report"), "--no-redacted", "--home", str(town.home)]) == 2
    assert not (tmp_path / "report").exists()


def test_a_broken_home_is_reported_and_not_a_failure(town, told, tmp_path, monkeypatch):
    town.add_peer()
    Home(town.home).peer("1").key_file.write_bytes(b"garbage")

    async def examine(*_, **__):
        return []

    monkeypatch.setattr(checkup, "examine", examine)
    assert told("export", tmp_path / "report", "--redacted", "--home", town.home, "--json")[0] == 0
    assert "cannot be used" in (tmp_path / "report" / "peers" / "1" / "identity.json").read_text()


@pytest.mark.parametrize(
    ("url", "hidden", "shown"),
    [
        ("https://rpc.example/v3/abcdef012345", {"abcdef012345"}, "https://rpc.example/…"),
        ("http://127.0.0.1:8545", set(), "http://127.0.0.1:8545"),
        ("https://user:pass@h:1/x?key=verysecret", {"user", "pass", "verysecret"}, "https://h:1/…"),
    ],
)
def test_what_is_hidden_in_a_url(url, hidden, shown):
    assert secrets_in_url(url) == hidden
    assert without_key(url) == shown
    assert not any(secret in redacted(f"at {url}.", hidden) for secret in hidden)
