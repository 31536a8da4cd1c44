"""Why this module exists: a swarm on somebody else's chain needs a host that keeps a bootnode, and no chain of its own.

The run was created before (``swarm run create``); this finds it, opens a bootnode, and writes the join token that leads
to both. Nothing is signed: the host's wallet stays locked.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec

from identity.keyfile import open_key
from identity.lock import IdentityLock
from identity.wallet import wallet_address
from protocol.errors import ConfigError
from protocol.run import JoinToken, RunSpec, format_token
from swarm.app import chain_access, factory
from swarm.app.bootnode import bootnode_key, multiaddress_port, open_bootnode
from swarm.app.deploying import NOBODY, require_chain_id
from swarm.app.foundation import RunView
from swarm.app.specs import run_spec
from swarm.processes.hosting import PortBook, Ports
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.joining import read_join_file, write_join_file
from swarm.settings.public import public_endpoints


class GuestHost:
    """A running bootnode of a run on somebody else's chain. ``serve`` waits until it is cancelled."""

    def __init__(self, token: JoinToken, parts: AsyncExitStack) -> None:
        self.token_text = format_token(token)
        self._parts = parts

    async def serve(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        await self._parts.aclose()


async def build_guest(chosen: Settings, which: str | None = None) -> GuestHost:
    """Find a run on the configured chain and open its bootnode. ``which``: id, beginning of an id, or name of a run
    that was created in this home; without it the only one of these, else the one that the settings describe.

    Raises ``ConfigError`` when the run was not created there, ``IdentityError`` when this home's host already runs, and
    what asking the chain raises.
    """
    chain_id = require_chain_id(chosen)
    home = Home(chosen.home)
    parts = AsyncExitStack()
    try:
        lock = IdentityLock(home.host, open_key(bootnode_key(home)).peer)
        lock.acquire()
        parts.callback(lock.release)
        made = created_here(chosen, which)
        spec = made.run if made is not None else await asyncio.to_thread(run_spec, chosen, chain_id)
        shared = made.contracts if made is not None else (await find_run(chosen, spec)).contracts
        contracts = chain_access.contracts_on(chain_id, shared)
        chain = await chain_access.open_run(chosen, contracts, NOBODY)  # the contracts answer, and know each other
        await chain.close()
        recalled = PortBook(home.host / "ports.json").recall()
        token = await open_bootnode(chosen, spec, contracts, public_endpoints(chosen.chain), recalled, parts)
        ports = Ports(recalled.chain, recalled.gate, multiaddress_port(token.bootnodes[0]))
        PortBook(home.host / "ports.json").remember(ports)
        if made is not None:
            token = msgspec.structs.replace(token, model_name=made.model_name)
        write_join_file(home.join_file, token)
    except BaseException:
        await parts.aclose()
        raise
    return GuestHost(token, parts)


def created_here(chosen: Settings, which: str | None) -> JoinToken | None:
    """The run of this home that is meant, by its own join token; ``None`` where the settings have to say it.

    Raises ``ConfigError`` when ``which`` means none or several.
    """
    files = sorted((Home(chosen.home).host / "runs").glob("*.yaml"))
    tokens = [token for token in map(read_join_file, files) if token.run.chain_id == chosen.chain.chain_id]
    if which is None:
        return tokens[0] if len(tokens) == 1 else None
    wanted = which.strip().lower()
    found = [token for token in tokens if token.run.name == which or (wanted and token.run.id.startswith(wanted))]
    if len(found) != 1:
        many = "several runs" if found else "no run"
        raise ConfigError(
            f"{which[:70]!r} means {many} of those that were created in {chosen.home}.",
            "Nothing was started.",
            "`swarm run list` shows the ids of all runs of the chain.",
        )
    return found[0]


async def find_run(chosen: Settings, spec: RunSpec) -> RunView:
    """The run with these rules: the one that this home's wallet created, else the only one. Raises ``ConfigError``."""
    wallet = Home(chosen.home).host / "wallet.json"
    creator = wallet_address(wallet) if wallet.exists() else None
    foundation = await factory.open_foundation(chosen, NOBODY)
    try:
        view = await foundation.run(creator, spec.id) if creator is not None else None
        found = [view] if view is not None else [one for one in await foundation.runs() if one.run_id == spec.id]
    finally:
        await foundation.close()
    if len(found) == 1:
        return found[0]
    if found:
        creators = ", ".join(one.creator for one in found)
        raise ConfigError(
            f"Several wallets created run {spec.id[:16]}: {creators}.",
            "Nothing was started.",
            f"Put the keystore of the one that you mean at {wallet}; its password is not needed.",
        )
    raise ConfigError(
        f"The run of these settings ({spec.id[:16]}) was not created on chain {spec.chain_id}.",
        "Nothing was started.",
        "Create it with `swarm run create` and the same --config, --model, --task and --seed; see `swarm run list`.",
    )
