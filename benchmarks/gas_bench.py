"""Why this module exists: gas is measured, and contracts are tested, on a run with real members that really sign.

One account holds all members; rounds are posted with the signatures of those that the contracts drew.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_hash.auto import keccak

from chain.abi import deployment_data, function
from chain.base import Contracts, Epoch, EpochState, Intent
from chain.devchain import CHAIN_ID, DevChain
from chain.keys import address_of_public_key, compact_signature, peer_key, peer_of_secp256k1, public_key_xy, sign_digest
from chain.reverts import contract_error
from chain.rpc import Rpc, RpcRefused, quantity
from chain.transactions import transaction
from chain.typed_data import registration_digest
from protocol.codec import content_id
from protocol.ids import Address, ContentId, PeerId
from protocol.messages import CreditRow, CreditTable
from rewards.ledger import credits_tree, total_micro
from rewards.payouts import Group, claims, group_of

NUM_PEERS = 1000
QUORUM = 24
EPOCH_ROUNDS = 10
JOIN_AT_ONCE = 100
ROUND_S = 60
POSTER_S = 10
MAX_POLLS = 10_000
MICRO = 10**6
WEI = 10**18
FLOAT = 10**7 * WEI
GAS_LIMIT = hex(16_000_000)

BLOCK_GAS_LIMIT = hex(10**9)
"""Many join in one block, so that there is no waiting for each."""

DISPUTES = (3600, 600, 5 * MICRO)
"""Seconds for a trace and for each later move, and the bond."""

TIMES = (EPOCH_ROUNDS, 100, 100, 1100, 100)
RULES = (ROUND_S, NUM_PEERS, 10, QUORUM, POSTER_S, *TIMES, 10, 10 * MICRO, MICRO, 10**6 * MICRO, *DISPUTES)


PARTS = (
    *("RoundClock", "Contributions", "Settlement", "StakeVault"),
    *("Reputation", "Equivocation", "DisputeGame", "DataRequests"),
)
JOINING_GAS_LIMIT = 300_000


@dataclass
class Member:
    """A peer whose wallet is the account that also signs."""

    secret: bytes
    peer: PeerId
    signer: str

    @classmethod
    def numbered(cls, number: int) -> Member:
        secret = keccak(b"gas %d" % number)
        public_key = PrivateKey(secret).public_key.format()
        return cls(secret, peer_of_secp256k1(public_key), address_of_public_key(public_key))

    @property
    def key(self) -> bytes:
        return peer_key(self.peer)


@dataclass
class Bench:
    """One run on one chain. ``gas``: of the last transaction by name; ``spent``: of all since it was cleared."""

    node: Rpc
    creator: str
    url: str
    gas: dict[str, int] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    at: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, int] = field(default_factory=dict)

    async def transact(self, name: str, sender: str, to: str | None, data: str) -> dict[str, Any]:
        """Send from an account whose key anvil does not need, in a block of its own. Raises when it is refused."""
        call = {"from": sender, "data": data, "gas": GAS_LIMIT} | ({"to": to} if to else {})
        transaction = await self.node.request("eth_sendTransaction", call)
        for _ in range(MAX_POLLS):
            receipt = await self.node.request("eth_getTransactionReceipt", transaction)
            if receipt is not None:
                break
            await asyncio.sleep(0.001)
        if receipt["status"] != "0x1":
            await self.node.request("eth_call", call, "latest")
            raise RuntimeError(f"{name} was refused.")
        self.gas[name] = quantity(receipt["gasUsed"])
        self.spent[name] += self.gas[name]
        return receipt

    async def send(self, name: str, sender: str, contract: str, verb: str, *arguments: object) -> None:
        await self.transact(name, sender, self.at[contract], function(contract, verb).call_data(*arguments))

    async def read(self, contract: str, view: str, *arguments: object) -> Any:
        called = function(contract, view)
        data = called.call_data(*arguments)
        return called.result(await self.node.request("eth_call", {"to": self.at[contract], "data": data}, "latest"))

    async def pass_time(self, seconds: int) -> None:
        await self.node.request("evm_increaseTime", hex(seconds))
        await self.node.request("evm_mine")

    async def deploy(self) -> None:
        base = await self.transact("deploy_base", self.creator, None, deployment_data("SwarmBase", self.creator, FLOAT))
        courts = await self.transact(
            "deploy_courts", self.creator, None, deployment_data("SwarmCourts", base["contractAddress"])
        )
        rest = await self.transact(
            "deploy_rest",
            self.creator,
            None,
            deployment_data("SwarmDeployment", base["contractAddress"], courts["contractAddress"]),
        )
        self.at["SwarmDeployment"] = rest["contractAddress"]
        for contract, view in (("PeerRegistry", "REGISTRY"), ("SwarmToken", "TOKEN"), ("RunFactory", "FACTORY")):
            self.at[contract] = await self.read("SwarmDeployment", view)
        budget = 10**6 * MICRO
        await self.send("approve", self.creator, "SwarmToken", "approve", self.at["RunFactory"], budget * 10**12)
        arguments = (bytes([7] * 32), bytes([1] * 32), bytes([2] * 32), "gas", RULES, budget)
        await self.send("create_run", self.creator, "RunFactory", "createRun", *arguments)
        parts = await self.read("RunFactory", "addressesOf", self.creator, bytes([7] * 32))
        self.at |= dict(zip(PARTS, parts, strict=False))

    @property
    def contracts(self) -> Contracts:
        names = ("PeerRegistry", "SwarmToken", "RunFactory", *PARTS)
        return Contracts(CHAIN_ID, *(Address(self.at[name]) for name in names))

    async def join(self, member: Member) -> None:
        """Make somebody a member, each step in a block of its own."""
        await self.node.request("anvil_setBalance", member.signer, hex(WEI))
        for step in self._joining(member):
            await self.send(*step)

    async def join_all(self, members: list[Member]) -> None:
        """Make many members, a block for each step of a good number of them. Raises when one is refused."""
        await self.node.request("evm_setBlockGasLimit", BLOCK_GAS_LIMIT)
        await self.node.request("evm_setAutomine", False)
        for some in (members[at : at + JOIN_AT_ONCE] for at in range(0, len(members), JOIN_AT_ONCE)):
            await asyncio.gather(*(self.node.request("anvil_setBalance", member.signer, hex(WEI)) for member in some))
            for steps in zip(*map(self._joining, some), strict=True):
                calls = [
                    {"from": sender, "to": self.at[part], "data": function(part, verb).call_data(*arguments)}
                    for _, sender, part, verb, *arguments in steps
                ]
                limits = {"gas": hex(JOINING_GAS_LIMIT)}
                sent = [await self.node.request("eth_sendTransaction", call | limits) for call in calls]
                await self.node.request("evm_mine")
                for name in sent:
                    receipt = await self.node.request("eth_getTransactionReceipt", name)
                    if receipt is None or receipt["status"] != "0x1":
                        raise RuntimeError(f"{steps[0][0]} was refused or not mined.")
        await self.node.request("evm_setAutomine", True)

    def _joining(self, member: Member) -> list[tuple[Any, ...]]:
        """Name, sender, contract, verb and arguments of each step."""
        xy = public_key_xy(PrivateKey(member.secret).public_key.format())
        digest = registration_digest(self.contracts, member.peer, Address(member.signer), Address(member.signer))
        proof = compact_signature(sign_digest(member.secret, digest))
        me, stake = member.signer, 10 * WEI
        return [
            ("register", me, "PeerRegistry", "registerSecp256k1", xy[:32], xy[32:], 0, *proof),
            ("transfer", self.creator, "SwarmToken", "transfer", me, stake),
            ("approve", me, "SwarmToken", "approve", self.at["StakeVault"], stake),
            ("stake", me, "StakeVault", "deposit", member.key, stake, bytes(32)),
            ("enrol", me, "RoundClock", "enrol", member.key),
        ]

    async def do(self, name: str, sender: str, intent: Intent) -> None:
        """Send what the program would send for ``intent``."""
        contract, data = transaction(self.contracts, intent)
        await self.transact(name, sender, contract, data)


def drawn(members: list[Member], seed: bytes, domain: bytes, round: int, expected: int) -> list[Member]:
    """Those of equally heavy members whom the contract draws, ordered by account."""
    limit = (2**256 - 1) // len(members) * expected
    head, tail = seed + domain + round.to_bytes(32, "big"), bytes(12)
    chosen = [m for m in members if int.from_bytes(keccak(head + tail + bytes.fromhex(m.signer[2:])), "big") < limit]
    return sorted(chosen, key=lambda member: int(member.signer, 16))


def credit_table(members: list[Member], round: int, micro: int, num_lines: int) -> CreditTable:
    """Everybody earned ``micro``, and contributed until now. Filled up with strangers who earned nothing."""
    state = content_id(b"state")
    rows = [CreditRow(member.peer, micro, round, state, last_round=round) for member in members]
    strangers = (Member.numbered(-1 - number) for number in range(num_lines - len(members)))
    rows += [CreditRow(member.peer, 0, 0, state) for member in strangers]
    return CreditTable(content_id(b"run"), round, tuple(sorted(rows, key=lambda row: row.peer)))


async def play_round(bench: Bench, members: list[Member], table: CreditTable, *, late: bool) -> None:
    """Post the result of the current round, as soon as a poster and enough attesters are drawn.

    ``late``: the round ends by its deadline before that, so twice as many are asked to sign.
    """
    round = await bench.read("RoundClock", "round")
    for _ in range(2):
        await bench.node.request("evm_mine")
    seed = await bench.read("RoundClock", "seedOf", round)
    previous = await bench.read("Contributions", "creditsRoot")
    root = bytes.fromhex(credits_tree(table).root)
    result = (round, keccak(b"c%d" % round), keccak(b"t%d" % round), previous, root, total_micro(table))
    digest = await bench.read("Contributions", "resultDigest", result)
    while True:
        if late and await bench.read("RoundClock", "round") == round:
            await bench.pass_time(ROUND_S)
            await bench.send("advance", bench.creator, "RoundClock", "advance", round)
        num_posters, num_attesters = await bench.read("RoundClock", "expectedDraws", round)
        posters = drawn(members, seed, keccak(b"poster"), round, num_posters)
        num_needed = needed(num_attesters, len(members))
        attesters = drawn(members, seed, keccak(b"quorum"), round, num_attesters)[:num_needed]
        if posters and len(attesters) == num_needed:
            signatures = [compact_signature(sign_digest(member.secret, digest)) for member in attesters]
            name, poster = "post_late" if late else "post", posters[0]
            try:
                await bench.send(name, poster.signer, "Contributions", "post", result, poster.key, signatures)
            except RpcRefused as refused:
                if contract_error(refused).reason != "QuorumMissing":
                    raise
                continue  # so much time passed since the draw was read that more are asked by now
            bench.signatures[name] = len(signatures)
            return
        await bench.pass_time(POSTER_S)


async def open_epoch(bench: Bench) -> Epoch:
    """Open an epoch and let it unlock. The round went on meanwhile, so the next one begins afresh."""
    await bench.send("open_epoch", bench.creator, "Settlement", "openEpoch")
    await bench.pass_time(200)
    await bench.send("skip", bench.creator, "RoundClock", "advance", await bench.read("RoundClock", "round"))
    number = await bench.read("Settlement", "numEpochs") - 1
    found = await bench.read("Settlement", "epochs", number)
    root = ContentId(found[1].hex())
    return Epoch(number, found[0], root, found[2], found[3], found[4], EpochState.FINAL, root)


def round_to(value: float) -> float:
    return round(value, 1)


def needed(expected: int, num_members: int) -> int:
    """Signatures that a result needs while the draw takes in ``expected`` members, all of them equally heavy."""
    return num_members // 2 + 1 if expected >= num_members else (2 * expected + 2) // 3


@asynccontextmanager
async def open_bench(folder: Path) -> AsyncIterator[Bench]:
    """The contracts and one run on a dev chain of its own, which mines when it is told to."""
    chain = await DevChain.start(folder, block_time_s=1000)
    node = Rpc([chain.url])
    try:
        await node.request("evm_setIntervalMining", 0)
        await node.request("evm_setAutomine", True)
        await node.request("anvil_autoImpersonateAccount", True)
        bench = Bench(node, chain.account.address, chain.url)
        await bench.deploy()
        yield bench
    finally:
        await node.close()
        await chain.stop()


async def pay_out(bench: Bench, members: list[Member], table: CreditTable, epoch: Epoch) -> list[int]:
    """Everybody's claims, as the program groups them; how many peers each transaction was for."""
    by_peer = {member.peer: member for member in members}
    groups: list[Group] = []
    for member in members:
        if not any(member.peer in group.peers for group in groups):
            groups.append(group_of(table, member.peer, epoch.number))
    for group in groups:
        payer = group.payers[0]
        intent = claims(table, epoch, payer, dict.fromkeys(group.peers, 0))
        assert intent is not None
        await bench.do("claim_many", by_peer[payer].signer, intent)
    return [len(group.peers) for group in groups]
