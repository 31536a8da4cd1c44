"""Why this module exists: real chain, real processes, real ``kill -9``; and an audit that trusts none of them.

The audit reads blocks and receipts from the node itself, with nothing of the program under test but the ABI.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest import mock

import msgspec

from chain import devchain
from chain.base import WEI_PER_MICRO, Contracts
from chain.deploy import deploy
from chain.devchain import DevChain, anvil_command
from chain.gate import Faucet, Gate, GateLimits, Tokens
from chain.nonces import read_entries
from chain.rpc import Rpc
from chain.run_deploy import Founding, create_run
from chain.sender import Sender
from chain.web3_chain import Web3Chain
from rewards.items import State
from rewards.outbox import Outbox
from tests.chain.players import content
from tests.chaos import game
from tests.chaos.actor import Orders

ROOT = Path(__file__).resolve().parents[2]
BLOCK_TIME_S = 0.2
LATE = 240
"""An actor that joins, or that opens an epoch, waits for it and claims its pay, has passed so many points."""

SOON = 6
"""So many points after a broadcast, most transactions are not mined yet."""

MINES_S, STALLS_S = 3.0, 4.0

LIMITS = GateLimits(calls_per_s=2000, burst=4000)


class Stage:
    """A dev chain with a gate and the game's contracts, in ``folder``; actors are started on it."""

    def __init__(self, folder: Path, *, can_reorganise: bool = False) -> None:
        self.folder = folder
        self.stop = folder / "stop"
        self.num_node_kills = 0
        self._can_reorganise = can_reorganise
        self.deaths: Counter[int] = Counter()
        self.told: list[str] = []
        self._actors: set[asyncio.subprocess.Process] = set()

    async def __aenter__(self) -> Stage:
        with self._command():
            self.chain = await DevChain.start(self.folder / "chain", block_time_s=BLOCK_TIME_S)
        self.rpc = Rpc([self.chain.url])
        self.contracts = await self._found()
        founder = Sender(self.rpc, self.chain.account, self.contracts.chain_id)
        faucet = Faucet(founder, tokens=Tokens(self.contracts.token, game.STAKE_WEI, 100 * game.STAKE_WEI))
        self.gate = Gate(self.chain.url, faucet=faucet, limits=LIMITS)
        self.url = await self.gate.start()
        await asyncio.sleep(4)  # the deployment is in the state file and its copies, and deep enough to stay
        return self

    async def _found(self) -> Contracts:
        shared = await deploy(self.chain.url, self.chain.account, self.folder / "chain.json")
        parts = (content("run"), content("model"), content("task"))
        founding = Founding(*parts, "the chaos game", game.RULES, game.BUDGET_MICRO)
        run = await create_run(self.chain.url, self.chain.account, shared, founding, self.folder / "run.json")
        return run.contracts

    @contextlib.contextmanager
    def _command(self) -> Iterator[None]:
        """A node that keeps the state of past blocks can go back to them; the dev chain's own does not."""
        if not self._can_reorganise:
            yield
            return
        with mock.patch.object(
            devchain,
            "anvil_command",
            lambda *arguments: [part for part in anvil_command(*arguments) if part != "--prune-history"],
        ):
            yield

    async def __aexit__(self, *_: object) -> None:
        for actor in self._actors:
            actor.kill()
        await asyncio.gather(*(actor.wait() for actor in self._actors))
        await self.gate.stop()
        await self.rpc.close()
        await self.chain.stop()

    @property
    def wallets(self) -> list[str]:
        return [player.wallet for player in game.PLAYERS]

    def orders(self, player: int, **more: object) -> Orders:
        folder = self.folder / f"peer {player}"
        folder.mkdir(exist_ok=True)
        return msgspec.structs.replace(Orders(self.url, self.contracts, player, str(folder), str(self.stop)), **more)

    async def act(self, orders: Orders) -> int:
        """One life of an actor; its exit code (negative: the signal that ended it)."""
        actor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chaos.actor", msgspec.json.encode(orders).decode(),
            cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        self._actors.add(actor)
        output, _ = await actor.communicate()
        self._actors.discard(actor)
        assert actor.returncode is not None
        self.told += output.decode().splitlines()
        assert actor.returncode in (0, -signal.SIGKILL), output.decode()
        self.deaths[actor.returncode] += 1
        return actor.returncode

    async def live_and_die(self, orders: Orders, num_kills: int, seed: int) -> None:
        """Start the actor again and again, and let it die ``num_kills`` times at seeded points."""
        dice = random.Random(seed)
        for _ in range(num_kills):
            when = dice.choice(["before", "during", "after"])
            kill = (dice.randint(1, SOON), when, True) if dice.random() < 0.5 else (dice.randint(1, LATE), when, False)
            assert await self.act(msgspec.structs.replace(orders, kill=kill)) == -signal.SIGKILL

    async def stall(self) -> None:
        """Until cancelled, make blocks and make none, in turn: so that what was sent before a death is often still
        waiting after it."""
        while True:
            await asyncio.sleep(MINES_S)
            await self.pause()
            await asyncio.sleep(STALLS_S)
            await self.resume()

    async def pause(self) -> None:
        await self.rpc.request("evm_setIntervalMining", 0)

    async def resume(self) -> None:
        await self.rpc.request("anvil_mine", "0x1")
        await self.rpc.request("evm_setIntervalMining", 1)

    async def kill_node(self) -> None:
        """``kill -9`` the chain node and start it again, as the host does."""
        port = int(self.chain.url.rsplit(":", 1)[1])
        old, self.num_node_kills = self.chain, self.num_node_kills + 1
        old._process.kill()
        await old.wait()
        self.chain = await DevChain.start(self.folder / "chain", port=port, block_time_s=BLOCK_TIME_S)
        await self.gate.resend()

    async def finish(self, *all_orders: Orders) -> None:
        """Let everybody bring to an end what is due, and again while there is something that the others did since."""
        self.stop.touch()
        for _ in range(3):
            async with asyncio.timeout(120):
                codes = await asyncio.gather(*(self.act(orders) for orders in all_orders))
            assert set(codes) == {0}
            async with _reader(self) as chain:
                if await game.are_paid(chain, [orders.player for orders in all_orders]):
                    break


