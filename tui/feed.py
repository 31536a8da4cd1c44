"""Why this module exists: reading logs blocks, so a thread does it, and the screen hears of changes as messages.

The feed never touches a widget. It looks at the logs a few times a second, makes snapshots of the peers whose log grew
(or whose process ended), and posts them; when nothing happened it posts nothing.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from textual.message import Message

from swarm.observe.snapshot import Snapshot, snapshot
from swarm.observe.stores import Alive, Stores
from swarm.observe.text import plain
from swarm.observe.views import ProgressView

POLL_S = 0.25
_IDLE_TO_BUSY = 20
"""Long logs take longer to look at; then the feed looks less often, so that it never takes more than 5 % of a core."""

_ALIVE_EVERY = 8
"""Looks between two checks whether the processes still live, for peers that end without a last word."""


class Observed(Message):
    """What the logs say now. ``host_progress``: what the host is busy with before there are peers."""

    def __init__(self, peers: tuple[Snapshot, ...], host_progress: ProgressView | None) -> None:
        super().__init__()
        self.peers = peers
        self.host_progress = host_progress


class Unreadable(Message):
    """The logs or the read-models cannot be read at the moment; the feed keeps trying."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Feed:
    """Watches one HOME. ``run`` blocks until ``stop``; call it in a thread of its own."""

    def __init__(self, home: Path, post: Callable[[Message], object], alive: Alive) -> None:
        self._home = home
        self._post = post
        self._alive = alive
        self._stop = threading.Event()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        stores: Stores | None = None
        last: Observed | None = None
        look, trouble = 0, ""
        while not self._stop.is_set():
            started = time.thread_time()
            try:
                stores = stores or Stores(self._home)
                changed = stores.refresh()
                if changed or last is None or look % _ALIVE_EVERY == 0:
                    now = self._observe(stores)
                    if last is None or (now.peers, now.host_progress) != (last.peers, last.host_progress):
                        self._post(now)
                        last, trouble = now, ""
            except (OSError, sqlite3.Error) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._post(Unreadable(trouble))
                stores, last = None, None
            look += 1
            self._stop.wait(max(POLL_S, _IDLE_TO_BUSY * (time.thread_time() - started)))
        if stores is not None:
            stores.close()

    def _observe(self, stores: Stores) -> Observed:
        # The countdown is the screen's business: with time frozen here, equal logs give equal snapshots.
        peers = tuple(snapshot(name, store, 0.0, self._alive) for name, store in stores.peers.items())
        busy = stores.host.row("SELECT * FROM progress") if stores.host is not None else None
        progress = ProgressView(plain(busy["what"], 120), busy["done"], busy["total"], busy["at"]) if busy else None
        return Observed(peers, progress)
