"""Why this module exists: what peers say to each other, as frozen structs that are decoded once, at the edge.

    Envelope(signed)  ->  Presence | BatchHeader | Contribution | Proposal | Attestation     small, in the DHT
    BlobRef           ->  RolloutBatch | CreditTable                                         large, over P2P streams

Scores are integers in thousandths (``milli``), credits integers in millionths (``micro``): floats never enter a record
that somebody hashes. A new field or a changed meaning is a new ``WIRE_VERSION``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from protocol.ids import Address, ContentId, PeerId, Stage

WIRE_VERSION = 1
"""Part of every envelope and record key; peers of another version are counted as ``wrong_version`` and left alone."""


Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A count from outside: never negative, and small enough for every database and signed 64-bit field that it meets."""


class WireStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of everything on the wire: immutable, and unknown fields are refused."""


class Delegation(WireStruct, frozen=True):
    """An RSA identity names, once, the secp256k1 key that signs for it (libp2p ids of RSA keys hide the public key).

    ``public_key``: libp2p protobuf public key; its SHA-256 multihash is the peer id. ``signer``: the delegated account.
    ``signature``: RSASSA-PKCS1-v1_5 with SHA-256 over the registration digest (see ``identity.delegation``), which also
    covers ``wallet`` and ``nonce``: they are here so that anyone can check the delegation without asking the chain.
    """

    public_key: bytes
    signer: Address
    signature: bytes
    wallet: Address
    nonce: Natural = 0


class Envelope(WireStruct, frozen=True):
    """A signed record. Written by ``peer``, read by everyone.

    ``kind`` is one of ``presence``, the three stage names, ``contribution``, ``proposal``, ``attestation``.
    ``signature``: 65 bytes r, s, v by the peer's signing key over the EIP-712 struct
    ``Record(bytes32 run,string kind,uint64 round,bytes32 content)`` with content = SHA-256 of ``payload``.
    ``delegation`` is present exactly when the identity is not a secp256k1 key.
    """

    version: Natural
    run: ContentId
    kind: str
    round: Natural
    peer: PeerId
    payload: bytes
    signature: bytes
    delegation: Delegation | None = None


class Presence(WireStruct, frozen=True):
    """I am here. ``addresses`` are dialable multiaddresses; ``phase`` is what the peer is doing, for display only."""

    addresses: tuple[str, ...]
    round: Natural
    phase: str
    at_ms: Natural


class BlobRef(WireStruct, frozen=True):
    """Where a payload is found: its hash and its exact size in bytes. Its provider is the record's signer."""

    content: ContentId
    size: Natural


class Rollout(WireStruct, frozen=True):
    """One sampled completion. ``tokens`` are ids of the run's tokenizer, end token included when ``ended``.

    ``text`` is the tokens decoded without special tokens; readers that have the tokenizer check that.
    ``ended``: the model stopped by itself; otherwise the token limit did.
    """

    text: str
    tokens: tuple[Natural, ...]
    ended: bool


class RolloutGroup(WireStruct, frozen=True):
    """All samples of one peer for one question: every one that was drawn is here, none is held back.

    ``prompt`` is the content id of the chat messages they answer, so that equal prompts can be pooled.
    """

    question: Natural
    prompt: ContentId
    rollouts: tuple[Rollout, ...]


class RolloutBatch(WireStruct, frozen=True):
    """A peer's work of one stage, as a blob: one group per question, in question order."""

    run: ContentId
    round: Natural
    stage: Stage
    peer: PeerId
    groups: tuple[RolloutGroup, ...]


class BatchHeader(WireStruct, frozen=True):
    """Announces a ``RolloutBatch``. ``consumed``: content ids of the batches whose text its prompts show, sorted."""

    stage: Stage
    blob: BlobRef
    consumed: tuple[ContentId, ...]


class Contribution(WireStruct, frozen=True):
    """What a peer did in a round; signed once, written to disk before it is published, re-sent byte for byte.

    ``state_before`` is this peer's last included ``state_after``, or the run's genesis state. ``batches``: content ids
    of its rollout batches, in stage order (a skipped stage is absent). ``rollouts_root``: Merkle root over every
    rollout of those batches. ``consumed``: content ids of the others' batches it trained on, sorted.
    ``scores_milli``: what the peer says its rollouts scored, in order; nobody believes it, everybody recomputes it.
    ``engine`` and ``profile`` name the arithmetic, e.g. ``native`` and ``fp32``.
    """

    run: ContentId
    round: Natural
    peer: PeerId
    state_before: ContentId
    state_after: ContentId
    batches: tuple[ContentId, ...]
    rollouts_root: ContentId
    consumed: tuple[ContentId, ...]
    scores_milli: tuple[Natural, ...]
    engine: str
    profile: str


class CreditRow(WireStruct, frozen=True):
    """A peer's line in the ledger: all it ever earned in this run, and the state that its next step starts from."""

    peer: PeerId
    micro_credits: Natural
    rounds: Natural
    state: ContentId


class CreditTable(WireStruct, frozen=True):
    """The cumulative ledger after ``round``, rows sorted by peer id. Anyone recomputes it from public records."""

    run: ContentId
    round: Natural
    rows: tuple[CreditRow, ...]


class RoundResult(WireStruct, frozen=True):
    """What the members of a round agree on and the contract records; signed as an EIP-712 struct of the same fields.

    Roots are 32-byte hashes in hex. ``contributions_root``: OpenZeppelin-compatible Merkle root over
    (peer key, content id of the contribution). ``credits_root``: likewise over (peer key, cumulative micro-credits).
    ``data_hash``: content id of the ``CreditTable`` behind ``credits_root``. ``previous_credits_root`` chains results:
    a result applies only on top of the one it was computed from.
    """

    round: Natural
    contributions_root: ContentId
    data_hash: ContentId
    previous_credits_root: ContentId
    credits_root: ContentId
    total_micro_credits: Natural


class Proposal(WireStruct, frozen=True):
    """A drawn poster's offer: these contributions (content ids, sorted), this result, this table as a blob."""

    result: RoundResult
    contributions: tuple[ContentId, ...]
    table: BlobRef


class Attestation(WireStruct, frozen=True):
    """A member recomputed the result and got the same; ``signature`` is what the contract checks."""

    result: RoundResult
    signature: bytes
