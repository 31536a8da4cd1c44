"""Why this module exists: a peer is put together here, from settings to running parts, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from identity.envelope import verify
from identity.fence import Fence
from identity.keyfile import open_key
from identity.lock import IdentityLock
from identity.names import nickname
from identity.signer import Signer
from identity.signing_keys import load_signing_keys
from identity.wallet import Wallet, open_wallet
from protocol.errors import BadRecord, ConfigError, NetworkError
from protocol.event import Event
from protocol.events import Joined, MemoryPlanned, MemoryShrunk, PeerStarted, Progress, RecordRejected, Stopped
from protocol.run import JoinToken, RunSpec
from rewards.outbox import Outbox
from swarm.app import chain_access
from swarm.app.addresses import announced_addresses
from swarm.app.asking import open_run_task
from swarm.app.checkup import model_of
from swarm.app.finding import Find
from swarm.app.looks import Looks, open_looks
from swarm.app.memory import MemoryWatch, memory_plan
from swarm.audit.casework import Casework
from swarm.audit.commitments import Clerk
from swarm.audit.shelf import Shelf
from swarm.dht.counted import CountedTransport, Tally
from swarm.disputes.archive import Archive
from swarm.disputes.evidence import Evidence
from swarm.disputes.ordering import Examiner, Orders
from swarm.disputes.player import Disputes
from swarm.member.checkpoint import Checkpoints
from swarm.member.presence import Spoken, announce, require_only_one
from swarm.node import Node
from swarm.observe.eventlog import EventLog
from swarm.observe.troubles import Troubles
from swarm.pay.settling import Settler
from swarm.policy.base import parts_of
from swarm.processes.process import peak_mb
from swarm.rounds.engine_room import EngineRoom
from swarm.rounds.exam import Exam
from swarm.rounds.journal import Journal
from swarm.rounds.timing import Stopwatch
from swarm.rounds.work import Bench
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.tasks.files import QuestionFiles

if TYPE_CHECKING:
    from swarm.policy.engine import ModelEngine
    from swarm.policy.mixed import MixedEngine


@asynccontextmanager
async def open_peer(chosen: Settings, name: str, find: Find, password: str | None) -> AsyncIterator[Node]:
    """A peer ready to run. On the way out, whatever ended it, its parts are closed and its last event is written."""
    home = Home(chosen.home).peer(name)
    key = open_key(home.key_file)
    wallet = open_wallet(home.wallet_file, password=password, password_file=chosen.wallet.password_file)
    signer = Signer(key, wallet.address, rotated=lambda: load_signing_keys(home.root), fence=Fence(home.root))
    with IdentityLock(home.root, key.peer):
        events = EventLog(home.events_file)
        events.append(
            PeerStarted(
                nickname=nickname(key.peer),
                peer=key.peer,
                address=wallet.address,
                home=str(home.root),
                model=chosen.run.model,
                engine=chosen.audit.engine if chosen.engine.kind == "run" else chosen.engine.kind,
                version=version("rl-swarm-peer"),
                pid=os.getpid(),
            )
        )
        async with AsyncExitStack() as parts:
            parts.callback(events.close)
            parts.push(_last_event(events))
            looks = open_looks(chosen, name, events, parts)
            yield await _build_node(chosen, name, find, signer, wallet, events, parts, looks)


async def _build_node(
    chosen: Settings,
    name: str,
    find: Find,
    signer: Signer,
    wallet: Wallet,
    events: EventLog,
    parts: AsyncExitStack,
    looks: Looks,
) -> Node:
    events.append(Progress("loading libraries"))
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p

    token = await find()
    token.run.require_liable_stake()
    run, contracts = token.run, chain_access.contracts_of(token)
    looks.know(run)
    if engine_of(chosen, run) != chosen.audit.engine:
        events.append(Progress(f"this peer computes with the {engine_of(chosen, run)} engine"))
    troubles = Troubles(events)
    room = EngineRoom()
    parts.callback(room.close)
    home = Home(chosen.home).peer(name)
    chain = await chain_access.open_chain(chosen, token, wallet, home)
    parts.push_async_callback(chain.close)

    def planned_memory(event: Event) -> None:
        events.append(event)
        if isinstance(event, MemoryPlanned):
            events.after = MemoryWatch(event, lambda: peak_bytes(chosen.engine.device), events.append).told

    events.append(Progress("loading the model"))
    loading = asyncio.ensure_future(room.call(open_engine, chosen, token, planned_memory))
    parts.callback(loading.cancel)

    def on_rejected(bad: BadRecord, peer: str, kind: str, round_number: int) -> None:
        events.append(RecordRejected(round_number, peer, kind, bad.reason, bad.what))

    started_at = time.time()
    transport = await start_libp2p(
        Libp2pSettings(
            identity=home.key_file,
            bootnodes=token.bootnodes,
            host=chosen.network.host,
            port=chosen.network.port,
            announce=announced_addresses(chosen, chosen.network.port),
            start_s=chosen.network.start_timeout_s,
        ),
        run=run.id,
        verify=lambda envelope: verify(envelope, contracts),
        on_rejected=on_rejected,
        on_trouble=lambda error: troubles.over(NetworkError) if error is None else troubles.report(error),
    )
    parts.push_async_callback(transport.close)
    await transport.require_free_identity()
    events.append(Joined(token.bootnodes, transport.addresses, time.time() - started_at))

    task = await open_run_task(run, QuestionFiles(Home(chosen.home).questions), transport, token.bootnodes, events)
    engine = await loading
    engine.on_shrink = lambda megabytes: events.append(MemoryShrunk("sampling", megabytes))
    run_home = home.run(run.id)
    watch, tally = Stopwatch(time.time), Tally()
    clerk = Clerk(engine, run.learn.num_external)
    parts.callback(clerk.close)
    bench = Bench(
        run=run,
        contracts=contracts,
        signer=signer,
        engine=engine,
        engine_name=engine.name,
        profile=engine.profile,
        room=room,
        clerk=clerk,
        transport=CountedTransport(transport, tally),
        checkpoints=Checkpoints(run_home.states),
        shelf=Shelf(run_home.held),
        journal=Journal(run_home.journal),
        events=events,
        watch=watch,
        now=time.time,
        genesis=await room.call(parts_of, engine),
        tally=tally,
    )
    outbox = Outbox(run_home.outbox_file, depth=chain_access.depth_of(chosen, run.chain_id))
    settler = Settler(chain, outbox, signer.wallet, events, troubles)
    casework = Casework(run, task, transport, engine.text_of, clerk.derive, bench.genesis, {}, time.time)
    exam = Exam(task, run.id, chosen.observe.num_eval_questions, run.game.answer_tokens)
    spoken = Spoken(home.presence_file)
    await require_only_one(bench, spoken)
    return Node(
        bench,
        chain,
        task,
        outbox,
        settler,
        troubles,
        exam,
        Evidence(run_home.evidence),
        eval_every=chosen.observe.eval_every,
        claim_every=chosen.chain.claim_every,
        set_members=transport.set_members,
        presence=lambda: announce(bench, events, spoken),
        disputes=Disputes(
            bench,
            chain,
            chain.games,
            outbox,
            settler,
            troubles,
            Archive(run_home.disputes),
            Orders(home.dispute_orders),
            Examiner(bench, casework),
        ),
    )


def open_engine(
    chosen: Settings, token: JoinToken, say: Callable[[Event], object] = lambda event: None
) -> ModelEngine | MixedEngine:
    """The engine of these settings for a run, in the run's first state. Blocking: takes seconds, and memory.

    ``say`` is told the memory plan before anything is loaded; what cannot fit raises ``OutOfMemory`` then.
    """
    planned = memory_plan(chosen, token)
    if planned is not None:
        say(planned)
    run, kind = token.run, engine_of(chosen, token.run)
    engine = _opened(kind, chosen, run, model_of(chosen, token), planned)
    if kind == run.audit.engine or run.audit.engine != "exact":
        return engine
    from swarm.policy.mixed import MixedEngine

    with _no_memory_for_it():
        return MixedEngine.around(engine, run.learn, temperature=run.game.temperature_milli / 1000)


def run_engine(chosen: Settings, run: RunSpec) -> ModelEngine:
    """The run's own engine over the model of these settings, for a run that is to be founded. Blocking."""
    return _opened(run.audit.engine, chosen, run, chosen.model_location(), memory_plan(chosen, None))


