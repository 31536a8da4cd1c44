import stat

import pytest

from protocol.errors import ConfigError
from protocol.ids import ContentId
from swarm.settings import home as home_module
from swarm.settings.home import Home, require_writable, write_atomically


def test_everything_of_a_peer_lies_under_its_own_folder(tmp_path):
    home = Home(tmp_path)
    peer = home.peer("2")
    run = peer.run(ContentId("ab" * 32))
    assert peer.name == "2"
    assert peer.key_file == tmp_path / "peers" / "2" / "swarm.pem"
    assert run.states == tmp_path / "peers" / "2" / "runs" / ("ab" * 8) / "state"
    assert run.journal != run.states
    assert list(tmp_path.iterdir()) == []


def test_another_run_has_other_files(tmp_path):
    peer = Home(tmp_path).peer("1")
    assert peer.run(ContentId("ab" * 32)).outbox_file != peer.run(ContentId("cd" * 32)).outbox_file


def test_a_file_is_replaced_whole_with_the_wanted_mode(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one", mode=0o600)
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    write_atomically(path, b"three", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_home_is_made_when_it_can_be(tmp_path):
    require_writable(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    require_writable(tmp_path / "a" / "b")


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_home_that_cannot_be_made_is_refused_in_words(tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        require_writable(tmp_path / place)
    assert caught.value.so_what
    assert "--home" in caught.value.next_step


def test_a_home_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(home_module.os, "access", lambda *_: False)  # modes do not stop root, who may run the tests
    with pytest.raises(ConfigError, match="cannot be written to"):
        require_writable(tmp_path)
