"""Why this module exists: a command shows first and signs later: a wallet is looked at locked, and opened when needed.

The password comes from the environment, from a file, or from a prompt where a person sits at a terminal; never from the
command line, which other users of the machine can read.
"""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any, NoReturn

from identity.wallet import Wallet, create_wallet, open_wallet, wallet_address
from protocol.errors import IdentityError
from protocol.ids import Address

PASSWORD_BESIDE = "wallet.password"


class Onlooker:
    """Stands for an account where one is asked for, and can sign nothing: prices are found without a key."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def sign_transaction(self, *_: Any) -> NoReturn:
        raise AssertionError("Nothing is signed before its price was shown.")


def is_person_present() -> bool:
    """Whether somebody can be asked for a password."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def is_given(path: Path, password: str | None, password_file: Path | None) -> bool:
    """Whether there is a password for the wallet at ``path`` without asking a person."""
    return password is not None or password_file is not None or path.with_name(PASSWORD_BESIDE).exists()


def known_address(path: Path, *, password: str | None, password_file: Path | None) -> Address:
    """The account of the wallet at ``path``: its label, or, where it carries none, what is found on opening it."""
    return wallet_address(path) or unlock(path, password=password, password_file=password_file).address


def unlock(path: Path, *, password: str | None, password_file: Path | None, create: bool = False) -> Wallet:
    """The opened wallet at ``path``. ``create``: make one where there is none.

    ``password``: of the environment. Raises ``IdentityError`` (see ``identity.wallet``); a person gets one try.
    """
    exists = path.exists() or path.is_symlink()
    if not exists and not create:
        raise IdentityError(
            f"There is no wallet at {path}.",
            "Nothing was signed or sent.",
            "Put your keystore file there, or name another one.",
        )
    if exists and not is_given(path, password, password_file) and is_person_present():
        password = _asked(f"Password of the wallet {path}: ")
    return open_wallet(path, password=password, password_file=password_file)


def make_wallet(path: Path, *, password: str | None, password_file: Path | None) -> Wallet:
    """A new wallet at ``path``; a person at a terminal chooses its password, else it is made as for any peer."""
    if password is None and password_file is None and is_person_present():
        chosen = _asked(
            f"Password for the new wallet {path} (empty: a machine-made one beside it): ", may_be_empty=True
        )
        if chosen:
            if _asked("The same once more: ") != chosen:
                raise IdentityError("The two passwords differ.", "No wallet was made.", "Run the command again.")
            return create_wallet(path, chosen)
    return open_wallet(path, password=password, password_file=password_file)


def _asked(prompt: str, *, may_be_empty: bool = False) -> str:
    try:
        answer = getpass.getpass(prompt, stream=sys.stderr)
    except EOFError:
        answer = ""
    if not answer and not may_be_empty:
        raise IdentityError(
            "No password was given.",
            "The wallet stays locked; nothing was signed or sent.",
            "Type it at the prompt, or set SWARM_WALLET_PASSWORD or --password-file.",
        )
    return answer
