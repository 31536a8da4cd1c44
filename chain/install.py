"""Why this module exists: the dev chain's program is the one part of a private swarm that pip cannot install.

    python -m chain.install     put anvil 1.7.1 into this Python environment; instant when it is there

The binary is taken out of its npm package and lands in ``<environment>/share/swarm/anvil-1.7.1/``. Where its hash was
known when this was written, it is compared; elsewhere npm's own integrity check is all there is.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from chain.toolchain import install_package
from protocol.errors import ConfigError, SwarmError

ANVIL_VERSION = "1.7.1"
PLATFORMS = {
    ("Linux", "x86_64"): "linux-amd64",
    ("Linux", "aarch64"): "linux-arm64",
    ("Darwin", "x86_64"): "darwin-amd64",
    ("Darwin", "arm64"): "darwin-arm64",
}
"""(system, machine) as Python names them, and the npm package's suffix."""

BINARY_SHA256 = {"linux-amd64": "10c1c727d6c1de973aeb160e59875b9a9a23464d6e74149ee8abb30b3500311b"}
NEEDED_BYTES = 300 * 1024 * 1024
VERSION_TIMEOUT_S = 30


def anvil_path() -> Path:
    """Where the binary of this environment is, or will be."""
    return Path(sys.prefix) / "share" / "swarm" / f"anvil-{ANVIL_VERSION}" / "anvil"


def require_anvil() -> Path:
    """The installed binary. Raises ``ConfigError`` when it is not installed."""
    path = anvil_path()
    if not path.exists():
        raise ConfigError(
            "The dev chain's program (anvil) is not installed.",
            "A private swarm has no chain without it.",
            "Run `python -m chain.install`, or ./run_swarm.sh, which does it.",
        )
    return path


def platform_name(system: str, machine: str) -> str:
    """The npm package's suffix for a platform. Raises ``ConfigError`` naming the supported ones."""
    name = PLATFORMS.get((system, machine))
    if name is None:
        raise ConfigError(
            f"The dev chain's program (anvil) does not exist for {system} on {machine}.",
            "A private swarm cannot run on this machine; joining somebody else's swarm can.",
            "It exists for " + ", ".join(sorted(PLATFORMS.values())) + ". On Windows, use WSL 2.",
        )
    return name


def install() -> Path:
    """Install the binary unless it is there, and return its path.

    Raises ``ConfigError`` (unsupported platform, no node), ``NetworkError`` (registry out of reach) or ``SwarmError``
    (no space, altered or unusable binary). An interrupted installation leaves nothing behind that would be used.
    """
    path = anvil_path()
    if path.exists():
        return path
    name = platform_name(platform.system(), platform.machine())
    _require_space(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        install_package(f"@foundry-rs/anvil-{name}", ANVIL_VERSION, Path(scratch))
        binary = Path(scratch) / "node_modules" / "@foundry-rs" / f"anvil-{name}" / "bin" / "anvil"
        _check(binary, name)
        os.replace(binary, path)
    return path


def _require_space(path: Path) -> None:
    existing = next(folder for folder in path.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < NEEDED_BYTES:
        raise SwarmError(
            f"Only {free // 2**20} MB are free on the disk of {existing}.",
            "The dev chain was not installed.",
            f"Free {NEEDED_BYTES // 2**20} MB and run the same command again.",
        )


def _check(binary: Path, name: str) -> None:
    """Raises ``SwarmError`` when the binary is missing, altered, or does not run here."""
    try:
        digest = hashlib.sha256(binary.read_bytes()).hexdigest()
        if digest != BINARY_SHA256.get(name, digest):
            raise SwarmError(
                f"The downloaded dev-chain binary has the hash {digest}, not the known one.",
                "It was not installed: it may have been altered on the way.",
                "Try again; if it happens again, report it.",
            )
        binary.chmod(0o755)
        version = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise SwarmError(
            f"The dev-chain binary does not run on this machine: {error}.",
            "A private swarm has no chain without it.",
            "On Linux it needs glibc 2.35 or newer (Debian 12, Ubuntu 22.04); Alpine has none.",
        ) from error
    if ANVIL_VERSION not in version:
        raise SwarmError(f"The dev-chain binary says it is {version.strip()!r}, not {ANVIL_VERSION}.")


def main() -> int:
    try:
        print(install())
    except SwarmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
