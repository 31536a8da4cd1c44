"""Why this module exists: the account that is paid is not the key that is online all day.

A wallet is one EVM key in a keystore-v3 file that any wallet program imports. Its password comes, in this order, from
the environment (``SWARM_WALLET_PASSWORD``), from a password file that the user names, or from ``wallet.password``
beside the wallet, which this program makes for a private swarm. The caller hands the environment's value in.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import coincurve

from chain.keys import address_of_public_key
from identity.files import create_private, read_private
from identity.keystore import (
    KEYSTORE_CAP,
    LIGHT,
    STRONG,
    NotAKeystore,
    WrongPassword,
    keystore_address,
    open_key,
    seal_key,
)
from protocol.errors import IdentityError
from protocol.ids import Address

PASSWORD_VARIABLE = "SWARM_WALLET_PASSWORD"
PASSWORD_CAP = 4096
"""Bytes."""

_WALLET = "The wallet file"
_PASSWORD = "The wallet's password file"


class Wallet:
    """An opened wallet. ``repr`` shows the address only."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self.address: Address = address_of_public_key(coincurve.PrivateKey(secret).public_key.format())

    @property
    def secret(self) -> bytes:
        """The 32-byte private key, for whoever signs this account's transactions; never print or send it."""
        return self._secret

    def __repr__(self) -> str:
        return f"Wallet({self.address})"


def open_wallet(path: Path, *, password: str | None = None, password_file: Path | None = None) -> Wallet:
    """The wallet at ``path``, created if there is none. What a starting peer calls.

    ``password``: from the environment; ``password_file``: one that the user names. Without either, ``wallet.password``
    beside the wallet is used, and made (256 random bits, 0600) together with a new wallet. Raises ``IdentityError``:
    wrong or missing password, a file that others can read, anything that is not a keystore.
    """
    beside = path.with_name("wallet.password")
    if path.exists() or path.is_symlink():
        return _load(path, _password(password, password_file, beside, path))
    machine_made = password is None and password_file is None
    if machine_made and not beside.exists():
        create_private(beside, secrets.token_urlsafe(32).encode() + b"\n", _PASSWORD)
    return create_wallet(path, _password(password, password_file, beside, path), machine_made=machine_made)


def create_wallet(path: Path, password: str, *, machine_made: bool = False, secret: bytes | None = None) -> Wallet:
    """A new wallet at ``path`` (0600, whole or not at all), under scrypt of 16 MB for a machine-made password, else 32.

    ``secret``: a 32-byte key to import instead of a fresh one. Raises ``IdentityError`` when the file exists (it is
    never overwritten) or the password is empty.
    """
    if not password:
        raise IdentityError(
            "The wallet's password is empty.",
            "Anyone with the file could take your tokens; no wallet was made.",
            f"Set {PASSWORD_VARIABLE} to a password, or remove it to get a machine-made one.",
        )
    wallet = Wallet(coincurve.PrivateKey().secret if secret is None else secret)
    sealed = seal_key(
        wallet.secret,
        password,
        salt=secrets.token_bytes(32),
        iv=secrets.token_bytes(16),
        uuid=secrets.token_bytes(16),
        cost=LIGHT if machine_made else STRONG,
    )
    create_private(path, sealed, _WALLET)
    return wallet


def wallet_address(path: Path) -> Address | None:
    """The account that the wallet file is labelled with, without its password; ``None`` when it carries no label."""
    try:
        return keystore_address(read_private(path, _WALLET, cap=KEYSTORE_CAP))
    except NotAKeystore as error:
        raise _not_a_keystore(path, error) from error


def _load(path: Path, password: str) -> Wallet:
    data = read_private(path, _WALLET, cap=KEYSTORE_CAP)
    try:
        return Wallet(open_key(data, password))
    except WrongPassword:
        raise IdentityError(
            f"The password does not open the wallet at {path}.",
            "Your tokens are safe, but nothing can be registered or claimed without it.",
            f"Give the password that the wallet was made with, in {PASSWORD_VARIABLE} or in a password file.",
        ) from None
    except NotAKeystore as error:
        raise _not_a_keystore(path, error) from error


def _not_a_keystore(path: Path, error: NotAKeystore) -> IdentityError:
    return IdentityError(
        f"The wallet at {path} cannot be used: {error}.",
        "Nothing can be registered or claimed without it.",
        "Put your backup of wallet.json in its place, or export your key as a keystore (version 3) file.",
    )


def _password(given: str | None, named: Path | None, beside: Path, wallet: Path) -> str:
    if given is not None:
        return given
    source = named or beside
    if named is None and not beside.exists():
        raise IdentityError(
            f"The wallet at {wallet} needs its password, and there is none.",
            "Nothing can be registered or claimed without it.",
            f"Set {PASSWORD_VARIABLE}, name a password file, or put {beside} back.",
        )
    try:
        # Editors end a file with a newline that nobody means as part of the password.
        return read_private(source, _PASSWORD, cap=PASSWORD_CAP).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise IdentityError(
            f"The wallet's password file at {source} is not text.",
            "The wallet stays locked.",
            "Write the password alone into it, as UTF-8 text.",
        ) from None
