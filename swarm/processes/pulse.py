"""Why this module exists: a process can live and hang; only its own loop can show that it does not.

The loop beats; whoever asks from another thread (``/healthz``) hears for how long it was silent. Where systemd started
the peer (``NOTIFY_SOCKET``), it is told that the peer is up, what it does, and, while its loop answers and it is not
stalled by itself, that it need not be started again (``WatchdogSec`` in the unit). A stall whose cause lies elsewhere
(the chain, the network) is told and waited for: starting again would not help.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from swarm.observe.health import Health, health
from swarm.observe.store import Store
from swarm.observe.stores import is_running

EVERY_S = 0.5
LOOK_S = 20.0
"""Seconds between looks at the peer's health, at most."""


class Pulse:
    """The heartbeat of one event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._at = monotonic()

    def silent_s(self) -> float:
        """Seconds since the loop last answered; may be asked from any thread."""
        return self._monotonic() - self._at

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            self._at = self._monotonic()
            await asyncio.sleep(EVERY_S)


class ServiceManager:
    """Tells systemd about this process; does nothing where it was not started by it. See sd_notify(3)."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog) / 1e6 if watchdog.isdigit() else 0.0

    @property
    def is_there(self) -> bool:
        return bool(self._address)

    def tell(self, *lines: str) -> bool:
        """Send lines like ``READY=1``; False where nobody took them."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.sendto("\n".join(lines).encode(), address)
        except OSError:
            return False
        return True

    async def keep_posted(self, look: Callable[[], Health]) -> None:
        """Tell what ``look`` (blocking, called on a thread) finds, and keep the watchdog quiet, until cancelled."""
        self.tell("READY=1", "STATUS=Starting.")
        every_s = min(LOOK_S, self.watchdog_s / 3) if self.watchdog_s else LOOK_S
        while self.is_there:
            try:
                found = await asyncio.to_thread(look)
            except Exception as error:  # the loop answers, and a log that cannot be read now is no stall
                self.tell(f"STATUS=Its log cannot be read: {error}", "WATCHDOG=1")
            else:
                wanted = ("WATCHDOG=1",) if found.ok or found.elsewhere else ()
                self.tell(f"STATUS={found.why}", *wanted)
            await asyncio.sleep(every_s)


def look_at(log: Path, round_s: Callable[[], float | None]) -> Callable[[], Health]:
    """A blocking look at a log's health, with a read-model opened for it: it may come from any thread."""

    def look() -> Health:
        with Store(log) as store:
            store.refresh()
            return health(store, time.time(), is_running, round_s=round_s())

    return look
