"""Gas and latency of everything a peer asks of the chain, measured on a dev chain of its own.

    python benchmarks/gas.py [--json] [--block-time SECONDS]

The last line of stdout is one JSON object: ``gas`` by call, ``latency_s`` by call (median), ``criteria``. The limit on
reading the clock is in CPU time, the gate's included: peers do it several times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from chain.base import Advance, Claim, Enrol, Intent, Receipt
from chain.deploy import Parameters, deploy
from chain.devchain import DevChain
from chain.gate import Faucet, Gate
from chain.keys import peer_key
from chain.rpc import Rpc
from chain.sender import Sender
from chain.web3_chain import Web3Chain
from protocol.merkle import MerkleTree
from tests.chain.players import Player, RsaPlayer, result, settle

NUM_PEERS = 7
NUM_LEAVES = 1024
NUM_READS = 50
LIMITS = {"settle_gas": 300_000, "claim_gas": 130_000, "clock_cpu_ms": 5.0}


async def measure(block_time_s: float, folder: Path) -> dict[str, Any]:
    gas: dict[str, int] = {}
    seconds: dict[str, list[float]] = defaultdict(list)
    chain = await DevChain.start(folder, block_time_s=block_time_s)
    node = Rpc([chain.url])
    gate = Gate(chain.url, faucet=Faucet(Sender(node, chain.account, 31337)))
    url = await gate.start()
    deployment = await deploy(
        chain.url, chain.account, folder / "deployment.json", Parameters(round_s=3600, start_members=NUM_PEERS + 1)
    )
    contracts, gas["deploy"] = deployment.contracts, deployment.gas
    players = [RsaPlayer("rsa"), *(Player(f"peer {number}") for number in range(NUM_PEERS))]
    chains = {player: Web3Chain([url], contracts, player.account) for player in players}

    async def send(name: str, player: Player, intent: Intent) -> Receipt:
        started = time.perf_counter()
        receipt = await chains[player].send(intent)
        seconds["send"].append(time.perf_counter() - started)
        gas[name] = receipt.gas
        return receipt

    for player in players:
        kind = "register_rsa" if isinstance(player, RsaPlayer) else "register_secp256k1"
        await send(kind, player, player.registration(contracts))
        await send("enrol" if player is not players[-1] else "enrol_and_open_round", player, Enrol(player.peer))
    signers = players[: len(players) // 2 + 1]
    previous, paid = "0" * 64, 0
    for turn in (1, 2, 3):
        credits = {player: 1_000_000 * turn for player in players}
        others = ((turn.to_bytes(32, "big"), number) for number in range(NUM_LEAVES - len(players)))
        tree = MerkleTree([*((peer_key(player.peer), micro) for player, micro in credits.items()), *others])
        outcome = result(turn, tree.root, sum(credits.values()), previous=previous)
        await send("settle_first" if turn == 1 else "settle", players[1], settle(contracts, outcome, *signers))
        previous, paid = tree.root, 1_000_000 * turn
        proof = tree.proof(peer_key(players[2].peer), paid)
        await send("claim_first" if turn == 1 else "claim", players[2], Claim(players[2].peer, paid, proof))
    await node.request("evm_increaseTime", hex(3600))
    await node.request("evm_mine")
    await send("advance", players[1], Advance(4))
    reader = chains[players[1]]
    for name, read in (("clock", reader.clock), ("peer", lambda: reader.peer(players[1].peer))):
        for _ in range(NUM_READS):
            started = time.perf_counter()
            await read()
            seconds[name].append(time.perf_counter() - started)
    started = time.process_time()
    for _ in range(NUM_READS):
        await reader.clock()
    cpu_ms = round(1000 * (time.process_time() - started) / NUM_READS, 2)
    for each in chains.values():
        await each.close()
    await gate.stop()
    await node.close()
    await chain.stop()
    latency = {name: round_to(statistics.median(values)) for name, values in seconds.items()}
    values = {"settle_gas": gas["settle"], "claim_gas": gas["claim"], "clock_cpu_ms": cpu_ms}
    criteria = [
        {
            "name": name,
            "value": value,
            "limit": LIMITS[name],
            "unit": name.split("_")[-1],
            "holds": value <= LIMITS[name],
        }
        for name, value in values.items()
    ]
    return {
        "num_peers": len(players),
        "num_signatures": len(signers),
        "num_leaves": NUM_LEAVES,
        "block_time_s": block_time_s,
        "gas": gas,
        "latency_s": latency,
        "criteria": criteria,
    }


def round_to(value: float) -> float:
    return round(value, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON object")
    parser.add_argument("--block-time", type=float, default=1.0, metavar="SECONDS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(options.block_time, Path(folder)))
    if not options.json:
        for name, value in report["gas"].items():
            print(f"{name:22} {value:>10,} gas")
        for name, value in report["latency_s"].items():
            print(f"{name:22} {value * 1000:>10,.1f} ms")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