def _opened(kind: str, chosen: Settings, run: RunSpec, model: str, planned: MemoryPlanned | None) -> ModelEngine:
    from swarm.policy.generate import Limits

    with _no_memory_for_it():
        return _engine_class(kind, chosen).open(
            model,
            run.learn,
            device=chosen.engine.device,
            temperature=run.game.temperature_milli / 1000,
            num_threads=chosen.engine.threads or 1,
            limits=Limits(max_cache_bytes=planned.cache) if planned is not None else None,
        )


def _no_memory_for_it() -> AbstractContextManager[None]:
    from swarm.policy.memory import memory_told

    return memory_told(
        "The model does not fit this machine's memory",
        "The peer did not start; credits are not touched.",
        "End other programs, run fewer peers on this machine, or join a run with a smaller model.",
    )


def engine_of(chosen: Settings, run: RunSpec) -> str:
    """Which engine this peer computes with in a run. Raises ``ConfigError`` for one whose work would not count."""
    kind = run.audit.engine if chosen.engine.kind == "run" else chosen.engine.kind
    if kind not in run.audit.engines:
        raise ConfigError(
            f"Work of the {kind} engine does not count in this run.",
            "Nothing was started, so that no work is done in vain.",
            f"Set engine.kind to `run` or one of: {', '.join(run.audit.engines)}; or ask the founder of a run for"
            " audit.tolerated.",
        )
    return kind


def _engine_class(name: str, chosen: Settings) -> type[ModelEngine]:
    """The engine of a name. Raises ``ConfigError`` for one that this program does not have, or not here."""
    if name == "exact":
        from swarm.policy.exact import ExactEngine

        return ExactEngine
    if name == "native":
        from swarm.policy.native import NativeEngine

        return NativeEngine
    if name == "trl":
        from swarm.policy.trl_engine import TrlEngine
        from swarm.policy.trl_options import TrlOptions

        return TrlEngine.with_options(TrlOptions(**chosen.trl.model_dump()))
    raise ConfigError(
        f"This run computes with the {name!r} engine, which this program does not have.",
        "Nothing was started.",
        "Install the version of this program that the host runs; engines here are `exact`, `native` and `trl`.",
    )


def peak_bytes(device: str) -> int:
    """The most that this process ever held where its engine computes: resident memory, or torch's part of a GPU."""
    if device == "cpu":
        return peak_mb() * 10**6
    import torch

    return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else peak_mb() * 10**6


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
