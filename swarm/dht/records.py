"""Why this module exists: a record is judged once, by one set of rules, wherever it comes from.

Hivemind's DHT knows a record as (hashed key, subkey, bytes). Here that becomes: which slot a key is (``slot_of``),
whose subkey it is (``subkey_of``), and what the bytes must be (``Gate``): a canonical, signed ``Envelope`` of this run
whose own fields lead back to the very slot and subkey it was found under. A record that was valid in an older round is
therefore refused under a newer round's key. No clock, no network; what becomes of valid records is ``swarm.dht.book``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec

from protocol.codec import RECORD_CAP, decode, encode
from protocol.errors import BadRecord
from protocol.ids import STAGES, Address, ContentId, PeerId, parse_peer_id
from protocol.messages import WIRE_VERSION, Envelope
from swarm.dht.transport import RecordKey

PRESENCE = "presence"
WRITE_ONCE: frozenset[str] = frozenset({*(str(stage) for stage in STAGES), "contribution", "closing"})
"""Kinds of which an honest peer publishes one record per round; a second, different one is equivocation."""

REVISABLE: frozenset[str] = frozenset({"proposal", "attestation"})
"""Kinds of which a peer may publish several per round, side by side: when a poster fails, the next one proposes and the
members attest again. Each has its own subkey, so that nobody can bring an old one back in place of a newer one."""

PER_WORK: frozenset[str] = frozenset({"receipt", "verdict", "review"})
"""Kinds of which a peer publishes one for each contribution that it keeps or checks, or for each verdict that it
reviews, side by side."""

KINDS: frozenset[str] = frozenset({PRESENCE}) | WRITE_ONCE | REVISABLE | PER_WORK

MAX_ROUND = 2**53
_REMEMBERED_ACCOUNTS = 2
_BESIDE = "contradiction"
SIGNATURE_BYTES = 65

Verify = Callable[[Envelope], Address | None]
"""Checks signature, signer and delegation of an envelope and returns the account that signed (``None``: it does not
say); raises ``BadRecord``. ``identity.envelope.verify``, bound."""

OnRejected = Callable[[BadRecord, str, str, int], None]
"""Called once per distinct bad record: the error, the peer that it claims to be from, its kind and its round."""


class _Claims(msgspec.Struct):
    """The few fields that place a record of any version; everything else is ignored."""

    version: int = 0
    kind: str = ""
    round: int = 0


_claims = msgspec.msgpack.Decoder(_Claims)


def slot_name(key: RecordKey) -> bytes:
    """What hivemind hashes into the key's place in the DHT: run, kind, round and wire version, canonically encoded."""
    return encode(("rl-swarm/record", WIRE_VERSION, key.run, key.kind, key.round))


def slot_of(key: RecordKey) -> bytes:
    """The key's place in the DHT: 20 bytes, equal to hivemind's ``DHTID.generate(slot_name(key))``.

    SHA-1 is hivemind's choice and only spreads keys over nodes: which key a record belongs to is decided by the fields
    that its owner signed.
    """
    return hashlib.sha1(slot_name(key), usedforsecurity=False).digest()


def key_of(envelope: Envelope) -> RecordKey:
    """The key that a record belongs under, by its own words."""
    return RecordKey(run=envelope.run, kind=envelope.kind, round=envelope.round)


def subkey_of(envelope: Envelope) -> str:
    """Where in its slot a record lives: the owner's peer id; for kinds that may stand side by side with a tag
    of the payload's hash."""
    if envelope.kind in REVISABLE | PER_WORK:
        return f"{envelope.peer}/{hashlib.sha256(envelope.payload).hexdigest()[:16]}"
    return str(envelope.peer)


def owner_of(subkey: str) -> str:
    """Whom a subkey belongs to, by its own words."""
    return subkey.partition("/")[0]


def beside(subkey: str) -> str:
    """Where the proof that an owner contradicts itself is passed on: next to the record that it contradicts."""
    return f"{subkey}/{_BESIDE}"


def home_of(subkey: str, data: bytes) -> str:
    """Where bytes found under ``subkey`` belong: there, or for a contradiction passed on beside it, at its owner's."""
    owner, _, tag = subkey.partition("/")
    return owner if tag == _BESIDE and claims_of(data)[0] in WRITE_ONCE else subkey


