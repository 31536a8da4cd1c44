"""Why this module exists: a secret that others can read, or that is written twice, is not an identity.

Private files come into being whole or not at all, are never overwritten, and are read only after the open file itself
(not its path, which may change in between) was found to be private, regular and small.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from protocol.errors import IdentityError

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def create_private(path: Path, data: bytes, what: str) -> None:
    """Write ``data`` to ``path`` with mode 0600, durable before this returns. ``what`` names the file in messages.

    The file appears complete under its name, or not at all. Raises ``IdentityError`` when something already has that
    name (nothing is ever overwritten) or when the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _make_folder(path.parent)
        try:
            _write_new(temporary, data)
            try:
                os.link(temporary, path)  # atomic, and refuses an existing name
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _write_new(path, data)  # a file system without hard links: exclusive creation still never overwrites
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise IdentityError(
            f"{what} was about to be written to {path}, but there already is a file.",
            "It was left as it is.",
            "Use it, or move it away first if you really want a new one.",
        ) from error
    except OSError as error:
        raise IdentityError(
            f"{what} cannot be written to {path}: {error.strerror}.",
            "Nothing was created.",
            "Choose a folder that you own and that has space left.",
        ) from error


def read_private(path: Path, what: str, *, cap: int) -> bytes:
    """The content of a private file of at most ``cap`` bytes.

    Raises ``IdentityError``: missing, a folder or device, not permitted, empty, larger than ``cap``, or readable by
    other users (any permission for group or others; symbolic links are followed and their target judged).
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    try:
        _require_private(path, what, os.fstat(descriptor))
        data = os.read(descriptor, cap + 1)
    except OSError as error:
        raise _unreadable(path, what, error) from error
    finally:
        os.close(descriptor)
    if not data:
        raise IdentityError(
            f"{what} at {path} is empty.",
            "Without it this peer has no name and earns nothing.",
            "Put your backup in its place; if there never was one, remove the empty file and start again.",
        )
    if len(data) > cap:
        raise IdentityError(
            f"{what} at {path} is larger than {cap} bytes, so it is something else.",
            "It was not used.",
            "Check the path, or put your backup in its place.",
        )
    return data


def _require_private(path: Path, what: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise IdentityError(
            f"{what} at {path} is not a regular file.",
            "Without it this peer has no name and earns nothing.",
            "Point to the file itself.",
        )
    if status.st_mode & 0o077:
        raise IdentityError(
            f"{what} at {path} can be read or changed by other users (mode {stat.S_IMODE(status.st_mode):04o}).",
            "Whoever copied it can act as you and take your credits.",
            f"Run: chmod 600 '{path}' (and make a new one if others use this machine).",
        )


def _unreadable(path: Path, what: str, error: OSError) -> IdentityError:
    return IdentityError(
        f"{what} at {path} cannot be read: {error.strerror}.",
        "Without it this peer has no name and earns nothing.",
        "Check the path and that the file belongs to the user who runs this program.",
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "a part of the path is a file", str(folder)) from error


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)  # whatever the umask took away or the folder's ACL added
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
