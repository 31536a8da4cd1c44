"""Why this module exists: ``swarm health`` says whether the peers of a home are well, to people and health checks."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import msgspec

from protocol.errors import ConfigError, NetworkError
from swarm.app.purse import home_root


def well(home: Path | None, peer: str | None, *, as_json: bool) -> int:
    """Print one line per peer (or for one of them); returns 0 when all are well, else 4. From their logs alone.

    Raises ``ConfigError`` when there is nobody to ask about.
    """
    from swarm.observe.health import health
    from swarm.observe.stores import Stores, is_running

    root = home_root(home)
    with Stores(root) as stores:
        now = time.time()
        found = {name: health(store, now, is_running) for name, store in stores.peers.items() if peer in (None, name)}
    if not found:
        raise ConfigError(
            f"{f'No peer {peer!r} has' if peer else 'No peer has'} ever run in {root}.",
            "There is nothing to say about its health.",
            "Name the --home and the --peer of one that was started.",
        )
    if as_json:
        print(msgspec.json.encode({"health": found}).decode(), flush=True)
    for name, one in found.items():
        print(f"{name}: {one.condition}. {one.why}", file=sys.stderr if as_json else sys.stdout, flush=True)
    return 0 if all(one.ok for one in found.values()) else NetworkError.exit_code
