"""Why this module exists: what is asked for on the chain, and what answers it, is a function of what everybody has.

Pure but for the disk that an answer comes from. The contract's side of it is ``DataRequests.sol``.
"""

from __future__ import annotations

import hashlib

from chain.base import AskForData, ShowData
from chain.requests import DataPart, RequestRecord, request_id
from protocol.codec import BLOB_CAP, content_id, decode, encode
from protocol.errors import BadRecord
from protocol.ids import STAGES, ZERO_ROOT, ContentId, PeerId
from protocol.messages import Contribution, Envelope, Rollout, RolloutBatch
from protocol.seeds import derive_seed
from swarm.audit.shelf import Shelf
from swarm.policy.base import StateParts
from swarm.rounds.contribution import rollouts_tree
from swarm.rounds.inbox import CONTRIBUTION
from swarm.rounds.journal import Journal
from verde.commit import chunk_line, parse_manifest


def question(
    envelope: Envelope, genesis: StateParts | None, *, of_state: bool, seed: ContentId, me: PeerId
) -> tuple[AskForData, ContentId] | None:
    """The request for a piece of the contribution in ``envelope``, and its name on the chain.

    Which piece follows from ``seed`` and who asks. ``of_state``: a chunk of the state before, unless that is the run's
    first one, which everybody has; then, and else, a rollout. ``None`` when there is none, or the record is none.
    """
    try:
        contribution = decode(envelope.payload, Contribution)
    except BadRecord:
        return None
    name = content_id(envelope.payload)
    part, line = DataPart.ROLLOUT, ZERO_ROOT
    proof: tuple[ContentId, ...] = ()
    number = derive_seed("request", seed, name, me)
    if of_state and contribution.before is not None and genesis is not None:
        manifest = parse_manifest(genesis.manifest)
        part, index = DataPart.STATE_BEFORE, number % len(manifest.chunks)
        value, proof = chunk_line(manifest, index)
        line = ContentId(value.hex())
    elif contribution.scores_milli:
        index = number % len(contribution.scores_milli)
    else:
        return None
    intent = AskForData(
        envelope.peer, envelope.round, envelope.payload, envelope.signature, int(part), index, line, proof
    )
    return intent, request_id(name, part, index)


def answer_to(record: RequestRecord, journal: Journal, shelf: Shelf) -> ShowData:
    """The piece that ``record`` asks this peer for, from its own disk. Blocking.

    Raises ``BadRecord('unavailable')`` when it is not there any more, or was never this peer's.
    """
    kept = journal.read(record.round, CONTRIBUTION)
    if kept is None or content_id(kept[0].payload) != record.content:
        raise BadRecord("unavailable", f"No such contribution to round {record.round} was signed here.")
    contribution = decode(kept[0].payload, Contribution)
    if record.part is DataPart.ROLLOUT:
        return _rollout(record, journal)
    ref = contribution.before if record.part is DataPart.STATE_BEFORE else contribution.after
    raw = shelf.find(ref.content) if ref is not None else None
    if raw is None:
        raise BadRecord("unavailable", "The state's manifest is not kept here any more.")
    manifest = parse_manifest(raw)
    chunk = shelf.find(manifest.chunks[record.index]) if record.index < len(manifest.chunks) else None
    if chunk is None:
        raise BadRecord("unavailable", f"Chunk {record.index} of the state is not kept here any more.")
    _, proof = chunk_line(manifest, record.index)
    return ShowData(record.request, chunk, manifest.pieces[record.index], proof)


def _rollout(record: RequestRecord, journal: Journal) -> ShowData:
    batches = []
    for stage in STAGES:
        kept = journal.read(record.round, stage)
        if kept is not None and kept[1] is not None:
            batches.append(decode(kept[1], RolloutBatch, cap=BLOB_CAP))
    rollouts: list[Rollout] = [one for batch in batches for group in batch.groups for one in group.rollouts]
    if record.index >= len(rollouts):
        raise BadRecord("unavailable", f"Rollout {record.index} is not kept here any more.")
    data = encode(rollouts[record.index])
    value = hashlib.sha256(data).digest()
    proof = rollouts_tree(batches).proof(record.index.to_bytes(32, "big"), value)
    return ShowData(record.request, data, ZERO_ROOT, proof)
