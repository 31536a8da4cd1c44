"""A made-up but plausible run, as the event logs that real peers would leave. For tests and screenshots only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import base58

from identity.names import nickname
from protocol import events as e
from protocol.events import Outcome, Said
from protocol.ids import STAGES, Address, ContentId, PeerId, Stage
from protocol.messages import Finding
from swarm.observe.eventlog import EventLog
from tests.swarm.observe import quarrel

START_AT = 1_790_000_000.0
ROUND_S = 24.0
MODEL = "models/tiny"

Step = tuple[float, e.Event]


def content(*parts: object) -> ContentId:
    return ContentId(hashlib.sha256(repr(parts).encode()).hexdigest())


def peer_id(number: int) -> PeerId:
    key = b"\x02" + hashlib.sha256(f"peer {number}".encode()).digest()
    return PeerId(base58.b58encode(bytes.fromhex("002508021221") + key).decode())


def address(number: int) -> Address:
    return Address("0x" + hashlib.sha256(f"wallet {number}".encode()).hexdigest()[:40])


def wobble(*parts: object) -> float:
    """Between -1 and 1, fixed by the parts."""
    return int(content(*parts)[:8], 16) / 2**31 - 1


def skill(peer: int, round: int) -> float:
    """Share of right answers: starts near 0.45 and learns."""
    return min(0.97, max(0.05, 0.9 - 0.47 * math.exp(-round / 5) + 0.03 * wobble(peer, round) - 0.02 * peer))


def question(round: int) -> tuple[str, str]:
    left, right = 17 + 7 * round % 60, 4 + 11 * round % 37
    kinds = [
        (f"What is {left} + {right}?", str(left + right)),
        (f"Write {left} in base 2.", bin(left)[2:]),
        (f"Simplify {right * 3}/{(right + 2) * 3}.", f"{right}/{right + 2}"),
        (f"Is '(A and not A) or B' the same as B when B is {'true' if round % 2 else 'false'}?", "yes"),
    ]
    return kinds[round % len(kinds)]


def played(round: int, peers: list[int]) -> e.QuestionPlayed:
    asked, truth = question(round)
    answers, critiques, decisions = [], [], []
    for index, peer in enumerate(peers):
        right = wobble("right", peer, round) < skill(peer, round) * 2 - 1 or index == 0
        said = truth if right else str(len(asked) + peer)
        label = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index]
        answers.append(
            Said(
                peer_id(peer),
                label,
                f"<answer>{said}</answer>",
                1000 if right else 200,
                "right, in the asked format" if right else f"{said} is not {truth}",
            )
        )
        critiques.append(
            Said(
                peer_id(peer),
                label,
                f"A is right: carrying the ones gives {truth}. <pick>A</pick>",
                900 if right else 650,
                "picked a right answer",
            )
        )
        decisions.append(
            Said(
                peer_id(peer),
                label,
                f"<decide>{truth if right else said}</decide>",
                1000 if right else 150,
                "right, agrees with the majority" if right else "wrong",
            )
        )
    return e.QuestionPlayed(round, asked, truth, tuple(answers), tuple(critiques), tuple(decisions))


def start(me: int, peers: list[int]) -> Iterator[Step]:
    yield (
        0.0,
        e.PeerStarted(
            nickname(peer_id(me)), peer_id(me), address(me), "/home/you/swarm", MODEL, "native", "0.1.0", 40_000 + me
        ),
    )
    yield 0.4, e.Progress("loading the model", 0, 0)
    yield 1.6, e.Progress("loading the model", 1, 1)
    yield 1.9, e.Joined(("/ip4/127.0.0.1/tcp/31337/p2p/" + peer_id(99),), ("/ip4/127.0.0.1/tcp/4100",), 0.31)
    yield 2.3, e.TransactionSent("register", content("register", me), 143_211)
    yield 2.4, e.Registered(address(me), content("register", me))
    for other in peers:
        if other != me:
            yield 2.5, e.PeerSeen(peer_id(other), "joined", 0)
    yield 2.6, e.Progress("evaluating on held-out questions", 0, 512)
    yield 4.0, e.Progress("evaluating on held-out questions", 512, 512)
    yield 4.1, e.Evaluated(0, 512, round(512 * skill(me, 0)), 1.4)


def one_round(round: int, me: int, peers: list[int], *, degraded: bool = False) -> Iterator[Step]:
    """Everything peer ``me`` says in a round, as (seconds since the round opened, event)."""
    ids = tuple(peer_id(peer) for peer in peers)
    lost = peers[-1] if degraded and peers[-1] != me else None
    heard = [peer for peer in peers if peer not in (me, lost)]
    yield 0.0, e.RoundOpened(round, content("seed", round), ids, ids, START_AT, START_AT)  # times are set by write()
    at = 0.2
    for stage_index, stage in enumerate(STAGES):
        yield at, e.StageStarted(round, stage, at + 8.0)
        took = 2.4 + 0.3 * wobble("t", me, round, stage)
        score = round_score(me, round, stage)
        yield at + took, e.BatchProduced(round, stage, 32, 1_480 + 13 * me, score, min(1000, score + 40), took)
        for peer in heard:
            seen = round_score(peer, round, stage)
            yield at + took + 0.3, e.BatchSeen(round, stage, peer_id(peer), 32, seen, min(1000, seen + 40), 0.05)
        if degraded and stage_index == 1:
            stranger = "16Uiu2HAm\x1b[31mevil\u202e"
            yield (
                at + took + 0.4,
                e.RecordRejected(round, stranger, stage, "wrong_signature", "signed by somebody else"),
            )
            yield (
                at + took + 0.4,
                e.RecordRejected(round, peer_id(peers[1]), stage, "oversized", "20000 bytes of 16384"),
            )
        outcome = Outcome.PARTIAL if lost is not None else Outcome.COMPLETE
        missing = (peer_id(lost),) if lost is not None else ()
        yield at + took + 0.5, e.StageEnded(round, stage, outcome, tuple(map(peer_id, heard)), missing, 0.5)
        at += took + 0.6
    yield at, played(round, peers[:8])
    loss = None if degraded else 0.31 * math.exp(-round / 8) + 0.01 * wobble("loss", me, round)
    yield (
        at + 3.8,
        e.Trained(round, loss, 0.8, 96, 64, 9_200, content("s", me, round - 1), content("s", me, round), 3.8),
    )
    at += 4.0
    yield at, e.ContributionSigned(round, content("c", me, round))
    yield at + 0.1, e.ContributionPublished(round, content("c", me, round))
    for peer in heard:
        yield at + 0.2, e.ContributionSeen(round, peer_id(peer), content("c", peer, round), micro(peer, round))
    for peer in heard:
        yield at + 0.3, e.Held(round, peer_id(peer), content("c", peer, round), 8_400_000)
    past, checked = max(1, round - 1), (heard or [me])[0]
    yield at + 0.3, e.Audited(past, peer_id(checked), content("c", checked, past), 1, Finding.MATCH, "", 0.4)
    yield at + 0.4, e.VerdictSeen(past, peer_id(me), content("c", me, past), peer_id(checked), 2, Finding.MATCH, "")
    if degraded:
        yield (
            at + 0.4,
            e.VerdictSeen(
                past,
                peer_id(77),
                content("c", 77, past),
                peer_id(checked),
                1,
                Finding.MISMATCH,
                "Token 3 was not drawn.",
            ),
        )
        yield at + 1.2, e.Struck(past, peer_id(77), content("c", 77, past), 400_000)
    poster = peers[round % len(peers)]
    in_result = tuple(content("c", peer, round) for peer in peers if peer != lost)
    yield at + 0.5, e.ResultProposed(round, peer_id(poster), content("credits", round), in_result)
    yield at + 0.5, e.Attested(round, peer_id(poster), content("credits", round))
    for peer in heard:
        yield at + 0.7, e.AttestationSeen(round, peer_id(peer), content("credits", round))
    if poster == me:
        yield at + 1.0, e.TransactionSent("settle", content("settle", round), 181_004, round)
    settled = tuple(content("c", peer, round) for peer in peers if peer != lost)
    earned = {peer_id(peer): micro(peer, round) for peer in peers if peer != lost}
    paid = {peer_id(peer): micro(peer, round - 1) for peer in peers} if round > 1 else {}
    yield (
        at + 1.2,
        e.RoundSettled(
            round, content("contributions", round), content("credits", round), settled, earned, peer_id(poster), paid
        ),
    )
    yield (
        at + 1.3,
        e.CreditsChanged(
            sum(micro(me, past) for past in range(1, round + 1)),
            sum(micro(me, past) for past in range(1, round - round % 5 + 1)),
        ),
    )
    if round == 1:
        yield at + 1.3, e.StakeChanged(100_000_000, 0, 0.0)
    if round % 5 == 0:
        amount = sum(micro(me, past) for past in range(round - 4, round + 1)) * 10**12
        yield at + 1.5, e.TransactionSent("claim", content("claim", me, round), 92_113, round)
        yield at + 1.5, e.Claimed(amount, amount * (round // 5), content("claim", me, round))
    right = round_right(me, round)
    yield at + 2.0, e.Evaluated(round, 512, right, 0.6)
    total = at + 2.0
    generate = 7.2 + 0.3 * wobble("g", me, round)
    waited, network, chain = 1.5, 0.7, 1.1
    yield (
        total,
        e.RoundEnded(
            round,
            Outcome.PARTIAL if lost is not None else Outcome.COMPLETE,
            STAGES,
            total,
            generate,
            total - generate - waited - network - chain,
            waited,
            network,
            chain,
        ),
    )
    for peer in heard:
        yield total + 0.1, e.PeerSeen(peer_id(peer), "between rounds", round)
    if degraded:
        yield total + 0.2, e.Problem(
            "ChainUnreachable", "No RPC endpoint answers (3 tried, the last for 10 s).",
            "Work goes on and is kept; nothing is settled until the chain is back.",
            "Start `swarm host` again, or give another endpoint with --rpc.")  # fmt: skip


def round_score(peer: int, round: int, stage: Stage) -> int:
    easier = {"answer": 0.0, "critique": 0.05, "decide": 0.08}[stage]
    return max(0, min(1000, int(1000 * (skill(peer, round) + easier + 0.02 * wobble("s", peer, round, stage)))))


def round_right(peer: int, round: int) -> int:
    return int(512 * min(0.98, skill(peer, round) * 0.97))


def micro(peer: int, round: int) -> int:
    return int(1_000_000 * skill(peer, round)) + 7 * peer


def script(me: int, num_peers: int, num_rounds: int, *, degraded: bool = False) -> Iterator[Step]:
    """(unix time, event) of a whole run of peer ``me``."""
    peers = list(range(num_peers))
    for at, event in start(me, peers):
        yield START_AT + at, event
    for round in range(1, num_rounds + 1):
        opened = START_AT + 6 + (round - 1) * ROUND_S
        for at, event in sorted(
            one_round(round, me, peers, degraded=degraded and round == num_rounds), key=lambda step: step[0]
        ):
            if isinstance(event, e.RoundOpened):
                event = e.RoundOpened(round, event.seed, event.members, event.cohort, opened, opened + 60)
            if isinstance(event, e.StageStarted):
                event = e.StageStarted(round, event.stage, opened + event.closes_at)
            yield opened + at, event
        yield from disputes(round, me, peers, opened, degraded=degraded and round == num_rounds)


def disputes(round: int, me: int, peers: list[int], opened: float, *, degraded: bool) -> Iterator[Step]:
    """The first peer challenges a stranger in round 9; in a bad last round somebody challenges the first peer."""
    if round == 9:
        side = "challenger" if me == 0 else ""
        yield from quarrel.game(
            7, 8, peer_id(77), content("c", 77, 8), side=side, num_moves=len(quarrel.MOVES), at=opened + 8, step_s=1.3
        )
    if degraded:
        side = "defender" if me == 0 else ""
        yield from quarrel.game(
            9, round - 1, peer_id(0), content("c", 0, round - 1), side=side, num_moves=6, at=opened + 12, step_s=0.5,
            subject="rollout 3",
        )  # fmt: skip


def write(
    home: Path, *, num_peers: int = 3, num_rounds: int = 12, until: float | None = None, degraded: bool = False
) -> float:
    """Write ``HOME/peers/peer-N/events.jsonl`` of all peers up to ``until`` (unix s). Returns the last event's time."""
    last = START_AT
    for me in range(num_peers):
        clock = [START_AT]
        with EventLog(home / "peers" / f"peer-{me + 1}" / "events.jsonl", now=lambda clock=clock: clock[0]) as log:
            steps = sorted(script(me, num_peers, num_rounds, degraded=degraded), key=lambda step: step[0])
            for at, event in steps:
                if until is not None and at > until:
                    break
                clock[0] = at
                log.append(event)
                last = max(last, at)
    return last
