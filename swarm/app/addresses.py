"""Why this module exists: hosts and peers alike may be reached at another address than the one they listen on."""

from __future__ import annotations

from protocol.errors import ConfigError
from swarm.settings.config import Settings


def announced_addresses(chosen: Settings, port: int) -> tuple[str, ...]:
    """``network.announce`` as a multiaddress, or nothing where it is not set. Raises ``ConfigError`` without a port."""
    address = chosen.network.announce
    if address is None or address.startswith("/"):
        return () if address is None else (address,)
    if not port:
        raise ConfigError(
            f"To announce {address}, others must know the port.",
            "Nothing was started.",
            "Set network.port to a fixed port that is open to them.",
        )
    return (f"/ip4/{address}/tcp/{port}",)