class Audit(msgspec.Struct):
    """What really happened, by the node's own blocks.

    ``nonces``: of each wallet's transactions, in the order of the chain; ``repeats``: events that happened more than
    once; ``again``: calls that a wallet sent more than once; ``reverted``: transactions that did not succeed;
    ``rounds``: those that got a result, ``epochs``: those that were opened, in the order of the chain.
    """

    settled_round: int
    nonces: dict[int, list[int]]
    repeats: list[str]
    again: list[str]
    reverted: int
    rounds: list[int]
    epochs: list[int]
    staked_wei: Counter[int]
    paid_wei: Counter[int]
    num_payments: Counter[int]


def told(found: Audit) -> str:
    """In a line, for whoever runs this by hand (``-s``)."""
    rounds, epochs, payments = len(found.rounds), len(found.epochs), found.num_payments.total()
    transactions = sum(len(nonces) for nonces in found.nonces.values())
    return (
        f"{rounds} rounds settled, {epochs} epochs opened and {payments} payments made, each once, by {transactions}"
        f" transactions, {found.reverted} of them reverted"
    )


async def audit(stage: Stage) -> Audit:
    """Walk through all blocks."""
    at = stage.contracts
    wallets = {player.account.address.lower(): index for index, player in enumerate(game.PLAYERS)}
    found = Audit(0, {index: [] for index in wallets.values()}, [], [], 0, [], [], Counter(), Counter(), Counter())
    events: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    head = int(await stage.rpc.request("eth_blockNumber"), 16)
    for number in range(head + 1):
        block = await stage.rpc.request("eth_getBlockByNumber", hex(number), True)
        for transaction in block["transactions"]:
            sender = wallets.get(transaction["from"].lower())
            if sender is None:
                continue
            receipt = await stage.rpc.request("eth_getTransactionReceipt", transaction["hash"])
            for happened in (game.seen(at, log) for log in receipt["logs"]):
                _note(found, at, wallets, happened)
                events[happened.event] += bool(happened.event)
            found.nonces[sender].append(int(transaction["nonce"], 16))
            found.reverted += receipt["status"] != "0x1"
            sent[f"{sender} {game.call_of(at, transaction, len(found.epochs))}"] += 1
    found.repeats = [event for event, times in events.items() if times > 1]
    found.again = [call for call, times in sent.items() if times > 1]
    async with _reader(stage) as chain:
        found.settled_round = (await chain.clock()).settled_round
    return found


def _note(found: Audit, at: Contracts, wallets: dict[str, int], happened: game.Seen) -> None:
    if happened.settled is not None:
        found.rounds.append(happened.settled)
    if happened.opened is not None:
        found.epochs.append(happened.opened)
    if happened.payee == at.vault.lower():
        found.staked_wei[wallets[happened.payer]] += happened.wei
    if happened.payer == at.settlement.lower():
        found.paid_wei[wallets[happened.payee]] += happened.wei
        found.num_payments[wallets[happened.payee]] += 1


async def require_exactly_once(stage: Stage, *, wallets: tuple[int, ...] = (0, 1)) -> Audit:
    """Every round that was begun is settled, all that was earned is paid, once, and every file is at rest."""
    found = await audit(stage)
    assert found.repeats == []
    assert found.rounds == list(range(1, found.settled_round + 1))
    assert found.epochs == list(range(len(found.epochs)))
    for wallet in wallets:
        assert found.nonces[wallet] == list(range(len(found.nonces[wallet])))
        assert found.staked_wei[wallet] == game.STAKE_WEI
        assert found.paid_wei[wallet] == game.earned_micro(wallet, found.settled_round) * WEI_PER_MICRO
        folder = stage.folder / f"peer {wallet}"
        used = len(found.nonces[wallet])
        assert [one for one in read_entries(folder / "wallet.log") if one.state == "open" and one.nonce >= used] == []
        for path in folder.glob("outbox-*.log"):
            assert Outbox(path).pending == ()
            assert {item.state for item in Outbox(path).items} <= {State.DONE, State.REFUSED}
    return found


async def until_settled(stage: Stage, round: int, *, timeout_s: float = 90) -> None:
    """Wait until the chain says that ``round`` is settled."""
    async with asyncio.timeout(timeout_s), _reader(stage) as chain:
        while (await chain.clock()).settled_round < round:  # noqa: ASYNC110  (other processes settle it)
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def _reader(stage: Stage) -> AsyncIterator[Web3Chain]:
    chain = Web3Chain([stage.chain.url], stage.contracts, game.PLAYERS[0].account)
    try:
        yield chain
    finally:
        await chain.close()
