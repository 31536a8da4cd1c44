"""Why this module exists: every fault is one field away from a machine where all is well, so that one is shipped.

Probes that answer with given facts, and the facts of a sound machine, peer, network and chain.
"""

from __future__ import annotations

from chain.base import Balance, PeerRecord
from protocol.ids import Address, PeerId
from protocol.run import JoinToken
from swarm.doctor.checks_machine import GIB
from swarm.doctor.facts import (
    Batch,
    BootnodeFacts,
    ChainFacts,
    EndpointFacts,
    IdentityFacts,
    MachineFacts,
    ModelFacts,
    NetworkFacts,
    Package,
)

NOW = 1_800_000_000.0
PEER = PeerId("16Uiu2HAmBfYxHPSfCDPyCUdhb8jfEPorQap3m3Xwd4zSko98d4r6")
WALLET = Address("0x7622AC0a38D4dde697E408cEB3b50a4C2209a9E4")
SIGNER = Address("0x9a9c2ef151ec4B6a3468480C272224eA607ca4fb")

MACHINE = MachineFacts(
    python=(3, 11),
    packages=(Package("torch", "2.13.0", "2.13.0+cpu"), Package("web3", "", "8.0.0")),
    device="cpu",
    devices=("cpu",),
    num_cores=4,
    ram_total=16 * GIB,
    ram_free=12 * GIB,
    vram_free=None,
    disk_free=100 * GIB,
    open_files=1024,
    home="/home/ada/swarm",
)
MODEL = ModelFacts("tiny", num_params=3_000_000, num_layers=4, hidden=192, feed_forward=512, vocabulary=2048)
BATCH = Batch(engine="exact", num_holders=2)
IDENTITY = IdentityFacts(
    name="1",
    exists=True,
    peer=PEER,
    key_type="secp256k1",
    wallet=WALLET,
    wallet_is_open=True,
    backup_at=NOW - 86_400,
    accounts=(SIGNER,),
)
BOOTNODE = BootnodeFacts(
    address=f"/ip4/203.0.113.7/tcp/31330/p2p/{PEER}",
    steps=(("tcp", 12.0), ("handshake", 31.0), ("dht", 9.0)),
    reachable=True,
    clock_ahead_s=0.1,
)
NETWORK = NetworkFacts(bootnodes=(BOOTNODE,), listens_publicly=True, addresses=("/ip4/…",), num_peers=3)
ENDPOINT = EndpointFacts("https://rpc.example", took_ms=40.0, chain_id=84532, head=1000, head_at=int(NOW) - 2)
CHAIN = ChainFacts(
    endpoints=(ENDPOINT,),
    now=NOW,
    wanted_chain_id=84532,
    codes=(("registry", True), ("clock", True), ("settlement", True)),
    domain=("RL Swarm", "1"),
    is_registered=True,
    record=PeerRecord(PEER, WALLET, SIGNER, True, 0, stake_micro=25_000_000, weight=1),
    balance=Balance(gas_wei=10**18, token_wei=10**18),
    gas_price_wei=10**7,
    min_stake_micro=25_000_000,
    round=12,
)


class SoundMachine:
    """``MachineProbe`` that says what it was told."""

    def __init__(self, machine: MachineFacts = MACHINE, model: ModelFacts = MODEL) -> None:
        self._machine, self._model = machine, model

    def look(self) -> MachineFacts:
        return self._machine

    def model(self) -> ModelFacts:
        return self._model


class SoundIdentity:
    """``IdentityProbe`` likewise."""

    def __init__(self, identity: IdentityFacts = IDENTITY) -> None:
        self._identity = identity

    def look(self) -> IdentityFacts:
        return self._identity


class SoundNetwork:
    """``NetworkProbe`` likewise."""

    def __init__(self, network: NetworkFacts = NETWORK) -> None:
        self._network = network

    async def look(self, token: JoinToken) -> NetworkFacts:
        return self._network


class SoundChain:
    """``ChainProbe`` likewise."""

    def __init__(self, chain: ChainFacts = CHAIN) -> None:
        self._chain = chain

    async def look(self, token: JoinToken, identity: IdentityFacts) -> ChainFacts:
        return self._chain
