"""Why this module exists: a state from the network is trusted only piece by piece, and costs no more than one's own.

    manifest (a blob)  ->  its root is the claimed state, its tensors are the model's  ->  chunks, each hashed

A state of the same run has the same tensors as one's own, so its size is known before anything of it is fetched.
Nothing of it is ever executed: a manifest is MessagePack of a closed struct, a chunk is raw numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from protocol.errors import BadRecord, VerificationError
from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef
from swarm.dht.transport import Transport
from swarm.policy.base import StateParts
from verde.commit import Manifest, check_chunk, parse_manifest, require_rows, state_root

_STREAMS = 3
"""Chunks fetched at a time: a peer serves four streams to each other peer."""


def manifest_cap(own: StateParts) -> int:
    """Bytes that no manifest of this model exceeds; only its step count may take more than in ``own``."""
    return len(own.manifest) + 64


def read_manifest(raw: bytes, state: ContentId, own: StateParts) -> Manifest:
    """The manifest of ``state``, of the model that ``own`` is a state of. Raises ``VerificationError`` for another."""
    manifest, model = parse_manifest(raw, cap=manifest_cap(own)), parse_manifest(own.manifest)
    if state_root(manifest) != state or manifest.base != model.base:
        raise VerificationError(
            f"What is served as the state {state[:16]}… is another one.",
            "Nothing was computed from it; your own state and credits are not touched.",
            "Ask another holder for it; if all serve the same, its owner has nothing to show for the round.",
        )
    require_rows(manifest, model.tensors)
    return manifest


def chunk_refs(manifest: Manifest) -> list[BlobRef]:
    """Where a state's chunks are found, in order."""
    return [BlobRef(content, manifest.chunk_bytes(number)) for number, content in enumerate(manifest.chunks)]


async def fetch_state(
    transport: Transport, ref: BlobRef, state: ContentId, own: StateParts, providers: Sequence[PeerId]
) -> StateParts:
    """The parts of ``state``, from whoever of ``providers`` has them, asked in order.

    Raises ``BadRecord`` when a piece cannot be had, ``oversized`` for a manifest larger than this model's are, and
    ``VerificationError`` when what is served is not that state.
    """
    if ref.size > manifest_cap(own):
        raise BadRecord("oversized", f"A manifest of {ref.size} bytes; those of this model have {len(own.manifest)}.")
    raw = await transport.fetch(ref, *providers)
    manifest = read_manifest(raw, state, own)
    limit = asyncio.Semaphore(_STREAMS)

    async def fetch(number: int, chunk: BlobRef) -> bytes:
        async with limit:
            blob = await transport.fetch(chunk, *providers)
        check_chunk(manifest, number, blob)
        return blob

    tasks = [asyncio.ensure_future(fetch(number, chunk)) for number, chunk in enumerate(chunk_refs(manifest))]
    try:
        chunks = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return StateParts(raw, tuple(chunks))
