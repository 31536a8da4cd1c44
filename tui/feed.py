"""Why this module exists: reading logs blocks, so a thread does it, and the screen hears of changes as messages.

The feed never touches a widget. It looks at the logs a few times a second and makes only what is on the screen now:
every local peer at a glance, and the view that the present screen asks for. When nothing happened it posts nothing.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from textual.message import Message

from swarm.observe.queries import peer_status
from swarm.observe.store import Store
from swarm.observe.stores import Alive
from swarm.observe.text import plain
from swarm.observe.views import PeerStatus, ProgressView

POLL_S = 0.25
_IDLE_TO_BUSY = 60
"""Long logs take longer to look at; then the feed looks less often, and never takes more than 1.7 % of a core."""

_SLOWEST_S = 3.0
"""It never looks less often than this."""

_ALIVE_EVERY = 8
"""Looks between two checks whether the processes still live, for peers that end without a last word."""

Gather = Callable[[Mapping[str, Store], str], Any]
"""(all local read-models, the shown peer's folder) -> what a screen draws."""


class Look(NamedTuple):
    """What the screen wants: the view that ``gather`` makes of the peer in folder ``peer`` (empty: the first)."""

    peer: str = ""
    gather: Gather | None = None


class Source(Protocol):
    """Where read-models come from: the logs as they grow, or a recording."""

    peers: dict[str, Store]
    host: Store | None

    def refresh(self) -> bool:
        """Bring all of them up to date; True when anything changed."""
        ...

    def close(self) -> None: ...


class Observed(Message):
    """What the logs say now. ``view``: what ``look`` asked for, None without peers. ``host_progress``: what the host is
    busy with before there are peers."""

    def __init__(
        self, peers: tuple[PeerStatus, ...], host_progress: ProgressView | None, look: Look, view: object
    ) -> None:
        super().__init__()
        self.peers = peers
        self.host_progress = host_progress
        self.look = look
        self.view = view


class Unreadable(Message):
    """The logs or the read-models cannot be read at the moment; the feed keeps trying."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Feed:
    """Watches one source. ``run`` blocks until ``stop``; call it in a thread of its own."""

    def __init__(self, open_source: Callable[[], Source], post: Callable[[Message], object], alive: Alive) -> None:
        self._open = open_source
        self._post = post
        self._alive = alive
        self._stopped = False
        self._woken = threading.Event()
        self._look = Look()
        self._statuses: dict[str, tuple[tuple[object, ...], PeerStatus]] = {}

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()

    def want(self, look: Look) -> None:
        """Show this from now on; the answer comes at once."""
        self._look = look
        self._woken.set()

    def wake(self) -> None:
        """Look now."""
        self._woken.set()

    def run(self) -> None:
        source: Source | None = None
        last: Observed | None = None
        num_looks, trouble = 0, ""
        while not self._stopped:
            self._woken.clear()
            started = time.thread_time()
            try:
                source = source or self._open()
                changed, look = source.refresh(), self._look
                if changed or last is None or look != last.look or num_looks % _ALIVE_EVERY == 0:
                    now = self._observe(source, look, check_alive=num_looks % _ALIVE_EVERY == 0)
                    if last is None or _content(now) != _content(last):
                        self._post(now)
                        last, trouble = now, ""
            except (OSError, sqlite3.Error) as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._post(Unreadable(trouble))
                source, last = None, None
            num_looks += 1
            self._woken.wait(min(_SLOWEST_S, max(POLL_S, _IDLE_TO_BUSY * (time.thread_time() - started))))
        if source is not None:
            source.close()

    def _observe(self, source: Source, look: Look, *, check_alive: bool) -> Observed:
        peers = tuple(self._status(name, store, check_alive) for name, store in source.peers.items())
        busy = source.host.row("SELECT * FROM progress") if source.host is not None else None
        progress = ProgressView(plain(busy["what"], 120), busy["done"], busy["total"], busy["at"]) if busy else None
        name = look.peer if look.peer in source.peers else next(iter(source.peers), "")
        view = look.gather(source.peers, name) if look.gather is not None and name else None
        return Observed(peers, progress, look, view)

    def _status(self, name: str, store: Store, check_alive: bool) -> PeerStatus:
        """One peer at a glance, made anew when its log grew or its process may have ended."""
        log = store.row("SELECT num_events, num_garbage, last_at, offset FROM log")
        state = (id(store), *tuple(log or ()))
        kept = self._statuses.get(name)
        if kept is None or kept[0] != state or check_alive:
            # The countdown is the screen's business: with time frozen here, equal logs give equal views.
            kept = self._statuses[name] = state, peer_status(name, store, 0.0, self._alive)
        return kept[1]


def _content(seen: Observed) -> tuple[object, ...]:
    return seen.peers, seen.host_progress, seen.look, seen.view
