"""Why this module exists: ``swarm health`` says whether the peers of a home are well, to people and health checks."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
import urllib.request
from pathlib import Path

import msgspec

from protocol.errors import ConfigError, NetworkError
from swarm.app.purse import home_root
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file

ASK_S = 5.0
"""How long the host's gate and bootnode may take to answer."""


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


def host_well(home: Path | None, *, as_json: bool) -> int:
    """Print whether the home's host can be joined: its chain answers and its bootnode listens; returns 0, else 4.

    Raises ``ConfigError`` where the home has no join file: its host never came up.
    """
    token = read_join_file(Home(home_root(home)).join_file)
    found = {"chain": _chain(token.rpc), "bootnode": _bootnode(token.bootnodes)}
    if as_json:
        print(json.dumps({"health": {"host": found}}), flush=True)
    for part, why in found.items():
        print(f"{part}: {why or 'answers'}", file=sys.stderr if as_json else sys.stdout, flush=True)
    return NetworkError.exit_code if any(found.values()) else 0


def _chain(endpoints: tuple[str, ...]) -> str:
    """Why none of the endpoints told its latest block; empty when one did."""
    why = "no endpoint is known"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
    for endpoint in endpoints:
        request = urllib.request.Request(endpoint, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=ASK_S) as answer:
                int(json.loads(answer.read(65536))["result"], 16)
                return ""
        except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
            why = f"does not answer: {error}"[:200]
    return why


def _bootnode(addresses: tuple[str, ...]) -> str:
    """Why nobody listens at any of the addresses; empty when somebody does."""
    why = "no address is known"
    for address in addresses:
        parts = address.split("/")
        if len(parts) < 5 or parts[3] != "tcp":
            continue
        try:
            socket.create_connection((parts[2], int(parts[4])), ASK_S).close()
            return ""
        except (OSError, ValueError) as error:
            why = f"does not listen: {error}"[:200]
    return why
