"""Why this module exists: endpoints that lie, stall and forget are rare in life and needed in tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

Answer = Callable[..., Any]


class Refuses(Exception):
    """Raise in an answer to send a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({"data": data} if data else {})


class StubNode:
    """A JSON-RPC endpoint with scripted answers by method; ``raw`` replaces the whole response body when set."""

    def __init__(self, **answers: Answer) -> None:
        self.answers: dict[str, Answer] = answers
        self.calls: list[tuple[str, list[Any]]] = []
        self.raw: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> StubNode:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def stop(self) -> None:
        """Be gone, for good."""
        await self._runner.cleanup()

    def num_calls(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    async def _serve(self, request: web.Request) -> web.Response:
        call = json.loads(await request.read())
        self.calls.append((call["method"], call["params"]))
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status, headers=self.headers)
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": call["id"]}
        try:
            if call["method"] not in self.answers:
                raise Refuses(-32601, "Method not found")
            result = self.answers[call["method"]](*call["params"])
            answer["result"] = await result if hasattr(result, "__await__") else result
        except Refuses as refused:
            answer["error"] = refused.error
        body = json.dumps(answer).encode()
        return web.Response(body=body, content_type="application/json", status=self.status, headers=self.headers)
