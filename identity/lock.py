"""Why this module exists: two processes with one identity sign two histories, and both look like a cheat.

Two locks are held, both released by the kernel when the process ends in any way, so that a stale lock cannot exist:
one in the peer's home (its logs and state have one writer), and one per user of the machine, named by the peer id (a
copy of ``swarm.pem`` in another folder is still the same peer). They are POSIX record locks, which child processes do
not inherit: a left-over worker does not keep a dead peer's identity.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path
from types import TracebackType

from protocol.errors import IdentityError
from protocol.ids import PeerId

LOCK_NAME = "swarm.lock"
_held_here: set[tuple[int, int]] = set()  # POSIX locks never conflict within a process; these are ours (device, inode)


class IdentityLock:
    """Holds an identity while the ``with`` block runs, or from ``acquire`` to ``release``.

    ``acquire`` raises ``IdentityError`` naming the holder's process id. ``machine_folder`` is for tests.
    """

    def __init__(self, home: Path, peer: PeerId, *, machine_folder: Path | None = None) -> None:
        self._home = home
        self._peer = peer
        self._machine_folder = machine_folder
        self._files: list[tuple[int, tuple[int, int]]] = []

    def acquire(self) -> None:
        folder = self._machine_folder or _user_folder()
        try:
            for path in (self._home / LOCK_NAME, folder / f"{self._peer}.lock"):
                self._files.append(self._lock(path))
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        while self._files:
            descriptor, key = self._files.pop()
            _held_here.discard(key)
            os.close(descriptor)

    def __enter__(self) -> IdentityLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _lock(self, path: Path) -> tuple[int, tuple[int, int]]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            status = path.stat() if path.exists() else None
            if status is not None and (status.st_dev, status.st_ino) in _held_here:
                raise self._held_by(os.getpid(), path)  # opening and closing it again would drop our own lock
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise IdentityError(
                f"The lock {path} cannot be opened: {error.strerror}.",
                "It cannot be told whether this identity already runs, so it was not started.",
                "Use a home folder that you own and that can be written.",
            ) from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise self._held_by(int(holder) if holder.isdecimal() else None, path) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        _held_here.add(key)
        return descriptor, key

    def _held_by(self, pid: int | None, path: Path) -> IdentityError:
        who = f"process {pid}" if pid else "another process"
        return IdentityError(
            f"This identity is already running on this machine, in {who} ({path}).",
            "Two processes under one name would sign contradicting records and lose credits.",
            f"Stop {who} first, or give this peer its own --home and swarm.pem.",
        )


def _user_folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"rl-swarm-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.getuid() or folder.is_symlink() or status.st_mode & 0o022:
        raise IdentityError(
            f"{folder} belongs to somebody else or can be changed by others.",
            "It cannot be told whether this identity already runs, so it was not started.",
            f"Remove {folder}, or set TMPDIR to a folder that you own.",
        )
    return folder
