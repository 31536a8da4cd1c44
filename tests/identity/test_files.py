import os
import stat

import pytest

from identity.files import create_private, read_private
from protocol.errors import IdentityError


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(IdentityError) as caught:
        call(*args, **kwargs)
    assert caught.value.what
    assert caught.value.so_what
    assert caught.value.next_step
    return str(caught.value)


def test_a_created_file_is_private_and_complete_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "secret"
    old = os.umask(0)
    try:
        create_private(path, b"abc", "It")
    finally:
        os.umask(old)
    assert path.read_bytes() == b"abc"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["secret"]


def test_an_existing_file_is_never_overwritten(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    assert "already is a file" in refusal(create_private, path, b"new", "It")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["secret"]


def test_a_dangling_link_counts_as_existing(tmp_path):
    path = tmp_path / "secret"
    path.symlink_to(tmp_path / "elsewhere")
    assert "already is a file" in refusal(create_private, path, b"new", "It")
    assert not (tmp_path / "elsewhere").exists()


def test_without_hard_links_creation_is_still_exclusive(tmp_path, monkeypatch):
    def no_links(*_):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", no_links)
    create_private(tmp_path / "secret", b"abc", "It")
    assert (tmp_path / "secret").read_bytes() == b"abc"
    assert "already is a file" in refusal(create_private, tmp_path / "secret", b"new", "It")
    assert os.listdir(tmp_path) == ["secret"]


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be written" in refusal(create_private, tmp_path / "file" / "secret", b"x", "It")


def write(path, data=b"abc", mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_private_modes_are_accepted(tmp_path, mode):
    assert read_private(write(tmp_path / "s", mode=mode), "It", cap=3) == b"abc"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o601, 0o444, 0o666])
def test_any_permission_for_others_is_refused_with_the_command_that_helps(tmp_path, mode):
    text = refusal(read_private, write(tmp_path / "s", mode=mode), "It", cap=3)
    assert f"mode {mode:04o}" in text
    assert "chmod 600" in text


def test_a_link_is_judged_by_its_target(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(write(tmp_path / "target", mode=0o644))
    assert "other users" in refusal(read_private, link, "It", cap=3)
    (tmp_path / "target").chmod(0o400)
    assert read_private(link, "It", cap=3) == b"abc"


def test_missing_empty_and_oversized_files_are_refused(tmp_path):
    assert "cannot be read" in refusal(read_private, tmp_path / "none", "It", cap=3)
    assert "is empty" in refusal(read_private, write(tmp_path / "e", b""), "It", cap=3)
    assert "larger than 3 bytes" in refusal(read_private, write(tmp_path / "o", b"abcd"), "It", cap=3)


def test_folders_and_pipes_are_refused_without_waiting(tmp_path):
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "not a regular file" in refusal(read_private, tmp_path / "folder", "It", cap=3)
    assert "not a regular file" in refusal(read_private, tmp_path / "pipe", "It", cap=3)


def test_somebody_elses_file_is_refused(tmp_path):
    path = write(tmp_path / "s", mode=0o000)
    if os.geteuid() != 0:
        assert "cannot be read" in refusal(read_private, path, "It", cap=3)
        return
    os.seteuid(65534)
    try:
        assert "cannot be read" in refusal(read_private, path, "It", cap=3)
    finally:
        os.seteuid(0)
