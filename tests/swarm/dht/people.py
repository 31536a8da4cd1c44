"""Peers for tests: real keys and real signatures, in a scheme small enough to read (the chain's has its own tests)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import coincurve
import msgspec

from protocol.codec import content_id, encode
from protocol.errors import BadRecord
from protocol.ids import ContentId, PeerId, peer_id_bytes, peer_id_from_bytes
from protocol.messages import WIRE_VERSION, Envelope, Presence
from swarm.dht.transport import RecordKey

RUN = content_id(b"a run for tests")


def digest_of(envelope: Envelope) -> bytes:
    return hashlib.sha256(encode((envelope.run, envelope.kind, envelope.round, envelope.payload))).digest()


def check_signature(envelope: Envelope) -> None:
    """The injected check: the signature's key is the one in the peer id."""
    try:
        key = coincurve.PublicKey.from_signature_and_message(envelope.signature, digest_of(envelope), hasher=None)
    except Exception as error:
        raise BadRecord("wrong_signature", "no key made this signature") from error
    if peer_id_bytes(envelope.peer)[-33:] != key.format():
        raise BadRecord("wrong_signature", "another key made this signature")


class Person:
    """A peer whose key follows from its name."""

    def __init__(self, name: str) -> None:
        self.key = coincurve.PrivateKey(hashlib.sha256(name.encode()).digest())
        self.peer: PeerId = peer_id_from_bytes(b"\x00\x25\x08\x02\x12\x21" + self.key.public_key.format())

    def says(self, payload: bytes, *, kind: str = "answer", round: int = 1, run: ContentId = RUN) -> Envelope:
        unsigned = Envelope(
            version=WIRE_VERSION, run=run, kind=kind, round=round, peer=self.peer, payload=payload, signature=b""
        )
        return self.signs(unsigned)

    def signs(self, envelope: Envelope) -> Envelope:
        signature = self.key.sign_recoverable(digest_of(envelope), hasher=None)
        return msgspec.structs.replace(envelope, signature=signature)

    def is_here(self, at_ms: int, *addresses: str) -> Envelope:
        presence = Presence(addresses=addresses, round=1, phase="answer", at_ms=at_ms)
        return self.says(encode(presence), kind="presence", round=0)

    def identity_file(self, folder: Path) -> Path:
        path = folder / f"{self.peer[-8:]}.pem"
        path.write_bytes(b"\x08\x02\x12\x20" + self.key.secret)
        path.chmod(0o600)
        return path


def key(kind: str = "answer", round: int = 1) -> RecordKey:
    return RecordKey(run=RUN, kind=kind, round=round)


class Rejections(list[tuple[str, str, str, int]]):
    """Collects what ``on_rejected`` is told, as (reason, claimed peer, kind, round)."""

    def __call__(self, error: BadRecord, peer: str, kind: str, round: int) -> None:
        self.append((error.reason, peer, kind, round))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, *_ in self]
