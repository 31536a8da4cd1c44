"""Why this module exists: what is in force can be read in one place, HOME/resolved.yaml, and holds no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from swarm.settings.config import Settings
from swarm.settings.home import Home, write_atomically
from swarm.settings.redaction import without_key


def save_resolved(settings: Settings) -> Path:
    """Write the configuration in force to HOME/resolved.yaml, for people to read."""
    path = Home(settings.home).resolved_file
    write_atomically(path, yaml.safe_dump(without_secrets(settings), sort_keys=False).encode(), mode=0o600)
    return path


def without_secrets(settings: Settings) -> dict[str, Any]:
    """The settings as plain values. RPC endpoints keep only their host, because keys hide in the rest of such
    addresses; a password never enters the configuration at all."""
    body = settings.model_dump(mode="json")
    for name in ("rpc", "public_rpc"):
        body["chain"][name] = [without_key(address) for address in getattr(settings.chain, name)]
    return body
