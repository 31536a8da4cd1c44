"""Why this module exists: the dev chain's own RPC obeys anyone; this is the door that other programs and machines use.

An HTTP server that passes on reads and signed transactions, one by one or in small batches, and refuses everything
else by name. One method is its own: ``swarm_faucet(address)`` sends a little gas money, capped per address and in
total. Everything is bounded: bytes in and out, calls per batch, calls per second and address, time, concurrency.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

import aiohttp
import msgspec
from aiohttp import web

from chain.abi import function
from chain.rpc import LIMIT_EXCEEDED, MOVED_ON, NODE_DOWN, RESPONSE_CAP
from chain.sender import METHOD_NOT_FOUND, Sender
from protocol.errors import BadRecord, ChainError, ConfigError
from protocol.ids import Address, parse_address

ALLOWED_METHODS: dict[str, int] = {
    "eth_blockNumber": 0,
    "eth_call": 2,
    "eth_chainId": 0,
    "eth_estimateGas": 3,
    "eth_feeHistory": 3,
    "eth_gasPrice": 0,
    "eth_getBalance": 2,
    "eth_getBlockByHash": 2,
    "eth_getBlockByNumber": 2,
    "eth_getCode": 2,
    "eth_getLogs": 1,
    "eth_getStorageAt": 3,
    "eth_getTransactionByHash": 1,
    "eth_getTransactionCount": 2,
    "eth_getTransactionReceipt": 1,
    "eth_maxPriorityFeePerGas": 0,
    "eth_sendRawTransaction": 1,
    "net_version": 0,
    "web3_clientVersion": 0,
}
"""Method and the most parameters it may have. A third one pretends another state: that is taken for what something
would cost, since a deposit or a bond is priced before it is approved, and not for what is true (``eth_call``)."""

FAUCET_METHOD = "swarm_faucet"
ATTEMPTS_WHEN_MOVED_ON = 5
REMEMBERED_S = 30.0
REMEMBERED_TRANSACTIONS = 2000
TOKEN_METHOD = "swarm_token"
"""Answers with the join token of the swarm behind this gate, for newcomers who know only the URL."""

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
FAUCET_REFUSED = -32051


class GateLimits(msgspec.Struct, frozen=True):
    """Bounds of the gate. ``calls_per_s`` and ``burst`` are per client address."""

    body_bytes: int = 256 * 1024
    batch_calls: int = 32
    calls_per_s: float = 300.0
    burst: int = 600
    concurrent_calls: int = 32
    call_timeout_s: float = 8.0


class Tokens(msgspec.Struct, frozen=True):
    """Swarm tokens that the faucet adds to a newcomer's first gift: ``gift_wei`` of ``token``, ``total_wei`` in all.

    ``bond_wei`` come with the second gift, where less is left of the first: for who must accuse a cheat before it has
    earned anything.
    """

    token: Address
    gift_wei: int
    total_wei: int
    bond_wei: int = 0


class Faucet:
    """Gas money for newcomers: ``gift_wei`` per request, at most ``per_address_wei`` and ``total_wei`` ever; and with
    an address's first two, ``tokens``. ``held``: how many of those an address has, asked before the second: who lost
    the answer to its first request asks again, and needs none. One address is served at a time.

    What was given is remembered until the process ends.
    """

    def __init__(
        self,
        sender: Sender,
        *,
        gift_wei: int = 10**17,
        per_address_wei: int = 10**18,
        total_wei: int = 10**21,
        tokens: Tokens | None = None,
        held: Callable[[Address], Awaitable[int]] | None = None,
    ) -> None:
        if tokens is not None and tokens.bond_wei and held is None:
            raise ValueError("Without `held` nobody could say who needs tokens for a bond.")
        self._sender = sender
        self._gift_wei = gift_wei
        self._per_address_wei = per_address_wei
        self._left_wei = total_wei
        self._given_wei: dict[str, int] = {}
        self._tokens = tokens
        self._tokens_left_wei = tokens.total_wei if tokens is not None else 0
        self._token_gifts: dict[str, int] = {}
        self._held = held
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def give(self, address: Address) -> str:
        """Send one gift and wait until it is mined; the transaction. Raises ``ChainError('FaucetEmpty')``."""
        key = address.lower()
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            return await self._give(key, address)

    async def _give(self, key: str, address: Address) -> str:
        given = self._given_wei.get(key, 0)
        if given + self._gift_wei > self._per_address_wei or self._gift_wei > self._left_wei:
            raise ChainError(
                "The faucet gives nothing more" + (" to this address." if given else "."), reason="FaucetEmpty"
            )
        # Booked before it is sent, so that requests at the same time cannot get more than the cap.
        self._given_wei[key] = given + self._gift_wei
        self._left_wei -= self._gift_wei
        try:
            transaction = (await self._sender.send(address, value_wei=self._gift_wei)).transaction
        except ChainError:
            self._given_wei[key] -= self._gift_wei
            self._left_wei += self._gift_wei
            raise
        await self._give_tokens(key, address)
        return transaction

    async def _give_tokens(self, key: str, address: Address) -> None:
        """An address's tokens for a stake, then those for a bond; nothing after that, or when too few are left."""
        tokens, number = self._tokens, self._token_gifts.get(key, 0)
        if tokens is None or number > 1:
            return
        gift_wei = (tokens.gift_wei, tokens.bond_wei)[number]
        if not gift_wei or gift_wei > self._tokens_left_wei:
            return
        if number and self._held is not None and await self._held(address) >= gift_wei:
            return
        self._token_gifts[key] = number + 1
        self._tokens_left_wei -= gift_wei
        try:
            data = function("SwarmToken", "transfer").call_data(address, gift_wei)
            await self._sender.send(tokens.token, data)
        except ChainError:
            self._token_gifts[key] = number
            self._tokens_left_wei += gift_wei
            raise


