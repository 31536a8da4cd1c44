"""Why this module exists: one endpoint may be slow, gone, limiting, behind or hostile; its health says when to ask it.

An endpoint's URL often contains an API key. ``shown`` is what people and logs get to see, and whatever an endpoint or
library says is cleaned of the rest of the URL before it becomes part of an error.
"""

from __future__ import annotations

import email.utils
import logging
import re
import time
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from web3 import AsyncHTTPProvider
from web3.types import RPCEndpoint

import chain.ethereum  # noqa: F401  (endpoints are hostile: see there)
from chain.answers import makes_sense
from protocol.errors import ChainError

RESPONSE_CAP = 8 * 1024 * 1024
"""Bytes. An endpoint that sends more is treated as not answering."""

NODE_DOWN = -32050
"""JSON-RPC error code of our gate when the node behind it does not answer."""

LIMIT_EXCEEDED = -32005
"""JSON-RPC error code of gates and providers for too many calls: asking later helps."""

MOVED_ON = "BlockOutOfRangeError"
"""anvil without history says this when a block is mined between choosing the latest one and reading its state; asking
again helps (foundry-rs/foundry#10709)."""

LIMIT_CODES = frozenset({LIMIT_EXCEEDED, -32029, -32097, 429})
LIMIT_WORDS = ("rate limit", "too many requests", "request limit", "limit reached", "capacity exceeded")
FIRST_REST_S, LONGEST_REST_S = 0.25, 30.0
LONGEST_RETRY_AFTER_S = 600.0
LATENCY_STEP_S = 0.25
FORGIVEN_AFTER_S = 30.0
"""Half of an endpoint's failures are forgotten after so many seconds."""

_SECRET_LENGTH = 4
"""Parts of a URL at least this long are hidden wherever they turn up."""

_silent = logging.getLogger("chain.endpoints.silent")  # web3 writes the whole URL at DEBUG
_silent.addHandler(logging.NullHandler())
_silent.propagate = False
_silent.disabled = True


class RpcRefused(ChainError):
    """The endpoint answered with a JSON-RPC error: ``code``, its message in ``what``, and revert data in ``data``."""

    def __init__(self, code: int, message: str, data: str = "") -> None:
        super().__init__(f"The chain's endpoint refused: {message[:300]}", reason=f"rpc {code}")
        self.code = code
        self.data = data


class NotAnswering(Exception):
    """One endpoint failed to answer; another one, or a later try, may. ``connection``: it may be another node then."""

    def __init__(self, why: str, *, connection: bool = False) -> None:
        super().__init__(why)
        self.connection = connection


class Limited(NotAnswering):
    """It asks for rest, for ``retry_after_s`` seconds where it says so."""

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__("it limits how often it is asked")
        self.retry_after_s = retry_after_s


