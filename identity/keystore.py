"""Why this module exists: a wallet file must open in any Ethereum wallet, and a hostile one must not eat the machine.

Web3 Secret Storage, version 3 (https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage):
the key is AES-128-CTR encrypted under a password-derived key (scrypt or PBKDF2), with a Keccak-256 check. Reads
whatever common wallets write, within limits on memory and time; writes scrypt with at most 32 MB.
"""

from __future__ import annotations

import hashlib
import hmac
from uuid import UUID

import coincurve
import msgspec
from Crypto.Protocol.KDF import scrypt as pycryptodome_scrypt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from eth_hash.auto import keccak

from chain.keys import address_of_public_key, checksum_address
from protocol.errors import BadRecord
from protocol.ids import Address, parse_address

KEYSTORE_CAP = 16 * 1024
"""Bytes."""

MAX_SCRYPT_BYTES = 256 * 1024 * 1024
"""Memory that opening may take: what geth's standard file (n = 2**18, r = 8) asks for."""

_MAX_SCRYPT_WORK = 16 * MAX_SCRYPT_BYTES
_MAX_PBKDF2_ROUNDS = 10_000_000


class WrongPassword(Exception):
    """The password does not fit the file (or its check value was damaged: the two look the same)."""


class NotAKeystore(Exception):
    """The bytes are not a version-3 keystore that may be opened; the message says why."""


class Cost(msgspec.Struct, frozen=True):
    """scrypt parameters. Memory is 128 * n * r bytes, time grows with n * r * p."""

    n: int
    r: int
    p: int


LIGHT = Cost(n=2**14, r=8, p=1)
"""16 MB, 0.05 s. For passwords that a machine drew: nobody guesses 256 bits, whatever a guess costs."""

STRONG = Cost(n=2**15, r=8, p=3)
"""32 MB, 0.3 s. For passwords that a person chose; one of the settings that OWASP's cheat sheet recommends."""


class _CipherParameters(msgspec.Struct):
    iv: str


class _KdfParameters(msgspec.Struct):
    dklen: int
    salt: str
    n: int = 0
    r: int = 0
    p: int = 0
    c: int = 0
    prf: str = ""


class _Crypto(msgspec.Struct):
    cipher: str
    cipherparams: _CipherParameters
    ciphertext: str
    kdf: str
    kdfparams: _KdfParameters
    mac: str


class _Keystore(msgspec.Struct):
    crypto: _Crypto
    version: int
    address: str = ""
    id: str = ""


def seal_key(secret: bytes, password: str, *, salt: bytes, iv: bytes, uuid: bytes, cost: Cost) -> bytes:
    """A keystore (JSON) for a 32-byte key. ``salt``: 32, ``iv`` and ``uuid``: 16 fresh random bytes each. Pure."""
    derived = _scrypt(password, salt, cost.n, cost.r, cost.p, 32)
    ciphertext = _aes_ctr(derived[:16], iv, secret)
    keystore = _Keystore(
        address=_address(secret)[2:].lower(),
        crypto=_Crypto(
            cipher="aes-128-ctr",
            cipherparams=_CipherParameters(iv=iv.hex()),
            ciphertext=ciphertext.hex(),
            kdf="scrypt",
            kdfparams=_KdfParameters(dklen=32, salt=salt.hex(), n=cost.n, r=cost.r, p=cost.p),
            mac=keccak(derived[16:32] + ciphertext).hex(),
        ),
        id=str(UUID(bytes=uuid, version=4)),
        version=3,
    )
    plain = msgspec.to_builtins(keystore)
    for unused in ("c", "prf"):
        del plain["crypto"]["kdfparams"][unused]
    return msgspec.json.format(msgspec.json.encode(plain), indent=2) + b"\n"


def keystore_address(data: bytes) -> Address | None:
    """The account that a keystore says it holds, without its password; ``None`` where it does not say.

    Only a label until the file was opened. Raises ``NotAKeystore``.
    """
    text = _parse(data).address
    if not text:
        return None
    try:
        return checksum_address(bytes.fromhex(parse_address("0x" + text.lower().removeprefix("0x"))[2:]))
    except BadRecord as error:
        raise NotAKeystore("its label is not an account") from error


