"""Why this module exists: what peers say to each other, as frozen structs that are decoded once, at the edge.

    Envelope(signed)  ->  Presence | Closing | BatchHeader | Contribution | Receipt | Verdict | Review
                          | Proposal | Attestation
    BlobRef           ->  RolloutBatch | CreditTable | a state's manifest and chunks

Records in envelopes are small and live in the DHT; what a ``BlobRef`` names is large and travels over P2P streams.

Scores are integers in thousandths (``milli``), credits integers in millionths (``micro``): floats never enter a record
that somebody hashes. A new field or a changed meaning is a new ``WIRE_VERSION``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from protocol.ids import Address, ContentId, PeerId, Stage

WIRE_VERSION = 7
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

    ``kind`` is one of ``presence``, ``closing``, the three stage names, ``contribution``, ``receipt``, ``verdict``,
    ``review``, ``proposal``, ``attestation``.
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


class Closing(WireStruct, frozen=True):
    """I sit this round out and leave after it: I judge the round before, and nobody need wait for work of mine."""

    peer: PeerId


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
    """A peer's work of one stage, as a blob: one group per question, in question order.

    ``claims``: only where scorers may differ (``TaskSpec.is_exact`` is false): what its author says that its rollouts
    scored, in order; ``None`` for one that its author could not decide, which counts for nothing.
    """

    run: ContentId
    round: Natural
    stage: Stage
    peer: PeerId
    groups: tuple[RolloutGroup, ...]
    claims: tuple[Annotated[int, msgspec.Meta(ge=0, le=1000)] | None, ...] = ()


class BatchHeader(WireStruct, frozen=True):
    """Announces a ``RolloutBatch``. ``consumed``: content ids of the batches whose text its prompts show, sorted."""

    stage: Stage
    blob: BlobRef
    consumed: tuple[ContentId, ...]


class Contested(WireStruct, frozen=True):
    """Rollouts of ``batch`` (numbers in its order, sorted) that scored otherwise here than their author claims, or that
    could not be decided here. Nobody is blamed: they are left out of the lesson, and count if most others agree."""

    batch: ContentId
    rollouts: tuple[Natural, ...]


class Contribution(WireStruct, frozen=True, kw_only=True):
    """What a peer did in a round; signed once, written to disk before it is published, re-sent byte for byte.

    It names everything that the work is a function of, so that whoever has it and its blobs can do the work again:
    ``seed`` and ``cohort`` of the round (sorted); ``state_before``, which is this peer's last included ``state_after``
    or the run's genesis state; ``batches``: content ids of its rollout batches, in stage order (a skipped stage is
    absent); ``consumed``: content ids of the others' batches it trained on, sorted.
    ``before`` and ``after`` are the manifests of both states (``verde.commit``), served as blobs like the chunks that
    they name: ``before`` is absent for the genesis state, which everybody has, and both are where the run's engine
    cannot be replayed. ``rollouts_root``: Merkle root over every rollout of its batches.
    ``scores_milli``: what the peer says its rollouts scored, in order; nobody believes it, everybody recomputes it.
    ``engine`` and ``profile`` name the arithmetic, e.g. ``native`` and ``fp32``. ``contested``: of ``consumed``, in its
    order, the batches with rollouts that this peer does not agree on; none where scorers cannot differ. ``level``: of
    the round's questions, 0 where they follow none.

    What a contract can be shown of it: ``step_program`` and ``step_data``, the roots of the whole training step as a
    program and of the data that it reads (``verde.program``); ``draws``, a Merkle root over (index as 32 bytes,
    SHA-256(program root ++ data root)) of every rollout's sampling check, in the order of ``rollouts_root``. They are
    zero where there is no such program: then nothing of it can be disputed on the chain. ``work`` stands last, so that
    it is the end of the canonical bytes: 32 bytes, SHA-256(state_before ++ state_after ++ step_program ++ step_data ++
    draws), 32 bytes each.
    """

    run: ContentId
    round: Natural
    peer: PeerId
    seed: ContentId
    cohort: tuple[PeerId, ...]
    state_before: ContentId
    state_after: ContentId
    before: BlobRef | None
    after: BlobRef | None
    batches: tuple[ContentId, ...]
    rollouts_root: ContentId
    consumed: tuple[ContentId, ...]
    scores_milli: tuple[Natural, ...]
    engine: str
    profile: str
    contested: tuple[Contested, ...] = ()
    level: Natural = 0
    step_program: ContentId
    step_data: ContentId
    draws: ContentId
    work: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class Receipt(WireStruct, frozen=True):
    """A drawn holder has the state and the rollouts of ``contribution`` on its disk and serves them."""

    contribution: ContentId


class Finding(StrEnum):
    """What a spot-check of a contribution came to."""

    MATCH = "match"
    MISMATCH = "mismatch"  # it was done again and came out different
    UNAVAILABLE = "unavailable"  # nobody serves what it takes to do it again


class Difference(WireStruct, frozen=True):
    """Where a replay left the claimed course first, in words and in places; what does not apply is absent.

    ``stage``, ``question``, ``sample`` name a rollout and ``position`` its first token that was not drawn so (one past
    the last: it should have gone on, or ends differently). ``chunk``: the first chunk of the state after that differs.
    """

    what: Annotated[str, msgspec.Meta(max_length=300)]
    stage: Stage | None = None
    question: Natural | None = None
    sample: Natural | None = None
    position: Natural | None = None
    chunk: Natural | None = None


class Verdict(WireStruct, frozen=True):
    """What ``by`` found when it did a part of ``contribution`` again. A record of the round in which it was checked.

    ``level``: how far the check went: 0 schema, signatures, scores; 1 sampled rollouts; 2 the whole training step.
    ``difference``: present unless it matches. ``evidence``: content ids of the blobs that the check read. ``witness``:
    present where a replay matches: what nobody has who did not do it (``verde.witness``).
    """

    by: PeerId
    contribution: ContentId
    level: Annotated[int, msgspec.Meta(ge=0, le=2)]
    finding: Finding
    difference: Difference | None
    evidence: tuple[ContentId, ...]
    witness: ContentId | None = None


class Review(WireStruct, frozen=True):
    """What ``by`` says of the witness in ``judge``'s verdict on ``contribution``: that it is right, or made up.

    The author of the contribution says it of each, others where they checked it, too, and somebody doubts it."""

    by: PeerId
    contribution: ContentId
    judge: PeerId
    is_right: bool


class Pending(WireStruct, frozen=True):
    """Pay of a recorded contribution that can still be struck. ``state_before``: where its peer goes back to then.

    ``waited``: recorded results since that left it undecided.
    """

    round: Natural
    contribution: ContentId
    micro_credits: Natural
    state_before: ContentId
    waited: Natural = 0


class CreditRow(WireStruct, frozen=True):
    """A member's line in the ledger: all it was ever paid in this run, the state that its next step starts from (the
    run's genesis before its first recorded contribution), and what is known of its work.

    ``rounds``: recorded contributions, ``last_round``: of the latest one (0: none). ``pending``: what it earned and
    will be paid with a later result, unless a spot-check strikes it; oldest first. ``standing_milli``: see
    ``rewards.reputation``. ``audits_passed`` and ``audits_failed``: its contributions that a spot-check found as
    claimed, and those that were struck. ``late_rounds``: recorded rounds that it was a member of and did not contribute
    to. ``audit_micro_credits``: the part of its pay that it got for verdicts.
    """

    peer: PeerId
    micro_credits: Natural
    rounds: Natural
    state: ContentId
    pending: tuple[Pending, ...] = ()
    standing_milli: Natural = 500
    last_round: Natural = 0
    audits_passed: Natural = 0
    audits_failed: Natural = 0
    late_rounds: Natural = 0
    audit_micro_credits: Natural = 0


class Difficulty(WireStruct, frozen=True):
    """How hard questions are: of ``level``, from 1 on, which the result of round ``since`` decided (0: the run's
    beginning). The round after that one still asks what was asked ``before``.

    ``falls``: how often in a row the next level was tried and given up at once. The rule is in ``rewards.levels``."""

    level: Natural
    before: Natural
    since: Natural = 0
    falls: Natural = 0


class CreditTable(WireStruct, frozen=True):
    """The cumulative ledger after ``round``, rows sorted by peer id. Anyone recomputes it from public records.

    ``difficulty``: of the questions of the rounds after it; ``None`` where the run's questions follow no level."""

    run: ContentId
    round: Natural
    rows: tuple[CreditRow, ...]
    difficulty: Difficulty | None = None


class RoundResult(WireStruct, frozen=True):
    """What the members of a round agree on and the contract records; signed as an EIP-712 struct of the same fields.

    Roots are 32-byte hashes in hex. ``contributions_root``: OpenZeppelin-compatible Merkle root over
    (peer key, content id of the contribution). ``credits_root``: likewise over (peer key, ``chain.credit_line``).
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
    """A drawn poster's offer: these contributions, and these verdicts and reviews of verdicts (both in ``verdicts``),
    count (content ids, sorted); this result and this table, as a blob, follow from them. ``refuted``: contributions
    with pending pay that were proven false on the chain (sorted): they are struck, whatever was said of them."""

    result: RoundResult
    contributions: tuple[ContentId, ...]
    verdicts: tuple[ContentId, ...]
    refuted: tuple[ContentId, ...]
    table: BlobRef


class Attestation(WireStruct, frozen=True):
    """A member recomputed the result and got the same; ``signature`` is what the contract checks."""

    result: RoundResult
    signature: bytes
