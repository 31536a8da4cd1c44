"""Gas of everything that a run of 1,000 peers asks of the chain, measured on a dev chain of its own.

    python benchmarks/gas.py [--json] [--peers N]

A part of them is really there (--peers), registered, staked and enrolled; the table of credits has 1,000 lines. Rounds
are posted with signatures of members that the contracts really drew, by a member that they drew.
``gas_per_peer_round`` is everything that ten rounds cost, one of them ended by its deadline, for each of 1,000 peers,
and a claim every 100 rounds. The criterion is about claims that somebody hands in for 50 peers at once (``claimMany``
lets anybody do that); the figure for claims one by one stands next to it. The last line of stdout is one JSON object:
``gas`` by call, ``known`` (the same for the system that this one is compared with), ``criteria``. The limit on reading
the clock is in CPU time, the gate's included: peers do it several times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_hash.auto import keccak

from benchmarks.swarm_runs import criterion
from chain.abi import deployment_data, function
from chain.devchain import DevChain
from chain.gate import Gate
from chain.keys import address_of_public_key, compact_signature, peer_key, peer_of_secp256k1, public_key_xy, sign_digest
from chain.rpc import Rpc, quantity
from protocol.ids import PeerId, peer_id_bytes
from protocol.merkle import MerkleTree

NUM_PEERS = 1000
NUM_MEMBERS = 150
"""Members that are really there: what a call costs depends on the quorum and on the table's length, not on them."""

QUORUM = 24
EPOCH_ROUNDS = 10
ROUNDS_BETWEEN_CLAIMS = 100
NUM_CLAIMS = 3
CLAIM_BATCH = 50
WARM_ROUNDS = 70
"""Until the contracts reuse the places of what they keep of past rounds: a run's first 64 cost 34,200 more each."""

ROUND_S = 60
POSTER_S = 10
NUM_READS = 50
MAX_POLLS = 10_000
MICRO = 10**6
WEI = 10**18
FLOAT = 10**7 * WEI
GAS_LIMIT = hex(16_000_000)

LIMITS = {"gas_per_peer_round": 800, "register_gas": 130_000, "claim_gas": 70_000, "clock_cpu_ms": 5.0}

KNOWN = {
    "register_first_of_wallet": 141_717,
    "register": 124_617,
    "submit_reward": 91_748,
    "submit_winners_1": 140_176,
    "submit_winners_3": 291_649,
    "update_stage_and_round": 38_908,
    "gas_per_peer_round": 231_963,
}
"""SwarmCoordinator (rl-swarm, commit 4a753915) behind its proxy, optimizer at a million runs, 46-character peer ids; a
peer calls submitReward and submitWinners every round."""

DISPUTES = (3600, 600, 5 * MICRO)
"""Seconds for a trace and for each later move, and the bond."""

TIMES = (EPOCH_ROUNDS, 100, 100, 1000, 100)
RULES = (ROUND_S, NUM_PEERS, 10, QUORUM, POSTER_S, *TIMES, 10, 10 * MICRO, MICRO, 10**6 * MICRO, *DISPUTES)


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
        names = ("RoundClock", "Contributions", "Settlement", "StakeVault", "Reputation", "Equivocation", "DisputeGame")
        self.at |= dict(zip(names, parts, strict=False))

    async def join(self, member: Member) -> None:
        xy = public_key_xy(PrivateKey(member.secret).public_key.format())
        digest = await self.read(
            "PeerRegistry", "registrationDigest", peer_id_bytes(member.peer), member.signer, member.signer, 0
        )
        proof = compact_signature(sign_digest(member.secret, digest))
        await self.send("register", member.signer, "PeerRegistry", "registerSecp256k1", xy[:32], xy[32:], 0, *proof)
        stake = 10 * WEI
        await self.send("transfer", self.creator, "SwarmToken", "transfer", member.signer, stake)
        await self.send("approve", member.signer, "SwarmToken", "approve", self.at["StakeVault"], stake)
        await self.send("stake", member.signer, "StakeVault", "deposit", member.key, stake, bytes(32))
        await self.send("enrol", member.signer, "RoundClock", "enrol", member.key)


def drawn(members: list[Member], seed: bytes, domain: bytes, round: int, expected: int) -> list[Member]:
    """Those of equally heavy members whom the contract draws, ordered by account."""
    limit = (2**256 - 1) // len(members) * expected
    head, tail = seed + domain + round.to_bytes(32, "big"), bytes(12)
    chosen = [m for m in members if int.from_bytes(keccak(head + tail + bytes.fromhex(m.signer[2:])), "big") < limit]
    return sorted(chosen, key=lambda member: int(member.signer, 16))


