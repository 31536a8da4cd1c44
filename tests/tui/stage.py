"""Homes and apps that every dashboard test uses: fixed data, fixed clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
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


@dataclass
class Sent:
    """An intent in a made-up outbox."""

    name: str
    kind: str
    number: int
    state: str
    since: float
    why: str = ""
    transaction: str = ""
    attempts: int = 0


def outbox(now: float) -> tuple[Sent, ...]:
    return (
        Sent("peer-1", "settle", 11, "done", now - 60, "", "0x" + "ab" * 32, 1),
        Sent("peer-1", "claim", 2, "held", now - 44, "the epoch is locked for 12 s more"),
        Sent("peer-1", "settle", 12, "sent", now - 3, "", "0x" + "cd" * 32, 2),
        Sent("peer-2", "claim", 2, "queued", now - 1),
    )


def dashboard(root: Path, now: float, *, dead: int = -1, **options) -> SwarmDashboard:
    terminal = {"color_system": "truecolor", "unicode": True, "outbox": lambda: outbox(now)}
    return SwarmDashboard(root, clock=lambda: now, alive=lambda pid, _at: pid != dead, **terminal | options)


async def settled(pilot) -> None:
    """The feed has had its look and the screen shows it."""
    await asyncio.wait_for(pilot.app.first_look.wait(), 60)
    await until(pilot, lambda: pilot.app.is_settled or not pilot.app.is_running)
    await pilot.pause()


async def until(pilot, condition, timeout_s=60.0) -> None:
    async def wait():
        while not condition():
            await pilot.pause(0.02)

    await asyncio.wait_for(wait(), timeout_s)
    await pilot.pause()


async def press(pilot, *keys: str) -> None:
    """Press keys one after the other; after each, wait until the screen shows what it wants to."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
        await settled(pilot)


def text_of(app) -> str:
    """The screen as plain text."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in line) for line in lines)
