"""Why this module exists: somebody keeps chain, gate and bootnode up, and need not be trusted with anybody's pay.

A host has no special rights in the contracts. If its chain process dies it is started again on the same port with its
state; ports are remembered, so that a restarted host is found where it was.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from protocol.errors import SwarmError
from swarm.settings.home import write_atomically


class Ports(msgspec.Struct, frozen=True):
    """Where a host's parts listen; 0 was not decided yet."""

    chain: int = 0
    gate: int = 0
    network: int = 0


@dataclass(frozen=True)
class PortBook:
    """Remembers a host's ports in ``file`` across restarts."""

    file: Path

    def recall(self) -> Ports:
        """The ports of last time as far as they are free; a port that is taken is given up."""
        try:
            ports = msgspec.json.decode(self.file.read_bytes(), type=Ports)
        except (FileNotFoundError, msgspec.MsgspecError):
            return Ports()
        return Ports(*(port if is_free(port) else 0 for port in (ports.chain, ports.gate, ports.network)))

    def remember(self, ports: Ports) -> None:
        write_atomically(self.file, msgspec.json.encode(ports))


def is_free(port: int) -> bool:
    """Whether a TCP port can be listened on here."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


async def keep_alive(
    wait: Callable[[], Awaitable[int]], restart: Callable[[], Awaitable[None]], say: Callable[[str], None]
) -> None:
    """Start the chain again whenever it ends, with growing pauses while it does not come up."""
    pause_s = 0.2
    while True:
        code = await wait()
        say(f"The chain's process ended with {code}; starting it again with its state.")
        while True:
            try:
                await restart()
            except SwarmError as error:
                say(str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(10.0, 2 * pause_s)
            else:
                pause_s = 0.2
                break
