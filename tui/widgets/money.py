"""Why this module exists: credits pass four gates on their way into the wallet; people want to see where theirs are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from textual.content import Content

from swarm.observe.text import credits_short, plain, seconds_text, short_id
from swarm.observe.views import Waiting
from swarm.observe.wallet import WalletView
from tui.outbox import Sending
from tui.widgets.panel import Panel, ends, fit, right, row, rows

_STATE_STYLES = {
    "queued": "$foreground", "sent": "$primary", "mined": "$success", "done": "$faint", "held": "$warning",
    "refused": "bold $error",
}  # fmt: skip


class MoneyFlow(Panel[WalletView]):
    """Earned, verified, settled, claimed: amounts, and a bar of how much of what was earned has come how far."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="Credits")

    def draw(self, width: int, height: int) -> Content:
        shown = self.shown
        if shown is None:
            self.caption("Credits")
            return row((" Nothing earned yet.", "$faint"))
        money = shown.money
        credits = money.credits
        gates = (
            ("earned", credits.earned_micro, "$secondary"),
            ("verified", max(money.verified_micro, credits.settled_micro), "$warning"),
            ("settled", credits.settled_micro, "$primary"),
            ("claimed", credits.claimed_micro, "$success"),
        )
        self.caption("Credits", self._wallet(shown))
        numbers = row(" ")
        for index, (name, micro, style) in enumerate(gates):
            arrow = row(("  →  " if self.wide else " → ", "$line")) if index else row("")
            numbers = row(numbers, arrow, (credits_short(micro), f"bold {style}"), (f" {name}", "$faint"))
        room = width - 2
        bar, used = row(" "), 0
        whole = max(1, credits.earned_micro)
        for _, micro, style in reversed(gates):
            cells = max(0, round(room * min(micro, whole) / whole) - used)
            used += cells
            bar = row(bar, ("█" * cells, style))
        bar = row(bar, ("░" * (room - used), "$line"))
        lines = [numbers, bar, self._stake(shown, width)]
        return rows(*(fit(line, width) for line in lines[:height]))

    def _wallet(self, shown: WalletView) -> Content:
        if shown.money.balance_wei is None:
            return row(("no claim yet", "$faint"))
        balance = int(shown.money.balance_wei) // 10**12
        return row(("wallet ", "$faint"), (f"{credits_short(balance)} tokens", "bold $success"))

    def _stake(self, shown: WalletView, width: int) -> Content:
        address = shown.money.address if width >= 110 else short_id(shown.money.address)
        who = row((address, "$faint"), " ")
        if shown.stake_micro is None:
            return ends(row((" stake ", "$faint"), ("not known yet: the chain was not asked", "$faint")), who, width)
        if not shown.stake_micro and not shown.exiting_micro:
            return ends(row((" stake ", "$faint"), ("none; this run may not ask for one", "$faint")), who, width)
        line = row((" stake ", "$faint"), (credits_short(shown.stake_micro), "bold $foreground"), (" tokens", "$faint"))
        if shown.exiting_micro:
            ready = shown.exit_ready_at
            left = (
                ""
                if ready is None
                else f", ready in {seconds_text(ready - self.now)}"
                if ready > self.now
                else ", ready"
            )
            line = row(line, (f"   leaving {credits_short(shown.exiting_micro)}{left}", "$warning"))
        return ends(line, who, width)


class WaitingPanel(Panel[WalletView]):
    """Each part of what is not claimed yet, and what it waits for."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, title="What it waits for")

    def draw(self, width: int, height: int) -> Content:
        shown = self.shown
        parts = shown.money.waiting if shown is not None else ()
        if not parts:
            done = shown is not None and shown.money.credits.earned_micro > 0
            words = "Everything earned is claimed." if done else "Nothing is on its way."
            return row((" ✓ " if done else " ", "$success"), (words, "$faint"))
        lines = [fit(self._part(part), width) for part in parts[:height]]
        return rows(*lines)

    def _part(self, part: Waiting) -> Content:
        left = "" if part.until is None else f", at the earliest in {seconds_text(part.until - self.now)}"
        rounds = f" round {_ranges(part.rounds)}" if part.rounds else ""
        return row(
            right(row((credits_short(part.micro), "bold $foreground")), 9),
            (f" {part.stage.value}{rounds}", "$faint"), ("  waits for ", "$faint"),
            (f"{part.waits_for}{left}", "$warning"),
        )  # fmt: skip


def _ranges(numbers: Sequence[int]) -> str:
    """``3 to 9`` for many rounds, ``3, 5`` for two."""
    if len(numbers) <= 2:
        return ", ".join(str(number) for number in numbers)
    return f"{numbers[0]} to {numbers[-1]}"


def sending_lines(
    sendings: Sequence[Sending], width: int, now: float, trouble: str, knows: bool
) -> tuple[Content | None, list[Content]]:
    """Head and lines of the outbox, what moves first."""
    if trouble:
        return None, [
            row((" ! ", "bold $error"), line) for line in Content(plain(trouble, 300)).wrap(max(10, width - 4))
        ]
    if not knows:
        return None, [row((" Not read here; `swarm outbox` tells of it.", "$faint"))]
    if not sendings:
        return None, [row((" Nothing is to be sent.", "$faint"))]
    order = {"refused": 0, "held": 1, "sent": 2, "queued": 3, "mined": 4, "done": 5}
    head = row((" what".ljust(21) + "state".ljust(9) + "for".rjust(9) + "tries".rjust(7), "$faint"))
    lines = []
    for one in sorted(sendings, key=lambda one: (order.get(one.state, 9), -one.since)):
        what = f"{plain(one.kind, 20)} {one.number}" if one.number else plain(one.kind, 20)
        lines.append(
            row(
                " ",
                fit(row((what, "$foreground")), 19),
                " ",
                fit(row((one.state, _STATE_STYLES.get(one.state, "$foreground"))), 9),
                right(row((seconds_text(max(0.0, now - one.since)), "$faint")), 9),
                right(row((str(one.attempts or "–"), "$faint")), 7),
            )
        )
        why = Content(plain(one.why, 300)).wrap(max(10, width - 6)) if one.why else []
        lines += [
            row(("   └ " if index == 0 else "     ", "$line"), (part.plain, "$warning"))
            for index, part in enumerate(why)
        ]
    return head, lines


def transaction_lines(shown: WalletView, width: int) -> tuple[Content | None, list[Content]]:
    """Head and lines of what was mined, newest first."""
    if not shown.transactions:
        return None, [row((" The wallet has sent nothing yet.", "$faint"))]
    amounts = {claim.transaction: int(claim.amount_wei) // 10**12 for claim in shown.money.claims}
    head = row((" time".ljust(10) + "what".ljust(16) + "gas".rjust(9) + "tokens".rjust(8) + "  transaction", "$faint"))
    lines = []
    for one in shown.transactions:
        what = f"{one.purpose} {one.round}" if one.round else one.purpose
        got = amounts.get(one.transaction)
        lines.append(
            row(
                (time.strftime(" %H:%M:%S ", time.gmtime(one.at)), "$faint"),
                fit(row((what, "$foreground")), 15),
                " ",
                right(row((f"{one.gas:,}", "$foreground")), 9),
                right(row((f"+{credits_short(got)}" if got else "", "bold $success")), 8),
                ("  " + (one.transaction if width >= 120 else short_id(one.transaction)), "$faint"),
            )
        )
    return head, lines
