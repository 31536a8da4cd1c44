"""What is written once stays; what is derived can be built anew and is the same; what is undone leaves no trace."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from protocol.errors import ConfigError
from swarm.indexing.rows import ChainEvent, Cursor, LedgerLine, RoundChecked
from tests.web.conftest import NUM_ROUNDS
from web import sample, schema
from web.queries import Queries
from web.store import Store

GAME = f"game-{'ab' * 8}"


def content(store: Store, *tables: sa.Table) -> dict[str, list[str]]:
    with store._engine.connect() as connection:
        return {
            table.name: sorted(str(dict(row)) for row in connection.execute(sa.select(table)).mappings())
            for table in tables
        }


def test_totals_are_the_sums_of_the_ledger(played: Store) -> None:
    with played._engine.connect() as connection:
        c = schema.ledger.c
        sums = dict(connection.execute(sa.select(c.peer, sa.func.sum(c.paid_micro)).group_by(c.peer)).all())
        totals = dict(connection.execute(sa.select(schema.peers.c.peer, schema.peers.c.micro)).all())
    assert totals == sums
    assert sum(totals.values()) == Queries(played._engine).summary().total_micro > 0


def test_indexing_anew_gives_the_same_rows(played: Store) -> None:
    before = content(played, *schema.DERIVED)
    played.reindex()
    assert content(played, *schema.DERIVED) == before
    assert len(before["rounds"]) == NUM_ROUNDS


def test_the_same_rows_again_change_nothing(played: Store, peers: list[str]) -> None:
    tables = [*schema.DERIVED, schema.ledger, schema.contributions, schema.outcomes, schema.events, schema.said]
    before = content(played, *tables)
    played.put(sample.register(peers))
    for rows in sample.play(peers, NUM_ROUNDS):
        played.put(rows)
    again = content(played, *tables)
    changed = {name for name in before if before[name] != again[name]}
    assert changed <= {"outcomes", "rounds"}, "outcomes go back to pending and on to paid, on the way"
    assert {name: len(rows) for name, rows in again.items()} == {name: len(rows) for name, rows in before.items()}


def test_a_put_that_fails_leaves_nothing_behind(store: Store, peers: list[str]) -> None:
    rows = next(sample.play(peers, 1))
    broken = msgspec.structs.replace(rows[0], arguments={"round": 1})  # no times: the fold fails
    before = content(store, schema.events, schema.ledger, schema.cursors)
    with pytest.raises(KeyError):
        store.put([*rows[1:], broken], cursor=Cursor(5, "0x5", 5))
    assert content(store, schema.events, schema.ledger, schema.cursors) == before


def test_places_are_by_credits_and_equal_ones_by_id(played: Store) -> None:
    table = Queries(played._engine).standings()
    assert [peer.rank for peer in table.peers] == list(range(1, len(table.peers) + 1))
    keys = [(-peer.credits_micro, peer.peer) for peer in table.peers]
    assert keys == sorted(keys)


def test_another_run_is_refused_or_replaces_what_is_there(played: Store) -> None:
    other = msgspec.structs.replace(sample.run_row(), run=sample.digest("another"), name="another")
    with pytest.raises(ConfigError, match="another run"):
        played.begin(other, replace=False)
    assert Queries(played._engine).summary().peers == 12
    played.begin(other, replace=True)
    summary = Queries(played._engine).summary()
    assert (summary.name, summary.peers, summary.round) == ("another", 0, 0)


def test_a_database_of_another_version_is_refused(played: Store) -> None:
    from web.database import open_database

    with played._engine.begin() as connection:
        connection.execute(sa.update(schema.meta).where(schema.meta.c.name == "schema").values(value="0"))
    with pytest.raises(ConfigError, match="version 0"):
        open_database(str(played._engine.url.database))


def test_results_that_the_chain_undid_are_cancelled_line_by_line(store: Store) -> None:
    one, two = sample.peer_ids(2)
    tables = {round: f"table {round}".encode() for round in (1, 2, 3)}

    def settle(round: int, block: int, paid: dict[str, int], total: int) -> None:
        data_hash = sample.digest_of(tables[round])
        facts: dict[str, Any] = {
            "round": round, "contributionsRoot": "c", "dataHash": data_hash, "previousCreditsRoot": "p",
            "creditsRoot": f"root {round}", "totalMicroCredits": total, "numAttesters": 2,
        }  # fmt: skip
        event = ChainEvent(block, 0, f"0x{block}", block, "Contributions", "RoundSettled", "", facts)
        lines = [LedgerLine(round, peer, data_hash, paid_micro=micro) for peer, micro in paid.items()]
        store.put([event, *lines, RoundChecked(round, "recomputed", "", total)], table=tables[round])

    settle(1, 10, {one: 5, two: 7}, 12)
    settle(2, 20, {one: 100}, 112)
    settle(3, 30, {two: 1000}, 1112)
    undo = {"toRound": 1, "fromRound": 3, "creditsRoot": "root 1", "totalMicroCredits": 12}
    store.put([ChainEvent(40, 0, "0x40", 40, "Contributions", "RolledBack", "", undo)])
    queries = Queries(store._engine)
    assert {peer.peer: peer.credits_micro for peer in queries.standings().peers} == {one: 5, two: 7}
    assert [round.check_level for round in queries.rounds().rounds] == ["undone", "undone", "recomputed"]
    assert store.table() == tables[1]
    before = content(store, *schema.DERIVED)
    store.reindex()
    assert content(store, *schema.DERIVED) == before
    settle(2, 50, {one: 100}, 112)
    assert {peer.peer: peer.credits_micro for peer in queries.standings().peers} == {one: 105, two: 7}
    assert queries.summary().ledger_micro == 112


def test_disputes_become_one_story_each(store: Store, peers: list[str]) -> None:
    def event(block: int, contract: str, name: str, peer: str = "", **facts: Any) -> ChainEvent:
        return ChainEvent(block, 0, f"0x{block}", block, contract, name, peer, facts)

    store.put(
        [
            event(1, "Settlement", "EpochOpened", epoch=3, round=9, creditsRoot="r", dataHash="d", totalMicro=5,
                  challengeableUntil=9, unlocksAt=99),
            event(2, "Settlement", "EpochChallenged", epoch=3, challenger="0xabc", answerBy=50),
            event(3, "Settlement", "EpochAnswered", epoch=3, sender="0xdef", weight=2, needed=3),
            event(4, "Settlement", "EpochVoided", epoch=3, toRound=8),
            event(5, "Equivocation", "EquivocationProven", peers[0], round=4, reporter="0x1", contentA="aa",
                  contentB="bb", slashedWei=1),
            event(6, "DisputeGame", "DisputeOpened", peers[1], game="ab" * 32, round=5, content="cc", challenger="0x2",
                  subject=-1, deadline=60),
            event(7, "DisputeGame", "DisputeMoved", peers[1], game="ab" * 32, turn=1, move=3, choice=2**255, phase=2,
                  deadline=70, shown=""),
            event(8, "DisputeGame", "ContributionRefuted", peers[1], round=5, content="cc"),
            event(9, "DisputeGame", "DisputeDecided", game="ab" * 32, challengerWon=True, byClock=False, slashedWei=9),
        ]
    )  # fmt: skip
    queries = Queries(store._engine)
    found = {one.id: one for one in queries.disputes().disputes}
    assert set(found) == {"epoch-3", "equivocation-5-0", GAME}
    assert (found["epoch-3"].state, found["epoch-3"].num_moves) == ("decided", 3)
    assert found[GAME].outcome.startswith("refuted")
    assert (found[GAME].peer, found[GAME].round, found[GAME].num_moves) == (peers[1], 5, 3)
    details = queries.dispute(GAME)
    assert details is not None
    assert [move.name for move in details.moves] == ["DisputeOpened", "DisputeMoved", "DisputeDecided"]
    assert (details.moves[1].arguments["move"], details.moves[1].arguments["phase"]) == ("pick", "reveal")
    assert queries.epochs()[0].state == "void"
