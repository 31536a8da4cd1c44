"""Why this module exists: one place says where everything of a swarm lies on disk.

HOME/join.yaml            how to join this swarm (written by the host)
HOME/resolved.yaml        the configuration in force, without secrets
HOME/questions/           question sets of runs that bring their own
HOME/host/                dev chain, its contracts and run, bootnode key, the host's events
HOME/peers/NAME/          one peer: swarm.pem, later signing keys, wallet, what it signed, events, state, journal
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from protocol.errors import ConfigError
from protocol.ids import Address, ContentId
from swarm.policy.disk import replace_file


@dataclass(frozen=True)
class PeerHome:
    """Paths of one peer. Nothing is created by asking for a path."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def key_file(self) -> Path:
        return self.root / "swarm.pem"

    @property
    def wallet_file(self) -> Path:
        return self.root / "wallet.json"

    @property
    def events_file(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def presence_file(self) -> Path:
        """When the peer said last that it is here."""
        return self.root / "presence.json"

    @property
    def config_file(self) -> Path:
        """Settings of this peer alone."""
        return self.root / "config.yaml"

    @property
    def dispute_orders(self) -> Path:
        """What ``swarm dispute`` asks the running peer for."""
        return self.root / "dispute-orders"

    @property
    def log_file(self) -> Path:
        return self.root / "peer.log"

    @property
    def transactions(self) -> Path:
        """The logs of what the wallet signed, one per chain."""
        return self.root / "transactions"

    def wallet_log(self, wallet: Address, chain_id: int, registry: Address) -> Path:
        """The log of what ``wallet`` signed for one chain. Private chains share a number: their registries differ."""
        return self.transactions / f"{chain_id}-{registry[2:10].lower()}-{wallet[2:10].lower()}.log"

    def run(self, run: ContentId) -> RunHome:
        return RunHome(self.root / "runs" / run[:16])


@dataclass(frozen=True)
class RunHome:
    """Paths of what one peer has in one run."""

    root: Path

    @property
    def states(self) -> Path:
        return self.root / "state"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def held(self) -> Path:
        return self.root / "held"

    @property
    def disputes(self) -> Path:
        return self.root / "disputes"

    @property
    def evidence(self) -> Path:
        """Who signed two contributions for one round, and both of them."""
        return self.root / "evidence"

    @property
    def outbox_file(self) -> Path:
        return self.root / "outbox.log"


@dataclass(frozen=True)
class Home:
    """Paths of a swarm's home directory."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """The platform's place for user data (XDG on Linux)."""
        return cls(Path(platformdirs.user_data_path("rl-swarm", appauthor=False)))

    @property
    def join_file(self) -> Path:
        return self.root / "join.yaml"

    @property
    def resolved_file(self) -> Path:
        return self.root / "resolved.yaml"

    @property
    def host(self) -> Path:
        return self.root / "host"

    @property
    def times_file(self) -> Path:
        """The times of runs that were founded here, where the model's speed decided them."""
        return self.host / "times.json"

    @property
    def questions(self) -> Path:
        return self.root / "questions"

    @property
    def peers(self) -> Path:
        return self.root / "peers"

    def peer(self, name: str) -> PeerHome:
        return PeerHome(self.peers / name)


def require_writable(home: Path) -> None:
    """Make the home directory. Raises ``ConfigError`` when it cannot be made or written to."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        problem = "" if os.access(home, os.W_OK | os.X_OK) else "it cannot be written to"
    except FileExistsError:
        problem = "it is not a directory"
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise ConfigError(
            f"The home directory {home} cannot be used: {problem}.",
            "Nothing was started: identity, credits and models are kept there.",
            "Correct its owner or mode, or choose another one with --home DIR.",
        )


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``data`` so that a crash leaves the old content or the new, never a part of either."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        replace_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
