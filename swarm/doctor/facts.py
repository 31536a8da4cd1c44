"""Why this module exists: what the doctor knows is plain data, so that every fault can be written down in a test.

Sizes are bytes, times unix seconds, durations in milliseconds where the name ends in ``_ms``. ``None``: not known.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from chain.base import Balance, PeerRecord
from protocol.ids import Address, PeerId
from protocol.messages import WIRE_VERSION
from protocol.run import JoinToken


class Facts(msgspec.Struct, frozen=True):
    """Base of all facts."""


class Package(Facts, frozen=True):
    """A library that this program is tested with. ``wanted`` empty: any version."""

    name: str
    wanted: str
    found: str | None


class ModelFacts(Facts, frozen=True):
    """The model that is to be trained, read from its files alone. ``problem``: why it cannot be used, in words.
    ``stored``: bytes of weights that are widened while they are read (0: they are float32 already). ``family``: the
    ``model_type`` of ``config.json``."""

    name: str
    problem: str = ""
    is_download: bool = False
    num_params: int | None = None
    num_layers: int = 0
    hidden: int = 0
    feed_forward: int = 0
    vocabulary: int = 0
    stored: int = 0
    family: str = ""


class MachineFacts(Facts, frozen=True):
    """``python``: major and minor. ``device``: the one of the settings; ``devices``: those that torch can use here.
    ``home_problem``: why the home cannot be written. ``daemon_problem``: why p2pd cannot be started."""

    python: tuple[int, int]
    packages: tuple[Package, ...]
    device: str
    devices: tuple[str, ...]
    num_cores: int
    ram_total: int
    ram_free: int
    vram_free: int | None
    disk_free: int
    open_files: int
    home: str
    home_problem: str = ""
    daemon_problem: str = ""


class IdentityFacts(Facts, frozen=True):
    """One peer's files. ``exists``: there is a key file. ``problem``, ``fix``: of key, marker or signing keys, as the
    peer itself would say it at its start; ``wallet_problem``, ``wallet_fix`` likewise. ``running_pid``: of the process
    that runs this peer now. ``backup_keys``: signing keys in the last backup."""

    name: str
    exists: bool
    peer: PeerId | None = None
    key_type: str = ""
    key_mode: int = 0o600
    problem: str = ""
    fix: str = ""
    wallet: Address | None = None
    wallet_is_open: bool | None = None
    wallet_problem: str = ""
    wallet_fix: str = ""
    backup_at: float | None = None
    backup_keys: int = 0
    num_keys: int = 0
    accounts: tuple[Address, ...] = ()
    is_restored: bool = False
    running_pid: int | None = None


class BootnodeFacts(Facts, frozen=True):
    """How far one bootnode was reached. ``steps``: those that went well, with their duration; ``failed``: the one that
    did not (``address``, ``tcp``, ``handshake``, ``dht``), empty when all did. ``clock_ahead_s``: its clock minus ours.
    ``speaks``: the wire version that it answers in, where it is another one."""

    address: str
    steps: tuple[tuple[str, float], ...] = ()
    failed: str = ""
    detail: str = ""
    reachable: bool = False
    clock_ahead_s: float | None = None
    speaks: int | None = None


class NetworkFacts(Facts, frozen=True):
    """``not_asked``: why nobody was asked. ``problem``: why this machine itself cannot listen. ``listens_publicly``:
    others than this machine may dial it. ``num_peers``: others that announce themselves in the run; ``rejected``:
    records that were refused, by reason."""

    bootnodes: tuple[BootnodeFacts, ...] = ()
    not_asked: str = ""
    problem: str = ""
    fix: str = ""
    listens_publicly: bool = False
    addresses: tuple[str, ...] = ()
    num_peers: int = 0
    rejected: tuple[tuple[str, int], ...] = ()
    wire_version: int = WIRE_VERSION


class EndpointFacts(Facts, frozen=True):
    """One RPC endpoint; ``shown``: without what may be a key. ``head_at``: time of its latest block."""

    shown: str
    problem: str = ""
    took_ms: float | None = None
    chain_id: int | None = None
    head: int | None = None
    head_at: int | None = None


class ChainFacts(Facts, frozen=True):
    """``not_asked``: why nothing was asked. ``now``: this machine's clock when it was. ``codes``: for each contract of
    the run whether there is code at its address. ``domain``: name and version by which the registry signs.
    ``problem``: why the contracts are not the run's. ``is_registered`` ``None``: it could not be asked."""

    endpoints: tuple[EndpointFacts, ...] = ()
    not_asked: str = ""
    now: float = 0.0
    wanted_chain_id: int = 0
    codes: tuple[tuple[str, bool], ...] = ()
    domain: tuple[str, str] | None = None
    problem: str = ""
    is_registered: bool | None = None
    record: PeerRecord | None = None
    balance: Balance | None = None
    gas_price_wei: int | None = None
    min_stake_micro: int = 0
    has_faucet: bool = False
    round: int | None = None
    ends_at: int = 0


class Batch(Facts, frozen=True):
    """What the estimates depend on: the engine, and the rank of the adapters that are trained (0: all weights;
    ``None``: as the model's size suggests). In tokens: the longest ``sequence`` of prompt and completion, about, and
    the longest ``completion``; ``prompts``: how many are drawn from at once. ``processes``: that take a training step
    together."""

    engine: str
    num_holders: int
    lora_rank: int | None = None
    sequence: int = 512
    completion: int = 72
    prompts: int = 32
    processes: int = 1


class MachineProbe(Protocol):
    def look(self) -> MachineFacts: ...

    def model(self) -> ModelFacts: ...


class IdentityProbe(Protocol):
    def look(self) -> IdentityFacts: ...


class NetworkProbe(Protocol):
    async def look(self, token: JoinToken) -> NetworkFacts: ...


class ChainProbe(Protocol):
    async def look(self, token: JoinToken, identity: IdentityFacts) -> ChainFacts: ...
