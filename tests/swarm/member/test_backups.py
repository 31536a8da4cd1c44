"""A backup brings the whole peer back or changes nothing."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import msgspec
import pytest

from identity.fence import Fence
from identity.keyfile import create_key, load_key
from identity.sealed import SALT_BYTES, SealedWriter, Stretching
from identity.signing_keys import make_signing_key
from identity.wallet import create_wallet, open_wallet
from protocol.errors import ConfigError, IdentityError
from swarm.member import backups
from swarm.member.backups import (
    About,
    backup_warning,
    last_backup,
    missing_backups,
    read_about,
    restore_backup,
    write_backup,
)
from swarm.settings.home import PeerHome

QUICK = Stretching(n=2**10)
STATE = os.urandom(1_500_000)


@pytest.fixture
def peer(tmp_path) -> PeerHome:
    """A peer that has lived: keys, wallet, work, and what a process leaves lying around."""
    home = PeerHome(tmp_path / "home" / "peers" / "1")
    create_key(home.key_file)
    create_wallet(home.wallet_file, "pass", machine_made=True)
    run = home.run("ab" * 32)
    for path, data in {
        run.states / "c0ffee" / "model.bin": STATE,
        run.states / "head.json": b"{}",
        run.journal / "000003" / "answer.envelope": b"signed",
        run.held / "000003" / "x.blobs": b"kept",
        run.outbox_file: b"line\n",
        home.transactions / "1-a-b.log": b"raw",
        home.events_file: b"event\n",
        home.root / "read.sqlite": b"made again",
        home.root / "read.sqlite-wal": b"made again",
        home.root / "swarm.lock": b"1",
        home.log_file: b"text",
        run.root / "errand.lock": b"",
        run.journal / "000003" / ".answer.tmp": b"half",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return home


def save(home: PeerHome, path: Path, password: str = "right") -> Path:
    write_backup(home, path, password, program="1", stretching=QUICK)
    return path


def content(home: PeerHome) -> dict[str, bytes]:
    return {str(path.relative_to(home.root)): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_everything_that_a_peer_needs_comes_back_and_nothing_of_a_process(peer, tmp_path):
    before = content(peer)
    file = save(peer, tmp_path / "a.backup")
    other = PeerHome(tmp_path / "elsewhere" / "peers" / "anna")
    about = restore_backup(other, file, "right")
    after = content(other)
    gone = {"read.sqlite", "read.sqlite-wal", "swarm.lock", "peer.log", "runs/abababababababab/errand.lock"}
    assert before.keys() - after.keys() == gone | {"runs/abababababababab/journal/000003/.answer.tmp"}
    assert after.keys() - before.keys() == {"restored.json", "backup.json"}
    assert all(after[name] == data for name, data in before.items() if name in after)
    assert about.peer == load_key(other.key_file).peer == load_key(peer.key_file).peer
    assert open_wallet(other.wallet_file, password="pass").address == about.wallet
    assert other.root.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in other.root.rglob("*") if path.is_file())
    assert Fence(other.root).is_undecided("ab" * 32)
    assert not Fence(peer.root).is_undecided("ab" * 32)


def test_the_file_is_private_and_holds_nothing_in_the_clear(peer, tmp_path):
    file = save(peer, tmp_path / "a.backup")
    assert file.stat().st_mode & 0o777 == 0o600
    raw = file.read_bytes()
    for secret in (load_key(peer.key_file).secret, STATE[:64], load_key(peer.key_file).peer.encode(), b"swarm.pem"):
        assert secret not in raw
    assert read_about(file, "right").name == "1"


def test_a_wrong_password_or_a_damaged_file_changes_nothing(peer, tmp_path):
    file = save(peer, tmp_path / "a.backup")
    raw = file.read_bytes()
    place = tmp_path / "new"
    place.mkdir()
    for damage, password, words in (
        (raw, "wrong", "password does not open"),
        (raw[:-1] + b"\0", "right", "damaged"),
        (raw[: len(raw) // 2], "right", "damaged"),
        (b"something else" * 10, "right", "no backup"),
    ):
        file.write_bytes(damage)
        with pytest.raises(IdentityError, match=words):
            restore_backup(PeerHome(place / "1"), file, password)
        assert list(place.iterdir()) == []
    with pytest.raises(ConfigError, match="cannot be read"):
        restore_backup(PeerHome(place / "1"), tmp_path / "nowhere", "right")


def test_no_peer_and_no_file_is_overwritten(peer, tmp_path):
    file = save(peer, tmp_path / "a.backup")
    before = content(peer)
    with pytest.raises(IdentityError, match="holds a peer already"):
        restore_backup(peer, file, "right")
    with pytest.raises(ConfigError, match="exists already"):
        save(peer, file)
    assert content(peer) == before


def test_a_backup_that_cannot_be_written_is_told_and_does_not_count(peer, tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        save(peer, tmp_path / "no" / "folder" / "a.backup")
    assert last_backup(peer) is None


def test_a_peer_without_a_backup_or_with_a_newer_key_is_warned_of(peer, tmp_path):
    assert "no backup" in (backup_warning(peer) or "")
    save(peer, tmp_path / "a.backup")
    assert backup_warning(peer) is None
    make_signing_key(peer.root, 1)
    assert "changed its signing key" in (backup_warning(peer) or "")
    save(peer, tmp_path / "b.backup")
    assert backup_warning(peer) is None


def test_several_peers_without_a_backup_are_one_sentence(peer, tmp_path):
    home = peer.root.parent.parent
    create_key(PeerHome(peer.root.parent / "2").key_file)
    (warning,) = missing_backups(home)
    assert warning.startswith("Peers 1, 2 have no backup")
    save(peer, tmp_path / "a.backup")
    (warning,) = missing_backups(home)
    assert warning.startswith("Peer 2 has no backup")
    assert "--peer 2" in warning


def test_a_state_that_is_deleted_while_it_is_saved_is_left_out_whole(peer, tmp_path, monkeypatch):
    state = peer.run("ab" * 32).states / "c0ffee"
    (state / "second.bin").write_bytes(b"2")
    opened = Path.open

    def vanishing(path, *arguments, **options):
        if path.name == "second.bin":
            path.unlink()
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", vanishing)
    file = save(peer, tmp_path / "a.backup")
    monkeypatch.undo()
    other = PeerHome(tmp_path / "new" / "1")
    restore_backup(other, file, "right")
    assert not (other.run("ab" * 32).states / "c0ffee").exists()
    assert (other.run("ab" * 32).states / "head.json").exists()


@pytest.mark.parametrize("name", ["../escaped", "/etc/x", "a/../../b", "link", "about.json"])
def test_an_archive_with_a_hostile_name_is_refused(name, tmp_path):
    key = create_key(tmp_path / "swarm.pem")
    file = io.BytesIO()
    sealed = SealedWriter(file, "right", salt=bytes(SALT_BYTES), stretching=QUICK)
    with tarfile.open(fileobj=sealed, mode="w|") as tar:  # type: ignore[arg-type]
        about = About(backups.VERSION, "1", key.peer, None, "1", 1.0)
        backups._add_bytes(tar, "about.json", msgspec.json.encode(about))
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE if name == "link" else tarfile.REGTYPE
        info.linkname = "/etc/passwd" if name == "link" else ""
        tar.addfile(info, io.BytesIO())
    sealed.close()
    (tmp_path / "a.backup").write_bytes(file.getvalue())
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    with pytest.raises(IdentityError, match="cannot be restored"):
        restore_backup(PeerHome(place / "1"), tmp_path / "a.backup", "right")
    assert list(place.iterdir()) == []
    assert not (tmp_path / "deep" / "escaped").exists()
