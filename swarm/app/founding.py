"""Why this module exists: chain, contracts, gate and bootnode are put together here, from settings to running parts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from chain.abi import function
from chain.base import WEI_PER_MICRO
from chain.deploy import SUPPLY_WEI, deploy, read_file
from chain.devchain import CHAIN_ID, DevChain
from chain.gate import Faucet, Gate, Tokens
from chain.nonces import WalletLog
from chain.reader import read_view
from chain.rpc import Rpc
from chain.rules import rules_of
from chain.run_deploy import Founding, RunDeployment, create_run
from chain.sender import Sender
from identity.keyfile import open_key
from identity.lock import IdentityLock
from protocol.codec import content_id_of
from protocol.errors import ConfigError
from protocol.event import Event
from protocol.events import TransactionSent
from protocol.run import JoinToken, RunSpec, format_token
from swarm.app.bootnode import bootnode_key, multiaddress_port, open_bootnode
from swarm.app.pacing import told
from swarm.app.specs import run_spec
from swarm.observe.eventlog import EventLog
from swarm.processes.hosting import PortBook, Ports, keep_alive
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.joining import write_join_file

FAUCET_SHARE = 100
"""One part in so many of the token supply is there for newcomers' stakes."""


def say(text: str) -> None:
    """Diagnostics of a process without a screen: its owner keeps them in a log file."""
    print(text, file=sys.stderr, flush=True)


def telling(append: Callable[[Event], object]) -> Callable[[Event], None]:
    """Log what a run's times are chosen by, and say it."""

    def tell(event: Event) -> None:
        append(event)
        text = told(event)
        if text is not None:
            say(text)

    return tell


class Host:
    """A running dev chain, gate and bootnode. ``serve`` keeps the chain alive until cancelled."""

    def __init__(
        self,
        start_chain: Callable[[], Any],
        chain: DevChain,
        gate: Gate,
        parts: AsyncExitStack,
        token: JoinToken,
        lock: IdentityLock,
    ) -> None:
        self.token_text = format_token(token)
        self._lock = lock
        self._gate = gate
        self._start_chain = start_chain
        self._chain = chain
        self._parts = parts

    async def serve(self) -> None:
        async def wait() -> int:
            return await self._chain.wait()

        async def restart() -> None:
            self._chain = await self._start_chain()
            await self._gate.resend()

        await keep_alive(wait, restart, say)

    async def close(self) -> None:
        """Everything in order: bootnode, gate, then the chain with its state written."""
        try:
            await self._parts.aclose()
        finally:
            await self._chain.stop()
            self._lock.release()


async def build_host(chosen: Settings) -> Host:
    """Start chain, contracts, gate and bootnode; the join file is written last, when all of it answers.

    Raises ``IdentityError`` when this home's host already runs: two would write one chain's state.
    """
    home = Home(chosen.home)
    lock = IdentityLock(home.host, open_key(bootnode_key(home)).peer)
    lock.acquire()
    with EventLog(home.host / "events.jsonl") as events:
        spec = await asyncio.to_thread(run_spec, chosen, CHAIN_ID, telling(events.append))
    require_same_economics(home.host, spec)
    home.join_file.unlink(missing_ok=True)
    recalled = PortBook(home.host / "ports.json").recall()
    start_chain = partial(DevChain.start, home.host / "chain", block_time_s=chosen.chain.block_time_s)
    chain = await start_chain(port=recalled.chain)
    parts = AsyncExitStack()
    try:
        token, gate = await _open_to_others(chosen, spec, chain, recalled, parts)
    except BaseException:
        await parts.aclose()
        await chain.stop()
        raise
    return Host(partial(start_chain, port=_port(chain.url)), chain, gate, parts, token, lock)


MAY_DIFFER = ("round_s", "poster_s", "start_members", "unbonding_s")


