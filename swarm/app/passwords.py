"""Why this module exists: a backup's password comes from a prompt, a file or the environment; never from an argument.

Other users of a machine can read command lines, and shells write them down.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path

from identity.files import read_private
from identity.sealed import NOTHING_CHANGED
from protocol.errors import IdentityError
from swarm.app.unlocking import is_person_present

BACKUP_VARIABLE = "SWARM_BACKUP_PASSWORD"
_CAP = 4096
_HOW = f"Type it at a terminal's prompt, set {BACKUP_VARIABLE}, or name a file that only you can read: --password-file."


def backup_password(environment: Mapping[str, str], file: Path | None, *, is_new: bool) -> str:
    """The password of a backup. ``is_new``: it is chosen now, so a person types it twice.

    Raises ``IdentityError`` when there is none, when it is empty or not text, or when the file can be read by others.
    """
    if file is not None:
        found = _from_file(file)
    elif BACKUP_VARIABLE in environment:
        found = environment[BACKUP_VARIABLE]
    elif is_person_present():
        found = _asked("Password for the backup: ")
        if is_new and found and _asked("The same once more: ") != found:
            raise IdentityError("The two passwords differ.", "No backup was made.", "Run the command again.")
    else:
        raise IdentityError("The backup needs a password, and there is none.", NOTHING_CHANGED, _HOW)
    if not found:
        raise IdentityError("The backup's password is empty.", NOTHING_CHANGED, _HOW)
    return found


def _from_file(file: Path) -> str:
    try:
        # Editors end a file with a newline that nobody means as part of the password.
        return read_private(file, "The backup's password file", cap=_CAP).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise IdentityError(
            f"The backup's password file at {file} is not text.",
            NOTHING_CHANGED,
            "Write the password into it as UTF-8.",
        ) from None


def _asked(prompt: str) -> str:
    try:
        return getpass.getpass(prompt, stream=sys.stderr)
    except EOFError:
        return ""
