"""Why this module exists: where the swarm is may be in a token, behind a gate's URL, or in a file yet to be written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from protocol.errors import ConfigError, NetworkError
from protocol.run import JoinToken, parse_token
from swarm.settings.config import Settings
from swarm.settings.home import Home
from swarm.settings.joining import is_multiaddress, read_join_file, with_addresses

Find = Callable[[], Awaitable[JoinToken]]

POLL_S = 0.1
_NOTHING = "Nothing was started."


def token_finder(
    chosen: Settings, join: Sequence[str], rpc: Sequence[str], *, wait_s: float = 0.0, fresh_since: float = 0.0
) -> Find:
    """How a peer learns where the swarm is. What can be checked at once is: raises ``ConfigError`` for a bad ``join``.

    Without ``join`` it is HOME/join.yaml, which must be there unless ``wait_s`` is given: then the finder waits so long
    for one that is not older than ``fresh_since`` (unix seconds). It raises ``ConfigError``, ``NetworkError`` when
    nobody wrote the file, or what asking a gate raises.
    """
    addresses = [text for text in join if is_multiaddress(text)]
    tokens = [text for text in join if not is_multiaddress(text)]
    endpoints = tuple(rpc) or chosen.chain.rpc
    if len(tokens) > 1 or (tokens and addresses):
        raise ConfigError("--join was given several things.", _NOTHING, "Give one token, or only multiaddresses.")
    if addresses and not endpoints:
        raise ConfigError(
            "Addresses alone do not say which chain and run to join.",
            _NOTHING,
            "Add --rpc URL of the host's gate, or use the join token that `swarm host` printed.",
        )
    path = Home(chosen.home).join_file
    given = parse_token(tokens[0]) if tokens else None
    if not join and not wait_s:
        given = read_join_file(path)

    async def find() -> JoinToken:
        if addresses:
            token = with_addresses(await _ask_gate(endpoints), addresses, endpoints)
            require_configured_chain(chosen, token)
            return token
        token = given or await _from_file(path, wait_s, fresh_since)
        require_configured_chain(chosen, token)
        return with_addresses(token, (*token.bootnodes, *chosen.network.bootnodes), endpoints)

    return find


def require_configured_chain(chosen: Settings, token: JoinToken) -> None:
    """Raise ``ConfigError`` when the settings are for another chain than the run's.

    What is signed for one chain id can be replayed by nobody on another; so the id is compared before anything is.
    """
    wanted, found = chosen.chain.chain_id, token.run.chain_id
    if wanted and wanted != found:
        raise ConfigError(
            f"These settings are for chain {wanted}, the run {token.run.name!r} lives on chain {found}.",
            "Nothing was signed or sent.",
            "Use the join token of a run on your chain, or the --config of the run's chain.",
        )


async def _from_file(path: Path, wait_s: float, fresh_since: float) -> JoinToken:
    deadline = time.monotonic() + wait_s
    while not _is_fresh(path, fresh_since):
        if time.monotonic() >= deadline:
            raise NetworkError(
                f"The host of this swarm did not write {path} within {wait_s:g} s.",
                "Nothing was joined; credits that are already settled are not touched.",
                "Look into the host's log, HOME/host/host.log.",
            )
        await asyncio.sleep(POLL_S)
    return read_join_file(path)


def _is_fresh(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime >= since
    except FileNotFoundError:
        return False


async def _ask_gate(endpoints: Sequence[str]) -> JoinToken:
    from chain.rpc import Rpc, RpcRefused

    rpc = Rpc(endpoints)
    answer: Any = None
    try:
        answer = await rpc.request("swarm_token")
    except RpcRefused:
        pass  # an RPC endpoint, but no gate
    finally:
        await rpc.close()
    if not isinstance(answer, str):
        raise ConfigError(
            f"{', '.join(endpoints)} hands out no join token.", _NOTHING, "Ask the host for its token: --join TOKEN."
        )
    return parse_token(answer)
