"""Why this module exists: "where is my money?" needs one look: what was earned, where it waits, what was sent."""

from __future__ import annotations

from swarm.observe.money import credit_row
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import plain
from swarm.observe.views import CreditRow, View

NUM_TRANSACTIONS = 200


class TransactionView(View, frozen=True):
    """A mined transaction. ``round`` is 0 where it is about none."""

    at: float
    purpose: str
    round: int
    gas: int
    transaction: str


class WalletView(View, frozen=True):
    """One local peer's money. ``stake_micro`` is None until the chain was asked."""

    money: CreditRow
    transactions: tuple[TransactionView, ...]
    num_transactions: int
    gas: int
    stake_micro: int | None
    exiting_micro: int | None
    exit_ready_at: float | None


def wallet(name: str, store: Store, alive: Alive) -> WalletView:
    """From the peer's refreshed read-model, newest transactions first."""
    me = store.row("SELECT stake_micro, exiting_micro, exit_ready_at FROM self")
    sums = store.row("SELECT count(*) AS num, coalesce(sum(gas), 0) AS gas FROM transactions")
    assert me is not None
    assert sums is not None
    rows = store.rows("SELECT * FROM transactions ORDER BY at DESC, hash LIMIT ?", NUM_TRANSACTIONS)
    return WalletView(
        money=credit_row(name, store, alive),
        transactions=tuple(
            TransactionView(row["at"], plain(row["purpose"], 40), row["round"], row["gas"], plain(row["hash"], 80))
            for row in rows
        ),
        num_transactions=sums["num"],
        gas=sums["gas"],
        stake_micro=me["stake_micro"],
        exiting_micro=me["exiting_micro"],
        exit_ready_at=me["exit_ready_at"],
    )
