"""Why this module exists: p2pd, the libp2p daemon under hivemind, starts or says in words why it does not.

Hivemind's own start has a fixed 15 s limit in a second, hidden daemon that checks whether the identity is in use,
prints the daemon's log over the user's terminal, makes a new identity when the file is missing, and shares a taken port
with whoever holds it (``SO_REUSEPORT``), so that peers reach one or the other at random. Here: one daemon, one limit,
its last words kept, and file and port checked before it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import psutil
from hivemind.p2p import P2P
from hivemind.p2p.p2p_daemon_bindings.control import P2PDaemonError
from hivemind.utils.logging import use_hivemind_log_handler
from hivemind.utils.multiaddr import Multiaddr

from protocol.errors import ConfigError, IdentityError, NetworkError
from swarm.processes.guardian import scratch_prefix

NO_CREDITS_LOST = "The peer is not in the swarm; credits that are already settled are not touched."


class LastWords(logging.Handler):
    """Keeps the last lines of hivemind and its daemon instead of printing them. One per process: ``last_words``."""

    def __init__(self, num_lines: int = 200) -> None:
        super().__init__(logging.DEBUG)
        self.lines: deque[str] = deque(maxlen=num_lines)

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # a log line must never break what it tells about
            self.lines.append(f"{record.levelname.lower()} {record.getMessage()}"[:500])


last_words = LastWords()


def quiet_hivemind() -> None:
    """From now on hivemind and p2pd write to ``last_words`` only. Calling it again changes nothing."""
    use_hivemind_log_handler("nowhere")
    logger = logging.getLogger("hivemind")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logging.getLogger("hivemind.p2p.p2p_daemon").setLevel(logging.DEBUG)
    if last_words not in logger.handlers:
        logger.addHandler(last_words)


async def start_daemon(
    identity: Path, host: str, port: int, *, announce: Sequence[str] = (), timeout_s: float = 30.0
) -> P2P:
    """A running p2pd with the identity in ``identity``, listening on ``host`` (IP address) and ``port`` (0: any free).

    ``announce``: multiaddresses to tell others instead of the ones it listens on. It knows no other peer yet.
    Raises ``ConfigError`` (host or announced address unusable, port taken), ``IdentityError`` (file missing or
    refused), ``NetworkError`` (no start within ``timeout_s``, or p2pd cannot run here).
    """
    _check_identity_there(identity)
    address = _listen_address(host, port)
    _check_announced(announce)
    if port:
        _check_port_free(host, port)
    quiet_hivemind()
    local = ipaddress.ip_address(host).is_loopback
    sockets = f"{scratch_prefix()}{secrets.token_hex(3)}-"

    class Daemon(P2P):
        """P2P whose sockets bear our name, so that a guardian may clear them away after a kill."""

        _UNIX_SOCKET_PREFIX = "/unix" + sockets

    try:
        async with asyncio.timeout(timeout_s + 2.0):
            return await Daemon.create(
                host_maddrs=[address],
                announce_maddrs=list(announce) or None,
                identity_path=str(identity),
                check_if_identity_free=False,
                startup_timeout=timeout_s,
                auto_nat=not local,
                nat_port_map=not local,
                use_relay=not local,
            )
    except (P2PDaemonError, TimeoutError, OSError, ValueError) as error:
        _end_daemon_at(sockets)
        raise _in_words(error, identity, host, port, timeout_s) from error
    except BaseException:
        _end_daemon_at(sockets)
        raise


def _check_identity_there(identity: Path) -> None:
    """hivemind would make a new one in silence."""
    if not identity.is_file():
        raise IdentityError(
            f"There is no identity file {identity}.", NO_CREDITS_LOST, "Restore swarm.pem from its backup."
        )


def _listen_address(host: str, port: int) -> str:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError as error:
        raise ConfigError(
            f"{host!r} is not an IP address to listen on.", "Nothing was started.", "Use 127.0.0.1 or 0.0.0.0."
        ) from error
    if not 0 <= port <= 65535:
        raise ConfigError(f"{port} is not a port.", "Nothing was started.", "Use 1 to 65535, or 0 for any free one.")
    return f"/ip{version}/{host}/tcp/{port}"


def _check_announced(addresses: Sequence[str]) -> None:
    for address in addresses:
        try:
            Multiaddr(address)
            if {"tcp", "udp"} & set(address.split("/")) and "/0" in address[-2:]:
                raise ValueError("it names no port")
        except ValueError as error:
            raise ConfigError(
                f"{address!r} cannot be announced: {error}.",
                "Nothing was started.",
                "It looks like /ip4/203.0.113.7/tcp/38331, with the port that others reach.",
            ) from error


def _check_port_free(host: str, port: int) -> None:
    """libp2p sets SO_REUSEPORT and would share a taken port silently."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            raise _port_taken(host, port) from error


def _port_taken(host: str, port: int) -> ConfigError:
    return ConfigError(
        f"Port {port} on {host} cannot be listened on: it is in use or not allowed.",
        NO_CREDITS_LOST,
        "Choose another port, or 0 for any free one, or stop the program that uses it.",
    )


def _in_words(error: Exception, identity: Path, host: str, port: int, timeout_s: float) -> Exception:
    said = str(error) or " ".join(list(last_words.lines)[-1:])
    if isinstance(error, TimeoutError) or "failed to start in" in said:
        return NetworkError(
            f"The libp2p daemon did not start within {timeout_s:g} s (step: daemon start).",
            NO_CREDITS_LOST,
            "Look for a machine under heavy load or a slow disk, and try again.",
        )
    if "failed to listen" in said or "address already in use" in said or "cannot assign requested" in said:
        return _port_taken(host, port)
    if any(hint in said.lower() for hint in ("private key", "privkey", "unmarshal", "proto", "identity")):
        return IdentityError(
            f"{identity} is not an identity that libp2p can use: {said}",
            NO_CREDITS_LOST,
            "Restore swarm.pem from its backup; it is a libp2p key file, not PEM text.",
        )
    return NetworkError(
        f"The libp2p daemon could not start (step: daemon start): {said}",
        NO_CREDITS_LOST,
        "Check that this platform is supported and that hivemind is installed completely.",
    )


def _end_daemon_at(sockets: str) -> None:
    """A start that was given up may have left a daemon that nobody holds."""
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(sockets in part for part in child.cmdline()):
                child.kill()


async def stop_daemon(p2p: P2P, *, grace_s: float = 3.0) -> None:
    """End the daemon for certain: asked first, killed after ``grace_s``."""
    child = p2p._child
    try:
        async with asyncio.timeout(grace_s):
            await p2p.shutdown()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    for address in (p2p._daemon_listen_maddr, p2p._client_listen_maddr):
        with contextlib.suppress(FileNotFoundError):  # hivemind leaves them when the daemon died by itself
            os.unlink(address["unix"])


def daemon_is_alive(p2p: P2P) -> bool:
    return p2p.is_alive and p2p._child.returncode is None
