"""Why this module exists: the key that signs all day may leak, and then another one must sign in the same name.

    swarm.pem          the identity; signs until the registry names another account
    signing-001.key    the account that the first rotation names; 64 hex digits, 0600
    signing-002.key    …

A key is on disk before the chain hears of it, and stays: which one counts in a round is what the chain says.
"""

from __future__ import annotations

import re
from pathlib import Path

import coincurve

from identity.files import create_private, read_private
from protocol.errors import IdentityError

_NAME = re.compile(r"signing-(\d{3,})\.key")
_WHAT = "The signing key"


def load_signing_keys(folder: Path) -> dict[int, bytes]:
    """Secrets (32 bytes) by the number of the rotation that names them. Raises ``IdentityError``, as for ``swarm.pem``:
    readable by others, damaged."""
    found = {}
    for path in sorted(folder.glob("signing-*.key")):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            found[int(match[1])] = _parse(path, read_private(path, _WHAT, cap=256))
    return found


def make_signing_key(folder: Path, number: int) -> bytes:
    """The key of rotation ``number`` (1 or more): the one that an earlier attempt made, or a fresh one."""
    path = folder / f"signing-{number:03d}.key"
    if path.exists():
        return _parse(path, read_private(path, _WHAT, cap=256))
    secret: bytes = coincurve.PrivateKey().secret
    create_private(path, secret.hex().encode() + b"\n", _WHAT)
    return secret


def _parse(path: Path, data: bytes) -> bytes:
    try:
        secret = bytes.fromhex(data.decode("ascii").strip())
        if len(secret) != 32:
            raise ValueError("a key has 32 bytes")
        coincurve.PrivateKey(secret)
    except ValueError as error:
        raise IdentityError(
            f"The signing key at {path} is cut off or damaged.",
            "What this peer signs would count for nobody.",
            "Put your backup of it in its place, or name another account with `swarm identity rotate`.",
        ) from error
    return secret