def open_key(data: bytes, password: str) -> bytes:
    """The 32-byte key in a keystore. Raises ``WrongPassword``, ``NotAKeystore``. Bounded in memory and time."""
    keystore = _parse(data)
    crypto, parameters = keystore.crypto, keystore.crypto.kdfparams
    try:
        salt, iv = bytes.fromhex(parameters.salt), bytes.fromhex(crypto.cipherparams.iv)
        ciphertext, mac = bytes.fromhex(crypto.ciphertext), bytes.fromhex(crypto.mac)
    except ValueError as error:
        raise NotAKeystore("a field is not hexadecimal") from error
    if crypto.cipher != "aes-128-ctr" or len(iv) != 16 or len(ciphertext) != 32:
        raise NotAKeystore("it is not one 32-byte key under aes-128-ctr")
    derived = _derive(crypto.kdf, parameters, password, salt)
    if not hmac.compare_digest(keccak(derived[16:32] + ciphertext), mac):
        raise WrongPassword
    secret = _aes_ctr(derived[:16], iv, ciphertext)
    stated = keystore.address.removeprefix("0x").lower()
    if stated and stated != _address(secret)[2:].lower():
        raise NotAKeystore(f"it says it is account 0x{stated[:40]} and holds another key")
    return secret


def _parse(data: bytes) -> _Keystore:
    if len(data) > KEYSTORE_CAP:
        raise NotAKeystore(f"it is larger than {KEYSTORE_CAP} bytes")
    try:
        # Some wallets write "Crypto", "Version": names are compared without letter case, as eth-keyfile does.
        keystore = msgspec.convert(_lower(msgspec.json.decode(data)), _Keystore)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise NotAKeystore(f"it is not a keystore file: {error}") from error
    if keystore.version != 3:
        raise NotAKeystore(f"it is a keystore of version {keystore.version}, only 3 holds an account's key")
    return keystore


def _lower(value: object) -> object:
    return {str(k).lower(): _lower(v) for k, v in value.items()} if isinstance(value, dict) else value


def _derive(kdf: str, parameters: _KdfParameters, password: str, salt: bytes) -> bytes:
    if not 32 <= parameters.dklen <= 64 or len(salt) > 256:
        raise NotAKeystore("its key derivation parameters make no sense")
    if kdf == "scrypt":
        n, r, p = parameters.n, parameters.r, parameters.p
        if not 2 <= n < 2**32 or n & (n - 1) or not 1 <= r < 2**32 or not 1 <= p < 2**32:
            raise NotAKeystore("its scrypt parameters make no sense")
        if 128 * n * r > MAX_SCRYPT_BYTES or 128 * n * r * p > _MAX_SCRYPT_WORK:
            raise NotAKeystore(f"opening it would take {128 * n * r >> 20} MB of memory, {p} times over")
        return _scrypt(password, salt, n, r, p, parameters.dklen)
    if kdf == "pbkdf2" and parameters.prf == "hmac-sha256":
        if not 1 <= parameters.c <= _MAX_PBKDF2_ROUNDS:
            raise NotAKeystore(f"opening it would take {parameters.c} rounds of PBKDF2")
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, parameters.c, parameters.dklen)
    raise NotAKeystore(f"its key derivation {kdf[:32]!r} is not known")


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:
    if n >= 1 << 16 * r:  # OpenSSL keeps to RFC 7914's limit; the definition's own test vector and old files do not
        return pycryptodome_scrypt(password.encode(), salt, length, n, r, p)  # type: ignore[arg-type, return-value]
    try:
        memory = 128 * r * (n + p + 2) + (1 << 20)
        return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=memory, dklen=length)
    except (ValueError, MemoryError) as error:
        raise NotAKeystore(f"its scrypt parameters cannot be used: {error}") from error


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    encryptor = Cipher(AES(key), CTR(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def _address(secret: bytes) -> Address:
    try:
        return address_of_public_key(coincurve.PrivateKey(secret).public_key.format())
    except ValueError as error:
        raise NotAKeystore("the bytes in it are not a secp256k1 key") from error
