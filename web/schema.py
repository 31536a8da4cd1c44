"""Why this module exists: the tables of the index, the same in SQLite and in PostgreSQL.

    facts     events, seen_rounds, ledger, contributions, outcomes, verdicts, said   written once, each under its key
    derived   rounds, peers, epochs, payouts, disputes, dispute_moves                folded from the facts by web.fold
    state     meta, cursors, tables, presence                                        where the indexer stands

Amounts are integers in millionths (``_micro``), scores in thousandths (``_milli``), times unix seconds.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

VERSION = 1
"""Of the tables. A database of another version is refused; delete it and index anew."""

metadata = sa.MetaData()
TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
"""Text in the order of its bytes, in every database and whatever language that speaks."""


def _number(name: str, **more: object) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0", **more)  # type: ignore[arg-type]


def _text(name: str, **more: object) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False, server_default="", **more)  # type: ignore[arg-type]


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, primary_key=True)


def _number_key(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


meta = sa.Table("meta", metadata, _key("name"), _text("value"))
cursors = sa.Table("cursors", metadata, _number_key("block"), _text("block_hash"), _number("at"))
tables = sa.Table("tables", metadata, _key("data_hash"), _number("seq"), sa.Column("blob", sa.LargeBinary))
presence = sa.Table("presence", metadata, _key("peer"), _number("at"))

events = sa.Table(
    "events", metadata, _number_key("block"), _number_key("index"), _text("tx"), _number("at"), _text("contract"),
    _text("name"), _text("peer"), sa.Column("round", sa.BigInteger), _text("arguments"),
    sa.Index("events_by_name", "name", "round"), sa.Index("events_by_peer", "peer", "name"),
)  # fmt: skip
seen_rounds = sa.Table(
    "seen_rounds", metadata, _number_key("round"), _text("seed"), _number("opened_at"), _number("closes_at"),
    _text("members"),
)  # fmt: skip
LINE_COLUMNS = (
    "earned_micro", "paid_micro", "judged_micro", "struck_micro", "contributed", "passed", "failed", "late",
)  # fmt: skip
ledger = sa.Table(
    "ledger", metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    _number("round"), _text("peer"), _text("data_hash"), *(_number(name) for name in LINE_COLUMNS),
    _number("standing_milli"),
    sa.Index("ledger_by_peer", "peer", "round"), sa.Index("ledger_by_hash", "data_hash", "peer", unique=True),
    sa.Index("ledger_by_round", "round"),
)  # fmt: skip
contributions = sa.Table(
    "contributions", metadata, _key("content"), _number("round"), _text("peer"), _number("is_checked"), _text("why"),
    sa.Column("score_milli", sa.BigInteger), sa.Column("answer_milli", sa.BigInteger),
    sa.Column("critique_milli", sa.BigInteger), sa.Column("decide_milli", sa.BigInteger), _number("num_rollouts"),
    _number("num_tokens"), _text("engine"), _text("profile"), _text("state_after"), _number("holders"),
    sa.Index("contributions_by_peer", "peer", "round"), sa.Index("contributions_by_round", "round"),
)  # fmt: skip
outcomes = sa.Table(
    "outcomes", metadata, _key("content"), _number("round"), _text("peer"), _number("micro"), _text("outcome"),
    _number("by_round"), sa.Index("outcomes_by_peer", "peer", "round"), sa.Index("outcomes_by_round", "round"),
)  # fmt: skip
verdicts = sa.Table(
    "verdicts", metadata, _key("content"), _number("round"), _text("by"), _text("about"), _number("level"),
    _text("finding"), _text("what"), sa.Index("verdicts_by_judge", "by", "round"), sa.Index("verdicts_about", "about"),
)  # fmt: skip
said = sa.Table(
    "said", metadata,
    _number_key("round"), _key("peer"), _key("stage"), _number_key("question"), _text("prompt"), _text("text"),
    _number("score_milli"), _text("why"), _number("num_tokens"), _number("length"),
    sa.Index("said_by_peer", "peer", "round"),
)  # fmt: skip

rounds = sa.Table(
    "rounds", metadata, _number_key("round"), _number("opened_at"), _number("closes_at"), _number("num_members"),
    _text("seed"), _number("settled_at"), _text("settled_tx"), _number("total_micro"), _number("paid_micro"),
    _text("poster"), _number("num_attesters"), _text("contributions_root"), _text("credits_root"), _text("data_hash"),
    _text("check_level"), _text("check_why"), _number("num_contributions"), _number("num_tokens"),
    _number("num_struck"), sa.Column("mean_milli", sa.BigInteger),
)  # fmt: skip
peers = sa.Table(
    "peers", metadata, _key("peer"), _text("peer_key"), _text("nickname"), _text("owner"), _text("signer"),
    _text("search"), _number("registered_at"), _text("registered_tx"), _number("is_member"), _number("is_listed"),
    _number("weight"), _number("barred_until"), _number("stake_micro"), _number("slashed_micro"),
    _number("claimed_micro"), _number("micro"), _number("earned_micro"), _number("judged_micro"),
    _number("struck_micro"), _number("rounds"), _number("passed"), _number("failed"), _number("late"),
    _number("standing_milli"), _number("score_sum"), _number("num_scored"), _number("num_tokens"),
    sa.Column("mean_milli", sa.BigInteger), _number("last_seen"), sa.Column("rank", sa.BigInteger),
    sa.Index("peers_by_key", "peer_key"), sa.Index("peers_by_rank", "is_listed", "rank"),
    sa.Index("peers_by_rounds", "is_listed", "rounds", "rank"), sa.Index("peers_by_mean", "is_listed", "mean_milli"),
    sa.Index("peers_by_seen", "is_listed", "last_seen"), sa.Index("peers_by_name", "is_listed", "nickname"),
    sa.Index("peers_by_standing", "is_listed", "standing_milli"),
)  # fmt: skip
epochs = sa.Table(
    "epochs", metadata, _number_key("epoch"), _number("round"), _number("total_micro"), _text("state"),
    _number("opened_at"), _number("unlocks_at"), _text("tx"),
)  # fmt: skip
payouts = sa.Table(
    "payouts", metadata, _number_key("block"), _number_key("index"), _text("peer"), _text("owner"), _number("micro"),
    _number("cumulative_micro"), _text("tx"), _number("at"), sa.Index("payouts_by_peer", "peer"),
)  # fmt: skip
disputes = sa.Table(
    "disputes", metadata, _key("id"), _text("kind"), _text("peer"), _number("round"), _text("content"),
    _text("opener"), _number("opened_at"), _text("tx"), _text("state"), _text("outcome"), _number("ended_at"),
    _number("num_moves"), sa.Index("disputes_by_peer", "peer"), sa.Index("disputes_by_time", "opened_at"),
)  # fmt: skip
dispute_moves = sa.Table(
    "dispute_moves", metadata, _key("id"), _number_key("block"), _number_key("index"), _text("name"), _text("tx"),
    _number("at"), _text("arguments"),
)  # fmt: skip

DERIVED = (rounds, peers, epochs, payouts, disputes, dispute_moves)
