"""Why this module exists: "where are my credits?" must have an answer from the log alone, also when nothing runs.

Between a round and the wallet lie a spot-check, a recorded result, an epoch with its waits, and a claim. The log knows
the first half; what the chain adds is put in by the command that asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import name_of, plain
from swarm.observe.views import (
    MICRO,
    ClaimView,
    CreditRow,
    Credits,
    Stage,
    State,
    Waiting,
    credits_of,
    waiting,
)

ONE_MORE_RESULT = "one more recorded result, before which a spot-check can still strike it"
NEXT_RESULT = "the next recorded result, which pays it"
NOT_ASKED = "the chain to say whether it is unlocked; `swarm claim` asks it"


def state_of(pid: int | None, started_at: float | None, stopped_at: float | None, alive: Alive) -> State:
    """Whether the process of a log still runs, and how it ended if not."""
    if pid is None or started_at is None:
        return State.NEW
    if stopped_at is not None:
        return State.STOPPED
    return State.RUNNING if alive(pid, started_at) else State.DIED


def credits_in(store: Store) -> Credits:
    """The three amounts that every display shows."""
    row = store.row(
        "SELECT settled_micro, claimed_micro,"
        " (SELECT total(micro_credits) FROM credits WHERE peer = self.peer) AS earned FROM self"
    )
    assert row is not None
    # An identity that moved here knows what the chain settled before, but not those rounds.
    earned = max(int(row["earned"]), row["settled_micro"])
    return credits_of(earned, row["settled_micro"], row["claimed_micro"])


def credit_row(name: str, store: Store, alive: Alive) -> CreditRow:
    """One local peer's money, from its refreshed read-model."""
    me = store.row("SELECT * FROM self")
    log = store.row("SELECT last_at FROM log")
    assert me is not None
    assert log is not None
    money = credits_in(store)
    by_round = {
        row["round"]: row["micro_credits"]
        for row in store.rows("SELECT round, micro_credits FROM credits WHERE peer = ? ORDER BY round", me["peer"])
    }
    pending = pending_rounds(by_round, money.settled_micro)
    parts = [_checked(store, me["peer"], number, micro) for number, micro in pending.items()]
    unclaimed = max(0, money.settled_micro - money.claimed_micro)
    if unclaimed:
        parts.append(waiting(Stage.SETTLED, unclaimed, NOT_ASKED))
    verified = money.settled_micro + sum(part.micro for part in parts if part.stage is Stage.VERIFIED)
    claims = store.rows("SELECT * FROM claims ORDER BY at, hash")
    return CreditRow(
        name=name,
        nickname=plain(me["nickname"] or name, 64),
        peer=me["peer"] or "",
        address=me["address"] or "",
        credits=money,
        unclaimed=unclaimed / MICRO,
        balance_wei=me["balance_wei"],
        claims=tuple(ClaimView(row["hash"], row["amount_wei"], row["balance_wei"], row["at"]) for row in claims),
        by_round=by_round,
        running=state_of(me["pid"], me["started_at"], me["stopped_at"], alive) is State.RUNNING,
        verified=verified / MICRO,
        verified_micro=verified,
        waiting=joined(parts),
        last_event_at=log["last_at"],
    )


def pending_rounds(by_round: Mapping[int, int], settled_micro: int) -> dict[int, int]:
    """Whose pay is not settled yet, and how much of it: pay keeps its order, so these are the newest rounds."""
    left: dict[int, int] = {}
    open_micro = sum(by_round.values()) - settled_micro
    for number in sorted(by_round, reverse=True):
        if open_micro <= 0:
            break
        left[number] = min(by_round[number], open_micro)
        open_micro -= by_round[number]
    return {number: micro for number, micro in sorted(left.items()) if micro}


def joined(parts: Iterable[Waiting]) -> tuple[Waiting, ...]:
    """Parts that wait for the same thing in one, furthest from the wallet first."""
    found: dict[tuple[Stage, str, float | None], list[Waiting]] = {}
    for part in parts:
        found.setdefault((part.stage, part.waits_for, part.until), []).append(part)
    order = list(Stage)
    return tuple(
        waiting(
            stage,
            sum(part.micro for part in same),
            words,
            until=until,
            rounds=tuple(sorted({number for part in same for number in part.rounds})),
        )
        for (stage, words, until), same in sorted(found.items(), key=lambda item: order.index(item[0][0]))
    )


def _checked(store: Store, peer: str, number: int, micro: int) -> Waiting:
    """What the pending pay of a round waits for, by the verdicts that were heard about it."""
    verdicts = store.rows(
        "SELECT a.by, a.finding FROM audits a JOIN contributions c ON c.content = a.content"
        " WHERE c.round = ? AND c.peer = ? AND a.level > 0 ORDER BY a.at",
        number,
        peer,
    )
    accusers = sorted({name_of(row["by"]) for row in verdicts if row["finding"] == "mismatch"})
    if accusers:
        accused = f"the verdict of attestors: {', '.join(accusers)} found another result"
        return waiting(Stage.EARNED, micro, accused, rounds=(number,))
    if any(row["finding"] == "match" for row in verdicts):
        return waiting(Stage.VERIFIED, micro, NEXT_RESULT, rounds=(number,))
    return waiting(Stage.EARNED, micro, ONE_MORE_RESULT, rounds=(number,))
