"""Why this module exists: one examination is one list of findings, in the order in which a start would meet them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from protocol.run import JoinToken
from swarm.doctor.checks_chain import check_chain
from swarm.doctor.checks_identity import check_identity
from swarm.doctor.checks_machine import check_machine
from swarm.doctor.checks_network import check_network
from swarm.doctor.facts import (
    Batch,
    ChainFacts,
    ChainProbe,
    IdentityProbe,
    MachineProbe,
    NetworkFacts,
    NetworkProbe,
)
from swarm.doctor.findings import Finding, skipped

Numerics = Callable[[], Awaitable[Finding]]


async def examination(
    machine: MachineProbe,
    identity: IdentityProbe,
    network: NetworkProbe | None,
    chain: ChainProbe,
    token: JoinToken | None,
    batch: Batch,
    *,
    no_token: str = "",
    numerics: Numerics | None = None,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Everything that was found. ``network`` ``None``: bootnodes are not dialled (the short form). ``no_token``: why
    there is none, in words; what needs one is skipped then. ``numerics`` comes last, because it takes longest."""
    found = check_machine(*await asyncio.to_thread(lambda: (machine.look(), machine.model())), batch)
    self_ = await asyncio.to_thread(identity.look)
    found += check_identity(self_, now())
    if token is None:
        found += check_network(NetworkFacts(not_asked=no_token)) + check_chain(ChainFacts(not_asked=no_token), self_)
    else:
        asked = network.look(token) if network is not None else None
        asking = asyncio.ensure_future(asked) if asked is not None else None
        chained = await chain.look(token, self_)
        found += check_network(await asking) if asking is not None else []
        found += check_chain(chained, self_)
    if numerics is not None:
        found.append(await numerics())
    return found


def not_computed() -> Finding:
    """Of the short form."""
    return skipped("numerics", "The arithmetic was not examined.", "`swarm doctor --numerics` does that.")
