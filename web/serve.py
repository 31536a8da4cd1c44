"""Why this module exists: a server process that starts with a clear error, ends in order, and leaves signals alone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import sqlalchemy as sa
import uvicorn

from protocol.errors import ConfigError
from web.app import build_app

LINGER_S = 1
"""How long an answer under way is waited for at the end; streams of events never end by themselves."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ``ConfigError`` when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"The leaderboard cannot listen on {host}:{port}: {error.strerror or error}.",
            "No page was served; the swarm is not touched.",
            "Choose another --port (0: any free one), or an address of this machine.",
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """The URL to open in a browser."""
    host, port = listener.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # whoever runs this process decides what signals mean


async def serve(engine: sa.Engine, listener: socket.socket) -> None:
    """Serve the page until cancelled."""
    config = uvicorn.Config(
        build_app(engine),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=LINGER_S,
        limit_concurrency=2_000,
        h11_max_incomplete_event_size=16 * 1024,
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving
