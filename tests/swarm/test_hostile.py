"""One hostile member of four: whatever it does, the others finish the round, name it, lose nothing and pay nothing."""

from __future__ import annotations

import asyncio
import random
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from chain.base import Member
from protocol.events import (
    AttestationRefused,
    BatchProduced,
    ContributionSeen,
    Event,
    Outcome,
    PeerSeen,
    Problem,
    QuestionPlayed,
    RecordRejected,
    RoundEnded,
    RoundSettled,
    StageEnded,
)
from protocol.ids import STAGES, PeerId
from swarm.observe.eventlog import read
from swarm.observe.lines import line
from tests.swarm.hostile import HostileTransport
from tests.swarm.misdeeds import MISDEEDS, Misdeed
from tests.swarm.small_swarm import POLL_S, Seat, SmallSwarm, pupil, small_swarm

pytestmark = [pytest.mark.asyncio, pytest.mark.virtual_time]

FINISHED = (Outcome.COMPLETE, Outcome.PARTIAL)
STAGE_S = 1


async def play(
    swarm: SmallSwarm,
    misdeeds: Sequence[Misdeed | None],
    *,
    hides: Sequence[PeerId] = (),
    polls_s: Sequence[float] = (POLL_S, POLL_S, POLL_S, POLL_S),
    block_s: float = 0.0,
) -> tuple[list[Seat], Seat]:
    """Let the last seat do one misdeed a round while the others play; returns them and it.

    ``polls_s``: how long each seat waits between two looks; ``block_s``: how long the last one's transactions take."""
    *honest, eve = swarm.seats

    def between(transport: object) -> HostileTransport:
        by_round = dict(enumerate(misdeeds, start=1))
        return HostileTransport(transport, eve.signer, swarm.world.contracts, by_round.get, hides=hides)

    *honest_polls_s, eve_polls_s = polls_s
    attack = asyncio.ensure_future(eve.node(network=between, poll_s=eve_polls_s, block_s=block_s).run(len(misdeeds)))
    async with asyncio.timeout(30 * len(misdeeds)):
        nodes = [seat.node(poll_s=poll_s) for seat, poll_s in zip(honest, honest_polls_s, strict=True)]
        await asyncio.gather(*(node.run(len(misdeeds)) for node in nodes))
    attack.cancel()
    await asyncio.gather(attack, return_exceptions=True)
    return honest, eve


def check_nothing_was_lost(
    honest: Sequence[Seat], num_rounds: int = 1, *, may_be_late: bool = False
) -> list[RoundSettled]:
    """Every honest peer finished every round in every stage, was paid for all of it, and waited at most once.

    ``may_be_late``: a stage of it may have reached most others after their stage had ended, which somebody who holds
    records back can bring about: half of what that stage is worth is lost (docs/economics.md)."""
    for seat in honest:
        ended = seat.told(RoundEnded)
        assert [event.outcome in FINISHED for event in ended] == [True] * num_rounds, ended
        assert all(event.stages_played == STAGES for event in ended)
        assert seat.told(Problem) == []
        waits = [event.round for event in seat.told(StageEnded) if event.waited_s >= 0.9 * STAGE_S]
        assert len(waits) == len(set(waits)), "more than one stage of a round went by waiting"
    for number, settled in enumerate(played(honest[0]), start=1):
        for seat in honest:
            assert settled.micro_credits[seat.peer] >= worth(seat, number, is_late=may_be_late)
    roots = {tuple(event.credits_root for event in seat.told(RoundSettled)) for seat in honest}
    assert len(roots) == 1
    return played(honest[0])


def played(seat: Seat) -> list[RoundSettled]:
    """The rounds that were played; after them comes one that only pays."""
    return [event for event in seat.told(RoundSettled) if event.contributions]


def let_post_first(monkeypatch: pytest.MonkeyPatch, eve: PeerId) -> None:
    def order(seed: str, number: int, members: Sequence[Member]) -> tuple[PeerId, ...]:
        return (eve, *sorted({member.peer for member in members} - {eve}))

    monkeypatch.setattr("swarm.rounds.play.poster_order", order)


