"""Why this module exists: a second reader of the contracts, that never gets tired: the static analyser slither.

    python -m chain.analysis       analyse chain/contracts/*.sol; one line per finding of high or medium impact

slither and its own pinned dependencies live in a Python environment of their own, made at first use: some of them
conflict with ours. It reads what forge compiled with the pinned solc-js. Needed by developers only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from chain.build import CONTRACTS_FOLDER, PARTS
from chain.forge import compiler_script, install_forge
from protocol.errors import NetworkError, SwarmError

SLITHER_VERSION = "0.11.6"
INSTALL_TIMEOUT_S = 900
ANALYSIS_TIMEOUT_S = 900

_CONFIGURATION = """
[profile.default]
src = "src"
out = "out"
libs = ["node_modules"]
offline = true
evm_version = "osaka"
optimizer = true
optimizer_runs = 200
remappings = ["@openzeppelin/=node_modules/@openzeppelin/"]
"""


def slither_path() -> Path:
    """Where the program of this environment is, or will be."""
    return Path(sys.prefix) / "share" / "swarm" / f"slither-{SLITHER_VERSION}" / "bin" / "slither"


def install_slither() -> Path:
    """Install the analyser unless it is there, and return its path. Raises ``NetworkError`` when that fails."""
    path = slither_path()
    if path.exists():
        return path
    folder = path.parent.parent
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "-q", f"slither-analyzer=={SLITHER_VERSION}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        raise NetworkError(
            "The analyser slither cannot be installed: " + done.stderr.strip()[-300:],
            "The contracts were not analysed.",
            "Connect to the network and run the same command again.",
        )
    return path


def findings() -> list[str]:
    """``check Contract.element`` for every finding of high or medium impact in our own sources, sorted, each once.

    Raises ``SwarmError`` when compiling or analysing fails.
    """
    forge, slither = install_forge(), install_slither()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "src").mkdir()
        for source in (path for part in PARTS for path in CONTRACTS_FOLDER.glob(part)):
            target = folder / "src" / source.relative_to(CONTRACTS_FOLDER)
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
        (folder / "foundry.toml").write_text(_CONFIGURATION)
        compiler = compiler_script(folder)
        (folder / "node_modules").symlink_to(CONTRACTS_FOLDER / "node_modules")
        _run([str(forge), "build", "--build-info", "--use", str(compiler)], folder, forge.parent)
        report = folder / "report.json"
        options = ["--ignore-compile", "--foundry-out-directory", "out", "--filter-paths", "node_modules"]
        # Through its own Python: a script's first line names a path that an environment which was moved no longer has.
        program = [str(slither.with_name("python")), str(slither)]
        _run([*program, ".", *options, "--json", str(report)], folder, forge.parent, expected=report)
        found: list[dict[str, Any]] = json.loads(report.read_text())["results"]["detectors"]
    return sorted({_line(finding) for finding in found if finding["impact"] in ("High", "Medium")})


def _line(finding: dict[str, Any]) -> str:
    first = finding["elements"][0]
    element = first
    while element["type"] not in ("function", "contract"):
        element = element["type_specific_fields"]["parent"]
    contract = element.get("type_specific_fields", {}).get("parent", {}).get("name")
    name = f"{contract}.{element['name']}" if contract else element["name"]
    return f"{finding['check']} {name}"


def _run(command: list[str], folder: Path, forge_folder: Path, expected: Path | None = None) -> None:
    """Run a command; slither's exit code counts findings, so there the report decides."""
    path = os.pathsep.join([str(forge_folder), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ANALYSIS_TIMEOUT_S,
        check=False,
    )
    if not expected.exists() if expected else done.returncode != 0:
        raise SwarmError(f"{Path(command[0]).name} failed: {done.stdout[-2000:]}")


def main() -> int:
    try:
        print("\n".join(findings()))
    except SwarmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
