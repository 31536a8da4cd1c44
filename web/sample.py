"""Why this module exists: tests, benchmarks and pictures of the page need a swarm that played; this one is made up.

Rows as an indexer would put them, from a seed, by the ledger's own rule of pay being paid one result later. Shipped,
because a page can be looked at with it before anybody played (``web.sample.fill``).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence

import base58

from swarm.indexing.rows import (
    AnyRow,
    ChainEvent,
    Contribution,
    LedgerLine,
    Outcome,
    Present,
    RoundChecked,
    Run,
    Said,
    VerdictRow,
)

ROUND_S = 30
START = 1_780_000_000
BONUS = 1_000_000


def peer_ids(count: int, seed: int = 0) -> list[str]:
    """Well-formed secp256k1 peer ids that nobody has the keys of."""
    dice = random.Random(seed)
    raw = (b"\x00\x25\x08\x02\x12\x21\x02" + dice.randbytes(32) for _ in range(count))
    return [base58.b58encode(one).decode() for one in raw]


def digest(*parts: object) -> str:
    """A content id that names nothing."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def digest_of(data: bytes) -> str:
    """The content id of some bytes."""
    return hashlib.sha256(data).hexdigest()


def run_row() -> Run:
    return Run(digest("run"), "private", 31337, "sums", digest("model"), "tiny", "exact", 10**12, 25_000_000,
               {"clock": "0x" + "00" * 20})  # fmt: skip


def register(peers: Sequence[str]) -> list[AnyRow]:
    """The chain's events before the first round."""
    rows: list[AnyRow] = []
    for number, peer in enumerate(peers):
        owner = "0x" + digest("owner", peer)[:40]
        facts: dict[str, object] = {
            "peerKey": digest("key", peer),
            "owner": owner,
            "signer": "0x" + digest("signer", peer)[:40],
        }
        rows += [
            _event(number, 0, "PeerRegistry", "PeerRegistered", START, peer, facts),
            _event(number, 1, "StakeVault", "StakeDeposited", START, peer, {"amountWei": 25 * 10**18}),
            _event(number, 2, "RoundClock", "MemberEnrolled", START, peer, {"fromRound": 1}),
        ]
    return rows


def play(
    peers: Sequence[str], num_rounds: int, *, seed: int = 0, share: float = 1.0, talk: bool = True, first: int = 1
) -> Iterator[list[AnyRow]]:
    """The rows of one round after the other. ``share``: how many of the peers contribute to a round."""
    dice = random.Random(seed + first)
    skill = {peer: random.Random(f"{seed}{peer}").uniform(0.25, 0.9) for peer in peers}
    waiting: dict[str, tuple[str, int]] = {}
    total = 0
    for round in range(first, first + num_rounds):
        at, block = START + round * ROUND_S, BONUS + 10 * round
        chosen = peers if share >= 1 else dice.sample(peers, max(1, int(share * len(peers))))
        rows: list[AnyRow] = [_event(block, 0, "RoundClock", "RoundOpened", at - ROUND_S, "",
                                     {"round": round, "openedAt": at - ROUND_S, "closesAt": at + ROUND_S,
                                      "numMembers": len(peers), "settled": round > 1})]  # fmt: skip
        lines: dict[str, dict[str, int]] = {}
        for peer, (content, micro) in waiting.items():
            struck = dice.random() < 0.004
            rows.append(Outcome(round - 1, peer, content, micro, "struck" if struck else "paid", round))
            finding, what = ("mismatch", "Token 7 was not drawn.") if struck else ("match", "")
            rows.append(VerdictRow(digest("verdict", content), round, dice.choice(peers), content, 1, finding, what))
            lines[peer] = {"struck_micro": micro, "failed": 1} if struck else {"paid_micro": micro, "passed": 1}
            total += 0 if struck else micro
        waiting = {}
        for peer in chosen:
            stages = (
                _score(dice, skill[peer], round),
                _score(dice, skill[peer], round),
                _score(dice, skill[peer], round),
            )
            content, micro = digest(round, peer), 1000 * sum(stages) // 3
            waiting[peer] = (content, micro)
            line = lines.setdefault(peer, {})
            line |= {"earned_micro": micro, "contributed": 1}
            rows += [Outcome(round, peer, content, micro, "pending", round),
                     Contribution(round, peer, content, True, "", stages, 768, dice.randint(9_000, 14_000), "exact",
                                  "int8", digest("state", round, peer), min(3, len(peers) - 1))]  # fmt: skip
            if talk:
                rows += _talk(dice, round, peer, stages)
        data_hash = digest("table", round, seed)
        rows += [LedgerLine(round, peer, data_hash, standing_milli=min(981, 500 + 12 * round), **line)
                 for peer, line in sorted(lines.items())]  # fmt: skip
        facts = {"round": round, "contributionsRoot": digest("c", round), "dataHash": data_hash,
                 "previousCreditsRoot": digest("root", round - 1), "creditsRoot": digest("root", round),
                 "totalMicroCredits": total, "numAttesters": min(64, len(peers))}  # fmt: skip
        rows.insert(1, _event(block + 1, 0, "Contributions", "RoundSettled", at, dice.choice(peers), facts))
        rows += [RoundChecked(round, "recomputed", "", total), *(Present(peer, at) for peer in chosen[:64])]
        yield rows


def _score(dice: random.Random, skill: float, round: int) -> int:
    return int(1000 * min(1, max(0, dice.gauss(skill + round / 4000, 0.12))))


def _talk(dice: random.Random, round: int, peer: str, stages: tuple[int, ...]) -> list[Said]:
    one, other = dice.randint(12, 99), dice.randint(12, 99)
    prompt = f"What is {one} + {other}?"
    texts = (
        f"<think>{one} plus {other}: first the tens, then the ones.</think>\n<answer>{one + other}</answer>",
        f"<compare>A and C agree, B forgot to carry.</compare>\n<identify>{dice.choice('ABC')}</identify>",
        f"<majority>A</majority><think>{one} + {other}, carried.</think>\n<answer>{one + other}</answer>",
    )
    names = ("answer", "critique", "decide")
    return [
        Said(round, peer, stage, 0, prompt, text, score, "right, and well formed", len(text) // 3, len(text))
        for stage, text, score in zip(names, texts, stages, strict=True)
    ]


def _event(
    block: int, index: int, contract: str, name: str, at: int, peer: str, facts: dict[str, object]
) -> ChainEvent:
    return ChainEvent(block, index, "0x" + digest(block, index, name), at, contract, name, peer, facts)
