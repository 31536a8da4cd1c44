"""Leaves through a real EVM: many at a time, each answered by a number or by the name of its refusal."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from eth_hash.auto import keccak

from chain.abi import artifact, deployment_data, function
from chain.devchain import DevChain
from chain.rpc import Rpc
from chain.sender import Sender
from verde.program.kinds import Kind, Type
from verde.program.node import MAX_ELEMENTS, Access, Node

CONTRACT = "LeafEvaluator"
CHAIN_ID = 31337
BATCH_CALLS = 250
BATCH_BYTES = 1_500_000
REASONS = ("NotFinite", "Overflow", "DivisionByZero", "RootOfNegative", "LogarithmOfNonPositive", "IndexBeyondEnd")
CALL_GAS = hex(30_000_000)
TRANSACTION_GAS = 21_000

Answer = int | str
"""A result, or a refusal by name; for ``NotANumber`` by its reason."""


def packed(values: Iterable[int], size: int = 4) -> bytes:
    """Elements as they lie in trees; negative ones in two's complement."""
    return b"".join((value % (1 << (8 * size))).to_bytes(size, "little") for value in values)


@dataclass(frozen=True)
class Leaf:
    """One output element of one node. ``strides`` per input, with its start first; zeros where left out."""

    kind: Kind
    inputs: tuple[bytes, ...] = ()
    attributes: tuple[int, ...] = ()
    type: Type = Type.F32
    sizes: tuple[int, ...] = (1,)
    element: int = 0
    length: int = 0
    accesses: tuple[tuple[int, ...], ...] = field(default=())

    @property
    def node(self) -> bytes:
        """The node's byte string."""
        still = (0,) * (len(self.sizes) + 1)
        accesses = self.accesses or (still,) * len(self.inputs)
        inputs = tuple(Access(0, MAX_ELEMENTS - 1, start, strides) for start, *strides in accesses)
        attributes = tuple(word % 2**32 for word in self.attributes)
        return Node(self.kind, self.type, self.sizes, inputs, attributes, self.length).encoded()


class Evm:
    """The evaluator on a dev chain of its own."""

    def __init__(self, chain: DevChain) -> None:
        self._chain = chain
        self.address, self.deployment_gas = asyncio.run(self._deploy())

    async def _deploy(self) -> tuple[str, int]:
        rpc = Rpc([self._chain.url])
        try:
            mined = await Sender(rpc, self._chain.account, CHAIN_ID).send(None, deployment_data(CONTRACT))
            receipt = await rpc.request("eth_getTransactionReceipt", mined.transaction)
            # A block that is mined while a call runs makes anvil refuse the call.
            await rpc.request("evm_setIntervalMining", 0)
        finally:
            await rpc.close()
        return receipt["contractAddress"], mined.gas

    @property
    def code_size(self) -> int:
        """Bytes of the deployed contract."""
        return len(self._ask([("eth_getCode", [self.address, "latest"])])[0]["result"]) // 2 - 1

    def evaluate(self, leaves: Iterable[Leaf]) -> list[Answer]:
        """The element of each leaf."""
        return self.call("evaluate", [(leaf.node, leaf.element, leaf.inputs) for leaf in leaves])

    def evaluate_followed_by(self, leaves: Iterable[Leaf], junk: bytes) -> list[Answer]:
        """The element of each leaf, with ``junk`` where calldata has zeros: behind inputs, up to a word's end."""
        evaluate = function(CONTRACT, "evaluate")
        messages = []
        for leaf in leaves:
            longer = [one + (junk * 8)[: -len(one) % 32] for one in leaf.inputs]
            data = evaluate.call_data(leaf.node, leaf.element, longer)
            for one, long in zip(leaf.inputs, longer, strict=True):
                told = len(long).to_bytes(32, "big").hex() + long.hex()
                data = data.replace(told, len(one).to_bytes(32, "big").hex() + long.hex())
            messages.append(("eth_call", [self._message(data), "latest"]))
        return [evaluate.result(reply["result"]) for reply in self._ask(messages)]

    def apply(self, kind: Kind, *columns: Sequence[int], attributes: tuple[int, ...] = ()) -> list[Answer]:
        """The kind's element for each row of 4-byte inputs."""
        rows = zip(*columns, strict=True)
        return self.evaluate(Leaf(kind, tuple(packed([one]) for one in row), attributes) for row in rows)

    def call(self, name: str, arguments: Sequence[tuple[object, ...]]) -> list[Answer]:
        """What the contract's function returns for each of these arguments (the last value of several)."""
        called = function(CONTRACT, name)
        answers: list[Answer] = []
        for reply in self._ask([("eth_call", [self._message(called.call_data(*one)), "latest"]) for one in arguments]):
            if "result" in reply:
                value = called.result(reply["result"])
                answers.append(value[-1] if isinstance(value, tuple) else value)
            else:
                answers.append(refusal(reply["error"]))
        return answers

    def gas(self, name: str, *arguments: object) -> tuple[int, int, int]:
        """(gas of a transaction with this call, the floor that its calldata sets, bytes of its calldata)."""
        raw = bytes.fromhex(function(CONTRACT, name).call_data(*arguments)[2:])
        message = self._message("0x" + raw.hex()) | {"from": self._chain.account.address}
        (trace,) = self._ask([("debug_traceCall", [message, "latest", {"tracer": "callTracer"}])])
        floor = TRANSACTION_GAS + 10 * (4 * len(raw) - 3 * raw.count(0))
        return int(trace["result"]["gasUsed"], 16), floor, len(raw)

    def _message(self, data: str) -> dict[str, str]:
        return {"to": self.address, "data": data, "gas": CALL_GAS}

    def _ask(self, calls: Sequence[tuple[str, list[object]]]) -> list[dict]:
        replies: list[dict] = []
        pending: list[dict] = []
        size = 0
        for number, (method, parameters) in enumerate(calls):
            pending.append({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
            size += len(str(parameters))
            if len(pending) == BATCH_CALLS or size > BATCH_BYTES or number == len(calls) - 1:
                replies += self._post(pending)
                pending, size = [], 0
        return replies

    def _post(self, batch: list[dict]) -> list[dict]:
        request = urllib.request.Request(
            self._chain.url, json.dumps(batch).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as response:
            replies = json.load(response)
        assert len(replies) == len(batch)
        return sorted(replies, key=lambda reply: reply["id"])


def refusal(error: dict) -> str:
    """The name of a custom error of ours in a JSON-RPC error; ``AssertionError`` for anything else."""
    data = error.get("data")
    assert isinstance(data, str), error
    name = _selectors()[data[2:10]]
    return REASONS[int(data[10:], 16)] if name == "NotANumber" else name


def _selectors() -> dict[str, str]:
    entries = [entry for entry in artifact(CONTRACT)["abi"] if entry["type"] == "error"]
    signatures = {e["name"]: f"{e['name']}({','.join(p['type'] for p in e['inputs'])})" for e in entries}
    return {keccak(text.encode())[:4].hex(): name for name, text in signatures.items()}
