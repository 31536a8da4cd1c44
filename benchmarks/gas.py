"""Gas of everything that a run of 1,000 peers asks of the chain, measured on a dev chain of its own.

    python benchmarks/gas.py [--json] [--peers N]

All of them are really there, registered, staked and enrolled. Rounds are posted with signatures of members that the
contracts really drew, by a member that they drew. ``gas_per_peer_round`` is everything that ten rounds cost, one of
them ended by its deadline, for each of 1,000 peers, and a payout every 100 rounds: the claims of every single peer, as
the program hands them in, by turns for a group at once (``rewards.payouts``). The figure for claims one by one stands
next to it. ``claim_gas`` is one claim alone against a table of 65,536 lines (16 siblings), in a wallet that was paid
before. The last line of stdout is one JSON object: ``gas`` by call, ``known`` (the same for the system that this one is
compared with), ``criteria``. The limit on reading the clock is in CPU time, the gate's included: peers do it several
times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gas_bench import (
    EPOCH_ROUNDS,
    MICRO,
    NUM_PEERS,
    QUORUM,
    ROUND_S,
    Bench,
    Member,
    credit_table,
    open_bench,
    open_epoch,
    pay_out,
    play_round,
    round_to,
)
from benchmarks.swarm_runs import criterion
from chain.abi import function
from chain.base import Claim, Epoch
from chain.gate import Gate
from chain.rpc import Rpc
from protocol.messages import CreditTable
from rewards.settlement import claim_intent

ROUNDS_BETWEEN_CLAIMS = 100
NUM_LINES_DEEP = 65_536
NUM_CLAIMS = 3
WARM_ROUNDS = 70
"""Until the contracts reuse the places of what they keep of past rounds: a run's first 64 cost 34,200 more each."""

NUM_READS = 50

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


async def measure(num_peers: int, folder: Path) -> dict[str, Any]:
    started_at = time.monotonic()
    async with open_bench(folder) as bench:
        members = [Member.numbered(number) for number in range(num_peers)]
        await bench.join_all(members[:-1])
        await bench.join(members[-1])  # what most pay: the first member also pays for places that nobody has used yet
        joined_s = time.monotonic() - started_at
        if num_peers < NUM_PEERS:
            await bench.pass_time(ROUND_S)
            await bench.send("advance", bench.creator, "RoundClock", "advance", 0)
        first = True
        for turn in range(1, WARM_ROUNDS + EPOCH_ROUNDS + 1):
            if turn == WARM_ROUNDS + 1:
                bench.spent.clear()
            round = await bench.read("RoundClock", "round")
            table = credit_table(members, round, turn * MICRO, NUM_PEERS)
            await play_round(bench, members, table, late=turn % EPOCH_ROUNDS == 5)
            if turn % EPOCH_ROUNDS:
                continue
            epoch = await open_epoch(bench)
            if first:  # whose wallet holds nothing yet costs more
                await bench.do("claim_first", members[0].signer, _alone(table, epoch, members[0]))
            if first or turn > WARM_ROUNDS:
                bench.spent["claim_many"] = 0
                groups = await pay_out(bench, members, table, epoch)
            if turn == WARM_ROUNDS + EPOCH_ROUNDS:
                spent = dict(bench.spent)
            first = False
        singles = await _single_claims(bench, members, turn + 1, NUM_PEERS)
        deep = await _single_claims(bench, members, turn + 2, NUM_LINES_DEEP)
        cpu_ms = await clock_cpu_ms(bench.url, bench.at["Contributions"])
    per_round = sum(spent[name] for name in ("post", "post_late", "advance", "open_epoch")) / EPOCH_ROUNDS
    per_peer = {
        "single_claims": round_to(per_round / NUM_PEERS + singles[1] / ROUNDS_BETWEEN_CLAIMS),
        "claims_by_turns": round_to(per_round / NUM_PEERS + spent["claim_many"] / num_peers / ROUNDS_BETWEEN_CLAIMS),
    }
    values = {
        "gas_per_peer_round": per_peer["claims_by_turns"],
        "register_gas": bench.gas["register"],
        "claim_gas": deep[1],
        "clock_cpu_ms": cpu_ms,
    }
    return {
        "num_peers": num_peers,
        "joined_s": round_to(joined_s),
        "wall_s": round_to(time.monotonic() - started_at),
        "quorum": {"expected": QUORUM, "signatures": bench.signatures},
        "groups": groups,
        "proof_length": {"claims_by_turns": singles[0], "claim_gas": deep[0]},
        "gas_per_peer_round": per_peer,
        "gas_per_round": round_to(per_round),
        "gas": bench.gas,
        "known": KNOWN,
        "criteria": [
            criterion(name, value, LIMITS[name], "ms" if name.endswith("ms") else "gas")
            for name, value in values.items()
        ],
    }


async def _single_claims(bench: Bench, members: list[Member], credits: int, num_lines: int) -> tuple[int, int]:
    """Pay out a table of ``num_lines`` lines, and claim for a few one by one: the longest proof, and the most gas."""
    round = covered = await bench.read("RoundClock", "round")
    table = credit_table(members, round, credits * MICRO, num_lines)
    await play_round(bench, members, table, late=False)
    while (round := await bench.read("RoundClock", "round")) < covered + EPOCH_ROUNDS:
        await bench.pass_time(ROUND_S)
        await bench.send("wait", bench.creator, "RoundClock", "advance", round)
    epoch = await open_epoch(bench)
    costs, lengths = [], []
    for member in members[:NUM_CLAIMS]:
        alone = _alone(table, epoch, member)
        await bench.do("claim", member.signer, alone)
        costs.append(bench.gas["claim"])
        lengths.append(len(alone.proof))
    return max(lengths), max(costs)


def _alone(table: CreditTable, epoch: Epoch, member: Member) -> Claim:
    claim = claim_intent(table, member.peer, 0, epoch)
    assert claim is not None
    return claim


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
    parser.add_argument("--peers", type=int, default=NUM_PEERS, metavar="N", help="members that are really there")
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
