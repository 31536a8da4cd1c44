"""Why this module exists: the chain is asked what a starting peer depends on, endpoint by endpoint. Sends nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chain.abi import function
from chain.base import Chain
from chain.deploy import has_code
from chain.endpoints import Endpoint, NotAnswering, RpcRefused
from chain.fees import FeePolicy, price_wei
from chain.reader import read_view
from chain.rpc import Rpc, field, quantity
from protocol.errors import ChainError, SwarmError
from protocol.ids import Address
from protocol.run import JoinToken, RunContracts
from swarm.doctor.facts import ChainFacts, EndpointFacts, IdentityFacts

TIMEOUT_S = 8.0

OpenChain = Callable[[JoinToken, Address], Awaitable[Chain]]
"""The run's chain as an account sees it that cannot sign. Raises ``ChainError`` when its contracts are others."""

_NOBODY = Address("0x" + 40 * "0")


class RealChain:
    """``ChainProbe`` over JSON-RPC. ``endpoints``: those of the settings, instead of the token's; ``fees``: the most
    that this peer would offer, which its tip counts in the price with."""

    def __init__(self, endpoints: Sequence[str], open_chain: OpenChain, fees: FeePolicy) -> None:
        self._endpoints = tuple(endpoints)
        self._open_chain = open_chain
        self._fees = fees

    async def look(self, token: JoinToken, identity: IdentityFacts) -> ChainFacts:
        urls = self._endpoints or token.rpc
        wanted = token.run.chain_id
        if not urls:
            return ChainFacts(not_asked="Neither the settings nor the join token name an RPC endpoint.")
        asked = tuple(await asyncio.gather(*(ask_endpoint(url) for url in urls)))
        right = [url for url, one in zip(urls, asked, strict=True) if one.chain_id == wanted]
        facts: dict[str, Any] = {
            "endpoints": asked,
            "now": time.time(),
            "wanted_chain_id": wanted,
            "min_stake_micro": token.run.economics.min_stake_micro,
        }
        if right:
            facts |= await self._contracts(right, token)
        if right and not facts.get("problem") and all(there for _, there in facts["codes"]):
            facts |= await self._peer(token, identity)
        return ChainFacts(**facts)

    async def _contracts(self, urls: Sequence[str], token: JoinToken) -> dict[str, Any]:
        rpc = Rpc(urls, timeout_s=TIMEOUT_S, num_attempts=2)
        try:
            names = RunContracts.__struct_fields__
            codes = [(name, await has_code(rpc, getattr(token.contracts, name))) for name in names]
            found: dict[str, Any] = {
                "codes": tuple(codes),
                "gas_price_wei": await price_wei(rpc.request, self._fees),
                "has_faucet": await _has_faucet(rpc),
            }
            if dict(codes)["registry"]:
                domain = await read_view(rpc, token.contracts.registry, function("PeerRegistry", "eip712Domain"))
                found["domain"] = (str(domain[1]), str(domain[2]))
            return found
        except SwarmError as error:
            return {"codes": (), "problem": error.what}
        finally:
            await rpc.close()

    async def _peer(self, token: JoinToken, identity: IdentityFacts) -> dict[str, Any]:
        try:
            chain = await self._open_chain(token, identity.wallet or _NOBODY)
        except SwarmError as error:
            return {"problem": error.what}
        try:
            found: dict[str, Any] = {"round": (await chain.clock()).round, "ends_at": (await chain.epochs()).ends_at}
            if identity.peer is not None:
                record = await chain.peer(identity.peer)
                found |= {"is_registered": record is not None, "record": record}
            if identity.wallet is not None:
                found["balance"] = await chain.balance(identity.wallet)
            return found
        except ChainError as error:
            return {"problem": error.what}
        finally:
            await chain.close()


async def ask_endpoint(url: str) -> EndpointFacts:
    """One endpoint's chain id and latest block."""
    endpoint = Endpoint(url, TIMEOUT_S)
    started = time.monotonic()
    try:
        chain_id = quantity(await endpoint.ask("eth_chainId"))
        took_ms = (time.monotonic() - started) * 1000
        header = await endpoint.ask("eth_getBlockByNumber", "latest", False)
        head, head_at = quantity(field(header, "number")), quantity(field(header, "timestamp"))
    except (NotAnswering, ChainError) as error:
        why = error.what if isinstance(error, ChainError) else str(error)
        return EndpointFacts(endpoint.shown, problem=why.rstrip(".") or type(error).__name__)
    finally:
        await endpoint.close()
    return EndpointFacts(endpoint.shown, "", took_ms, chain_id, head, head_at)


async def _has_faucet(rpc: Rpc) -> bool:
    """Whether the endpoint is a swarm's own gate, which gives newcomers what they need."""
    try:
        await rpc.request("swarm_token")
    except RpcRefused:
        return False
    return True
