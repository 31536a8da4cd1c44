"""Why this module exists: a peer's files are examined as the peer itself would read them, and nothing is made."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from identity.fence import Fence
from identity.keyfile import KeyType, open_key, refuse_second
from identity.lock import LOCK_NAME
from identity.signer import Signer
from identity.signing_keys import load_signing_keys
from identity.wallet import open_wallet, wallet_address
from protocol.errors import IdentityError
from protocol.ids import Address
from swarm.doctor.facts import IdentityFacts
from swarm.member.backups import last_backup, num_keys
from swarm.settings.home import PeerHome

_NOBODY = Address("0x" + 40 * "0")


class RealIdentity:
    """``IdentityProbe`` of a peer's folder. ``password``: of the wallet, from the environment; ``password_file``: one
    that the user names. No person is asked."""

    def __init__(self, home: PeerHome, *, password: str | None, password_file: Path | None) -> None:
        self._home = home
        self._password = password
        self._password_file = password_file

    def look(self) -> IdentityFacts:
        home, told = self._home, IdentityFacts(self._home.name, False)
        try:
            if not home.key_file.exists():
                refuse_second(home.key_file)
                return told
            mode = stat.S_IMODE(home.key_file.stat().st_mode)
            told = IdentityFacts(home.name, True, key_mode=mode)
            key = open_key(home.key_file)
            fence = Fence(home.root)
            signer = Signer(key, _NOBODY, rotated=lambda: load_signing_keys(home.root))
        except IdentityError as error:
            return IdentityFacts(
                home.name, told.exists, key_mode=told.key_mode, problem=error.what, fix=error.next_step
            )
        wallet, is_open, wallet_problem, wallet_fix = self._wallet()
        saved = last_backup(home)
        return IdentityFacts(
            name=home.name,
            exists=True,
            peer=key.peer,
            key_type="RSA" if key.kind is KeyType.RSA else "secp256k1",
            key_mode=mode,
            wallet=wallet,
            wallet_is_open=is_open,
            wallet_problem=wallet_problem,
            wallet_fix=wallet_fix,
            backup_at=saved.made_at if saved is not None else None,
            backup_keys=saved.keys if saved is not None else 0,
            num_keys=num_keys(home),
            accounts=signer.accounts,
            is_restored=fence.restored is not None,
            running_pid=_running(home.root / LOCK_NAME),
        )

    def _wallet(self) -> tuple[Address | None, bool | None, str, str]:
        """Account, whether it opened (``None``: no password at hand), problem and fix."""
        path = self._home.wallet_file
        if not path.exists():
            return None, None, "", ""
        try:
            address = wallet_address(path)
            beside = path.with_name("wallet.password").exists()
            if self._password is None and self._password_file is None and not beside:
                return address, None, "", ""
            wallet = open_wallet(path, password=self._password, password_file=self._password_file)
        except IdentityError as error:
            return None, False, error.what, error.next_step
        return wallet.address, True, "", ""


def _running(lock: Path) -> int | None:
    """The process that holds the peer's lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return int(holder) if holder.isdecimal() else 0
    finally:
        os.close(descriptor)
    return None
