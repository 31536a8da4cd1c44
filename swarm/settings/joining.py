"""Why this module exists: a newcomer learns where the swarm is from a file, a token, or addresses and an RPC URL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from protocol.errors import ConfigError
from protocol.run import JoinToken, format_token, parse_token
from swarm.settings.home import write_atomically

_FILE_CAP = 256 * 1024


def write_join_file(path: Path, token: JoinToken) -> None:
    """Write ``join.yaml``: the token is what counts, the rest is for people to read."""
    body = {
        "token": format_token(token),
        "run": token.run.name,
        "run_id": token.run.id,
        "chain_id": token.run.chain_id,
        "task": token.run.task.name,
        "model": token.model_name,
        "bootnodes": list(token.bootnodes),
        "rpc": list(token.rpc),
    }
    write_atomically(path, yaml.safe_dump(body, sort_keys=False, width=4096).encode())


def read_join_file(path: Path) -> JoinToken:
    """The token in a ``join.yaml``. Raises ``ConfigError`` when the file is missing, damaged or carries no token."""
    nothing = "Nothing was started."
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no {path}.",
            nothing,
            "Start a swarm here with `swarm local` or `swarm host`, or join one with --join TOKEN.",
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}.", nothing, "Check the file's owner and mode."
        ) from error
    try:
        body = yaml.safe_load(raw) if len(raw) <= _FILE_CAP else None
    except yaml.YAMLError:
        body = None
    if not isinstance(body, dict) or not isinstance(body.get("token"), str):
        raise ConfigError(
            f"{path} holds no join token.", nothing, "Write it anew with `swarm host`, or use --join TOKEN."
        )
    return parse_token(body["token"])


def is_multiaddress(text: str) -> bool:
    """Whether a ``--join`` value is an address rather than a token."""
    return text.startswith("/")


def with_addresses(token: JoinToken, bootnodes: Sequence[str], rpc: Sequence[str]) -> JoinToken:
    """The same swarm, dialled through other addresses."""
    for address in bootnodes:
        if "/p2p/" not in address:
            raise ConfigError(
                f"{address[:120]} does not say which peer answers there.",
                "Nothing was started.",
                "Use the whole multiaddress, e.g. /ip4/192.0.2.7/tcp/31330/p2p/16Uiu2HA…",
            )
    return JoinToken(
        token.run, token.contracts, tuple(bootnodes) or token.bootnodes, tuple(rpc) or token.rpc, token.model_name
    )
