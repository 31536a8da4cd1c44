"""Why this module exists: a private swarm shows itself on a web page, at an address that is the same every time.

The page is a convenience: whatever happens to it, the swarm plays on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swarm.processes.hosting import is_free
from swarm.settings.home import Home, write_atomically

PORTS = range(8844, 8944)


@dataclass(frozen=True)
class Board:
    """Where a private swarm's leaderboard listens, and what it writes."""

    port: int
    log_file: Path

    @classmethod
    def of(cls, home: Home) -> Board:
        """At the port of last time, or else at the first free one."""
        folder = home.root / "leaderboard"
        file = folder / "port"
        try:
            recalled = int(file.read_text())
        except (OSError, ValueError):
            recalled = 0
        wanted = [recalled, *PORTS] if 0 < recalled < 65536 else PORTS
        port = next((number for number in wanted if is_free(number)), 0)
        if port:
            write_atomically(file, str(port).encode())
        return cls(port, folder / "page.log")

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def arguments(self, started_at: float, wait_s: float) -> list[str]:
        """Of ``swarm`` for the page of the swarm that was started at ``started_at`` (unix seconds)."""
        waiting = ["--wait", str(wait_s), "--fresh-since", str(started_at)]
        return ["leaderboard", "--serve", "--private", "--port", str(self.port), *waiting]
