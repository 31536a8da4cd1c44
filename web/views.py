"""Why this module exists: pages, JSON and OpenAPI show the same values under the same names; here they are, documented.

Amounts are integers in millionths of a credit (``_micro``), scores in thousandths (``_milli``), times unix seconds
(``_at``; 0: never). Texts of peers are made safe to print; they are still somebody else's words.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Summary(View):
    """The swarm now."""

    run: str
    """The run's id: the hash of all of its rules."""
    name: str
    """What people call the run."""
    task: str
    """What is asked."""
    model: str
    """What the host calls the model that the run began with."""
    engine: str
    """The arithmetic: `exact` can be done again bit for bit by anybody, `native` cannot."""
    chain_id: int
    """The chain that the run is paid on."""
    round: int
    """The latest round; 0: the first one has not opened yet."""
    phase: str
    """`waiting` for the first round, `playing`, `overdue` (its time is over and no result is recorded)."""
    closes_at: int
    """When anybody may close the round."""
    members: int
    """Peers that play in this round."""
    peers: int
    """Peers that ever took part."""
    online: int
    """Peers that signed within the last minute that they are here."""
    tokens: int
    """Tokens sampled in all contributions that were scored here."""
    settled_round: int
    """The latest round with a recorded result."""
    settled_tx: str
    """The transaction that recorded it."""
    settled_at: int
    """When it was recorded."""
    total_micro: int
    """Credits of all peers together, as recorded."""
    claimed_micro: int
    """Credits that became tokens in wallets."""
    ledger_micro: int
    """The sum of the index's own ledger: equal to `total_micro` when nothing is missing."""
    budget_micro: int
    """Tokens that pay everybody, in escrow from the beginning."""
    check_level: str
    """How far the latest result was checked here: see the glossary."""
    fresh_at: int
    """When the index last read everything there was."""
    is_stale: bool
    """Whether that is too long ago to rely on."""
    trouble: str
    """What keeps the index from being fresh, in words; empty: nothing."""
    version: int
    """Grows with every change of the index."""


class Peer(View):
    """One line of the table."""

    rank: int | None
    """Place by credits; none before the first pay is recorded."""
    peer: str
    """The peer id."""
    nickname: str
    """Three words computed from the peer id."""
    credits_micro: int
    """All that was paid to it in this run: the sum of its lines in the ledger."""
    pending_micro: int
    """Earned, and paid with a later result unless a spot-check strikes it."""
    claimed_micro: int
    """What of its credits became tokens in its owner's wallet."""
    rounds: int
    """Recorded contributions."""
    mean_milli: int | None
    """Mean score of its contributions that were scored here."""
    passed: int
    """Spot-checks that found its work as claimed."""
    failed: int
    """Contributions that were struck."""
    late: int
    """Recorded rounds that it was a member of and did not contribute to."""
    standing_milli: int
    """Reputation, 0 to 1000."""
    last_seen_at: int
    """When it last signed something."""
    is_member: bool
    """Whether it is enrolled for the next round."""


class Standings(View):
    """A part of the table."""

    peers: list[Peer]
    total: int
    """Peers that fit the search."""
    page: int
    pages: int
    size: int
    sort: str
    q: str


class PeerDetails(Peer):
    """Everything about one peer."""

    owner: str
    """The wallet that registered it and is paid."""
    signer: str
    """The account that signs for it."""
    registered_at: int
    registered_tx: str
    stake_micro: int
    slashed_micro: int
    struck_micro: int
    """Pay that it never got because the work was struck."""
    judged_micro: int
    """The part of its credits that it got for checking others."""
    tokens: int
    weight: int
    barred_until: int
    """A round; until then it cannot enrol."""


class Work(View):
    """A contribution's way."""

    round: int
    peer: str
    nickname: str
    content: str
    """Content id of the signed record."""
    is_checked: bool
    """Whether every claim of it was recomputed here."""
    why: str
    """Why not."""
    score_milli: int | None
    answer_milli: int | None
    critique_milli: int | None
    decide_milli: int | None
    tokens: int
    holders: int
    """Others that signed that they keep its state and rollouts."""
    verdicts: int
    """Spot-checks of it."""
    mismatches: int
    """Those of them that accuse it."""
    earned_micro: int | None
    """Its pay; none: no result names it."""
    outcome: str
    """`pending`, `paid`, `struck`, `undone`, or empty: not recorded."""
    outcome_round: int
    """The result that says so."""


class Check(View):
    """What somebody drawn signed about somebody's contribution."""

    round: int
    by: str
    by_nickname: str
    about: str
    """Content id of the contribution."""
    author: str
    author_nickname: str
    work_round: int
    level: int
    finding: str
    what: str


class Payout(View):
    """Credits that became tokens."""

    peer: str
    owner: str
    amount_micro: int
    cumulative_micro: int
    tx: str
    at: int


class History(View):
    """A peer's course, one entry for each of its ledger lines: columns for charts."""

    round: list[int]
    credits_micro: list[int]
    earned_micro: list[int]
    score_milli: list[int | None]
    standing_milli: list[int]


class Round(View):
    """One round."""

    round: int
    opened_at: int
    closes_at: int
    settled_at: int
    """0: no result is recorded."""
    settled_tx: str
    members: int
    contributions: int
    struck: int
    tokens: int
    mean_milli: int | None
    paid_micro: int
    total_micro: int
    poster: str
    poster_nickname: str
    attesters: int
    """Members that signed the result."""
    seed: str
    credits_root: str
    data_hash: str
    check_level: str
    check_why: str


class Rounds(View):
    rounds: list[Round]
    total: int
    page: int
    pages: int


class RoundDetails(View):
    round: Round
    works: list[Work]
    checks: list[Check]


class Dispute(View):
    """Something that was disputed on the chain."""

    id: str
    kind: str
    """`game`: a bisection about a contribution; `equivocation`; `epoch`: a challenge to a payout."""
    peer: str
    nickname: str
    round: int
    content: str
    opener: str
    opened_at: int
    state: str
    outcome: str
    ended_at: int
    num_moves: int
    tx: str


class Move(View):
    name: str
    at: int
    tx: str
    arguments: dict[str, object]


class DisputeDetails(View):
    dispute: Dispute
    moves: list[Move]


class Disputes(View):
    disputes: list[Dispute]
    total: int
    page: int
    pages: int


class Utterance(View):
    """What a peer told the others: the very sample that they were shown."""

    round: int
    peer: str
    nickname: str
    stage: str
    question: int
    prompt: str
    text: str
    score_milli: int
    why: str
    tokens: int
    length: int
    """Characters of the original."""


class Feed(View):
    said: list[Utterance]
    page: int
    has_more: bool


class Course(View):
    """The swarm's course, one entry a recorded round: columns for charts."""

    round: list[int]
    mean_milli: list[int | None]
    contributions: list[int]
    total_micro: list[int]


class Epoch(View):
    epoch: int
    round: int
    total_micro: int
    state: str
    opened_at: int
    unlocks_at: int
    tx: str