def require_same_economics(host: Path, spec: RunSpec) -> None:
    """Found no run on a private chain whose runs have other economics: the faucet and everybody's stake were made for
    those, and whoever gives the command means to go on with what is there. Times may differ, ``unbonding_s`` with them.

    Raises ``ConfigError`` when every run that was founded here has other economics than ``spec``."""
    founded = [read_file(file, RunDeployment) for file in sorted(host.glob("deployment-*.json"))]
    wanted = rules_of(spec.economics, round_s=1, poster_s=1, start_members=1)
    differences = []
    for deployment in founded:
        if deployment is None:
            continue
        free = {name: getattr(deployment.rules, name) for name in MAY_DIFFER}
        mine = msgspec.structs.replace(wanted, **free)
        different = [name for name in mine.__struct_fields__ if getattr(mine, name) != getattr(deployment.rules, name)]
        if not different:
            return
        differences.append((deployment, mine, different))
    if not differences:
        return
    deployment, mine, different = differences[-1]
    words = ", ".join(f"{name} {getattr(deployment.rules, name)} and not {getattr(mine, name)}" for name in different)
    raise ConfigError(
        f"This home holds the run {deployment.run[:16]}, which has other economics than these settings: {words}.",
        "Nothing was started or founded; that run and everybody's credits in it are as they were.",
        "Go on with it with the settings that founded it (`swarm host --private` for the run of a `swarm local`), or"
        " found another one with --home DIR.",
    )


async def _open_to_others(
    chosen: Settings, spec: RunSpec, chain: DevChain, recalled: Ports, parts: AsyncExitStack
) -> tuple[JoinToken, Gate]:
    """Contracts, gate, bootnode, join file on a running chain; what must be closed goes into ``parts``."""
    home = Home(chosen.home)
    events = parts.enter_context(EventLog(home.host / "events.jsonl"))
    log = WalletLog(home.host / "chain" / "transactions.log")
    deployment = await _found(chosen, spec, chain, events, log)
    rpc = Rpc([chain.url])
    parts.push_async_callback(rpc.close)
    stake_wei, bond_wei = (
        micro * WEI_PER_MICRO for micro in (spec.economics.min_stake_micro, spec.economics.dispute_bond_micro)
    )
    tokens = Tokens(deployment.contracts.token, stake_wei, SUPPLY_WEI // FAUCET_SHARE, bond_wei)
    sender = Sender(rpc, chain.account, deployment.contracts.chain_id, log=log)
    held = partial(read_view, rpc, tokens.token, function("SwarmToken", "balanceOf"))
    faucet = Faucet(sender, tokens=tokens, held=held)
    gate = Gate(chain.url, faucet=faucet)
    gate_url = await gate.start(chosen.chain.gate_host, chosen.chain.gate_port or recalled.gate)
    parts.push_async_callback(gate.stop)
    token = await open_bootnode(chosen, spec, deployment.contracts, (_announced(gate_url, chosen),), recalled, parts)
    gate.join_token = format_token(token)
    ports = Ports(_port(chain.url), _port(gate_url), multiaddress_port(token.bootnodes[0]))
    PortBook(home.host / "ports.json").remember(ports)
    write_join_file(home.join_file, token)
    return token, gate


async def _found(chosen: Settings, spec: RunSpec, chain: DevChain, events: EventLog, log: WalletLog) -> RunDeployment:
    """The chain's shared contracts, and the run with its budget in escrow; both are made once."""
    home = Home(chosen.home)
    is_new = not (home.host / "chain.json").exists()
    shared = await deploy(chain.url, chain.account, home.host / "chain.json", wallet_log=log)
    if is_new and shared.transactions:
        events.append(TransactionSent("deploy", shared.transactions[-1], shared.gas))
    file = home.host / f"deployment-{spec.id[:16]}.json"
    founded = read_file(file, RunDeployment)  # how many peers it waited for then must not keep another number away now
    start_members = founded.rules.start_members if founded is not None else chosen.run.min_peers
    rules = rules_of(
        spec.economics, round_s=spec.time.round_s, poster_s=spec.time.poster_s, start_members=start_members
    )
    founding = Founding(spec.id, spec.model, content_id_of(spec.task), spec.name, rules, spec.economics.budget_micro)
    deployment = await create_run(chain.url, chain.account, shared, founding, file, wallet_log=log)
    if deployment.transaction and (founded is None or founded.transaction != deployment.transaction):
        events.append(TransactionSent("create run", deployment.transaction, deployment.gas))
    return deployment


def _announced(url: str, chosen: Settings) -> str:
    """The gate's URL as others must dial it."""
    address = chosen.network.announce
    if address is None or address.startswith("/"):
        return url
    return f"http://{address}:{_port(url)}"


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])
