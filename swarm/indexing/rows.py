"""Why this module exists: the side that reads the swarm and the side that shows it share these rows, and nothing else.

All of them are facts that were checked before they became rows. Times are unix seconds, credits integers in millionths
(``micro``), scores in thousandths (``milli``). Texts of peers are as the peers wrote them, cut to ``TEXT_CAP``: whoever
shows them must treat them as hostile. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

TEXT_CAP = 4_000
"""Characters kept of what a peer said; ``Said.length`` tells how many there were."""


class Row(msgspec.Struct, frozen=True):
    """Base of all rows."""


class Run(Row, frozen=True, tag=True):
    """The run that is shown. ``contracts``: name and address of each, ``engine``: the arithmetic of the run."""

    run: str
    name: str
    chain_id: int
    task: str
    model: str
    model_name: str
    engine: str
    budget_micro: int
    min_stake_micro: int
    contracts: dict[str, str]


class ChainEvent(Row, frozen=True, tag=True):
    """One event of one of the run's contracts, by its name and its own argument names.

    ``arguments`` are JSON values: integers, strings, booleans; bytes as hex without ``0x``. ``peer``: whom it is about,
    as a peer id, empty where it is about nobody or nobody known.
    """

    block: int
    index: int
    transaction: str
    at: int
    contract: str
    name: str
    peer: str
    arguments: dict[str, Any]


class RoundSeen(Row, frozen=True, tag=True):
    """A round while it is played. ``members``: by peer id, the weight in draws and votes, and the round of joining."""

    round: int
    seed: str
    opened_at: int
    closes_at: int
    members: dict[str, tuple[int, int]]


class LedgerLine(Row, frozen=True, tag=True):
    """What the result of ``round`` changed for one peer; the sum of all its lines is what it has.

    ``earned_micro`` is pending from now on, ``paid_micro`` was paid (``judged_micro`` of it for verdicts),
    ``struck_micro`` will never be paid. Counts are differences; ``standing_milli`` is the value after the round.
    ``data_hash``: content id of the credit table that says so.
    """

    round: int
    peer: str
    data_hash: str
    earned_micro: int = 0
    paid_micro: int = 0
    judged_micro: int = 0
    struck_micro: int = 0
    contributed: int = 0
    passed: int = 0
    failed: int = 0
    late: int = 0
    standing_milli: int = 500


class Contribution(Row, frozen=True, tag=True):
    """A peer's signed work of a round, scored again here.

    ``is_checked``: every claim of it was recomputed (the text of its tokens aside, which takes the run's tokenizer);
    what could not be had is ``why``. ``stages_milli``: mean score of answers, critiques and decisions, ``None`` for a
    stage that was not played or not seen. ``holders``: others that signed that they keep it.
    """

    round: int
    peer: str
    content: str
    is_checked: bool
    why: str
    stages_milli: tuple[int | None, int | None, int | None]
    num_rollouts: int
    num_tokens: int
    engine: str
    profile: str
    state_after: str
    holders: int


class Outcome(Row, frozen=True, tag=True):
    """What a credit table says of one recorded contribution: its pay of ``micro`` is ``pending``, ``paid`` or
    ``struck``, by the result of ``by_round``."""

    round: int
    peer: str
    content: str
    micro: int
    outcome: str
    by_round: int


class VerdictRow(Row, frozen=True, tag=True):
    """What ``by`` signed about a contribution (content id ``about``) in ``round``. ``finding``: match, mismatch,
    unavailable; ``what``: the difference in the judge's words."""

    content: str
    round: int
    by: str
    about: str
    level: int
    finding: str
    what: str


class Said(Row, frozen=True, tag=True):
    """One rollout that the others were shown. ``question`` is its number, ``prompt`` its text, ``why`` the score in
    words. ``length``: characters before the cut at ``TEXT_CAP``."""

    round: int
    peer: str
    stage: str
    question: int
    prompt: str
    text: str
    score_milli: int
    why: str
    num_tokens: int
    length: int


class Present(Row, frozen=True, tag=True):
    """A peer signed, at ``at``, that it is there."""

    peer: str
    at: int


class RoundChecked(Row, frozen=True, tag=True):
    """How far the result of a round was checked here.

    ``level``: ``recomputed`` (the whole ledger came out the same from the public records), ``sampled`` (a drawn part of
    it did, and all signatures and roots hold), ``root`` (the table has the hash and the root that the chain recorded),
    ``differs`` (what the chain recorded is not what follows from the public records), ``unseen`` (nobody serves the
    table any more). ``why``: in words, where it is not ``recomputed``.
    """

    round: int
    level: str
    why: str
    total_micro: int


class Trouble(Row, frozen=True, tag=True):
    """What keeps the index from being fresh, in words; empty: nothing does. ``at``: when that was noticed."""

    at: int
    what: str


AnyRow = (
    Run
    | ChainEvent
    | RoundSeen
    | LedgerLine
    | Contribution
    | Outcome
    | VerdictRow
    | Said
    | Present
    | RoundChecked
    | Trouble
)


class Cursor(msgspec.Struct, frozen=True):
    """Up to where the chain was read: block number, its hash, its time."""

    block: int
    block_hash: str
    at: int


class Sink(Protocol):
    """Where rows go. Everything is idempotent: the same row again changes nothing."""

    def put(self, rows: Sequence[AnyRow], *, cursor: Cursor | None = None, table: bytes | None = None) -> None:
        """Take all of ``rows`` and the new ``cursor``, or, when this raises, none of them.

        ``table``: the canonical bytes of the latest credit table that ``rows`` account for."""
        ...

    def cursors(self) -> tuple[Cursor, ...]:
        """Up to where the chain was read, newest first: some earlier places, too, for a chain that went back."""
        ...

    def table(self) -> bytes | None:
        """The latest credit table that the ledger lines account for."""
        ...

    def table_of(self, data_hash: str) -> bytes | None:
        """One of the latest credit tables, by its content id; ``None`` when it is not kept any more."""
        ...

    def round_seen(self, round: int) -> RoundSeen | None:
        """What was seen of a round while it was played, or what the chain's events tell of it."""
        ...

    def table_at_opening(self, round: int) -> str | None:
        """Content id of the credit table that was the latest when ``round`` opened; empty: there was none yet;
        ``None``: it cannot be told."""
        ...

    def peer_of(self, peer_key: str) -> str:
        """The peer id behind a key of the registry (hex); empty when no event told it yet."""
        ...

    def unread_rounds(self) -> tuple[ChainEvent, ...]:
        """Results (``RoundSettled`` that stand) which were neither checked nor given up, oldest first."""
        ...

    def forget_after(self, block: int) -> None:
        """The chain lost its blocks after ``block``: take back what they said, and what was concluded from it."""
        ...

    def beat(self, at: int) -> None:
        """The index was fresh at ``at``, whether anything was new or not."""
        ...
