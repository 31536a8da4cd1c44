"""Why this module exists: what contracts told the world, from raw logs to names and arguments.

The counterpart of ``chain.abi`` for events, from the same checked-in artifacts. Pure apart from reading those.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from eth_abi.abi import decode
from eth_hash.auto import keccak

from chain.abi import _type, artifact
from protocol.errors import ChainError


class EventType(msgspec.Struct, frozen=True):
    """One event of a contract: argument names and ABI types, first those that are topics, then those in the data."""

    name: str
    indexed: tuple[tuple[str, str], ...]
    plain: tuple[tuple[str, str], ...]


class Log(msgspec.Struct, frozen=True):
    """A decoded log. ``arguments`` are JSON values: bytes as hex without ``0x``, addresses as ``0x`` hex."""

    contract: str
    name: str
    arguments: dict[str, Any]
    block: int
    index: int
    transaction: str


@cache
def event_types(contract: str) -> dict[str, EventType]:
    """All events of a contract by their first topic (hex without ``0x``)."""
    found = {}
    for entry in artifact(contract)["abi"]:
        if entry["type"] != "event":
            continue
        inputs = [(part["name"], _type(part), bool(part["indexed"])) for part in entry["inputs"]]
        signature = f"{entry['name']}({','.join(kind for _, kind, _ in inputs)})"
        found[keccak(signature.encode()).hex()] = EventType(
            entry["name"],
            tuple((name, kind) for name, kind, is_indexed in inputs if is_indexed),
            tuple((name, kind) for name, kind, is_indexed in inputs if not is_indexed),
        )
    return found


def decode_log(contract: str, raw: Any) -> Log | None:
    """A log of ``contract`` as an endpoint gives it; ``None`` for an event that this version does not know.

    Raises ``ChainError('ForeignContract')`` for a log that no contract of ours can have written.
    """
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in raw["topics"]]
        kind = event_types(contract).get(topics[0].hex()) if topics else None
        if kind is None:
            return None
        values: dict[str, Any] = {}
        for (name, abi_type), topic in zip(kind.indexed, topics[1:], strict=True):
            (values[name],) = decode((abi_type,), topic)
        data = bytes.fromhex(raw["data"][2:])
        values |= dict(zip((name for name, _ in kind.plain), decode([t for _, t in kind.plain], data), strict=True))
        return Log(
            contract=contract,
            name=kind.name,
            arguments={name: _plain(value) for name, value in values.items()},
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
