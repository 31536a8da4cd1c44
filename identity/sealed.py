"""Why this module exists: a backup holds every secret of a peer, so it must be worthless to whoever finds it.

    magic 16 | length of header 4 | header (MessagePack) | SHA-256 of all before 32 | key check 32 | chunk | chunk | …

The password is stretched with scrypt; chunks of 1 MiB are sealed with ChaCha20-Poly1305 under that key, numbered, the
last one marked (the STREAM construction, https://eprint.iacr.org/2015/189), so that no chunk can be changed, moved,
repeated or cut off. The salt is fresh for each file, and so is the key: nonces never repeat under one. The two checks
in front tell a wrong password from a damaged file. Knows nothing of what is inside.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from protocol.errors import IdentityError

MAGIC = b"RL-SWARM-BACKUP\x01"
CHUNK_BYTES = 1024 * 1024
SALT_BYTES = 32
MAX_SCRYPT_BYTES = 512 * 1024 * 1024
"""Memory that opening a file may take, whatever its header asks for."""

_MAX_SCRYPT_WORK = 8 * MAX_SCRYPT_BYTES
_HEADER_CAP = 1024
_TAG_BYTES = 16
_HASH_BYTES = 32
NOTHING_CHANGED = "Nothing was changed on this machine."


class Stretching(msgspec.Struct, frozen=True):
    """scrypt parameters. Memory is 128 * n * r bytes."""

    n: int = 2**17
    r: int = 8
    p: int = 1


PEOPLE = Stretching()
"""128 MB and half a second: the first choice of OWASP's cheat sheet for passwords that people choose."""


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kdf: str
    n: int
    r: int
    p: int
    salt: bytes
    cipher: str
    chunk_bytes: int


class SealedWriter:
    """Seals what is written to it into ``file``; ``close`` writes the last chunk, without which nothing opens.

    ``salt``: ``SALT_BYTES`` fresh random bytes.
    """

    def __init__(self, file: BinaryIO, password: str, *, salt: bytes, stretching: Stretching = PEOPLE) -> None:
        if not password:
            raise _no_password()
        header = _Header("scrypt", stretching.n, stretching.r, stretching.p, salt, "chacha20-poly1305", CHUNK_BYTES)
        raw = msgspec.msgpack.encode(header)
        front = MAGIC + struct.pack(">I", len(raw)) + raw
        front += hashlib.sha256(front).digest()
        key, check = _keys(header, password)
        file.write(front + _mac(check, front))
        self._file = file
        self._cipher = ChaCha20Poly1305(key)
        self._front = front
        self._buffer = bytearray()
        self._number = 0

    def write(self, data: bytes) -> int:
        self._buffer += data
        while len(self._buffer) > CHUNK_BYTES:  # never the last byte: what is left may be the last chunk
            self._seal(bytes(self._buffer[:CHUNK_BYTES]), is_last=False)
            del self._buffer[:CHUNK_BYTES]
        return len(data)

    def close(self) -> None:
        self._seal(bytes(self._buffer), is_last=True)
        self._buffer.clear()

    def _seal(self, data: bytes, *, is_last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, is_last), data, self._front))
        self._number += 1


