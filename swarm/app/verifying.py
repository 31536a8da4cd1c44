"""Why this module exists: a passer-by is put together here, with a transport and an engine, and no wallet."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from identity.envelope import verify
from identity.keyfile import open_key
from protocol.errors import ConfigError, NetworkError, VerificationError
from protocol.messages import Finding
from swarm.app.asking import open_run_task
from swarm.app.building import open_engine
from swarm.app.chain_access import contracts_of
from swarm.app.finding import Find
from swarm.audit.casework import Casework
from swarm.audit.commitments import Clerk
from swarm.audit.examining import Examined, examine, name_peer
from swarm.policy.base import parts_of
from swarm.rounds.engine_room import EngineRoom
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.tasks.files import QuestionFiles

EXIT_CODES = {
    Finding.MATCH: 0,
    Finding.MISMATCH: VerificationError.exit_code,
    Finding.UNAVAILABLE: NetworkError.exit_code,
}


async def examine_in_swarm(chosen: Settings, find: Find, round_number: int, name: str, level: int) -> Examined:
    """Join the swarm as a stranger, check the contribution of ``name`` (nickname or peer id), and leave."""
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p

    token = await find()
    run, contracts = token.run, contracts_of(token)
    async with AsyncExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory(prefix="swarm-verify-")))
        room = EngineRoom()
        parts.callback(room.close)
        loading = asyncio.ensure_future(room.call(open_engine, chosen, token))
        parts.callback(loading.cancel)
        open_key(folder / "swarm.pem")
        transport = await start_libp2p(
            Libp2pSettings(
                identity=folder / "swarm.pem",
                bootnodes=token.bootnodes,
                host=chosen.network.host,
                start_s=chosen.network.start_timeout_s,
            ),
            run=run.id,
            verify=lambda envelope: verify(envelope, contracts),
        )
        parts.push_async_callback(transport.close)
        peer = await name_peer(transport, run, round_number, name)
        engine = await loading
        if await room.call(engine.state_hash) != run.model:
            raise ConfigError(
                "This model is not the one that the run started from.",
                "Nothing could be compared with it, so nothing was checked.",
                f"Use the model whose state hash is {run.model}: --model PATH_OR_NAME.",
            )
        genesis = await room.call(parts_of, engine)
        task = await open_run_task(run, QuestionFiles(Home(chosen.home).questions), transport, token.bootnodes)
        clerk = Clerk(engine, run.learn.num_external)
        parts.callback(clerk.close)
        casework = Casework(run, task, transport, engine.text_of, clerk.derive, genesis, {}, time.time)
        return await examine(casework, transport, engine, room, run, round_number, peer, level=level, now=time.time)
