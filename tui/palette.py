"""Why this module exists: who does not know the keys types what they want: the command palette lists all of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.app import SystemCommand

from tui.screens import SCREENS

if TYPE_CHECKING:
    from tui.app import SwarmDashboard


def commands(app: SwarmDashboard) -> Iterator[SystemCommand]:
    """Screens, peers, and what else can be done."""
    for number, kind in enumerate(SCREENS, start=1):
        yield SystemCommand(
            f"Show {kind.NAME}", f"{kind.ABOUT} (key {number})", lambda name=kind.NAME: _show(app, name)
        )
    for peer in app.peers:
        yield SystemCommand(
            _safe(f"Peer {peer.nickname}"),
            _safe(f"Show this peer of the home ({peer.name})"),
            lambda name=peer.name: app.choose(name),
        )
    if app.peers:
        me = app.peers[app.selected]
        yield SystemCommand("Copy peer id", _safe(me.peer), lambda: app.copy_to_clipboard(me.peer))
        yield SystemCommand("Copy wallet address", _safe(me.address), lambda: app.copy_to_clipboard(me.address))
    if app.player is not None:
        yield SystemCommand("Pause or play", "The recording (key space)", lambda: app.action_deck("toggle"))
        for mark in app.player.deck().rounds:
            yield SystemCommand(
                f"Go to round {mark.round}", "In the recording", lambda at=mark.opened_at: _seek(app, at)
            )
    yield SystemCommand("Dark or light", "The other palette (key d)", app.action_toggle_dark)
    yield SystemCommand("Explain this screen", "Every number in one line (key ?)", app.action_explain)
    yield SystemCommand("Save a picture", "This screen as an SVG file in the present folder", lambda: _picture(app))
    words = "Ends the swarm" if app.owns_swarm else "The peers go on"
    yield SystemCommand("Quit", f"{words} (key q)", app.action_leave)


def _safe(text: str) -> str:
    """The palette takes square brackets for markup, and a name may have any."""
    return text.replace("[", "(").replace("]", ")")


def _show(app: SwarmDashboard, name: str) -> None:
    app.call_later(app.action_show_screen, name)


def _seek(app: SwarmDashboard, at: float) -> None:
    if app.player is not None:
        app.player.seek(at)
        app.look_again()


def _picture(app: SwarmDashboard) -> None:
    try:
        app.notify(f"Saved {app.save_screenshot()}", markup=False)
    except OSError as error:
        app.notify(f"Not saved: {error.strerror}", severity="error", markup=False)
