"""Why this module exists: one screen answers who am I, what happens, does it learn, what do I earn, what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from textual.containers import Horizontal
from textual.widget import Widget

from swarm.observe.snapshot import Snapshot, snapshot
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from tui.feed import Gather
from tui.screens.base import Seen, SwarmScreen, Words
from tui.widgets.credits import CreditsPanel
from tui.widgets.identity import Identity
from tui.widgets.panel import Panel
from tui.widgets.peers_panel import PeersPanel
from tui.widgets.question import QuestionPanel
from tui.widgets.round_panel import RoundPanel
from tui.widgets.score_plot import ScorePlot
from tui.widgets.time_split import TimeSplitPanel

WORDS: Words = (
    ("Who", (
        ("nickname", "three words made from the peer id: the same on every machine, for ever"),
        ("peer", "the peer id: the public name of this peer's swarm.pem"),
        ("wallet", "the account on the chain that owns the registration and receives tokens"),
        ("registered", "the chain knows that this wallet owns this peer id"),
    )),
    ("Round", (
        ("answer", "every peer answers the same questions, several times each"),
        ("critique", "every peer says which of the shown answers is right"),
        ("decide", "every peer gives its final answer, having read the critiques"),
        ("train", "one GRPO step on the peer's own rollouts and on some of the others'"),
        ("contribute", "what was done is hashed and signed; the others recompute it"),
        ("settle", "a majority signs the result and the chain records it"),
        ("left", "until this stage closes; what has not arrived by then is missing"),
        ("!", "a stage in which somebody's work did not arrive, or which this peer skipped"),
    )),
    ("Learning", (
        ("score", "mean over a peer's rollouts of a round, all stages, as this peer recomputed it; 100 % is perfect"),
        ("held-out accuracy", "right greedy answers to questions that nobody ever trains on"),
        ("trend", "the score of the last rounds, oldest left"),
    )),
    ("Peers", (
        ("doing", "the stage of its newest work that arrived here; silent: nothing heard for as long as a round takes"),
        ("dropped", "records of this peer that broke a rule (size, signature, round, scores) and were ignored"),
        ("credits", "what the settled rounds in this log paid to that peer"),
    )),
    ("Credits", (
        ("earned", "credits of all results this peer knows of; one credit is one token"),
        ("settled", "of these, recorded on the chain"),
        ("claimed", "of these, taken out as tokens to the wallet"),
        ("signed, attested, settled", "how far this peer's newest contribution came"),
    )),
    ("Time", (
        ("generate, train", "sampling completions; the training step: the useful part"),
        ("wait", "for other peers' work or for the stage to close"),
        ("network", "sending and fetching records and blobs"),
        ("chain", "waiting for transactions and reads of the chain"),
        ("overhead", "share of the time that is neither generation nor training"),
    )),
)  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A peer's snapshot."""

    alive: Alive

    def __call__(self, stores: Mapping[str, Store], name: str) -> Snapshot:
        return snapshot(name, stores[name], 0.0, self.alive)


class Overview(SwarmScreen):
    """The first screen."""

    NAME, ABOUT, WORDS = "overview", "Everything about one peer at a glance", WORDS

    def body(self) -> Iterable[Widget]:
        yield Identity(id="identity")
        yield RoundPanel(id="round")
        yield Horizontal(ScorePlot(id="plot"), PeersPanel(id="peers"), id="middle")
        yield QuestionPanel(id="question")
        yield Horizontal(CreditsPanel(id="credits"), TimeSplitPanel(id="time"), id="bottom")

    def gather(self) -> Gather:
        return Asked(self.app.alive)  # type: ignore[attr-defined]

    def draw(self, seen: Seen) -> None:
        shown = seen.view if isinstance(seen.view, Snapshot) else None
        self.query_one(Identity).show(seen.status, seen.now)
        self.query_one(RoundPanel).host_progress = seen.host_progress
        self.query_one(RoundPanel).reading = seen.reading
        if shown is None and seen.peers:
            return  # on its way
        for kind in (RoundPanel, ScorePlot, PeersPanel, QuestionPanel, CreditsPanel, TimeSplitPanel):
            self.query_one(kind).show(shown, seen.now)

    def count_time(self, now: float) -> None:
        for kind in (Identity, RoundPanel, PeersPanel):
            panel: Panel[object] = self.query_one(kind)
            panel.now = now
            panel.redraw()
