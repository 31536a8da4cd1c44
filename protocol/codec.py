"""Why this module exists: one value has exactly one byte string, so hashes and signatures mean the same everywhere.

Canonical form: MessagePack of a frozen struct with its fields in declaration order, dictionaries sorted by key,
integers and lengths in their shortest form. ``decode`` refuses any other encoding of the same value: a record has
one content id and nobody can mint a second one by re-encoding it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, TypeVar

import msgspec

from protocol.errors import BadRecord
from protocol.ids import ContentId

RECORD_CAP = 16 * 1024
"""Bytes. Largest signed record that enters the DHT; payloads above that travel as blobs."""

BLOB_CAP = 64 * 1024 * 1024
"""Bytes. Largest content-addressed blob that a peer asks for or serves."""

Message = TypeVar("Message")

_encoder = msgspec.msgpack.Encoder(order="deterministic")


@cache
def _decoder(message_type: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(message_type)


def encode(message: Any) -> bytes:
    """Canonical bytes of a protocol message (or of tuples, strings, bytes and integers)."""
    return _encoder.encode(message)


def decode(data: bytes, message_type: type[Message], *, cap: int = RECORD_CAP) -> Message:
    """The message in ``data``.

    Raises ``BadRecord``: ``oversized`` above ``cap`` bytes (checked before anything is parsed), ``malformed`` when the
    bytes do not fit the type or are not the canonical encoding.
    """
    if len(data) > cap:
        raise BadRecord("oversized", f"{len(data)} bytes where at most {cap} are allowed.")
    try:
        message = _decoder(message_type).decode(data)  # type: ignore[arg-type]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        name = getattr(message_type, "__name__", "message")
        raise BadRecord("malformed", f"Not a {name}: {error!s:.200}.") from error
    if _encoder.encode(message) != data:
        raise BadRecord("malformed", "The bytes are not the canonical encoding of what they say.")
    return message  # type: ignore[no-any-return]


def content_id(data: bytes) -> ContentId:
    """SHA-256 of ``data`` (FIPS 180-4) as a content id."""
    return ContentId(hashlib.sha256(data).hexdigest())


def content_id_of(message: Any) -> ContentId:
    """Content id of a message's canonical bytes."""
    return content_id(encode(message))
