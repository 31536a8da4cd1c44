"""Why this module exists: hosts and peers are put together here, from settings to running parts, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chain.base import Contracts
from chain.deploy import Parameters, deploy, read_deployment
from chain.devchain import CHAIN_ID, DevChain
from chain.gate import Faucet, Gate
from chain.rpc import Rpc
from chain.sender import Sender
from chain.web3_chain import Web3Chain
from identity.envelope import verify
from identity.keyfile import load_key, open_key
from identity.lock import IdentityLock
from identity.names import nickname
from identity.signer import Signer
from identity.wallet import open_wallet
from protocol.errors import BadRecord, ConfigError
from protocol.events import Joined, PeerStarted, Progress, RecordRejected, Stopped, TransactionSent
from protocol.run import JoinToken, RunContracts, RunSpec, format_token
from rewards.outbox import Outbox
from swarm.app.finding import Find
from swarm.app.settle_only import claim_settled
from swarm.checkpoint import Checkpoints
from swarm.config import Settings
from swarm.engine_room import EngineRoom
from swarm.exam import Exam
from swarm.home import Home
from swarm.hosting import PortBook, Ports, keep_alive
from swarm.joining import write_join_file
from swarm.journal import Journal
from swarm.node import Node
from swarm.observe.eventlog import EventLog
from swarm.presence import announce
from swarm.process import peak_mb
from swarm.settling import Settler
from swarm.tasks.registry import load_task_spec, open_task
from swarm.timing import Stopwatch
from swarm.troubles import Troubles
from swarm.work import Bench


def say(text: str) -> None:
    """Diagnostics of a process without a screen: its owner keeps them in a log file."""
    print(text, file=sys.stderr, flush=True)


# --- host ------------------------------------------------------------------------------------------------------------


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
    lock = IdentityLock(home.host, open_key(_bootnode_key(home)).peer)
    lock.acquire()
    home.join_file.unlink(missing_ok=True)
    spec = await asyncio.to_thread(run_spec, chosen)
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


async def _open_to_others(
    chosen: Settings, spec: RunSpec, chain: DevChain, recalled: Ports, parts: AsyncExitStack
) -> tuple[JoinToken, Gate]:
    """Contracts, gate, bootnode, join file on a running chain; what must be closed goes into ``parts``."""
    home = Home(chosen.home)
    events = parts.enter_context(EventLog(home.host / "events.jsonl"))
    file = home.host / f"deployment-{spec.id[:16]}.json"
    founded = read_deployment(file)  # how many peers it waited for then must not keep another number from playing now
    start_members = founded.parameters.start_members if founded is not None else chosen.run.min_peers
    parameters = Parameters(round_s=chosen.time.round_s, start_members=start_members)
    deployment = await deploy(chain.url, chain.account, file, parameters)
    if deployment.transaction:
        events.append(TransactionSent("deploy", deployment.transaction, deployment.gas))
    rpc = Rpc([chain.url])
    parts.push_async_callback(rpc.close)
    gate = Gate(chain.url, faucet=Faucet(Sender(rpc, chain.account, deployment.contracts.chain_id)))
    gate_url = await gate.start(chosen.chain.gate_host, chosen.chain.gate_port or recalled.gate)
    parts.push_async_callback(gate.stop)
    token = await _bootnode(chosen, spec, deployment.contracts, _announced(gate_url, chosen), recalled, parts)
    gate.join_token = format_token(token)
    ports = Ports(_port(chain.url), _port(gate_url), _multiaddress_port(token.bootnodes[0]))
    PortBook(home.host / "ports.json").remember(ports)
    write_join_file(home.join_file, token)
    return token, gate


def _bootnode_key(home: Home) -> Path:
    return home.host / "bootnode" / "swarm.pem"


def run_spec(chosen: Settings) -> RunSpec:
    """The rules of the run that these settings found. Loads the model once, to name its genesis state."""
    from swarm.policy.native import genesis_state_hash

    task = load_task_spec(chosen.run.task)
    open_task(task)
    model = genesis_state_hash(chosen.model_location())
    return chosen.to_run_spec(chain_id=CHAIN_ID, model=model, task=task)


async def _bootnode(
    chosen: Settings, spec: RunSpec, contracts: Contracts, gate_url: str, recalled: Ports, parts: AsyncExitStack
) -> JoinToken:
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p

    transport = await start_libp2p(
        Libp2pSettings(
            identity=_bootnode_key(Home(chosen.home)),
            host=chosen.network.host,
            port=chosen.network.port or recalled.network,
            announce=_announced_addresses(chosen, chosen.network.port or recalled.network),
            start_s=chosen.network.start_timeout_s,
        ),
        run=spec.id,
        verify=lambda envelope: verify(envelope, contracts),
    )
    parts.push_async_callback(transport.close)
    return JoinToken(
        run=spec,
        contracts=RunContracts(contracts.registry, contracts.clock, contracts.ledger, contracts.pool, contracts.token),
        bootnodes=transport.addresses,
        rpc=(gate_url,),
        model_name=chosen.run.model,
    )


def _announced_addresses(chosen: Settings, port: int) -> tuple[str, ...]:
    """``network.announce`` as a multiaddress, or nothing where it is not set. Raises ``ConfigError`` without a port."""
    address = chosen.network.announce
    if address is None or address.startswith("/"):
        return () if address is None else (address,)
    if not port:
        raise ConfigError(
            f"To announce {address}, others must know the port.",
            "Nothing was started.",
            "Set network.port to a fixed port that is open to them.",
        )
    return (f"/ip4/{address}/tcp/{port}",)


def _announced(url: str, chosen: Settings) -> str:
    """The gate's URL as others must dial it."""
    address = chosen.network.announce
    if address is None or address.startswith("/"):
        return url
    return f"http://{address}:{_port(url)}"


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def _multiaddress_port(address: str) -> int:
    parts = address.split("/")
    return int(parts[parts.index("tcp") + 1])