class Health:
    """What is known of one endpoint. Times are seconds of ``clock``; ``head``: a block number, ``None`` if unknown."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.latency_s = 0.0
        self.head: int | None = None
        self.limited_until = 0.0
        self._failures = 0.0
        self._failed_at = 0.0
        self._rest_s = FIRST_REST_S

    @property
    def failures(self) -> float:
        """Recent failures; old ones count less and less."""
        return float(self._failures * 0.5 ** ((self._clock() - self._failed_at) / FORGIVEN_AFTER_S))

    @property
    def rests_s(self) -> float:
        """Seconds for which it asked to be left alone; 0 when it may be asked now."""
        return max(0.0, self.limited_until - self._clock())

    @property
    def score(self) -> float:
        """Smaller is better: seconds of latency (a quarter is no difference), and one more for each recent failure."""
        return self.latency_s // LATENCY_STEP_S * LATENCY_STEP_S + self.failures

    def answered(self, took_s: float) -> None:
        self.latency_s = took_s if not self.latency_s else 0.8 * self.latency_s + 0.2 * took_s
        self._failures, self._rest_s = self.failures / 2, FIRST_REST_S

    def failed(self) -> None:
        self._failures, self._failed_at = self.failures + 1, self._clock()

    def limited(self, retry_after_s: float | None) -> None:
        """Rest as long as it says, else twice as long as last time."""
        if retry_after_s is None:
            retry_after_s, self._rest_s = self._rest_s, min(2 * self._rest_s, LONGEST_REST_S)
        self.limited_until = max(self.limited_until, self._clock() + min(retry_after_s, LONGEST_RETRY_AFTER_S))


class Endpoint(AsyncHTTPProvider):
    """web3's HTTP provider with one session of ours, a cap on what is read, and no retries of its own."""

    logger = _silent

    def __init__(self, url: str, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(url, exception_retry_configuration=None)
        self._url = url
        self.shown = shown(url)
        self.health = Health(clock)
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(3.0, timeout_s))
        self._session: aiohttp.ClientSession | None = None

    def __str__(self) -> str:
        return self.shown

    __repr__ = __str__

    async def ask(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises ``NotAnswering`` (noted in its health) and ``RpcRefused``."""
        started = self._clock()
        try:
            result = await self._ask(method, list(params))
        except Limited as limited:
            self.health.limited(limited.retry_after_s)
            raise
        except NotAnswering:
            self.health.failed()
            raise
        except RpcRefused:
            self.health.answered(self._clock() - started)
            raise
        self.health.answered(self._clock() - started)
        return result

    async def _ask(self, method: str, params: list[Any]) -> Any:
        try:
            response: Any = await self.make_request(RPCEndpoint(method), params)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The libraries' own errors contain the URL: they are not kept as a cause.
            why = redacted(f"{type(error).__name__} {error}".strip(), self._url)
            raise NotAnswering(why[:200], connection=True) from None
        except (ValueError, RecursionError):
            raise NotAnswering("it does not speak JSON-RPC") from None
        if not isinstance(response, dict) or ("result" not in response and "error" not in response):
            raise NotAnswering("it does not speak JSON-RPC")
        if response.get("error") is not None:
            raise self._refusal(response["error"])
        if not makes_sense(method, params, response.get("result")):
            raise NotAnswering(f"it gave a senseless answer to {method}")
        return response.get("result")

    def _refusal(self, error: Any) -> Exception:
        details = error if isinstance(error, dict) else {"message": error}
        code = details.get("code") if isinstance(details.get("code"), int) else 0
        message = redacted(str(details.get("message")), self._url)
        data = details.get("data")
        if code == NODE_DOWN:
            return NotAnswering("the node behind the gate does not answer")
        if MOVED_ON in message:
            return NotAnswering("the node moved on to its next block while answering")
        # A contract's own words may sound like a limit: revert data means that the contract was asked.
        sounds_limited = code in LIMIT_CODES or any(words in message.lower() for words in LIMIT_WORDS)
        if sounds_limited and not isinstance(data, str):
            return Limited()
        return RpcRefused(cast(int, code), message, data if isinstance(data, str) else "")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _make_request(self, method: RPCEndpoint, request_data: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        async with self._session.post(
            self._url, data=request_data, headers={"Content-Type": "application/json"}, allow_redirects=False
        ) as response:
            retry_after = response.headers.get("Retry-After")
            if response.status == 429 or (response.status == 503 and retry_after):
                raise Limited(_seconds(retry_after))
            if response.status >= 500 or response.status in (401, 403, 404):
                raise aiohttp.ClientConnectionError(f"HTTP status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(64 * 1024):
                body += chunk
                if len(body) > RESPONSE_CAP:
                    raise aiohttp.ClientPayloadError(f"more than {RESPONSE_CAP} bytes")
            return bytes(body)


def shown(url: str) -> str:
    """The URL for people: scheme, host and port; credentials, path and query are hidden."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or "…"
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an unreadable URL"
    hidden = "/…" if parts.path.strip("/") or parts.query or parts.fragment else ""
    return f"{parts.scheme}://{host}{port}{hidden}"


def redacted(text: str, url: str) -> str:
    """``text`` without the parts of ``url`` that ``shown`` hides."""
    text = text.replace(url, shown(url))
    try:
        parts = urlsplit(url)
        hidden = [parts.username or "", parts.password or "", parts.path, parts.query, parts.fragment]
    except ValueError:
        return "the URL cannot be read"
    pieces = {piece for part in hidden for piece in [part.strip("/"), *re.split(r"[/&=?]", part)]}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SECRET_LENGTH:
            text = text.replace(piece, "…")
    return text


def _seconds(retry_after: str | None) -> float | None:
    """The header's wish: seconds, or a date; ``None`` when there is none, or nonsense."""
    if not retry_after:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d*)?", retry_after.strip()):
        return float(retry_after)
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, at.timestamp() - time.time())
