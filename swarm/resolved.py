"""Why this module exists: people can read which configuration was in force, and nobody can read a key out of it."""

from __future__ import annotations

from pathlib import Path

import yaml

from swarm.config import Settings
from swarm.home import Home, write_atomically


def save_resolved(settings: Settings) -> Path:
    """Write the configuration in force to HOME/resolved.yaml, for people to read. RPC endpoints keep only their host,
    because keys hide in the rest of such addresses; a password never enters the configuration at all."""
    body = settings.model_dump(mode="json")
    body["chain"]["rpc"] = [_without_key(address) for address in settings.chain.rpc]
    path = Home(settings.home).resolved_file
    write_atomically(path, yaml.safe_dump(body, sort_keys=False).encode(), mode=0o600)
    return path


def _without_key(address: str) -> str:
    scheme, _, rest = address.partition("://")
    host = rest.split("/")[0].split("?")[0].rpartition("@")[2]
    return f"{scheme}://{host}" + ("/…" if rest != host else "")
