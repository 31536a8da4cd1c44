"""Why this module exists: an endpoint may be slow, gone, lying or somebody else's; callers see typed errors only.

Requests go to the first endpoint that answers, beginning with the one that answered last. Connection failures are
retried (every method used here is idempotent: a raw transaction is the same transaction when sent twice); refusals
are not.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import aiohttp
import stamina
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

import chain.ethereum  # noqa: F401  (endpoints are hostile: see there)
from protocol.errors import ChainError, ChainUnreachable

RESPONSE_CAP = 8 * 1024 * 1024
"""Bytes. An endpoint that sends more is treated as not answering."""

REQUEST_TIMEOUT_S = 10.0
NODE_DOWN = -32050
"""JSON-RPC error code of our gate when the node behind it does not answer."""

LIMIT_EXCEEDED = -32005
"""JSON-RPC error code of gates and providers for too many calls: asking later helps."""

MOVED_ON = "BlockOutOfRangeError"
"""anvil without history says this when a block is mined between choosing the latest one and reading its state; asking
again helps (foundry-rs/foundry#10709)."""

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")

Ask = Callable[..., Awaitable[Any]]


class RpcRefused(ChainError):
    """The endpoint answered with a JSON-RPC error: ``code``, its message in ``what``, and revert data in ``data``."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"The chain's endpoint refused: {message[:300]}", reason=f"rpc {code}")
        self.code = code
        self.data = data


class _NotAnswering(Exception):
    """One endpoint failed to answer; another one, or a later try, may."""


class Rpc:
    """JSON-RPC over HTTP with fail-over. ``check`` runs once per endpoint before it is trusted, and may raise.

    Not for concurrent event loops: connections belong to the loop of the first request.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        check: Callable[[Ask], Awaitable[None]] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
        num_attempts: int = 4,
    ) -> None:
        # The error that ends the retries says what was wrong; a log line for each of them would only hide it.
        stamina.instrumentation.set_on_retry_hooks(())
        self._providers = [_Provider(url, timeout_s) for url in urls]
        self._check = check
        self._checked: set[str] = set()
        self._num_attempts = num_attempts

    async def request(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises ``RpcRefused``, ``ChainUnreachable``, or what ``check`` raises."""
        try:
            async for attempt in stamina.retry_context(
                on=_NotAnswering,
                attempts=self._num_attempts,
                timeout=None,
                wait_initial=0.1,
                wait_max=1.0,
                wait_jitter=0.1,
            ):
                with attempt:
                    return await self._ask_in_turn(method, params)
        except _NotAnswering as error:
            raise ChainUnreachable(
                f"No chain endpoint answers ({error}).",
                "Nothing was refused or lost; everything pending is kept and sent again.",
                "Check that the host of this swarm is running and that --rpc names it.",
            ) from error
        raise AssertionError("unreachable")

    async def close(self) -> None:
        for provider in self._providers:
            await provider.close()

    async def _ask_in_turn(self, method: str, params: Sequence[Any]) -> Any:
        failures = []
        for provider in list(self._providers):
            try:
                if self._check is not None and provider.url not in self._checked:
                    await self._check(provider.ask)
                    self._checked.add(provider.url)
                result = await provider.ask(method, *params)
            except _NotAnswering as error:
                failures.append(f"{provider.url}: {error}")
                continue
            if provider is not self._providers[0]:
                self._providers.remove(provider)
                self._providers.insert(0, provider)
            return result
        raise _NotAnswering("; ".join(failures))


class _Provider(AsyncHTTPProvider):
    """web3's HTTP provider with one session of ours, a cap on what is read, and no retries of its own."""

    def __init__(self, url: str, timeout_s: float) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self.url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(3.0, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, *params: Any) -> Any:
        try:
            response: Any = await self.make_request(RPCEndpoint(method), list(params))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _NotAnswering(f"{type(error).__name__} {error}".strip()) from error
        except (ValueError, RecursionError) as error:
            raise _NotAnswering("it does not speak JSON-RPC") from error
        if not isinstance(response, dict) or ("result" not in response and "error" not in response):
            raise _NotAnswering("it does not speak JSON-RPC")
        if "error" not in response:
            return response["result"]
        details = response["error"] if isinstance(response["error"], dict) else {"message": response["error"]}
        code = details.get("code") if isinstance(details.get("code"), int) else 0
        if code == NODE_DOWN:
            raise _NotAnswering("the node behind the gate does not answer")
        if code == LIMIT_EXCEEDED:
            raise _NotAnswering("it limits how often it is asked")
        if MOVED_ON in str(details.get("message")):
            raise _NotAnswering("the node moved on to its next block while answering")
        data = details.get("data")
        raise RpcRefused(cast(int, code), str(details.get("message")), data if isinstance(data, str) else "")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        async with self._session.post(
            self.url, data=request_data, headers={"Content-Type": "application/json"}, allow_redirects=False
        ) as response:
            if response.status >= 500:
                raise aiohttp.ClientConnectionError(f"HTTP status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > RESPONSE_CAP:
                    raise aiohttp.ClientPayloadError(f"more than {RESPONSE_CAP} bytes")
            return bytes(body)


def quantity(value: Any) -> int:
    """A JSON-RPC number (``0x`` and hex digits). Raises ``ChainError('BadAnswer')`` for anything else."""
    if isinstance(value, str) and _QUANTITY.fullmatch(value):
        return int(value, 16)
    raise bad_answer(value)


def field(value: Any, name: str) -> Any:
    """A field of a JSON-RPC object. Raises ``ChainError('BadAnswer')`` when there is none."""
    if isinstance(value, dict) and name in value:
        return value[name]
    raise bad_answer(value)


def bad_answer(value: Any) -> ChainError:
    """For an endpoint that speaks JSON-RPC but not Ethereum."""
    return ChainError(
        f"The chain's endpoint gave a senseless answer: {str(value)[:80]!r}.",
        "Nothing was changed; everything pending is kept.",
        "Use another endpoint with --rpc.",
        reason="BadAnswer",
    )


async def gather(*calls: Awaitable[Any]) -> list[Any]:
    """Several requests at once; the first failure is raised after all have ended, so that none is left running."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
