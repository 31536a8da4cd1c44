"""Why this module exists: everything that looks on while a peer plays is put together here, beside the peer.

Metrics and health over HTTP, the pulse of the loop, word to systemd, and a tracker where one is chosen. None of it is
needed for a round, and none of it can hold one up: what looks on reads the log.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from protocol.errors import SwarmError
from protocol.events import Problem, Restarted, Serving
from protocol.run import RunSpec
from swarm.observe.eventlog import EventLog, position_at_end
from swarm.observe.metrics import Extra
from swarm.observe.sending import sendings_of
from swarm.observe.serving import MetricsServer
from swarm.observe.tracking import Curves, LibraryTracker
from swarm.processes.children import RESTARTED
from swarm.processes.pulse import Pulse, ServiceManager, look_at
from swarm.settings.config import Settings
from swarm.settings.home import Home

UNSENT = ("held", "refused")
"""States of intents that are no transaction of the chain, and that somebody has to know of."""


class Looks:
    """What the onlookers know of the run; they begin before it is known."""

    def __init__(self, on_run: Callable[[RunSpec], None] = lambda run: None) -> None:
        self.run: RunSpec | None = None
        self._on_run = on_run

    def know(self, run: RunSpec) -> None:
        self.run = run
        self._on_run(run)

    def round_s(self) -> float | None:
        return float(self.run.time.round_s) if self.run is not None else None

    def task(self) -> str:
        return self.run.task.name if self.run is not None else ""


def open_looks(chosen: Settings, name: str, events: EventLog, parts: AsyncExitStack) -> Looks:
    """Begin to look on; everything ends with ``parts``. Raises ``ConfigError`` when the metrics' port is taken or the
    chosen tracker is not installed."""
    home, pulse = Home(chosen.home).peer(name), Pulse()
    looks = Looks(lambda run: track(chosen, name, run, events, parts))
    told = told_by_supervisor(os.environ.pop(RESTARTED, ""))
    if told is not None:
        events.append(told)
    if chosen.observe.metrics:
        server = MetricsServer(
            events.path,
            host=chosen.observe.metrics_host,
            port=chosen.observe.metrics_port,
            round_s=looks.round_s,
            extra=Extra(looks.task, unsent(home.root)),
            silent_s=pulse.silent_s,
            labels={"peer": name},
        )
        server.start()
        parts.callback(server.stop)
        events.append(Serving(server.url))
    for looking in (pulse.beat(), ServiceManager().keep_posted(look_at(events.path, looks.round_s))):
        parts.callback(asyncio.ensure_future(looking).cancel)
    return looks


def track(chosen: Settings, name: str, run: RunSpec, events: EventLog, parts: AsyncExitStack) -> None:
    """Begin to hand this peer's rounds to the chosen tracker. Raises ``ConfigError`` when it is not installed."""
    if chosen.observe.tracker == "none":
        return
    facts = {"run": run.id, "task": run.task.name, "engine": run.audit.engine, **msgspec.to_builtins(run.learn)}
    tracker = LibraryTracker(chosen.observe.tracker, chosen.observe.tracker_project, f"{run.name}-{name}", facts)

    def failed(error: Exception) -> None:
        events.append(
            Problem(
                type(error).__name__,
                f"The tracker {chosen.observe.tracker} failed: {str(error)[:200]}",
                "Its curves end here; the peer plays on.",
                "Set observe.tracker to none, or see to the tracker and start the peer again.",
            )
        )

    curves = Curves(events.path, tracker, failed, position_at_end(events.path))
    curves.start()
    parts.callback(curves.stop)


def unsent(peer: Path) -> Callable[[], dict[tuple[str, str], int]]:
    """Intents of one peer that wait or were refused, by (kind, state); nothing where its files cannot be read."""

    def count() -> dict[tuple[str, str], int]:
        try:
            found = Counter((one.kind, one.state) for one in sendings_of(peer) if one.state in UNSENT)
        except SwarmError:
            return {}
        return dict(found)

    return count


def told_by_supervisor(text: str) -> Restarted | None:
    """Why this process was started again, where somebody looks after it and said so."""
    try:
        return msgspec.json.decode(text, type=Restarted) if text else None
    except msgspec.MsgspecError:
        return None
