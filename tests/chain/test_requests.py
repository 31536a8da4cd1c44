"""Data that somebody withholds is asked for on the chain: contracts and fake, in one suite for both."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from chain.base import AskForData, ExpireRequest, ShowData, Unstake, Withdraw
from chain.keys import sign_digest
from chain.requests import BOND_MICRO, MAX_OPEN, DataPart, RequestStage, request_id
from chain.typed_data import record_digest
from protocol.codec import encode
from protocol.ids import ZERO_ROOT, ContentId
from protocol.merkle import MerkleTree
from tests.chain.conftest import FIRST_STATE, RULES, Bench
from tests.chain.players import Player, content, refused

pytestmark = pytest.mark.asyncio

ADA, BEN, CYD = (Player(name) for name in ("ada", "ben", "cyd"))
CHUNKS, PIECES = (b"chunk 0", b"chunk 1"), hashlib.sha256(b"pieces").hexdigest()
ROLLOUTS = (b"rollout 0", b"rollout 1")


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def line_of(chunk: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(chunk).digest() + bytes.fromhex(PIECES)).digest()


STATE = MerkleTree((key(1 + number), line_of(chunk)) for number, chunk in enumerate(CHUNKS))
SAID = MerkleTree((key(number), hashlib.sha256(rollout).digest()) for number, rollout in enumerate(ROLLOUTS))


def contribution(tag: str = "", **changes: Any) -> bytes:
    """Canonical bytes of a record with what the contract reads of it, and some that it passes over."""
    fields = {
        "run": content("run"),
        "round": 1,
        "cohort": ["ada", "ben", tag],
        "state_before": STATE.root,
        "state_after": STATE.root,
        "before": None,
        "after": {"content": content("manifest"), "size": 70_000},
        "rollouts_root": SAID.root,
        "scores_milli": [0, 1000],
        "work": bytes(32),
    }
    return encode(fields | changes)


def ask(bench: Bench, said: bytes, part: DataPart, index: int, *, by: Player = ADA, round: int = 1) -> AskForData:
    name = ContentId(hashlib.sha256(said).hexdigest())
    digest = record_digest(bench.contracts, bench.run, "contribution", round, name)
    line, proof = ZERO_ROOT, ()
    if part is not DataPart.ROLLOUT and index < len(CHUNKS):
        value = content(f"first chunk {index}")
        line, proof = value, FIRST_STATE.proof(key(1 + index), bytes.fromhex(value))
    return AskForData(ADA.peer, round, said, sign_digest(by.secret, digest), part, index, line, proof)


def show_rollout(request: ContentId, index: int) -> ShowData:
    data = ROLLOUTS[index]
    return ShowData(request, data, ZERO_ROOT, SAID.proof(key(index), hashlib.sha256(data).digest()))


def show_chunk(request: ContentId, index: int) -> ShowData:
    return ShowData(request, CHUNKS[index], ContentId(PIECES), STATE.proof(key(1 + index), line_of(CHUNKS[index])))


def named(said: bytes, part: DataPart, index: int) -> ContentId:
    return request_id(ContentId(hashlib.sha256(said).hexdigest()), part, index)


async def ready(bench: Bench) -> None:
    await bench.join(ADA, BEN, CYD)
    await bench.give_tokens(BEN, 10 * BOND_MICRO)


async def test_who_shows_what_it_committed_to_keeps_its_stake_and_the_bond_is_burned(bench: Bench) -> None:
    await ready(bench)
    ada, ben, said = bench.chain(ADA), bench.chain(BEN), contribution()
    before = (await ben.balance(BEN.wallet)).token_wei
    asked = ask(bench, said, DataPart.STATE_AFTER, 1)
    assert (await ben.send(asked)).transaction
    assert (await ben.send(asked)).transaction == ""
    (record,) = await bench.requests.requests()
    now = (await ada.clock()).block_at
    assert (record.request, record.peer, record.round) == (named(said, DataPart.STATE_AFTER, 1), ADA.peer, 1)
    assert (record.part, record.index, record.asker) == (DataPart.STATE_AFTER, 1, BEN.wallet)
    assert record.stage is RequestStage.OPEN
    assert now < record.answer_by <= now + RULES.move_s
    assert await bench.requests.answer_s() == RULES.move_s
    assert await refused(ada.send(show_chunk(record.request, 0))) == "PieceRejected"
    assert await refused(ben.send(ExpireRequest(record.request))) == "TooEarly"
    assert (await ada.send(show_chunk(record.request, 1))).transaction
    assert (await ada.send(show_chunk(record.request, 1))).transaction == ""
    assert (await ben.send(ExpireRequest(record.request))).transaction == ""
    assert [one.stage for one in await bench.requests.requests()] == [RequestStage.SHOWN]
    assert before - (await ben.balance(BEN.wallet)).token_wei == BOND_MICRO * 10**12
    found = await ada.peer(ADA.peer)
    assert found is not None
    assert found.stake_micro == RULES.min_stake_micro


async def test_who_withholds_it_loses_its_stake_and_half_of_it_goes_to_who_asked(bench: Bench) -> None:
    await ready(bench)
    ben, said = bench.chain(BEN), contribution()
    before = (await ben.balance(BEN.wallet)).token_wei
    await ben.send(ask(bench, said, DataPart.ROLLOUT, 1))
    request = named(said, DataPart.ROLLOUT, 1)
    await bench.pass_time(RULES.move_s)
    assert await refused(bench.chain(ADA).send(show_rollout(request, 1))) == "TooLate"
    assert (await bench.chain(CYD).send(ExpireRequest(request))).transaction
    assert [one.stage for one in await bench.requests.requests()] == [RequestStage.WITHHELD]
    assert (await ben.balance(BEN.wallet)).token_wei - before == RULES.min_stake_micro // 2 * 10**12
    found = await ben.peer(ADA.peer)
    assert found is not None
    assert (found.stake_micro, found.enrolled) == (0, False)
    assert found.barred_until == (await ben.clock()).round + RULES.barred_rounds


async def test_stake_that_leaves_stays_while_a_piece_is_asked_for(bench: Bench) -> None:
    await ready(bench)
    ada, said = bench.chain(ADA), contribution()
    await ada.send(Unstake(ADA.peer, RULES.min_stake_micro, 0))
    await bench.pass_time(RULES.unbonding_s)
    await bench.chain(BEN).send(ask(bench, said, DataPart.ROLLOUT, 0))
    assert await refused(ada.send(Withdraw(ADA.peer))) == "DisputePending"
    await ada.send(show_rollout(named(said, DataPart.ROLLOUT, 0), 0))
    await ada.send(Withdraw(ADA.peer))


async def test_only_what_is_there_can_be_asked_of_who_signed_it(bench: Bench) -> None:
    await ready(bench)
    ben, said = bench.chain(BEN), contribution()
    assert await refused(ben.send(ask(bench, said, DataPart.ROLLOUT, 0, by=CYD))) == "NotSignedByPeer"
    assert await refused(ben.send(ask(bench, said, DataPart.ROLLOUT, 2))) == "NoSuchPiece"
    assert await refused(ben.send(ask(bench, said, DataPart.STATE_AFTER, 2))) == "NoSuchPiece"
    assert await refused(ben.send(ask(bench, said, DataPart.STATE_BEFORE, 0))) == "NoSuchPiece"
    for damaged in (b"", said[:-1], said + b"\0", b"\xc1", contribution(rollouts_root="ab")):
        assert await refused(ben.send(ask(bench, damaged, DataPart.ROLLOUT, 0))) == "ContributionMalformed"
    assert await refused(ben.send(ShowData(content("none"), b"", ZERO_ROOT, ()))) == "RequestNotOpen"


async def test_a_peer_is_asked_for_few_pieces_at_a_time(bench: Bench) -> None:
    await ready(bench)
    ben = bench.chain(BEN)
    texts = [contribution(str(number)) for number in range(MAX_OPEN + 1)]
    for said in texts[:-1]:
        await ben.send(ask(bench, said, DataPart.ROLLOUT, 0))
    assert await refused(ben.send(ask(bench, texts[-1], DataPart.ROLLOUT, 0))) == "TooManyRequests"
    await bench.chain(CYD).send(show_rollout(named(texts[0], DataPart.ROLLOUT, 0), 0))
    await ben.send(ask(bench, texts[-1], DataPart.ROLLOUT, 0))
