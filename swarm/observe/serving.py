"""Why this module exists: whoever looks after machines asks a peer over HTTP how it is, also when the peer hangs.

    GET /metrics    Prometheus text       GET /healthz    200 while the peer is well, else 503; JSON says why

One thread of its own with a read-model of its own: it answers while the peer's loop is busy, and the loop never waits
for it. ``FILE`` beside the log says where it listens, in the form of Prometheus' file-based discovery.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from protocol.errors import ConfigError
from swarm.observe.health import Health, as_json, health
from swarm.observe.metrics import Extra, families
from swarm.observe.store import Store
from swarm.observe.stores import is_running

FILE = "metrics.json"
"""Beside ``events.jsonl`` while somebody listens: ``[{"targets": ["127.0.0.1:PORT"], "labels": {…}}]``."""

CLIENT_S = 5.0
"""A client that sends or takes nothing for so long is dropped: there is one thread for all."""

PAGE = b"<!doctype html><title>RL Swarm peer</title><p><a href=/metrics>/metrics</a> <a href=/healthz>/healthz</a>\n"


class _PeerCollector(Collector):
    """The peer's metrics at the moment of a scrape."""

    def __init__(self, look: Callable[[], tuple[Store, Health]], extra: Extra) -> None:
        self._look = look
        self._extra = extra

    def collect(self) -> Iterator[Metric]:
        store, found = self._look()
        yield from families(store, found, self._extra, time.time())

    def describe(self) -> list[Metric]:
        return []  # nothing is looked at when it is registered


class MetricsServer:
    """Serves one log's metrics and health from ``start`` until ``stop``.

    ``round_s``: length of a round, once it is known. ``silent_s`` tells for how long the peer's loop has not answered.
    ``labels`` go into the discovery file.
    """

    def __init__(
        self,
        log: Path,
        *,
        host: str,
        port: int,
        round_s: Callable[[], float | None] = lambda: None,
        extra: Extra | None = None,
        silent_s: Callable[[], float] = lambda: 0.0,
        labels: dict[str, str] | None = None,
    ) -> None:
        self._log = Path(log)
        self._round_s = round_s
        self._silent_s = silent_s
        self._labels = labels or {}
        self._store: Store | None = None
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_PeerCollector(self._look, extra or Extra()))
        ProcessCollector(registry=self._registry)
        self._server = _listen(host, port, self._answer)
        self._host = host
        self._thread = threading.Thread(target=self._serve, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Answer from now on, and tell Prometheus' discovery."""
        self._thread.start()
        targets = [{"targets": [self.url.removeprefix("http://")], "labels": self._labels}]
        with contextlib.suppress(OSError):  # a full disk is told by the log, which is written, too
            self._log.with_name(FILE).write_text(json.dumps(targets) + "\n")

    def stop(self) -> None:
        """Stop listening. A second call is harmless."""
        self._log.with_name(FILE).unlink(missing_ok=True)
        self._server.shutdown()
        self._thread.join(CLIENT_S + 1.0)
        self._server.server_close()

    def _serve(self) -> None:
        try:
            self._server.serve_forever(poll_interval=0.2)
        finally:
            if self._store is not None:
                self._store.close()

    def _look(self) -> tuple[Store, Health]:
        """The refreshed read-model; only ever called on the server's thread."""
        if self._store is None:
            self._store = Store(self._log)
        self._store.refresh()
        silent_s = self._silent_s()
        return self._store, health(self._store, time.time(), is_running, round_s=self._round_s(), silent_s=silent_s)

    def _answer(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            encoder, content_type = choose_encoder(accept)
            return 200, content_type, encoder(self._registry)
        if path == "/healthz":
            _, found = self._look()
            return 200 if found.ok else 503, "application/json", as_json(found) + b"\n"
        if path == "/":
            return 200, "text/html; charset=utf-8", PAGE
        return 404, "text/plain; charset=utf-8", b"There are /metrics and /healthz.\n"


def _listen(host: str, port: int, answer: Callable[[str, str], tuple[int, str, bytes]]) -> socketserver.TCPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = CLIENT_S

        def do_GET(self) -> None:
            try:
                status, content_type, body = answer(self.path.partition("?")[0], self.headers.get("Accept", ""))
            except Exception as error:  # whoever scrapes hears of it; the peer plays on
                status, content_type = 500, "text/plain; charset=utf-8"
                body = f"The read-model cannot be read: {type(error).__name__}: {error}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client is gone
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass  # a request every few seconds is no news

    class Server(http.server.HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that hangs up is no news either

    try:
        return Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"Metrics cannot be served at {host}:{port}: {reason}.",
            "The peer was not started; credits are not touched.",
            "Choose another observe.metrics_port (0 takes a free one), or turn observe.metrics off.",
        ) from error
