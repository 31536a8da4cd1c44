"""Why this module exists: one file brings a peer back on another machine, with its name, its money and its work.

A backup is a sealed tar (``identity.sealed``) of the peer's folder: ``about.json`` first, then everything that the
folder holds except what can be made again (read-model, text log) and what belongs to a process (locks, sockets). It may
be made while the peer runs: files are replaced or appended to in one step, and a folder of which something vanished
meanwhile (a state that is not needed any more) is left out whole.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from identity.fence import FILE as RESTORED_FILE
from identity.fence import Restored, write_restored
from identity.keyfile import load_key, parse_key
from identity.sealed import NOTHING_CHANGED, PEOPLE, SALT_BYTES, SealedReader, SealedWriter, Stretching
from identity.wallet import wallet_address
from protocol.errors import ConfigError, IdentityError
from protocol.ids import Address, PeerId
from swarm.settings.home import Home, PeerHome, write_atomically

ABOUT = "about.json"
RECORD = "backup.json"
VERSION = 1
_ABOUT_CAP = 64 * 1024

_MADE_AGAIN = ("read.sqlite", "peer.log", RECORD, RESTORED_FILE)
_OF_A_PROCESS = (".lock", ".tmp", "-wal", "-shm", "-journal")


class About(msgspec.Struct, frozen=True):
    """What a backup says of itself. ``made_at``: unix seconds."""

    version: int
    program: str
    peer: PeerId
    wallet: Address | None
    name: str
    made_at: float


class Record(msgspec.Struct, frozen=True):
    """The last backup of a peer, as its folder remembers it. ``keys``: signing keys that are in it."""

    made_at: float
    num_bytes: int
    keys: int


def last_backup(home: PeerHome) -> Record | None:
    """When this peer was last saved; ``None`` when it never was, or nobody can tell."""
    with suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode((home.root / RECORD).read_bytes(), type=Record)
    return None


def num_keys(home: PeerHome) -> int:
    """Signing keys that were made after the identity."""
    return len(list(home.root.glob("signing-*.key")))


def backup_warning(home: PeerHome) -> str | None:
    """What to tell about a peer that would be lost with this disk; ``None`` when it would not."""
    if not home.key_file.exists():
        return None
    record = last_backup(home)
    if record is None:
        return (
            f"Peer {home.name} has no backup: with this disk its name, its stake and its pay would be lost. "
            f"`swarm identity backup FILE{_option(home)}` makes one."
        )
    if record.keys < num_keys(home):
        return (
            f"Peer {home.name} changed its signing key after its last backup. "
            f"`swarm identity backup FILE{_option(home)}` makes a new one."
        )
    return None


def missing_backups(home: Path) -> list[str]:
    """What to tell of a home's peers that would be lost with its disk, in one sentence where they are several."""
    peers = [PeerHome(path.parent) for path in sorted(Home(home).peers.glob("*/swarm.pem"))]
    unsaved = [peer for peer in peers if last_backup(peer) is None]
    warnings = [backup_warning(peer) for peer in peers if len(unsaved) < 2 or peer not in unsaved]
    if len(unsaved) > 1:
        names = ", ".join(peer.name for peer in unsaved)
        warnings.append(
            f"Peers {names} have no backup: with this disk their names, stakes and pay would be lost. "
            "`swarm identity backup FILE --peer NAME` makes one."
        )
    return [warning for warning in warnings if warning is not None]


def _option(home: PeerHome) -> str:
    return "" if home.name == "1" else f" --peer {home.name}"