def worth(seat: Seat, number: int, *, is_late: bool = False) -> int:
    """Micro-credits that a peer's own scores of a round are worth at least (means are rounded down); half of the best
    stage less where one ``is_late``."""
    means = [event.mean_score_milli for event in seat.told(BatchProduced) if event.round == number]
    assert len(means) == 3
    assert sum(means) > 0
    return 1000 * (sum(means) - (max(means) // 2 + 1 if is_late else 0)) // 3


def reasons(seat: Seat, eve: Seat, kind: str) -> set[str]:
    """What this peer's records of a kind were rejected for; junk that came before anybody looked has no kind yet."""
    return {event.reason for event in seat.told(RecordRejected) if event.peer == eve.peer and event.kind in (kind, "")}


def shown(seat: Seat) -> list[str]:
    """All that a person is shown of a peer's log."""
    events: list[Event] = [logged.event for logged in read(seat.home.events_file).events]
    played = [
        said for event in events if isinstance(event, QuestionPlayed) for said in (*event.answers, *event.critiques)
    ]
    return [text for event in events if (text := line(event, "ann")) is not None] + [said.text for said in played]


PROPOSALS = {name for name, misdeed in MISDEEDS.items() if misdeed.kind == "proposal"}


@pytest.mark.parametrize("name", sorted(MISDEEDS.keys() - PROPOSALS))
async def test_a_misdeed_is_named_pays_nothing_and_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    misdeed = MISDEEDS[name]
    async with small_swarm(tmp_path, 4, stage_s=STAGE_S, contribute_s=1, poster_s=1) as swarm:
        block_s = 0.0
        if misdeed.kind == "attestation":  # nobody's round is over before its looks at what was attested
            let_post_first(monkeypatch, swarm.seats[-1].peer)
            block_s = 10 * POLL_S
        honest, eve = await play(swarm, [misdeed], block_s=block_s)
        (settled,) = check_nothing_was_lost(honest)
        if misdeed.reason:
            victims = [seat for seat in honest if misdeed.reason in reasons(seat, eve, misdeed.kind)]
            if misdeed.reason == "wrong_owner":  # it claims to be everybody
                victims = [seat for seat in honest if misdeed.reason in {e.reason for e in seat.told(RecordRejected)}]
            assert victims == honest, [
                (event.kind, event.reason, event.detail) for seat in honest for event in seat.told(RecordRejected)
            ]
        if not misdeed.is_paid:
            assert settled.micro_credits.get(eve.peer, 0) == 0
        for text in (text for seat in honest for text in shown(seat)):
            assert not any(unicodedata.category(character)[0] == "C" for character in text), text
        for seat in honest:
            assert len(seat.told(RecordRejected)) < 150
            assert len(seat.told(PeerSeen)) < 100
            assert seat.transport is not None
            assert seat.transport.book.num_bytes < 1_000_000


@pytest.mark.parametrize("name", sorted(PROPOSALS))
async def test_a_false_proposal_is_signed_by_nobody_and_the_next_poster_settles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    misdeed = MISDEEDS[name]
    async with small_swarm(tmp_path, 4, stage_s=5, contribute_s=5, poster_s=1) as swarm:
        let_post_first(monkeypatch, swarm.seats[-1].peer)
        honest, hostile = await play(swarm, [misdeed])
        (settled,) = check_nothing_was_lost(honest)
        assert settled.poster in {seat.peer for seat in honest}
        assert len(settled.micro_credits) == 4
        for seat in honest:
            refused = [event.poster for event in seat.told(AttestationRefused)]
            assert hostile.peer in refused or misdeed.reason in reasons(seat, hostile, "proposal")


async def test_a_poster_cannot_leave_out_whoever_contributed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proposal is right in itself: only that the victim's contribution came a moment before."""
    async with small_swarm(tmp_path, 4, stage_s=5, contribute_s=1, poster_s=3) as swarm:
        victim, eve = swarm.seats[0].peer, swarm.seats[-1].peer
        let_post_first(monkeypatch, eve)
        honest, _ = await play(swarm, [None, None], hides=[victim])
        settled = check_nothing_was_lost(honest, 2)
        assert all(victim in event.micro_credits for event in settled)


@pytest.mark.parametrize("seed", range(6))
async def test_all_misdeeds_in_a_row_cost_nothing_in_the_end(tmp_path: Path, seed: int) -> None:
    """Each time with other peers being the quicker ones."""
    names = [
        "different_answers",
        "false_scores",
        "silence",
        "another_answer_for_some",
        "stalled_blob",
        "different_contributions",  # after which it is no member any more
    ]
    dice = random.Random(seed)
    polls_s = [dice.uniform(POLL_S / 2, 3 * POLL_S) for _ in range(4)]
    async with small_swarm(tmp_path, 4, stage_s=STAGE_S, contribute_s=1, poster_s=1) as swarm:
        honest, eve = await play(swarm, [*(MISDEEDS[name] for name in names), None], polls_s=polls_s)
        settled = check_nothing_was_lost(honest, len(names) + 1, may_be_late=True)
        assert [event.micro_credits.get(eve.peer, 0) for event in settled[:-1]] == [0] * len(names)
        for seat in honest:
            total = sum(event.micro_credits[seat.peer] for event in settled) + seat.paid_for_verdicts(seat.peer)
            assert swarm.world.token_wei[seat.wallet] == (total + seat.reward_micro) * 10**12
        assert sum(seat.reward_micro for seat in honest) == 12_500_000


async def test_answers_full_of_structure_reach_others_as_plain_words(tmp_path: Path) -> None:
    asked: list[str] = []

    def listening(prompt, seed):
        asked.extend(turn.content for turn in prompt)
        return pupil(prompt, seed)

    async with small_swarm(tmp_path, 4, stage_s=STAGE_S, contribute_s=1, poster_s=1) as swarm:
        *honest, eve = swarm.seats
        misdeed = {1: MISDEEDS["injected_answers"]}
        attack = asyncio.ensure_future(
            eve.node(network=lambda it: HostileTransport(it, eve.signer, swarm.world.contracts, misdeed.get)).run(1)
        )
        async with asyncio.timeout(30):
            await asyncio.gather(*(seat.node(listening).run(1) for seat in honest))
        attack.cancel()
        await asyncio.gather(attack, return_exceptions=True)
        assert all(len(seat.told(ContributionSeen)) >= 2 for seat in honest)
        questions = [text for text in asked if "Answers:" in text]
        assert questions
        for text in questions:
            assert not set(text.split("Answers:")[1]) & set("<>|\x1b\u202e\u200b\0")
            assert text.count("\nAnswers:") == 1
            assert text.count("\nCritiques:") <= 1