class SealedReader:
    """Opens a sealed file chunk by chunk; no byte is handed out before its chunk was found genuine.

    Raises ``IdentityError``: not such a file, of a newer version, asking for too much memory, wrong password, damaged.
    """

    def __init__(self, file: BinaryIO, password: str, name: str) -> None:
        if not password:
            raise _no_password()
        self._name = name
        head = file.read(len(MAGIC) + 4)
        if head[: len(MAGIC) - 1] != MAGIC[:-1]:
            raise _not_a_backup(name, "it does not begin like one")
        if head[len(MAGIC) - 1 : len(MAGIC)] != MAGIC[-1:]:
            raise IdentityError(
                f"{name} is a backup of a later version of this program.",
                NOTHING_CHANGED,
                "Install the version that made it, and restore with that one.",
            )
        size = struct.unpack(">I", head[len(MAGIC) :])[0] if len(head) == len(MAGIC) + 4 else _HEADER_CAP + 1
        if size > _HEADER_CAP:
            raise _damaged(name)
        raw = file.read(size)
        front = head + raw
        digest, check = file.read(_HASH_BYTES), file.read(_HASH_BYTES)
        if hashlib.sha256(front).digest() != digest:
            raise _damaged(name)
        self._front = front + digest
        header = _parse(raw, name)
        key, check_key = _keys(header, password)
        if not hmac.compare_digest(_mac(check_key, self._front), check):
            raise IdentityError(
                f"The password does not open the backup {name}.",
                NOTHING_CHANGED,
                "Give the password that it was made with. Nobody can open it without.",
            )
        self._chunk_bytes = header.chunk_bytes + _TAG_BYTES
        self._cipher = ChaCha20Poly1305(key)
        self._file = file
        self._next = file.read(self._chunk_bytes)
        self._plain = b""
        self._number = 0
        self._is_over = False

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        found = bytearray()
        while len(found) < size and (self._plain or self._open_next()):
            piece = self._plain[: size - len(found)]
            self._plain = self._plain[len(piece) :]
            found += piece
        return bytes(found)

    def finish(self) -> None:
        """Read to the end, so that a file which was cut off, or continued, is told."""
        while self.read(CHUNK_BYTES):
            pass

    def _open_next(self) -> bool:
        if self._is_over:
            return False
        sealed, self._next = self._next, self._file.read(self._chunk_bytes)
        self._is_over = not self._next
        try:
            self._plain = self._cipher.decrypt(_nonce(self._number, self._is_over), sealed, self._front)
        except (InvalidTag, ValueError) as error:
            raise _damaged(self._name) from error
        self._number += 1
        return bool(self._plain) or self._open_next()


def _parse(raw: bytes, name: str) -> _Header:
    try:
        header = msgspec.msgpack.decode(raw, type=_Header)
    except msgspec.MsgspecError as error:
        raise _not_a_backup(name, "its header is another one") from error
    n, r, p = header.n, header.r, header.p
    makes_sense = 2 <= n < 2**32 and not n & (n - 1) and 1 <= r < 2**16 and 1 <= p < 2**16
    if header.kdf != "scrypt" or header.cipher != "chacha20-poly1305" or not makes_sense:
        raise _not_a_backup(name, "it names ways of sealing that this version does not know")
    if header.chunk_bytes != CHUNK_BYTES or len(header.salt) != SALT_BYTES:
        raise _not_a_backup(name, "its header makes no sense")
    if 128 * n * r > MAX_SCRYPT_BYTES or 128 * n * r * p > _MAX_SCRYPT_WORK:
        raise _not_a_backup(name, f"opening it would take {128 * n * r >> 20} MB of memory, {p} times over")
    return header


def _keys(header: _Header, password: str) -> tuple[bytes, bytes]:
    """The key of the chunks and the key of the check, 32 bytes each."""
    n, r, p = header.n, header.r, header.p
    memory = 128 * r * (n + p + 2) + (1 << 20)
    derived = hashlib.scrypt(password.encode(), salt=header.salt, n=n, r=r, p=p, maxmem=memory, dklen=64)
    return derived[:32], derived[32:]


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _no_password() -> IdentityError:
    return IdentityError(
        "The backup's password is empty.", NOTHING_CHANGED, "Choose one: whoever has the file could be you otherwise."
    )


def _damaged(name: str) -> IdentityError:
    return IdentityError(
        f"The backup {name} is damaged or cut off.",
        NOTHING_CHANGED,
        "Copy it again from where it was kept, or use an older backup.",
    )


def _not_a_backup(name: str, why: str) -> IdentityError:
    return IdentityError(
        f"{name} is no backup that can be restored: {why}.",
        NOTHING_CHANGED,
        "Name the file that `swarm identity backup` wrote.",
    )