async def play_round(
    bench: Bench, members: list[Member], micro: int, *, late: bool
) -> tuple[MerkleTree, dict[bytes, int]]:
    """Post the result of the current round, as soon as a poster and enough attesters are drawn.

    ``late``: the round ends by its deadline before that, so twice as many are asked to sign.
    """
    round = await bench.read("RoundClock", "round")
    for _ in range(2):
        await bench.node.request("evm_mine")
    seed = await bench.read("RoundClock", "seedOf", round)
    lines = {member.key: micro << 192 | 500 << 176 | round << 136 | round << 96 for member in members}
    absent = ((keccak(b"absent %d" % number), number) for number in range(NUM_PEERS - len(members)))
    tree = MerkleTree([*lines.items(), *absent])
    previous = await bench.read("Contributions", "creditsRoot")
    root = bytes.fromhex(tree.root)
    result = (round, keccak(b"c%d" % round), keccak(b"t%d" % round), previous, root, micro * len(members))
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
            break
        await bench.pass_time(POSTER_S)
    signatures = [compact_signature(sign_digest(member.secret, digest)) for member in attesters]
    name = "post_late" if late else "post"
    await bench.send(name, posters[0].signer, "Contributions", "post", result, posters[0].key, signatures)
    bench.signatures[name] = len(signatures)
    return tree, lines


def needed(expected: int, num_members: int) -> int:
    """Signatures that a result needs while the draw takes in ``expected`` members, all of them equally heavy."""
    return num_members // 2 + 1 if expected >= num_members else (2 * expected + 2) // 3


async def measure(num_peers: int, folder: Path) -> dict[str, Any]:
    chain = await DevChain.start(folder, block_time_s=1000)
    node = Rpc([chain.url])
    await node.request("evm_setIntervalMining", 0)
    await node.request("evm_setAutomine", True)
    await node.request("anvil_autoImpersonateAccount", True)
    bench = Bench(node, chain.account.address)
    await bench.deploy()
    members = [Member.numbered(number) for number in range(num_peers)]
    for member in members:
        await node.request("anvil_setBalance", member.signer, hex(WEI))
        await bench.join(member)
    if num_peers < NUM_PEERS:
        await bench.pass_time(ROUND_S)
        await bench.send("advance", bench.creator, "RoundClock", "advance", 0)
    epochs = 0
    claims: list[int] = []
    for turn in range(1, WARM_ROUNDS + EPOCH_ROUNDS + 1):
        if turn == WARM_ROUNDS + 1:
            bench.spent.clear()
        tree, lines = await play_round(bench, members, turn * MICRO, late=turn % EPOCH_ROUNDS == 5)
        if turn % EPOCH_ROUNDS:
            continue
        await bench.send("open_epoch", bench.creator, "Settlement", "openEpoch")
        await bench.pass_time(200)
        rows = [(key, value, [bytes.fromhex(node) for node in tree.proof(key, value)]) for key, value in lines.items()]
        for member, (key, value, proof) in list(zip(members, rows, strict=True))[:NUM_CLAIMS]:
            name = "claim" if epochs else "claim_first"
            await bench.send(name, member.signer, "Settlement", "claim", key, value, epochs, proof)
            claims = [*claims, bench.gas[name]] if epochs else claims
        batch = rows[NUM_CLAIMS : NUM_CLAIMS + CLAIM_BATCH]
        await bench.send("claim_many", bench.creator, "Settlement", "claimMany", epochs, batch)
        epochs += 1
        # The round went on while this waited for the epoch to unlock; the next one to be measured begins afresh.
        await bench.send("skip", bench.creator, "RoundClock", "advance", await bench.read("RoundClock", "round"))
    per_round = sum(bench.spent[name] for name in ("post", "post_late", "advance", "open_epoch")) / EPOCH_ROUNDS
    claim = max(claims)
    cpu_ms = await clock_cpu_ms(chain.url, bench.at["Contributions"])
    await node.close()
    await chain.stop()
    batched = bench.gas["claim_many"] / len(batch)
    per_peer = {
        "single_claims": round(per_round / NUM_PEERS + claim / ROUNDS_BETWEEN_CLAIMS, 1),
        "claims_of_50_at_once": round(per_round / NUM_PEERS + batched / ROUNDS_BETWEEN_CLAIMS, 1),
    }
    values = {
        "gas_per_peer_round": per_peer["claims_of_50_at_once"],
        "register_gas": bench.gas["register"],
        "claim_gas": claim,
        "clock_cpu_ms": cpu_ms,
    }
    return {
        "num_peers": num_peers,
        "quorum": {"expected": QUORUM, "signatures": bench.signatures},
        "proof_length": max(len(proof) for _, _, proof in rows),
        "gas_per_peer_round": per_peer,
        "gas_per_round": round(per_round),
        "gas": bench.gas,
        "known": KNOWN,
        "criteria": [
            criterion(name, value, LIMITS[name], "ms" if name.endswith("ms") else "gas")
            for name, value in values.items()
        ],
    }


async def clock_cpu_ms(url: str, contributions: str) -> float:
    """CPU time of reading the clock once through a gate, in milliseconds."""
    gate = Gate(url)
    node = Rpc([await gate.start()])
    snapshot = function("Contributions", "snapshot")
    call = {"to": contributions, "data": snapshot.call_data()}
    samples = []
    for _ in range(NUM_READS):
        started = time.process_time()
        snapshot.result(await node.request("eth_call", call, "latest"))
        samples.append(time.process_time() - started)
    await node.close()
    await gate.stop()
    return round(1000 * statistics.median(samples), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--peers", type=int, default=NUM_MEMBERS, metavar="N", help="members that are really there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(options.peers, Path(folder)))
    if not options.json:
        for name, value in report["gas"].items():
            print(f"{name:16} {value:>12,} gas")
        for name, value in report["known"].items():
            print(f"{'known ' + name:32} {value:>12,} gas")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
