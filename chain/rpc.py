"""Why this module exists: callers ask "the chain"; which endpoint answers, and which may be believed, is decided here.

Requests go to the healthiest endpoint that may be asked, then to the next. Connection failures are tried again (every
method used here is idempotent: a raw transaction is the same transaction when sent twice); refusals are not. An
endpoint that serves another chain or foreign contracts is left out, and so is, for whatever decides money, one that is
more than ``max_behind`` blocks behind the best one. Two endpoints cannot outvote each other: of three and more, a head
counts only when a second one has nearly got there, so that no single liar makes the others look late.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from chain.answers import bad_answer, field, quantity
from chain.endpoints import (
    LIMIT_EXCEEDED,
    MOVED_ON,
    NODE_DOWN,
    RESPONSE_CAP,
    Endpoint,
    NotAnswering,
    RpcRefused,
)
from protocol.errors import ChainError, ChainUnreachable

__all__ = [
    "LIMIT_EXCEEDED",
    "MOVED_ON",
    "NODE_DOWN",
    "RESPONSE_CAP",
    "Ask",
    "Rpc",
    "RpcRefused",
    "bad_answer",
    "field",
    "gather",
    "quantity",
]

REQUEST_TIMEOUT_S = 10.0
MAX_BEHIND_BLOCKS = 3
PROBE_EVERY_S = 5.0
PROBE_TIMEOUT_S = 2.0
BEST_HEAD_LASTS_S = 600.0
"""A head that nobody reports any more is believed for so long: a chain may really have lost blocks."""

REFUSED_FOR_S = 60.0
LONGEST_WAIT_S = 3.0
"""A request waits at most this long for an endpoint that asked for rest."""

BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 1.0
ANYBODY = frozenset({"eth_chainId", "eth_sendRawTransaction", "web3_clientVersion", "net_version"})
"""Methods whose answers decide no money: an endpoint that is behind may be asked."""

Ask = Callable[..., Awaitable[Any]]


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
        max_behind: int = MAX_BEHIND_BLOCKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.endpoints = [Endpoint(url, timeout_s, clock) for url in dict.fromkeys(urls)]
        self._check = check
        self._checked: set[Endpoint] = set()
        self._refused: dict[Endpoint, tuple[ChainError, float]] = {}
        self._num_attempts = num_attempts
        self._max_behind = max_behind
        self._latest: Endpoint | None = None
        self._best_head, self._best_head_at = -1, 0.0
        self._probed_at: float | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def request(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises ``RpcRefused``, ``ChainUnreachable``, or what ``check`` raises."""
        await self._probe_when_due()
        return await self._with_attempts(lambda: self._ask_in_turn(method, params))

    async def everywhere(self, method: str, *params: Any) -> Any:
        """Tell all endpoints at once, and return the first result: for transactions, which no single one may swallow.

        Raises like ``request`` when not one of them has a result.
        """
        return await self._with_attempts(lambda: self._ask_all(method, params))

    async def agreed(self, method: str, *params: Any, by: Callable[[Any], Any] = repr) -> Any:
        """The result that most endpoints give: for what must not hang on one of them. ``by``: what must be the same in
        their results; who has none (``null``) does not count.

        Raises ``ChainUnreachable`` when no result has more endpoints behind it than every other, and like ``request``.
        """
        if len(self.endpoints) < 2:
            return await self.request(method, *params)
        await self._probe_when_due()
        return await self._with_attempts(lambda: self._ask_most(method, params, by))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for endpoint in self.endpoints:
            await endpoint.close()

    def behind(self, endpoint: Endpoint) -> int:
        """Blocks between the best known head and this endpoint's at the last comparison; 0 when it was not compared."""
        if endpoint.health.head is None or self._clock() - self._best_head_at > BEST_HEAD_LASTS_S:
            return 0
        return max(0, self._best_head - endpoint.health.head)

    # --- one request -----------------------------------------------------------------------------------------------

    async def _with_attempts(self, ask: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        for attempt in range(self._num_attempts):
            try:
                return await ask()
            except NotAnswering as error:
                if attempt + 1 == self._num_attempts:
                    raise _unreachable(str(error)) from None
            await asyncio.sleep(await self._pause_s(attempt))
        raise AssertionError("no attempts")

    async def _pause_s(self, attempt: int) -> float:
        """How long until the next attempt makes sense. Raises ``ChainUnreachable`` when that is too long to wait."""
        backoff_s = min(LONGEST_BACKOFF_S, BACKOFF_S * 2**attempt) + random.uniform(0, BACKOFF_S)
        rests_s = min((endpoint.health.rests_s for endpoint in self.endpoints), default=0.0)
        if rests_s > LONGEST_WAIT_S:
            raise _unreachable(f"all that could be asked want rest, the first of them for {rests_s:.0f} s more")
        return float(max(backoff_s, rests_s))

    async def _ask_in_turn(self, method: str, params: Sequence[Any]) -> Any:
        failures: list[str] = []
        refused: RpcRefused | None = None
        foreign: ChainError | None = None
        for endpoint in self._in_order():
            try:
                await self._trust(endpoint)
                if method not in ANYBODY and self.behind(endpoint) > self._max_behind:
                    raise NotAnswering(f"it is {self.behind(endpoint)} blocks behind")
                result = await endpoint.ask(method, *params)
            except NotAnswering as error:
                self._note(endpoint, error)
                failures.append(f"{endpoint.shown}: {error}")
                continue
            except RpcRefused as error:
                # An intent is dropped for what this says: a second endpoint, where there is one, must agree.
                refused = refused or error
                if method != "eth_estimateGas":
                    break
                continue
            except ChainError as error:
                self._refuse(endpoint, error)
                foreign = foreign or error
                continue
            self._latest = endpoint
            return result
        if refused or foreign:
            raise refused or foreign  # type: ignore[misc]  # one of them is an error
        raise NotAnswering("; ".join(failures) or self._nobody())

    async def _ask_one(self, endpoint: Endpoint, method: str, params: Sequence[Any]) -> Any:
        try:
            await self._trust(endpoint)
            return await endpoint.ask(method, *params)
        except NotAnswering as error:
            self._note(endpoint, error)
            raise NotAnswering(f"{endpoint.shown}: {error}") from None
        except RpcRefused:
            raise
        except ChainError as error:
            self._refuse(endpoint, error)
            raise

    async def _ask_most(self, method: str, params: Sequence[Any], by: Callable[[Any], Any]) -> Any:
        asked = [one for one in self._in_order() if self.behind(one) <= self._max_behind]
        results = await asyncio.gather(*(self._ask_one(one, method, params) for one in asked), return_exceptions=True)
        answers = [result for result in results if not isinstance(result, BaseException)]
        if not answers:
            raise next((one for one in results if isinstance(one, BaseException)), NotAnswering(self._nobody()))
        votes = Counter(by(answer) for answer in answers if answer is not None).most_common(2)
        if len(votes) == 2 and votes[0][1] == votes[1][1]:
            raise NotAnswering(f"the endpoints disagree about {method}")
        return next((one for one in answers if one is not None and by(one) == votes[0][0]), None)

    async def _ask_all(self, method: str, params: Sequence[Any]) -> Any:
        failures: list[str] = []
        refused: ChainError | None = None
        asked = [self._start(self._ask_one(one, method, params)) for one in self._in_order()]
        for ended in asyncio.as_completed(asked):
            try:
                return await ended  # the others go on by themselves
            except NotAnswering as error:
                failures.append(str(error))
            except ChainError as error:
                refused = error if refused is None or isinstance(error, RpcRefused) else refused
        if refused is not None:
            raise refused
        raise NotAnswering("; ".join(failures) or self._nobody())

    def _in_order(self) -> list[Endpoint]:
        """Who may be asked, the best first; who was refused comes again only when nobody else is left."""
        now = self._clock()
        awake = [endpoint for endpoint in self.endpoints if not endpoint.health.rests_s]
        good = [endpoint for endpoint in awake if self._refused.get(endpoint, (None, 0.0))[1] <= now]
        return sorted(good or awake, key=self._rank)

    def _rank(self, endpoint: Endpoint) -> tuple[bool, float]:
        """The last one that answered keeps its place unless another is clearly better."""
        favour = 0.5 if endpoint is self._latest else 0.0
        return (self.behind(endpoint) > self._max_behind, endpoint.health.score - favour)

    async def _trust(self, endpoint: Endpoint) -> None:
        if self._check is not None and endpoint not in self._checked:
            try:
                await self._check(endpoint.ask)
            except RpcRefused as refused:
                raise bad_answer(refused.what) from None
            self._checked.add(endpoint)
        self._refused.pop(endpoint, None)

    def _nobody(self) -> str:
        return "all of them want rest" if self.endpoints else "none was named"

    def _refuse(self, endpoint: Endpoint, error: ChainError) -> None:
        self._refused[endpoint] = (error, self._clock() + REFUSED_FOR_S)

    def _note(self, endpoint: Endpoint, error: NotAnswering) -> None:
        if error.connection:
            self._checked.discard(endpoint)  # what answers there next may be another node

    # --- how far behind --------------------------------------------------------------------------------------------

    async def _probe_when_due(self) -> None:
        if len(self.endpoints) < 2 or (self._probed_at is not None and self._clock() - self._probed_at < PROBE_EVERY_S):
            return
        first, self._probed_at = self._probed_at is None, self._clock()
        probe = self._start(self._probe())
        if first:
            await probe

    async def _probe(self) -> None:
        """Ask all for their heads at once, so that they can be compared."""

        async def head(endpoint: Endpoint) -> int | None:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    await self._trust(endpoint)
                    return quantity(await endpoint.ask("eth_blockNumber"))
            except TimeoutError:
                endpoint.health.failed()
            except NotAnswering as error:
                self._note(endpoint, error)
            except RpcRefused:
                pass  # it may still answer what is really asked
            except ChainError as error:
                self._refuse(endpoint, error)
            return None

        asked = self._in_order()
        for endpoint, found in zip(asked, await asyncio.gather(*map(head, asked)), strict=True):
            endpoint.health.head = found if found is not None else endpoint.health.head
        self._compare([found for found in (endpoint.health.head for endpoint in asked) if found is not None])

    def _compare(self, heads: list[int]) -> None:
        if not heads:
            return
        ranked = sorted(heads, reverse=True)
        best = ranked[0] if len(ranked) < 3 else min(ranked[0], ranked[1] + self._max_behind)
        now = self._clock()
        if best >= self._best_head or now - self._best_head_at > BEST_HEAD_LASTS_S:
            self._best_head, self._best_head_at = best, now

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever waited was told


def _unreachable(why: str) -> ChainUnreachable:
    return ChainUnreachable(
        f"No chain endpoint answers ({why}).",
        "Nothing was refused or lost; everything pending is kept and sent again.",
        "Check that the host of this swarm is running and that --rpc names it.",
    )


async def gather(*calls: Awaitable[Any]) -> list[Any]:
    """Several requests at once; the first failure is raised after all have ended, so that none is left running."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
