"""A state from strangers: every piece is checked, nothing of it is executed, and it cannot cost more than one's own."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import msgspec
import pytest

from protocol.codec import content_id
from protocol.errors import BadRecord, VerificationError
from protocol.ids import ContentId, PeerId
from protocol.messages import BlobRef
from swarm.audit.shipping import chunk_refs, fetch_state, manifest_cap, read_manifest
from swarm.policy.base import ChatMessage, StateParts, TrainSample
from swarm.policy.fake import END_TOKEN, FakeEngine
from verde.commit import Manifest, TensorRow, manifest_bytes, parse_manifest, split, state_root

pytestmark = pytest.mark.asyncio
ANN = PeerId("ann")


class Shop:
    """A transport that has some blobs and counts what it is asked for."""

    def __init__(self, *blobs: bytes) -> None:
        self.blobs = {content_id(blob): blob for blob in blobs}
        self.asked: list[ContentId] = []

    async def fetch(self, ref: BlobRef, provider: PeerId, *others: PeerId) -> bytes:
        self.asked.append(ref.content)
        if ref.content not in self.blobs:
            raise BadRecord("unavailable", f"{provider} does not have the blob.")
        return self.blobs[ref.content]


def trained() -> FakeEngine:
    engine = FakeEngine()
    engine.step([TrainSample((ChatMessage("user", "?"),), (1, END_TOKEN), 1.0)], 1)
    return engine


def ref(blob: bytes) -> BlobRef:
    return BlobRef(content_id(blob), len(blob))


async def fetch(shop: Shop, manifest: bytes, state: ContentId) -> StateParts:
    return await fetch_state(shop, ref(manifest), state, FakeEngine().parts(), [ANN])  # type: ignore[arg-type]


async def test_a_served_state_arrives_piece_by_piece() -> None:
    engine = trained()
    parts = engine.parts()
    shop = Shop(parts.manifest, *parts.chunks)
    assert await fetch(shop, parts.manifest, engine.state_hash()) == parts
    assert shop.asked == [content_id(blob) for blob in (parts.manifest, *parts.chunks)]


async def test_a_missing_chunk_makes_a_state_unavailable() -> None:
    parts = trained().parts()
    with pytest.raises(BadRecord) as caught:
        await fetch(Shop(parts.manifest, parts.chunks[0]), parts.manifest, trained().state_hash())
    assert caught.value.reason == "unavailable"


def other_tensors(name: str, shape: list[int]) -> Callable[[Manifest], bytes]:
    def change(manifest: Manifest) -> bytes:
        row = TensorRow(name, "float32", tuple(shape))
        changed, _ = split(1, manifest.base, [(row, bytes(4 * row.num_elements))])
        return manifest_bytes(changed)

    return change


BROKEN: dict[str, Callable[[Manifest], bytes]] = {
    "pickle": lambda manifest: pickle.dumps(print),
    "empty": lambda manifest: b"",
    "cut off": lambda manifest: manifest_bytes(manifest)[:-3],
    "another dtype": lambda manifest: manifest_bytes(manifest).replace(b"float32", b"float16"),
    "another shape": other_tensors("weights", [128, 130]),
    "another tensor": other_tensors("payload", [4]),
    "huge tensors": lambda manifest: manifest_bytes(
        msgspec.structs.replace(manifest, tensors=(TensorRow("weights", "float32", (1 << 30,)),))
    ),
    "another model": lambda manifest: manifest_bytes(msgspec.structs.replace(manifest, base=ContentId("ab" * 32))),
    "another step": lambda manifest: manifest_bytes(msgspec.structs.replace(manifest, step=7)),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_what_is_not_the_claimed_state_is_refused_before_any_chunk_is_fetched(name: str) -> None:
    parts = trained().parts()
    manifest = BROKEN[name](parse_manifest(parts.manifest))
    shop = Shop(manifest, *parts.chunks)
    with pytest.raises(VerificationError):
        await fetch(shop, manifest, trained().state_hash())
    assert shop.asked == [content_id(manifest)]


@pytest.mark.parametrize("name", ["another model", "another shape", "another tensor"])
async def test_not_even_a_state_that_is_what_it_claims_may_be_of_another_model(name: str) -> None:
    manifest = BROKEN[name](parse_manifest(trained().parts().manifest))
    with pytest.raises(VerificationError):
        read_manifest(manifest, state_root(parse_manifest(manifest)), FakeEngine().parts())


async def test_a_manifest_larger_than_this_models_is_not_even_asked_for() -> None:
    shop, own = Shop(), FakeEngine().parts()
    with pytest.raises(BadRecord) as caught:
        await fetch_state(shop, BlobRef(ContentId("ab" * 32), manifest_cap(own) + 1), own.manifest.hex(), own, [ANN])  # type: ignore[arg-type]
    assert caught.value.reason == "oversized"
    assert shop.asked == []


async def test_the_size_of_every_chunk_is_known_before_it_is_fetched() -> None:
    parts = trained().parts()
    assert [one.size for one in chunk_refs(parse_manifest(parts.manifest))] == [len(chunk) for chunk in parts.chunks]
