"""Why this module exists: which of several valid records counts, how many are kept, and who hears about the bad ones.

Expiry times travel outside the signature, so nobody's word on them decides anything but how long a record is kept, and
that within a cap. Which record of an owner counts is decided by what the owner signed:

    presence                  the one with the later ``Presence.at_ms``
    batches, contributions    the first one seen. A different second one is *equivocation*: refused and reported, and
                              the first stays, so that what this peer has acted upon never changes under its hands.
                              A few of the others are kept beside it: somebody else may have acted upon them. One of
                              them is passed on with the first, so that whoever knows either learns of both: what an
                              author shows to some only, all must be able to hold against it
    proposals, attestations   all of them, up to a cap, side by side
    receipts, verdicts        likewise; the cap leaves room for one on each contribution

Work and memory are bounded for any input: bad bytes are judged once, owners per slot, bytes per owner and bytes in all
are capped, and reports run through a token bucket (the counters go on).
"""

from __future__ import annotations

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from protocol.codec import decode, encode
from protocol.errors import BadRecord
from protocol.ids import Address, PeerId
from protocol.messages import Envelope, Presence
from swarm.dht.records import (
    PER_WORK,
    PRESENCE,
    WRITE_ONCE,
    Gate,
    OnRejected,
    beside,
    claims_of,
    home_of,
    key_of,
    owner_of,
    slot_of,
    subkey_of,
)
from swarm.dht.transport import RecordKey

_NAMED_SLOTS = 1024


class Verdict(Enum):
    """What became of a record. Only ``BAD`` says something about whoever passed it on."""

    HELD = "held"  # it is in the book, now or already before
    STALE = "stale"  # expired, or a later presence of the same owner is held
    EARLY = "early"  # by somebody who is not a member yet: for a round not asked about, or one presence too many
    FULL = "full"  # the slot, or its owner's share of it, is full
    DOUBTED = "doubted"  # refused, but an honest node may hold it: not a member here, half of an equivocation, rotated
    BAD = "bad"  # breaks a rule that every honest node checks


@dataclass(frozen=True)
class BookLimits:
    """Caps. Seconds for ``_s``, bytes for ``_bytes``; ``reports_per_s`` rejections are reported after a first burst.

    ``strangers``: presence records of peers that are no members, which so leave room for those that are.
    ``revisions_per_owner``: proposals or attestations of one peer in a round; ``works_per_owner``: its receipts or
    verdicts.
    """

    record_ttl_s: float = 6 * 3600.0
    presence_ttl_s: float = 120.0
    subkeys_per_slot: int = 1024
    strangers: int = 64
    revisions_per_owner: int = 8
    works_per_owner: int = 64
    owner_bytes: int = 4 * 1024 * 1024
    total_bytes: int = 64 * 1024 * 1024
    remembered_bad: int = 8192
    report_burst: int = 100
    reports_per_s: float = 1.0


@dataclass
class Held:
    """A record that passed every check: as decoded, as it came, kept until, known since (unix seconds), its order.

    ``contradictions``: what its owner signed instead of it for the same place, in the order seen.
    """

    envelope: Envelope
    data: bytes
    expires_at: float
    first_seen: float
    order: int
    contradictions: tuple[Envelope, ...] = ()


