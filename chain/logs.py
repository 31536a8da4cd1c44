"""Why this module exists: what contracts told the world, from raw logs to names and arguments that JSON can write.

The events themselves are ``chain.abi``'s. Pure apart from reading the artifacts.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chain.abi import events
from protocol.errors import ChainError


class Log(msgspec.Struct, frozen=True):
    """A decoded log. ``arguments`` are JSON values: bytes as hex without ``0x``, addresses as ``0x`` hex."""

    contract: str
    name: str
    arguments: dict[str, Any]
    block: int
    index: int
    transaction: str


def decode_log(contract: str, raw: Any) -> Log | None:
    """A log of ``contract`` as an endpoint gives it; ``None`` for an event that this version does not know.

    Raises ``ChainError('ForeignContract')`` for a log that no contract of ours can have written.
    """
    try:
        topics = raw["topics"]
        kind = events(contract).get(topics[0].lower()) if topics else None
        if kind is None:
            return None
        return Log(
            contract=contract,
            name=kind.name,
            arguments={name: _plain(value) for name, value in kind.read(topics, raw["data"]).items()},
            block=int(raw["blockNumber"], 16),
            index=int(raw["logIndex"], 16),
            transaction=str(raw["transactionHash"]).lower(),
        )
    except Exception as error:  # eth_abi raises several unrelated classes on hostile data
        raise ChainError(
            f"A log of the contract {contract} cannot be read: {type(error).__name__}.",
            "Nothing was counted from it.",
            "Use another RPC endpoint, or the join token of the swarm's host.",
            reason="ForeignContract",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    return value