class Gate:
    """Serves ``upstream_url`` to others. ``start`` returns its URL, ``stop`` ends it."""

    def __init__(self, upstream_url: str, *, faucet: Faucet | None = None, limits: GateLimits | None = None) -> None:
        self._upstream_url = upstream_url
        self._faucet = faucet
        self._limits = limits or GateLimits()
        self._meter = _Meter(self._limits.calls_per_s, self._limits.burst)
        self._slots = asyncio.Semaphore(self._limits.concurrent_calls)
        self._recent: deque[tuple[float, str]] = deque(maxlen=REMEMBERED_TRANSACTIONS)
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None
        self.join_token = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen on ``host``; port 0 picks a free one. Raises ``ConfigError`` when it is taken."""
        application = web.Application(client_max_size=self._limits.body_bytes)
        application.router.add_post("/", self._serve)
        runner = web.AppRunner(application, access_log=None, keepalive_timeout=75, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"The gate cannot listen on {host}:{port}: {error.strerror or error}.",
                "Peers could not reach the chain.",
                "End the program that uses the port, or choose another one (0 picks a free one).",
            ) from error
        self._runner = runner
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._limits.call_timeout_s))
        bound_host, bound_port = runner.addresses[0][:2]
        return f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def resend(self) -> int:
        """Give the node the transactions of the last ``REMEMBERED_S`` again; how many it took.

        For a node that was killed and restarted: what it lost of its last seconds is mined once more, in the old order;
        what it kept it refuses by its nonce.
        """
        taken = 0
        for at_s, raw in list(self._recent):
            if time.monotonic() - at_s <= REMEMBERED_S:
                answer = await self._pass_on(0, "eth_sendRawTransaction", [raw])
                taken += "result" in answer
        return taken

    async def _serve(self, request: web.Request) -> web.Response:
        # A JSON content type cannot be sent across origins without permission: web pages cannot use the gate.
        if request.content_type != "application/json":
            return _respond(_error(None, INVALID_REQUEST, "Content-Type must be application/json"), status=415)
        try:
            body = json.loads(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return _respond(_error(None, INVALID_REQUEST, f"more than {self._limits.body_bytes} bytes"), status=413)
        except (ValueError, RecursionError):
            return _respond(_error(None, PARSE_ERROR, "not JSON"))
        client = request.remote or ""
        if not isinstance(body, list):
            return _respond(await self._answer(body, client))
        if not 0 < len(body) <= self._limits.batch_calls:
            return _respond(_error(None, INVALID_REQUEST, f"a batch has 1 to {self._limits.batch_calls} calls"))
        return _respond(await asyncio.gather(*(self._answer(call, client) for call in body)))

    async def _answer(self, call: Any, client: str) -> dict[str, Any]:
        """One JSON-RPC answer; never raises for what a client sent."""
        number = call.get("id") if isinstance(call, dict) else None
        if not isinstance(number, (int, str)) or (isinstance(number, str) and len(number) > 64):
            return _error(None, INVALID_REQUEST, "not a JSON-RPC call with an id")
        method, params = call.get("method"), call.get("params", [])
        if not isinstance(method, str) or not isinstance(params, list):
            return _error(number, INVALID_REQUEST, "method must be a string and params a list")
        if not self._meter.allows(client, time.monotonic()):
            return _error(number, LIMIT_EXCEEDED, "too many calls from this address; slow down")
        if method == TOKEN_METHOD and self.join_token:
            return {"jsonrpc": "2.0", "id": number, "result": self.join_token}
        if method == FAUCET_METHOD and self._faucet is not None:
            return await self._give(number, params)
        if method not in ALLOWED_METHODS:
            return _error(number, METHOD_NOT_FOUND, f"the gate does not pass on {method[:60]!r}")
        if len(params) > ALLOWED_METHODS[method]:
            return _error(number, INVALID_PARAMS, f"{method} takes at most {ALLOWED_METHODS[method]} parameters")
        async with self._slots:
            answer = await self._pass_on(number, method, params)
        if method == "eth_sendRawTransaction" and "result" in answer:
            self._recent.append((time.monotonic(), params[0]))
        return answer

    async def _pass_on(self, number: int | str, method: str, params: list[Any]) -> dict[str, Any]:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            for _ in range(ATTEMPTS_WHEN_MOVED_ON):
                answer = await self._ask_node(call)
                if answer is None:
                    return _error(number, LIMIT_EXCEEDED, f"the answer has more than {RESPONSE_CAP} bytes")
                if not _moved_on(answer):
                    break
        except TimeoutError:
            return _error(number, NODE_DOWN, f"the chain node did not answer in {self._limits.call_timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError, RecursionError):
            return _error(number, NODE_DOWN, "the chain node does not answer")
        if not isinstance(answer, dict):
            return _error(number, NODE_DOWN, "the chain node does not speak JSON-RPC")
        return answer | {"id": number}

    async def _ask_node(self, call: dict[str, Any]) -> Any:
        """The node's answer, ``None`` when it is too long."""
        assert self._session is not None
        async with self._session.post(self._upstream_url, json=call) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > RESPONSE_CAP:
                    return None
            return json.loads(body)

    async def _give(self, number: int | str, params: list[Any]) -> dict[str, Any]:
        assert self._faucet is not None
        try:
            if len(params) != 1 or not isinstance(params[0], str):
                raise BadRecord("malformed", f"{FAUCET_METHOD} takes one address.")
            transaction = await self._faucet.give(parse_address(params[0]))
        except BadRecord as error:
            return _error(number, INVALID_PARAMS, error.what)
        except ChainError as error:
            return _error(number, FAUCET_REFUSED, error.what)
        return {"jsonrpc": "2.0", "id": number, "result": transaction}


class _Meter:
    """A token bucket per client address; remembers the last few thousand addresses."""

    MAX_CLIENTS = 4096

    def __init__(self, calls_per_s: float, burst: int) -> None:
        self._calls_per_s = calls_per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str, now_s: float) -> bool:
        """Take one call's worth out of the client's bucket; false when it is empty."""
        tokens, at_s = self._buckets.pop(client, (float(self._burst), now_s))
        tokens = min(float(self._burst), tokens + (now_s - at_s) * self._calls_per_s)
        allowed = tokens >= 1.0
        self._buckets[client] = (tokens - 1.0 if allowed else tokens, now_s)
        if len(self._buckets) > self.MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return allowed


def _moved_on(answer: Any) -> bool:
    return isinstance(answer, dict) and "error" in answer and MOVED_ON in json.dumps(answer["error"])


def _error(number: int | str | None, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _respond(answer: Any, *, status: int = 200) -> web.Response:
    return web.Response(body=json.dumps(answer).encode(), content_type="application/json", status=status)