def write_backup(
    home: PeerHome, path: Path, password: str, *, program: str, stretching: Stretching = PEOPLE
) -> tuple[About, Record]:
    """Save the peer to ``path`` (0600, whole or not at all; never over an existing file) and remember that it was.

    Raises ``IdentityError`` when there is no usable identity or no password, ``ConfigError`` when ``path`` is taken or
    cannot be written.
    """
    key = load_key(home.key_file)
    wallet = wallet_address(home.wallet_file) if home.wallet_file.exists() else None
    about = About(VERSION, program, key.peer, wallet, home.name, time.time())
    if path.exists() or path.is_symlink():
        raise ConfigError(
            f"{path} exists already.", "No backup was made, nothing was overwritten.", "Name another file."
        )
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            sealed = SealedWriter(file, password, salt=secrets.token_bytes(SALT_BYTES), stretching=stretching)
            with tarfile.open(fileobj=cast(IO[bytes], sealed), mode="w|", format=tarfile.PAX_FORMAT) as tar:
                _add_bytes(tar, ABOUT, msgspec.json.encode(about))
                for folder in _folders(home.root):
                    _add_folder(tar, home.root, folder)
            sealed.close()
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        _take_name(temporary, path)
    except OSError as error:
        raise ConfigError(
            f"The backup cannot be written to {path}: {error.strerror or error}.",
            "No backup was made.",
            "Name a file in a folder that you own and that has space left.",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    record = Record(about.made_at, size, num_keys(home))
    write_atomically(home.root / RECORD, msgspec.json.encode(record), mode=0o600)
    return about, record


def read_about(path: Path, password: str) -> About:
    """What a backup says of itself. Raises ``IdentityError`` as ``SealedReader`` does, ``ConfigError`` for no file."""
    with _opened(path) as file:
        reader = SealedReader(file, password, str(path))
        with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as tar:
            return _about(tar, path)


def restore_backup(home: PeerHome, path: Path, password: str) -> About:
    """Bring the peer in ``path`` back as ``home``, whole or not at all; it must not exist yet.

    Rounds that it may have signed elsewhere since then are closed for it (``identity.fence``). Raises ``IdentityError``
    for a wrong password, a damaged or foreign file, and when ``home`` is in use.
    """
    if home.root.is_symlink() or (home.root.exists() and (not home.root.is_dir() or any(home.root.iterdir()))):
        raise IdentityError(
            f"{home.root} holds a peer already.",
            NOTHING_CHANGED,
            "Restore it under another name with --peer NAME, into another --home, or move that folder away first.",
        )
    temporary = home.root.with_name(f".{home.root.name}.restoring-{secrets.token_hex(4)}")
    try:
        with _opened(path) as file:
            reader = SealedReader(file, password, str(path))
            temporary.mkdir(parents=True, mode=0o700)
            about = _unpack(reader, temporary, path)
        _check_identity(temporary, about, path)
        write_restored(temporary / RESTORED_FILE, Restored(about.made_at, time.time()))
        record = Record(about.made_at, path.stat().st_size, len(list(temporary.glob("signing-*.key"))))
        write_atomically(temporary / RECORD, msgspec.json.encode(record), mode=0o600)
        if home.root.is_dir():
            home.root.rmdir()
        os.rename(temporary, home.root)
    except OSError as error:
        raise ConfigError(
            f"The peer cannot be restored to {home.root}: {error.strerror or error}.",
            NOTHING_CHANGED,
            "Make room or correct the folder's owner and mode, or choose another --home.",
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return about


def _take_name(temporary: Path, path: Path) -> None:
    """Give a finished file its name, which must be free. Memory sticks know no hard links: the name was free before."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        os.rename(temporary, path)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise ConfigError(
            f"The backup {path} cannot be read: {error.strerror}.", NOTHING_CHANGED, "Check the path."
        ) from error


def _unpack(reader: SealedReader, folder: Path, path: Path) -> About:
    try:
        with tarfile.open(fileobj=cast(IO[bytes], reader), mode="r|") as tar:
            about = _about(tar, path)
            while (member := tar.next()) is not None:
                _unpack_file(tar, member, folder, path)
        reader.finish()
    except tarfile.TarError as error:
        raise _foreign(path, str(error)) from error
    return about


def _about(tar: tarfile.TarFile, path: Path) -> About:
    try:
        member = tar.next()
        file = tar.extractfile(member) if member is not None and member.name == ABOUT else None
        about = msgspec.json.decode(file.read(_ABOUT_CAP) if file is not None else b"", type=About)
    except (tarfile.TarError, msgspec.MsgspecError) as error:
        raise _foreign(path, "it does not say what it is") from error
    if about.version != VERSION:
        raise _foreign(path, f"it is of version {about.version}, this program reads {VERSION}")
    return about


def _unpack_file(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, path: Path) -> None:
    parts = member.name.split("/")
    if not member.isfile() or not all(parts) or {".", ".."} & set(parts) or "\0" in member.name:
        raise _foreign(path, f"{member.name[:80]!r} has no place in it")
    target = folder.joinpath(*parts)
    source = tar.extractfile(member)
    assert source is not None
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, 1024 * 1024)
        file.flush()
        os.fsync(file.fileno())
    os.utime(target, (member.mtime, member.mtime))


def _check_identity(folder: Path, about: About, path: Path) -> None:
    key_file = PeerHome(folder).key_file
    if not key_file.exists() or parse_key(key_file.read_bytes()).peer != about.peer:
        raise _foreign(path, "the identity that it names is not in it")


def _foreign(path: Path, why: str) -> IdentityError:
    return IdentityError(
        f"{path} opens, but cannot be restored: {why}.", NOTHING_CHANGED, "Use a backup that `swarm identity` made."
    )


def _folders(root: Path) -> Iterator[Path]:
    """The peer's folder and all folders in it, keys first."""
    for current, names, _ in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(current)


def _add_folder(tar: tarfile.TarFile, root: Path, folder: Path) -> None:
    """All files of one folder, opened before the first is read: a state that is deleted meanwhile is not cut in two."""
    with ExitStack() as opened:
        files: list[tuple[str, IO[bytes]]] = []
        try:
            for path in sorted(folder.iterdir()):
                if _belongs(path) and path.is_file():
                    files.append((str(path.relative_to(root)), opened.enter_context(path.open("rb"))))
        except FileNotFoundError:
            return
        for name, file in files:
            status = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = status.st_size, status.st_mtime, 0o600
            tar.addfile(info, _Exactly(file, status.st_size))


def _belongs(path: Path) -> bool:
    name = path.name
    return not name.startswith((".", *_MADE_AGAIN)) and not name.endswith(_OF_A_PROCESS)


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


class _Exactly:
    """Reads ``size`` bytes of a file that may grow or shrink meanwhile, so that the archive's frame always fits."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> Any:
        wanted = self._left if size < 0 else min(size, self._left)
        found = self._file.read(wanted)
        self._left -= wanted
        return found + b"\0" * (wanted - len(found))