# --- peer ------------------------------------------------------------------------------------------------------------


def contracts_of(token: JoinToken) -> Contracts:
    found = token.contracts
    return Contracts(token.run.chain_id, found.registry, found.clock, found.ledger, found.pool, found.token)


@asynccontextmanager
async def open_peer(chosen: Settings, name: str, find: Find, password: str | None) -> AsyncIterator[Node]:
    """A peer ready to run. On the way out, whatever ended it, its parts are closed and its last event is written."""
    home = Home(chosen.home).peer(name)
    key = open_key(home.key_file)
    wallet = open_wallet(home.wallet_file, password=password, password_file=chosen.wallet.password_file)
    signer = Signer(key, wallet.address)
    with IdentityLock(home.root, key.peer):
        events = EventLog(home.events_file)
        events.append(
            PeerStarted(
                nickname=nickname(key.peer),
                peer=key.peer,
                address=wallet.address,
                home=str(home.root),
                model=chosen.run.model,
                engine="native",
                version=version("rl-swarm-peer"),
                pid=os.getpid(),
            )
        )
        async with AsyncExitStack() as parts:
            parts.callback(events.close)
            parts.push(_last_event(events))
            yield await _build_node(chosen, name, find, signer, wallet.secret, events, parts)


async def _build_node(
    chosen: Settings,
    name: str,
    find: Find,
    signer: Signer,
    secret: bytes,
    events: EventLog,
    parts: AsyncExitStack,
) -> Node:
    events.append(Progress("loading libraries"))
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p
    from swarm.policy.native import NativeEngine

    token = await find()
    run, contracts = token.run, contracts_of(token)
    task = open_task(run.task)
    troubles = Troubles(events)
    room = EngineRoom()
    parts.callback(room.close)
    chain = Web3Chain(token.rpc, contracts, secret)
    parts.push_async_callback(chain.close)
    await chain.connect()

    events.append(Progress("loading the model"))
    location = chosen.model_location() if chosen.run.model != "tiny" else _bundled_or_named(chosen, token)
    loading = asyncio.ensure_future(
        room.call(
            NativeEngine.open,
            location,
            run.learn,
            device=chosen.engine.device,
            temperature=run.game.temperature_milli / 1000,
            num_threads=chosen.engine.threads or 1,
        )
    )
    parts.callback(loading.cancel)

    def on_rejected(bad: BadRecord, peer: str, kind: str, round_number: int) -> None:
        events.append(RecordRejected(round_number, peer, kind, bad.reason, bad.what))

    started_at = time.time()
    home = Home(chosen.home).peer(name)
    transport = await start_libp2p(
        Libp2pSettings(
            identity=home.key_file,
            bootnodes=token.bootnodes,
            host=chosen.network.host,
            port=chosen.network.port,
            announce=_announced_addresses(chosen, chosen.network.port),
            start_s=chosen.network.start_timeout_s,
        ),
        run=run.id,
        verify=lambda envelope: verify(envelope, contracts),
        on_rejected=on_rejected,
    )
    parts.push_async_callback(transport.close)
    await transport.require_free_identity()
    events.append(Joined(token.bootnodes, transport.addresses, time.time() - started_at))

    engine = await loading
    run_home = home.run(run.id)
    watch = Stopwatch(time.time)
    bench = Bench(
        run=run,
        contracts=contracts,
        signer=signer,
        engine=engine,
        engine_name=engine.name,
        profile=engine.profile,
        room=room,
        transport=transport,
        checkpoints=Checkpoints(run_home.states),
        journal=Journal(run_home.journal),
        events=events,
        watch=watch,
        now=time.time,
    )
    outbox = Outbox(run_home.outbox_file)
    settler = Settler(chain, outbox, signer.wallet, events, troubles)
    exam = Exam(task, run.id, chosen.observe.num_eval_questions, run.game.answer_tokens)
    presence = asyncio.ensure_future(announce(bench, events))
    parts.callback(presence.cancel)
    return Node(
        bench,
        chain,
        task,
        outbox,
        settler,
        troubles,
        exam,
        eval_every=chosen.observe.eval_every,
        claim_every=chosen.chain.claim_every,
        set_members=transport.set_members,
    )


