"""Why this module exists: whoever joins must find one peer that is always there, whatever chain the run lives on."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from chain.base import Contracts
from identity.envelope import verify
from protocol.run import JoinToken, RunContracts, RunSpec
from swarm.app.addresses import announced_addresses
from swarm.processes.hosting import Ports
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.tasks.files import QuestionFiles


async def open_bootnode(
    chosen: Settings, spec: RunSpec, contracts: Contracts, rpc: tuple[str, ...], recalled: Ports, parts: AsyncExitStack
) -> JoinToken:
    """A running bootnode of a run, closed with ``parts``, and the join token that leads to it and to ``rpc``."""
    from swarm.dht.libp2p import Libp2pSettings, start_libp2p

    transport = await start_libp2p(
        Libp2pSettings(
            identity=bootnode_key(Home(chosen.home)),
            host=chosen.network.host,
            port=chosen.network.port or recalled.network,
            announce=announced_addresses(chosen, chosen.network.port or recalled.network),
            start_s=chosen.network.start_timeout_s,
        ),
        run=spec.id,
        verify=lambda envelope: verify(envelope, contracts),
    )
    parts.push_async_callback(transport.close)
    transport.serve_from(QuestionFiles(Home(chosen.home).questions).find)
    return JoinToken(
        run=spec,
        contracts=RunContracts(*msgspec.structs.astuple(contracts)[1:]),
        bootnodes=transport.addresses,
        rpc=rpc,
        model_name=chosen.run.model,
    )


def bootnode_key(home: Home) -> Path:
    """The bootnode's identity."""
    return home.host / "bootnode" / "swarm.pem"


def multiaddress_port(address: str) -> int:
    """The TCP port in a multiaddress."""
    parts = address.split("/")
    return int(parts[parts.index("tcp") + 1])
