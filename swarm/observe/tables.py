"""Why this module exists: ``swarm status``, ``rounds``, ``peers`` and ``credits`` for people, as plain tables.

Renderables only: the caller prints them. Every cell is a ``Text``, so nothing in it is read as markup. A table that is
wider than the screen leaves out its least important columns, whole, and says which; nothing is squeezed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from swarm.observe.lines import outcome_words, percent
from swarm.observe.text import credits_text, seconds_text, short_id
from swarm.observe.views import TIME_PARTS, CreditRow, PeerStatus, RoundView, SeenPeer, State, Waiting

_STATE_STYLES = {State.RUNNING: "green", State.STOPPED: "dim", State.DIED: "bold red", State.NEW: "dim"}


def status_table(peers: Sequence[PeerStatus], now: float) -> RenderableType:
    """Who runs here, what it is doing, what it earned, and what is wrong with it."""
    if not peers:
        return Text("No peer has run in this home yet. Start some with `swarm local`.")
    table = FittingTable(
        "peer", "state", ">round", "stage", ">time left", ">done", ">settled", ">claimed", "peer id", "wallet",
        spare=("peer id", "wallet", "time left", "done", "claimed", "settled"),
    )  # fmt: skip
    for one in peers:
        table.add_row(
            Text(one.nickname, "bold"),
            Text(one.state.value, _STATE_STYLES[one.state]),
            _text(one.round or "–"),
            _text(one.phase or "–"),
            _text("–" if one.time_left_s is None else seconds_text(one.time_left_s)),
            _text(one.rounds_completed),
            _text(credits_text(one.credits.settled_micro)),
            _text(credits_text(one.credits.claimed_micro)),
            _text(short_id(one.peer)),
            _text(short_id(one.address)),
        )
    memory = (_memory(one) for one in peers if one.memory is not None)
    troubles = (_problem(one, now) for one in peers if one.problem and one.problem.recovered_at is None)
    return Group(table, *memory, *troubles)


def _memory(one: PeerStatus) -> Text:
    assert one.memory is not None
    said = f"predicted {one.memory.predicted / 1e9:.2f} GB of {one.memory.free / 1e9:.2f} GB {one.memory.place}"
    if one.memory.measured is None:
        said += ", not measured yet"
    else:
        said += f", measured {one.memory.measured / 1e9:.2f} GB"
    style = "yellow" if one.memory.is_near is False else ""
    return Text.assemble((f"  {one.nickname}: ", "bold"), "memory ", (said, style))


def rounds_table(rounds: Sequence[RoundView]) -> RenderableType:
    """Outcome and time split of each round; shares are of the peers' time together."""
    if not rounds:
        return Text("No round has been played in this home yet.")
    has_levels = any(one.level for one in rounds)
    table = FittingTable(
        ">round", *([">level"] if has_levels else []), "outcome", ">time", *(f">{part}" for part in TIME_PARTS),
        ">overhead", ">score", ">settled", ">credits", ">dropped",
        spare=("network", "chain", "wait", "train", "generate", "dropped", "settled", "overhead", "time"),
    )  # fmt: skip
    for one in rounds:
        scores = [milli for peer in one.peers for milli in peer.scores_milli.values()]
        known = one.time.total_s > 0
        table.add_row(
            _text(one.round),
            *([_text(f"{one.level} of {one.num_levels}" if one.level else "–")] if has_levels else []),
            Text(one.outcome.value.replace("_", " "), "green" if one.outcome == "complete" else "yellow")
            if one.outcome
            else Text("being played", "dim"),
            _text(seconds_text(one.time.total_s) if known else "–"),
            *(_text(f"{100 * one.time.shares[part]:.0f} %" if known else "–") for part in TIME_PARTS),
            _text(f"{100 * one.time.overhead_share:.0f} %" if known else "–"),
            _text(percent(sum(scores) // len(scores)) if scores else "–"),
            _text(f"{one.num_settled} of {one.num_members}" if one.settled else "–"),
            _text(credits_text(one.micro_credits)),
            _text(one.num_rejected),
        )
    odd = {one.outcome for one in rounds if one.outcome is not None and one.outcome != "complete"}
    return Group(table, *(Text(f"  {outcome_words(outcome)}", "dim") for outcome in sorted(odd)))


def peers_table(peers: Sequence[SeenPeer], now: float) -> RenderableType:
    """Every peer that was heard of, and the rules it broke."""
    if not peers:
        return Text("No peer has been heard of in this home yet.")
    table = FittingTable(
        "peer", "where", "doing", ">round", ">last seen", ">score", ">contributions", ">credits", "dropped", "peer id",
        spare=("peer id", "contributions", "last seen", "round", "where", "doing", "score"),
    )  # fmt: skip
    for one in peers:
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in one.rejected.items())
        table.add_row(
            Text(one.nickname, "bold" if one.local else ""),
            Text("here" if one.running else "here, stopped" if one.local else "elsewhere", "dim"),
            _text(one.phase or "–"),
            _text(one.round or "–"),
            _text("–" if one.last_seen_at is None else f"{seconds_text(now - one.last_seen_at)} ago"),
            _text("–" if one.mean_score_milli is None else percent(one.mean_score_milli)),
            _text(one.num_contributions),
            _text(credits_text(one.micro_credits)),
            Text(dropped or "–", "red" if dropped else ""),
            _text(short_id(one.peer)),
        )
    return table


def credits_table(rows: Sequence[CreditRow], now: float | None = None) -> RenderableType:
    """What each local peer has at each stage, and what the rest waits for; one credit is one token.

    ``now`` (unix seconds): to say how long a wait still lasts.
    """
    if not rows:
        return Text("No peer has run in this home yet.")
    table = FittingTable(
        "peer", ">earned", ">verified", ">settled", ">unlocked", ">claimed", ">unclaimed", ">staked", ">claims",
        ">wallet holds", "wallet",
        spare=("wallet", "claims", "unclaimed", "staked", "verified", "earned", "unlocked"),
    )  # fmt: skip
    for one in rows:
        table.add_row(
            Text(one.nickname, "bold"),
            _text(credits_text(one.credits.earned_micro)),
            _text(credits_text(one.verified_micro)),
            _text(credits_text(one.credits.settled_micro)),
            _text("?" if one.unlocked_micro is None else credits_text(one.unlocked_micro)),
            _text(credits_text(one.credits.claimed_micro)),
            _text(credits_text(one.credits.settled_micro - one.credits.claimed_micro)),
            _text("–" if one.staked_micro is None else credits_text(one.staked_micro)),
            _text(len(one.claims)),
            _text("–" if one.balance_wei is None else credits_text(int(one.balance_wei) // 10**12)),
            _text(one.address),
        )
    return Group(table, *(_waits(one, part, now) for one in rows for part in one.waiting))


def _waits(one: CreditRow, part: Waiting, now: float | None) -> Text:
    left = "" if part.until is None or now is None else f" (at the earliest in {seconds_text(part.until - now)})"
    rounds = f" of round{'s' * (len(part.rounds) > 1)} {_ranges(part.rounds)}" if part.rounds else ""
    return Text.assemble(
        (f"  {one.nickname}: ", "bold"),
        f"{credits_text(part.micro)}{rounds} {part.stage.value}, waits for ",
        (part.waits_for, "yellow"),
        left,
    )


def _ranges(numbers: Sequence[int]) -> str:
    """``1, 2, 3, 7`` as ``1–3, 7``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    return ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]}–{span[-1]}" for span in spans)


class FittingTable:
    """A table of ``columns``; one that starts with ``>`` is right-aligned.

    ``spare``: columns that may be left out where the screen is narrower than the table, the first of them first. The
    rest wraps where even that is too wide.
    """

    def __init__(self, *columns: str, spare: Sequence[str]) -> None:
        self._names = [column.removeprefix(">") for column in columns]
        self._right = [column.startswith(">") for column in columns]
        self._spare = spare
        self._rows: list[tuple[Text, ...]] = []

    def add_row(self, *cells: Text) -> None:
        assert len(cells) == len(self._names)
        self._rows.append(cells)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        left_out: list[str] = []
        while True:
            table = self._without(left_out)
            if Measurement.get(console, options.update(max_width=10_000), table).maximum <= options.max_width:
                break
            if len(left_out) == len(self._spare):
                break
            left_out = list(self._spare[: len(left_out) + 1])
        yield table
        if left_out:
            hidden = ", ".join(name for name in self._names if name in left_out)
            yield Text(f"Not shown for want of width: {hidden}. A wider window or --json has them.", "dim")

    def _without(self, left_out: Sequence[str]) -> Table:
        kept = [index for index, name in enumerate(self._names) if name not in left_out]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim")
        for index in kept:
            table.add_column(self._names[index], justify="right" if self._right[index] else "left", overflow="fold")
        for row in self._rows:
            table.add_row(*(row[index] for index in kept))
        return table


def _problem(one: PeerStatus, now: float) -> Text:
    problem = one.problem
    assert problem is not None
    words: Iterable[tuple[str, str]] = (
        (f"{one.nickname}: ", "bold"),
        (problem.what, "red"),
        (f" ({seconds_text(now - problem.at)} ago) {problem.so_what} ", ""),
        (problem.next_step, "yellow"),
    )
    return Text.assemble(*words)


def _text(value: object) -> Text:
    return Text(str(value))