class RecordBook:
    """All valid records that this node knows, by slot and subkey. Not thread-safe; lives in one event loop.

    ``now`` returns unix seconds. ``own`` is this node's peer id: its records enter whoever the members are.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        now: Callable[[], float],
        own: PeerId,
        on_rejected: OnRejected | None = None,
        limits: BookLimits | None = None,
    ) -> None:
        self.gate = gate
        self.rejected: Counter[str] = Counter()
        self.num_bytes = 0
        self._limits = limits or BookLimits()
        self._now = now
        self._own = own
        self._on_rejected = on_rejected
        self._slots: OrderedDict[bytes, dict[str, Held]] = OrderedDict()
        self._by_owner: dict[str, OrderedDict[tuple[bytes, str], int]] = {}
        self._members: frozenset[str] | None = None
        self._names: OrderedDict[bytes, RecordKey] = OrderedDict()
        self._latest_round = 0
        self._known_bad: OrderedDict[bytes, Verdict] = OrderedDict()
        self._reports_left = float(self._limits.report_burst)
        self._reports_at = now()

    def set_members(
        self, members: Collection[PeerId] | None, accounts: Mapping[PeerId, Address] | None = None, round: int = 0
    ) -> None:
        """From now on only these peers' records enter (presence excepted); ``None`` lets everybody's in.

        ``accounts``: who signs for them from ``round`` on, as the chain says. What a former account signs for that
        round, or a later one, does not count.

        Membership is the one check that makes invented identities worthless: without it, anybody can sign as many valid
        records as ``subkeys_per_slot`` admits.
        """
        self._members = None if members is None else frozenset(members)
        if accounts is not None:
            self.gate.accounts.learn(round, accounts)

    def watch(self, key: RecordKey) -> bytes:
        """The slot of ``key``, whose name is kept so that junk found there is reported under its kind and round."""
        slot = slot_of(key)
        self._latest_round = max(self._latest_round, key.round)
        self._names[slot] = key
        self._names.move_to_end(slot)
        while len(self._names) > _NAMED_SLOTS:
            self._names.popitem(last=False)
        return slot

    def admit(self, slot: bytes, subkey: str, data: bytes, expires_at: float) -> Verdict:
        """Judge ``data`` found in ``slot`` under ``subkey``, and keep it if it counts. Never raises.

        ``expires_at``: unix seconds, as claimed by whoever sent it.
        """
        now = self._now()
        if not expires_at > now:  # NaN included
            return Verdict.STALE
        subkey = home_of(subkey, data)
        owners = self._slots.get(slot, {})
        held = owners.get(subkey)
        if held is not None and held.data == data:
            held.expires_at = max(held.expires_at, self._capped(held.envelope.kind, expires_at, held.first_seen))
            return Verdict.HELD
        if held is not None and any(encode(other) == data for other in held.contradictions):
            return Verdict.DOUBTED
        digest = hashlib.sha256(slot + subkey.encode(errors="replace") + b"\0" + data).digest()
        if self._known_bad.get(digest) is Verdict.BAD:
            return Verdict.BAD
        try:
            if not self._check_member(slot, subkey, data):
                return Verdict.EARLY
            if held is None and len(owners) >= self._limits.subkeys_per_slot:
                return Verdict.FULL
            envelope = self.gate.open(slot, subkey, data)
            if held is not None and envelope.kind in WRITE_ONCE and envelope.payload != held.envelope.payload:
                self._note_contradiction(slot, subkey, held, envelope, len(data))
            return self._place(slot, subkey, held, envelope, data, expires_at, now)
        except BadRecord as error:
            return self._reject(error, slot, subkey, data, digest, now)

    def put_own(self, envelope: Envelope, data: bytes, expires_at: float) -> None:
        """Keep this node's own record. Raises ``BadRecord`` where others would refuse it, for equivocation too."""
        slot, subkey = self.watch(key_of(envelope)), subkey_of(envelope)
        held = self._slots.get(slot, {}).get(subkey)
        if held is not None and held.data == data:
            self.admit(slot, subkey, data, expires_at)
            return
        self._place(slot, subkey, held, self.gate.open(slot, subkey, data), data, expires_at, self._now())

    def envelopes(self, key: RecordKey) -> dict[PeerId, Envelope]:
        """One record per owner under ``key``: the one that counts, or of revisable kinds the one seen last."""
        which = 0 if key.kind in WRITE_ONCE else -1
        return {owner: all_of_it[which] for owner, all_of_it in self.revisions(key).items()}

    def revisions(self, key: RecordKey) -> dict[PeerId, tuple[Envelope, ...]]:
        """All records under ``key`` by owner, in the order in which this node saw them first. More than one batch or
        contribution of an owner prove that it contradicts itself; the first one is what counts here."""
        found: dict[PeerId, tuple[Envelope, ...]] = {}
        for subkey, held in self.entries(slot_of(key)).items():
            owner = PeerId(owner_of(subkey))
            found[owner] = (*found.get(owner, ()), held.envelope, *held.contradictions)
        return found

    def entries(self, slot: bytes) -> dict[str, Held]:
        """What is held in a slot now, by subkey, oldest first."""
        now = self._now()
        return {subkey: held for subkey, held in self._slots.get(slot, {}).items() if held.expires_at > now}

    def passed_on(self, slot: bytes) -> Iterator[tuple[str, bytes, float]]:
        """What others are told of a slot, as (subkey, bytes, expiry): all that is held, each followed by the first
        record that contradicts it. At most twice ``subkeys_per_slot``."""
        for subkey, held in self.entries(slot).items():
            yield subkey, held.data, held.expires_at
            if held.contradictions:
                yield beside(subkey), encode(held.contradictions[0]), held.expires_at

    def latest_slots(self, count: int) -> Iterator[bytes]:
        """The ``count`` slots that were opened last: what a node that just appeared may need."""
        return (slot for slot, _ in zip(reversed(self._slots), range(count), strict=False))

    def sweep(self) -> None:
        """Forget what has expired."""
        now = self._now()
        expired = [
            (slot, subkey)
            for slot, entries in self._slots.items()
            for subkey, held in entries.items()
            if held.expires_at <= now
        ]
        for slot, subkey in expired:
            self._drop(slot, subkey)

    def _check_member(self, slot: bytes, subkey: str, data: bytes) -> bool:
        """Whether the owner may write here; ``False`` when its round has not begun here and nobody can tell yet."""
        owner = owner_of(subkey)
        if self._members is None or owner in self._members or owner == self._own:
            return True
        key = self._names.get(slot)
        kind, round_number = (key.kind, key.round) if key is not None else claims_of(data)
        if kind == PRESENCE:
            entries = self._slots.get(slot, {})
            return subkey in entries or len(entries.keys() - self._members) < self._limits.strangers
        if round_number > self._latest_round:
            return False
        raise BadRecord("not_a_member", f"{owner[:64]} is not a member of this round.")

    def _place(
        self,
        slot: bytes,
        subkey: str,
        held: Held | None,
        envelope: Envelope,
        data: bytes,
        expires_at: float,
        now: float,
    ) -> Verdict:
        order = decode(envelope.payload, Presence).at_ms if envelope.kind == PRESENCE else 0
        if held is not None:
            if envelope.kind == PRESENCE:
                if order <= held.order:
                    return Verdict.STALE
            elif envelope.payload == held.envelope.payload:
                return Verdict.HELD
            else:
                what = f"{envelope.peer} signed two different {envelope.kind} records of round {envelope.round}."
                raise BadRecord("equivocation", what)
            self._drop(slot, subkey)
        elif envelope.kind not in WRITE_ONCE and envelope.kind != PRESENCE:
            siblings = sum(owner_of(other) == envelope.peer for other in self._slots.get(slot, ()))
            is_per_work = envelope.kind in PER_WORK
            if siblings >= (self._limits.works_per_owner if is_per_work else self._limits.revisions_per_owner):
                return Verdict.FULL
        self._keep(slot, subkey, Held(envelope, data, self._capped(envelope.kind, expires_at, now), now, order))
        return Verdict.HELD

    def _note_contradiction(self, slot: bytes, subkey: str, held: Held, envelope: Envelope, size: int) -> None:
        known = {other.payload for other in held.contradictions}
        if envelope.payload in known or len(known) >= self._limits.revisions_per_owner:
            return
        held.contradictions += (envelope,)
        self._by_owner[owner_of(subkey)][slot, subkey] += size
        self.num_bytes += size

    def _capped(self, kind: str, expires_at: float, first_seen: float) -> float:
        ttl_s = self._limits.presence_ttl_s if kind == PRESENCE else self._limits.record_ttl_s
        return min(expires_at, first_seen + ttl_s)

    def _keep(self, slot: bytes, subkey: str, held: Held) -> None:
        owner, size = owner_of(subkey), len(held.data)
        while (mine := self._by_owner.get(owner)) and sum(mine.values()) + size > self._limits.owner_bytes:
            self._drop(*next(iter(mine)))  # whoever publishes too much pushes out its own oldest records
        while self._slots and self.num_bytes + size > self._limits.total_bytes:
            oldest = next(iter(self._slots))
            self._drop(oldest, next(iter(self._slots[oldest])))
        self._by_owner.setdefault(owner, OrderedDict())[slot, subkey] = size
        self._slots.setdefault(slot, {})[subkey] = held
        self.num_bytes += size

    def _drop(self, slot: bytes, subkey: str) -> None:
        entries, owner = self._slots[slot], owner_of(subkey)
        del entries[subkey]
        if not entries:
            del self._slots[slot]
        self.num_bytes -= self._by_owner[owner].pop((slot, subkey))
        if not self._by_owner[owner]:
            del self._by_owner[owner]

    def _reject(self, error: BadRecord, slot: bytes, subkey: str, data: bytes, digest: bytes, now: float) -> Verdict:
        doubted = error.reason in ("not_a_member", "equivocation", "former_signer")
        verdict = Verdict.DOUBTED if doubted else Verdict.BAD
        if digest in self._known_bad:
            return verdict
        self._known_bad[digest] = verdict
        while len(self._known_bad) > self._limits.remembered_bad:
            self._known_bad.popitem(last=False)
        self.rejected[error.reason] += 1
        if self._on_rejected is not None and self._may_report(now):
            key = self._names.get(slot)
            kind, round_number = (key.kind, key.round) if key is not None else claims_of(data)
            self._on_rejected(error, owner_of(subkey)[:128], kind, round_number)
        return verdict

    def _may_report(self, now: float) -> bool:
        refill = max(0.0, now - self._reports_at) * self._limits.reports_per_s
        self._reports_left = min(float(self._limits.report_burst), self._reports_left + refill)
        self._reports_at = now
        if self._reports_left < 1.0:
            return False
        self._reports_left -= 1.0
        return True
