"""Why this module exists: "which one am I?" is the first question people ask of a node."""

from __future__ import annotations

from textual.content import Content

from swarm.observe.text import seconds_text, short_id
from swarm.observe.views import PeerStatus, State
from tui.widgets.panel import Panel, ends, fit, row, rows

_STATE_STYLE = {State.RUNNING: "$success", State.STOPPED: "$faint", State.DIED: "bold $error", State.NEW: "$faint"}


class Identity(Panel[PeerStatus]):
    """Nickname, state, model; peer id and wallet address in full where there is room."""

    def draw(self, width: int, height: int) -> Content:
        if self.shown is None:
            return row((" No peer has started yet.", "$faint"))
        me = self.shown
        state = row((me.state.value, _STATE_STYLE[me.state]), (self._since(me), "$faint"))
        if not self.wide:
            who = row((f" {me.nickname}", "bold $primary"), ("  peer ", "$faint"), short_id(me.peer),
                      ("  wallet ", "$faint"), short_id(me.address))  # fmt: skip
            return ends(who, row(state, " "), width)
        about = " · ".join(part for part in (me.model, f"{me.engine} engine" if me.engine else "") if part)
        registered = ("  registered", "$success") if me.registered else ("  not registered yet", "$warning")
        first = ends(row((f" {me.nickname}", "bold $primary"), registered, (f"  {about}", "$faint")),
                     row(state, " "), width)  # fmt: skip
        second = row((" peer ", "$faint"), me.peer, ("   wallet ", "$faint"), me.address)
        return rows(first, fit(second, width))

    def _since(self, me: PeerStatus) -> str:
        if me.state is State.RUNNING and me.started_at is not None:
            return f" for {seconds_text(self.now - me.started_at)}"
        if me.state is State.STOPPED and me.stopped_at is not None:
            return f", exit code {me.exit_code}" if me.exit_code else f" {seconds_text(self.now - me.stopped_at)} ago"
        if me.state is State.DIED and me.last_event_at is not None:
            return f", last word {seconds_text(self.now - me.last_event_at)} ago"
        return ""
