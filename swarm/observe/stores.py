"""Why this module exists: a home holds several peers and a host; readers want all of their read-models, kept fresh."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import psutil

from swarm.observe.store import Store

EVENTS = "events.jsonl"
_SKEW_S = 5.0

Alive = Callable[[int, float], bool]
"""(process id, unix time at which it wrote that it started) -> does that very process still run?"""


class Stores:
    """The read-models under HOME: one per folder in ``HOME/peers`` with an event log, and the host's if there is one.

    Peers that appear later are found by ``refresh``. Not for several threads at once.
    """

    def __init__(self, home: Path) -> None:
        self.home = Path(home)
        self.peers: dict[str, Store] = {}
        self.host: Store | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Find new logs and fold in what is new; True when anything changed."""
        logs = {path.parent.name: path for path in sorted((self.home / "peers").glob(f"*/{EVENTS}"), key=natural)}
        changed = False
        for name in self.peers.keys() - logs.keys():
            self.peers.pop(name).close()
            changed = True
        for name in logs.keys() - self.peers.keys():
            self.peers[name] = Store(logs[name])
            changed = True
        self.peers = {name: self.peers[name] for name in logs}
        host_log = self.home / "host" / EVENTS
        if self.host is None and host_log.exists():
            self.host = Store(host_log)
        for store in self.all():
            changed = store.refresh() or changed
        return changed

    def all(self) -> list[Store]:
        """Every store: the peers in order of their names, then the host's."""
        return [*self.peers.values(), *([self.host] if self.host is not None else [])]

    def close(self) -> None:
        for store in self.all():
            store.close()

    def __enter__(self) -> Stores:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_running(pid: int, started_at: float) -> bool:
    """Whether the process that wrote its start under ``pid`` still runs (and not another one under the same number)."""
    try:
        process = psutil.Process(pid)
        born_before = process.create_time() <= started_at + _SKEW_S
        return bool(born_before and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def natural(path: Path) -> list[tuple[int, str]]:
    """``peer-2`` before ``peer-10``."""
    parts = re.split(r"(\d+)", os.fspath(path.parent.name))
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
