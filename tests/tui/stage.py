"""Homes and apps that every dashboard test uses: fixed data, fixed clock."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.swarm.observe import playback
from tui.app import SwarmDashboard


def home(root: Path, kind: str) -> float:
    """Write a home of this kind under ``root``; returns the time at which it is looked at."""
    if kind == "empty":
        return playback.START_AT
    if kind == "starting":
        return max(playback.START_AT + 3.1, playback.write(root, until=playback.START_AT + 3.1))
    if kind == "busy":
        now = playback.START_AT + 6 + 11 * playback.ROUND_S + 4.0
        playback.write(root, until=now)
        return now
    assert kind == "degraded"
    return playback.write(root, degraded=True) + 3


def dashboard(root: Path, now: float, *, dead: int = -1, **options) -> SwarmDashboard:
    return SwarmDashboard(root, clock=lambda: now, alive=lambda pid, _at: pid != dead, **options)


async def settled(pilot) -> None:
    """The feed has had its first look and the screen shows it."""
    await asyncio.wait_for(pilot.app.first_look.wait(), 60)
    await pilot.pause()
    await pilot.pause()


def text_of(app) -> str:
    """The screen as plain text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)
