"""Why this module exists: the dashboard runs as a process of its own, which may die alone."""

from __future__ import annotations

import sys
from pathlib import Path

from swarm.app.displays import outbox_of
from swarm.processes.process import leave, run_until_signal
from tui.app import SwarmDashboard


async def show(home: Path) -> int:
    """The dashboard of a home, until the person quits; returns its exit code."""
    app = SwarmDashboard(home, outbox=outbox_of(home))
    await app.run_async()
    return app.return_code or 0


if __name__ == "__main__":
    leave(run_until_signal(lambda: show(Path(sys.argv[1]))))