def _bundled_or_named(chosen: Settings, token: JoinToken) -> str:
    """The model that the run's host named, where it is bundled here; the state hash decides whether it is the same."""
    hinted = chosen.model_copy(update={"run": chosen.run.model_copy(update={"model": token.model_name})})
    return hinted.model_location()


def _last_event(events: EventLog) -> Callable[[type[BaseException] | None, BaseException | None, Any], bool]:
    def write(kind: type[BaseException] | None, error: BaseException | None, _trace: Any) -> bool:
        if error is None:
            why, code = "played all its rounds", 0
        elif isinstance(error, asyncio.CancelledError):
            why, code = "was asked to stop", 0
        else:
            why, code = str(error) or type(error).__name__, getattr(error, "exit_code", 1)
        events.append(Stopped(why, code, peak_mb()))
        return False

    return write


# --- claiming --------------------------------------------------------------------------------------------------------


async def claim_for(chosen: Settings, name: str, token: JoinToken, password: str | None) -> dict[str, Any]:
    """Claim what one peer of this home has settled, while it is not running. The table comes from its own journal."""
    home = Home(chosen.home).peer(name)
    key = load_key(home.key_file)
    wallet = open_wallet(home.wallet_file, password=password, password_file=chosen.wallet.password_file)
    with IdentityLock(home.root, key.peer), EventLog(home.events_file) as events:
        chain = Web3Chain(token.rpc, contracts_of(token), wallet.secret)
        try:
            await chain.connect()
            run_home = home.run(token.run.id)
            settler = Settler(chain, Outbox(run_home.outbox_file), wallet.address, events, Troubles(events))
            return await claim_settled(chain, settler, Journal(run_home.journal), token.run, key.peer, wallet.address)
        finally:
            await chain.close()
