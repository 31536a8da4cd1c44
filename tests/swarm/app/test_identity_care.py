"""`swarm identity`: what it shows, saves, brings back and changes; no secret is told or taken from an argument."""

from __future__ import annotations

import pytest

from chain.base import Enrol, Stake
from chain.fake import FakeChain
from identity.keyfile import load_key
from swarm.cli import execute
from swarm.settings.home import Home

PASSWORD = "correct horse battery"


@pytest.fixture
def quick(monkeypatch):
    """Stretching a password takes half a second for people, and none for tests."""
    from identity.sealed import Stretching
    from swarm.member import backups

    monkeypatch.setattr(backups.write_backup, "__kwdefaults__", {"stretching": Stretching(n=2**10)})


@pytest.fixture
def password(tmp_path):
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    file.chmod(0o600)
    return file


def test_show_tells_who_a_peer_is_and_no_secret(town, told):
    peer, address = town.add_peer()
    code, body, _ = told("identity", "show", "--home", town.home, "--json")
    assert code == 0
    (shown,) = body["identity"]
    assert (shown["peer"], shown["wallet"], shown["key_mode"]) == (peer, address, "0600")
    assert (shown["backup_at"], shown["restored_at"]) == (None, None)
    assert load_key(Home(town.home).peer("1").key_file).secret.hex() not in str(body)
    assert execute(["identity", "show", "--home", str(town.home)]) == 0


def test_a_peer_is_saved_and_brought_back_under_another_home(town, told, quick, password, tmp_path):
    peer, address = town.add_peer()
    file = tmp_path / "a.backup"
    code, body, _ = told("identity", "backup", file, "--home", town.home, "--password-file", password, "--json")
    assert (code, body["backup"]["peer"]) == (0, peer)
    code, body, _ = told("identity", "restore", file, "--home", tmp_path / "new", "--password-file", password, "--json")
    assert (code, body["restore"]["wallet"]) == (0, address)
    code, body, _ = told("identity", "show", "--home", tmp_path / "new", "--json")
    assert body["identity"][0]["peer"] == peer
    assert body["identity"][0]["restored_at"] is not None


def test_the_password_may_come_from_the_environment_and_must_come_from_somewhere(
    town, told, quick, tmp_path, monkeypatch
):
    town.add_peer()
    code, body, _ = told("identity", "backup", tmp_path / "a", "--home", town.home, "--json")
    assert (code, body["error"]) == (3, "IdentityError")
    assert "SWARM_BACKUP_PASSWORD" in body["next"]
    assert not (tmp_path / "a").exists()
    monkeypatch.setenv("SWARM_BACKUP_PASSWORD", PASSWORD)
    assert told("identity", "backup", tmp_path / "a", "--home", town.home, "--json")[0] == 0
    monkeypatch.setenv("SWARM_BACKUP_PASSWORD", "another")
    code, body, _ = told("identity", "restore", tmp_path / "a", "--home", tmp_path / "new", "--json")
    assert (code, "password does not open" in body["what"]) == (3, True)
    assert not (tmp_path / "new" / "peers" / "1").exists()


def test_a_password_file_that_others_can_read_is_refused(town, told, password, tmp_path):
    town.add_peer()
    password.chmod(0o644)
    arguments = ("identity", "backup", tmp_path / "a", "--home", town.home, "--password-file", password, "--json")
    code, body, _ = told(*arguments)
    assert (code, "chmod 600" in body["next"]) == (3, True)


def test_there_is_no_option_to_type_a_password_in():
    import typer.main

    from swarm.cli import app

    def options(command):
        yield from (text for parameter in command.params for text in parameter.opts)
        for inner in getattr(command, "commands", {}).values():
            yield from options(inner)

    assert {text for text in options(typer.main.get_command(app)) if "password" in text} == {"--password-file"}


def test_status_warns_until_the_first_backup(books, told, quick, password, tmp_path, capsys):
    home = books.town.home
    assert "has no backup" in told("status", "--home", home, "--json")[1]["warnings"][0]
    assert execute(["status", "--home", str(home)]) == 0
    assert "has no backup" in capsys.readouterr().err
    told("identity", "backup", tmp_path / "a", "--home", home, "--password-file", password, "--json")
    assert told("status", "--home", home, "--json")[1]["warnings"] == []


def test_rotate_names_a_fresh_account_and_leaves_name_wallet_and_credits(town, told):
    peer, address = town.add_peer()
    town.fund(address, 25)
    assert told("register", "--home", town.home, "--json")[0] == 0
    world = town.world
    former = world.registry.entries[peer].signer
    code, body, _ = told("identity", "rotate", "--home", town.home, "--dry-run", "--json")
    assert (code, body["rotate"]["signer"]) == (0, None)
    assert not list(Home(town.home).peer("1").root.glob("signing-*"))
    assert world.registry.entries[peer].signer == former
    code, body, err = told("identity", "rotate", "--home", town.home, "--json")
    assert code == 0
    assert body["rotate"]["former"] == former != body["rotate"]["signer"] == world.registry.entries[peer].signer
    (file,) = Home(town.home).peer("1").root.glob("signing-*.key")
    assert (file.name, file.stat().st_mode & 0o777) == ("signing-001.key", 0o600)
    assert file.read_text().strip() not in str(body) + err
    assert told("identity", "show", "--home", town.home, "--json")[1]["identity"][0]["signing_accounts"] == [
        former,
        body["rotate"]["signer"],
    ]


@pytest.mark.asyncio
async def test_a_member_takes_its_seat_with_the_new_account(town):
    peer, address = town.add_peer()
    town.fund(address, 25)
    chain = FakeChain(town.world, address)
    from identity.signer import Signer
    from swarm.app.identity_care import load_signing_keys  # the same keys that a starting peer loads

    home = Home(town.home).peer("1")
    signer = Signer(load_key(home.key_file), address)
    await chain.send(signer.registration(town.world.contracts))
    await chain.send(Stake(peer, 25_000_000, 0))
    await chain.send(Enrol(peer))
    assert load_signing_keys(home.root) == {}
    assert (await chain.clock()).members[0].signer == signer.address


def test_an_attempt_that_was_killed_goes_on_with_the_same_key(town, told):
    from identity.signing_keys import make_signing_key

    town.add_peer()
    told("register", "--home", town.home, "--json")
    secret = make_signing_key(Home(town.home).peer("1").root, 1)
    assert told("identity", "rotate", "--home", town.home, "--json")[0] == 0
    assert [path.read_text().strip() for path in Home(town.home).peer("1").root.glob("signing-*.key")] == [secret.hex()]
