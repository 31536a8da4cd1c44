import os
import subprocess
import sys
import tempfile

import pytest

from identity.lock import IdentityLock
from protocol.errors import IdentityError

PEER, OTHER = "16Uiu2HAmEWQnHq2jLKJypwVnVoQeFCULuyop6atvq2eWjYSUjzNi", "QmY9fh3vwdNj8EcUtT4qg91sGkaebsnwT3AS32rv7bz5is"

HOLDER = """
import sys
from pathlib import Path
from identity.lock import IdentityLock
lock = IdentityLock(Path(sys.argv[1]), sys.argv[2], machine_folder=Path(sys.argv[3]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path):
    return tmp_path / "machine"


def refusal(home, peer, machine) -> str:
    with pytest.raises(IdentityError) as caught:
        IdentityLock(home, peer, machine_folder=machine).acquire()
    return str(caught.value)


@pytest.fixture
def holder(tmp_path, machine):
    """Another process that holds PEER in the home ``a`` until its stdin closes or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "a", PEER, machine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_the_identity(tmp_path, machine, holder):
    assert f"process {holder.pid}" in refusal(tmp_path / "a", PEER, machine)
    assert f"process {holder.pid}" in refusal(tmp_path / "copy", PEER, machine)  # the same key in another folder
    assert f"process {holder.pid}" in refusal(tmp_path / "a", OTHER, machine)  # another key in the same folder


def test_a_refused_lock_leaves_nothing_held(tmp_path, machine, holder):
    refusal(tmp_path / "b", PEER, machine)
    with IdentityLock(tmp_path / "b", OTHER, machine_folder=machine):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path, machine, holder):
    holder.kill()
    holder.wait()
    with IdentityLock(tmp_path / "a", PEER, machine_folder=machine):
        assert (tmp_path / "a" / "swarm.lock").read_text() == f"{os.getpid()}\n"


def test_one_process_cannot_take_it_twice_and_trying_does_not_lose_it(tmp_path, machine):
    with IdentityLock(tmp_path, PEER, machine_folder=machine):
        for _ in range(2):
            assert f"process {os.getpid()}" in refusal(tmp_path, PEER, machine)
    with IdentityLock(tmp_path, PEER, machine_folder=machine):
        pass


def test_different_peers_run_side_by_side(tmp_path, machine):
    with (
        IdentityLock(tmp_path / "a", PEER, machine_folder=machine),
        IdentityLock(tmp_path / "b", OTHER, machine_folder=machine),
    ):
        assert sorted(os.listdir(machine)) == sorted([f"{PEER}.lock", f"{OTHER}.lock"])


def test_a_forked_child_does_not_keep_its_parents_identity(tmp_path, machine):
    holder = (
        HOLDER.replace("sys.stdin.read()", "")
        + "import os\nif os.fork():\n    os._exit(0)\nelse:\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, tmp_path, PEER, machine],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as process:
        assert process.stdout.readline() == b"held\n"
        process.wait()
        with IdentityLock(tmp_path, PEER, machine_folder=machine):
            pass  # the orphan still runs: it ends when its stdin closes, after this block
        process.stdin.close()


def test_a_folder_that_cannot_be_locked_is_told_in_words(tmp_path, machine):
    (tmp_path / "file").write_text("")
    assert "cannot be opened" in refusal(tmp_path / "file", PEER, machine)


def test_the_machines_folder_is_private_and_a_planted_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"rl-swarm-{os.getuid()}"
    with IdentityLock(tmp_path / "a", PEER):
        assert (folder / f"{PEER}.lock").exists()
        assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(IdentityError, match="changed by others"):
        IdentityLock(tmp_path / "a", PEER).acquire()
    folder.rename(tmp_path / "real")
    (tmp_path / "real").chmod(0o700)
    folder.symlink_to(tmp_path / "real")
    with pytest.raises(IdentityError, match="belongs to somebody else"):
        IdentityLock(tmp_path / "a", PEER).acquire()
