"""Why this module exists: a reverted transaction must tell its owner why, in words and not in hex.

Revert data becomes the contract's own error (``chain.refusals`` has its words); what no contract of ours said stays the
endpoint's refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from chain.abi import decode_refusal
from chain.endpoints import RpcRefused
from chain.refusals import chain_error
from protocol.errors import ChainError

Request = Callable[..., Awaitable[Any]]


def contract_error(refused: RpcRefused) -> ChainError:
    """The contract's own words when the endpoint passed on revert data, else the endpoint's."""
    refusal = decode_refusal(refused.data)
    return chain_error(refusal) if refusal is not None else refused


async def why_reverted(request: Request, call: dict[str, Any], transaction: str) -> ChainError:
    """Ask again, now that the state is the one that made it revert. Never returns ``None``: it did revert."""
    try:
        await request("eth_call", call, "latest")
    except RpcRefused as refused:
        return contract_error(refused)
    return ChainError(
        f"The transaction {transaction} was mined, but the contract refused it.",
        "The state changed on the way; nothing else was lost than its fee.",
        "The program tries again by itself.",
        reason="Reverted",
    )
