"""Why this module exists: calls, results and refusals of our contracts, translated from the checked-in artifacts.

Pure apart from reading the artifact files, once each.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

ARTIFACTS_FOLDER = Path(__file__).parent / "artifacts"

CONTRACT_NAMES = (
    "PeerRegistry",
    "SwarmToken",
    "RunFactory",
    "RoundClock",
    "Contributions",
    "Settlement",
    "StakeVault",
    "Reputation",
    "Equivocation",
    "DisputeGame",
    "DataRequests",
    "SwarmBase",
    "SwarmCourts",
    "SwarmDeployment",
)

STATELESS = ("DisputeJudge", "LeafEvaluator")
"""Contracts that others call and nobody else does; their refusals come through."""


class Function(msgspec.Struct, frozen=True):
    """One function of a contract: 4-byte selector, ABI types in and out."""

    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def call_data(self, *arguments: Any) -> str:
        """``0x`` hex to put into a transaction or call."""
        return "0x" + (self.selector + encode(self.inputs, arguments)).hex()

    def result(self, data: str) -> Any:
        """The returned value (a tuple when there are several; structs are tuples).

        Raises ``eth_abi.exceptions.DecodingError`` when ``data`` is not what this function returns.
        """
        values = decode(self.outputs, bytes.fromhex(data[2:]))
        return values[0] if len(values) == 1 else values


class Event(msgspec.Struct, frozen=True):
    """One event of a contract: first topic (``0x`` hex), and names and ABI types of what is indexed and what is not."""

    name: str
    topic: str
    indexed: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]

    def read(self, topics: list[str], data: str) -> dict[str, Any]:
        """What a log of this event says, by name. Raises ``eth_abi.exceptions.DecodingError`` or ``ValueError``."""
        found = {
            name: decode([kind], bytes.fromhex(topic[2:]))[0]
            for (name, kind), topic in zip(self.indexed, topics[1:], strict=True)
        }
        values = decode([kind for _, kind in self.data], bytes.fromhex(data[2:]))
        return found | {name: value for (name, _), value in zip(self.data, values, strict=True)}


class Refusal(msgspec.Struct, frozen=True):
    """A contract's custom error: its name and its arguments by name."""

    name: str
    arguments: dict[str, Any]


@cache
def artifact(contract: str) -> dict[str, Any]:
    """The checked-in build of a contract (see ``chain.build``)."""
    content: dict[str, Any] = json.loads((ARTIFACTS_FOLDER / f"{contract}.json").read_text())
    return content


@cache
def function(contract: str, name: str) -> Function:
    """A function by name; the contracts overload none."""
    entry = next(e for e in artifact(contract)["abi"] if e["type"] == "function" and e["name"] == name)
    inputs, outputs = (tuple(_type(p) for p in entry[side]) for side in ("inputs", "outputs"))
    return Function(keccak(f"{name}({','.join(inputs)})".encode())[:4], inputs, outputs)


@cache
def events(contract: str) -> dict[str, Event]:
    """All events of a contract by their first topic."""
    found = {}
    for entry in (e for e in artifact(contract)["abi"] if e["type"] == "event"):
        name, fields = entry["name"], [(p["name"], _type(p), p["indexed"]) for p in entry["inputs"]]
        topic = "0x" + keccak(f"{name}({','.join(kind for _, kind, _ in fields)})".encode()).hex()
        indexed, data = (tuple((n, kind) for n, kind, is_in in fields if is_in is wanted) for wanted in (True, False))
        found[topic] = Event(name, topic, indexed, data)
    return found


def event(contract: str, name: str) -> Event:
    """An event by name; the contracts overload none."""
    return next(one for one in events(contract).values() if one.name == name)


@cache
def functions(contract: str) -> dict[bytes, tuple[str, Function]]:
    """All functions of a contract by selector, with their names."""
    names = [e["name"] for e in artifact(contract)["abi"] if e["type"] == "function"]
    return {function(contract, name).selector: (name, function(contract, name)) for name in names}


def deployment_data(contract: str, *arguments: Any) -> str:
    """Creation code with constructor arguments, as ``0x`` hex."""
    code: str = artifact(contract)["bytecode"]
    types = [_type(p) for e in artifact(contract)["abi"] if e["type"] == "constructor" for p in e["inputs"]]
    return code + encode(types, arguments).hex()


def decode_refusal(data: str) -> Refusal | None:
    """The custom error in revert data, ``None`` when it is none of ours.

    ``Error(string)`` and ``Panic(uint256)`` of the language itself are known too.
    """
    raw = bytes.fromhex(data[2:]) if data.startswith("0x") else b""
    entry = _errors().get(raw[:4])
    if entry is None:
        return None
    name, names, types = entry
    try:
        values = decode(types, raw[4:])
    except Exception:  # eth_abi raises several unrelated classes on hostile data; the name alone is still worth having
        values = ()
    return Refusal(name, dict(zip(names, values, strict=False)))


@cache
def _errors() -> dict[bytes, tuple[str, tuple[str, ...], tuple[str, ...]]]:
    found: set[tuple[str, tuple[str, ...], tuple[str, ...]]]
    found = {("Error", ("message",), ("string",)), ("Panic", ("code",), ("uint256",))}
    for contract in (*CONTRACT_NAMES, *STATELESS):
        for entry in artifact(contract)["abi"]:
            if entry["type"] == "error":
                names, types = tuple(p["name"] for p in entry["inputs"]), tuple(_type(p) for p in entry["inputs"])
                found.add((entry["name"], names, types))
    return {keccak(f"{name}({','.join(types)})".encode())[:4]: (name, names, types) for name, names, types in found}


def _type(parameter: dict[str, Any]) -> str:
    kind: str = parameter["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(_type(part) for part in parameter["components"]) + ")" + kind.removeprefix("tuple")