def claims_of(data: bytes) -> tuple[str, int]:
    """Kind and round that some bytes claim to be of, for a report; ``("", 0)`` when they cannot be told."""
    if len(data) > RECORD_CAP:
        return "", 0
    try:
        claims = _claims.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return "", 0
    return claims.kind[:32], claims.round if 0 <= claims.round <= MAX_ROUND else 0


class Accounts:
    """The accounts that sign for members, by round, as far as this node was told. A peer that nothing is known of may
    sign with any account that it delegated to."""

    def __init__(self) -> None:
        self._named: dict[str, list[tuple[int, Address]]] = {}

    def learn(self, round_number: int, accounts: Mapping[PeerId, Address]) -> None:
        """From ``round_number`` on these accounts sign. Whoever is not in ``accounts`` is no member, and forgotten."""
        known = {peer: self._named.get(peer, []) for peer in accounts}
        for peer, account in accounts.items():
            before = [named for named in known[peer] if named[0] < round_number]
            known[peer] = before if before and before[-1][1] == account else [*before, (round_number, account)]
        self._named = {peer: named[-_REMEMBERED_ACCOUNTS:] for peer, named in known.items()}

    def may_sign(self, peer: PeerId, round_number: int, account: Address) -> bool:
        """Whether ``account`` signs for ``peer`` in that round; for round 0 (no round): whether it did lately."""
        named = self._named.get(peer, [])
        if round_number == 0:
            return not named or account in [one for _, one in named]
        fitting = [one for since, one in named if since <= round_number]
        return not fitting or fitting[-1] == account


class Gate:
    """The rules of admission for one run. Cheap checks come first, the signature last."""

    def __init__(self, run: ContentId, verify: Verify) -> None:
        self.run = run
        self.accounts = Accounts()
        self._verify = verify

    def open(self, slot: bytes, subkey: str, data: bytes) -> Envelope:
        """The envelope in ``data``, found in ``slot`` (20 bytes) under ``subkey``.

        Raises ``BadRecord``: ``oversized``, ``malformed``, ``wrong_version``, ``wrong_run``, ``wrong_owner``,
        ``wrong_round`` (valid elsewhere, but not under this key), ``unsigned``, what the signature check raises, and
        ``former_signer`` for an account that the chain, as far as known here, does not name for that round.
        """
        if len(data) > RECORD_CAP:
            raise BadRecord("oversized", f"{len(data)} bytes where at most {RECORD_CAP} are allowed.")
        owner = parse_peer_id(owner_of(subkey))
        self._check_version(data)
        envelope = decode(data, Envelope)
        if envelope.run != self.run:
            raise BadRecord("wrong_run", f"A record of run {envelope.run[:12]}, not of this one.")
        if envelope.peer != owner:
            raise BadRecord("wrong_owner", f"A record of {envelope.peer[:64]} under the subkey of {owner}.")
        if envelope.kind not in KINDS or not 0 <= envelope.round <= MAX_ROUND:
            raise BadRecord("malformed", f"No record is of kind {envelope.kind[:32]!r} and round {envelope.round}.")
        if slot_of(key_of(envelope)) != slot or subkey_of(envelope) != subkey:
            raise BadRecord("wrong_round", f"A {envelope.kind} record of round {envelope.round} under another key.")
        if len(envelope.signature) != SIGNATURE_BYTES:
            raise BadRecord("unsigned", f"A signature of {len(envelope.signature)} bytes, not {SIGNATURE_BYTES}.")
        try:
            account = self._verify(envelope)
        except BadRecord:
            raise
        except Exception as error:  # one entry that trips a key or curve library must not void its neighbours
            raise BadRecord("malformed", f"Its signature cannot be checked: {error!r:.200}") from error
        if account is not None and not self.accounts.may_sign(envelope.peer, envelope.round, account):
            raise BadRecord("former_signer", f"{account} does not sign for {owner} in round {envelope.round}.")
        return envelope

    @staticmethod
    def _check_version(data: bytes) -> None:
        """Another version may have other fields: it must be told from garbage before the strict decoder sees it."""
        try:
            version = _claims.decode(data).version
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise BadRecord("malformed", f"Not an envelope: {error!s:.200}.") from error
        if version != WIRE_VERSION:
            raise BadRecord("wrong_version", f"Wire version {version}, this program speaks {WIRE_VERSION}.")
