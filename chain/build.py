"""Why this module exists: what runs on the chain is checked in, and anyone can rebuild it byte for byte.

    python -m chain.build           compile chain/contracts/*.sol into chain/artifacts/*.json
    python -m chain.build --check   compile and fail when the checked-in artifacts differ

Compiler and OpenZeppelin come from npm, pinned by chain/contracts/package-lock.json. An artifact holds the ABI, the
creation code, the compiler's version and settings, and the SHA-256 of every source that went into it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from chain.abi import CONTRACT_NAMES, STATELESS
from chain.toolchain import install_locked, node_command
from protocol.errors import SwarmError

CHAIN_FOLDER = Path(__file__).parent
CONTRACTS_FOLDER = CHAIN_FOLDER / "contracts"
ARTIFACTS_FOLDER = CHAIN_FOLDER / "artifacts"

DEPLOYED = (*CONTRACT_NAMES, *STATELESS)
"""Contracts with an artifact; the other sources are parts of them."""

PARTS = ("*.sol", "leaf/*.sol", "dispute/*.sol")
"""Where sources are, below the contracts' folder."""

SETTINGS: dict[str, Any] = {
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "cancun",
    "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "metadata"]}},
}
"""``cancun`` is what every chain that we may meet understands; no metadata hash, so that comments change nothing."""


def source_hash(path: Path) -> str:
    """SHA-256 of a source file, line ends normalised."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def compile_contracts() -> dict[str, dict[str, Any]]:
    """Artifacts by contract name. Needs the npm packages; raises ``SwarmError`` with the compiler's messages."""
    paths = sorted(path for part in PARTS for path in CONTRACTS_FOLDER.glob(part))
    sources = {path.relative_to(CONTRACTS_FOLDER).as_posix(): {"content": path.read_text()} for path in paths}
    output = _run_solc({"language": "Solidity", "sources": sources, "settings": SETTINGS})
    messages = [entry["formattedMessage"] for entry in output.get("errors", []) if _concerns_us(entry)]
    if messages:
        raise SwarmError("The contracts do not compile without complaint.\n" + "\n".join(messages))
    return {name: _artifact(name, output["contracts"][f"{name}.sol"][name]) for name in DEPLOYED}


def render(artifact: dict[str, Any]) -> str:
    return json.dumps(artifact, indent=1, sort_keys=True) + "\n"


def stale_sources() -> list[str]:
    """Sources and artifacts that do not fit together, judged by hashes alone (fast; compiles nothing)."""
    stale = []
    for name in DEPLOYED:
        artifact = json.loads((ARTIFACTS_FOLDER / f"{name}.json").read_text())
        for source, expected in artifact["sources"].items():
            path = CONTRACTS_FOLDER / source
            if not source.startswith("@") and (not path.exists() or source_hash(path) != expected):
                stale.append(f"{name}: {source}")
        if artifact["lock"] != source_hash(CONTRACTS_FOLDER / "package-lock.json"):
            stale.append(f"{name}: package-lock.json")
    return stale


def _artifact(name: str, compiled: dict[str, Any]) -> dict[str, Any]:
    metadata = json.loads(compiled["metadata"])
    return {
        "contract": name,
        "compiler": metadata["compiler"]["version"],
        "settings": {key: SETTINGS[key] for key in ("optimizer", "evmVersion", "metadata")},
        "sources": {source: source_hash(_source_path(source)) for source in metadata["sources"]},
        "lock": source_hash(CONTRACTS_FOLDER / "package-lock.json"),
        "abi": compiled["abi"],
        "bytecode": "0x" + compiled["evm"]["bytecode"]["object"],
    }


def _concerns_us(message: dict[str, Any]) -> bool:
    """Errors always do; warnings when they are about our own sources."""
    file = message.get("sourceLocation", {}).get("file", "")
    return message["severity"] == "error" or (message["severity"] == "warning" and not file.startswith("@"))


def _source_path(source: str) -> Path:
    return CONTRACTS_FOLDER / ("node_modules/" + source if source.startswith("@") else source)


def _run_solc(task: dict[str, Any]) -> dict[str, Any]:
    """Standard JSON in and out, through files.

    solc-js gives up on a pipe that is empty for a moment, and loses what does not fit into a pipe's buffer.
    """
    compiler = CONTRACTS_FOLDER / "node_modules" / "solc" / "solc.js"
    if not compiler.exists():
        install_locked(CONTRACTS_FOLDER)
    command = [*node_command(), str(compiler), "--standard-json", "--base-path", ".", "--include-path", "node_modules"]
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as output:
        json.dump(task, given)
        given.seek(0)
        subprocess.run(
            command,
            cwd=CONTRACTS_FOLDER,
            stdin=given,
            stdout=output,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        output.seek(0)
        text = output.read()
    if "{" not in text:
        raise SwarmError("The Solidity compiler printed nothing.", "", "Delete chain/contracts/node_modules and retry.")
    result: dict[str, Any] = json.loads(text[text.index("{") :])
    return result


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m chain.build", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail when the checked-in artifacts differ")
    check = parser.parse_args(arguments).check
    differing = []
    for name, artifact in compile_contracts().items():
        path, text = ARTIFACTS_FOLDER / f"{name}.json", render(artifact)
        if path.exists() and path.read_text() == text:
            continue
        differing.append(name)
        if not check:
            path.write_text(text)
    if check and differing:
        print("These artifacts differ from what their sources compile to: " + ", ".join(differing), file=sys.stderr)
        return 1
    print("Artifacts written: " + ", ".join(differing) if differing else "All artifacts fit their sources.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
