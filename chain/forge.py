"""Why this module exists: the contracts have tests of their own, in Solidity, and forge runs them.

    python -m chain.forge [ARGUMENT …]     `forge test ARGUMENT …` on chain/contracts/test; installs forge at first use

forge comes from npm like anvil, and compiles with the same pinned solc-js as ``chain.build``: it gets a program that
looks like a native compiler. Needed by developers only; nothing of a running swarm uses it.
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from chain.build import CONTRACTS_FOLDER
from chain.install import platform_name
from chain.toolchain import install_locked, install_package, node_command
from protocol.errors import SwarmError

FORGE_VERSION = "1.7.1"
FORGE_TIMEOUT_S = 1200

_COMPILER = """#!/bin/sh
# solc-js posing as a native compiler. Both ways go through files: it gives up on a pipe that is empty for a moment, and
# loses what does not fit into a pipe's buffer.
case " $* " in *" --standard-json"*)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cat > "$folder/input"
    {solc} --standard-json < "$folder/input" > "$folder/output"
    status=$?
    sed '/^>>> Cannot retry compilation/d' "$folder/output"
    exit $status ;;
esac
exec {solc} --version
"""


def forge_path() -> Path:
    """Where the binary of this environment is, or will be."""
    return Path(sys.prefix) / "share" / "swarm" / f"forge-{FORGE_VERSION}" / "forge"


def install_forge() -> Path:
    """Install the binary unless it is there, and return its path. Raises what ``chain.toolchain`` raises."""
    path = forge_path()
    if path.exists():
        return path
    name = platform_name(platform.system(), platform.machine())
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        install_package(f"@foundry-rs/forge-{name}", FORGE_VERSION, Path(scratch))
        binary = Path(scratch) / "node_modules" / "@foundry-rs" / f"forge-{name}" / "bin" / "forge"
        if not binary.exists():
            raise SwarmError(f"The npm package of forge for {name} contains no program.")
        binary.chmod(0o755)
        os.replace(binary, path)
    return path


def compiler_script(folder: Path) -> Path:
    """Write the program that forge takes for a native compiler into ``folder``. Installs solc-js at first use."""
    solc = CONTRACTS_FOLDER / "node_modules" / "solc" / "solc.js"
    if not solc.exists():
        install_locked(CONTRACTS_FOLDER)
    script = folder / "solc"
    script.write_text(_COMPILER.format(solc=shlex.join([*node_command(), str(solc)])))
    script.chmod(0o755)
    return script


def run_forge(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """``forge ARGUMENTS`` in the contracts' folder, output and errors together as text. Raises what installing raises."""
    forge = install_forge()
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [forge, *arguments, "--use", compiler_script(Path(folder))],
            cwd=CONTRACTS_FOLDER,
            env=os.environ | {"FOUNDRY_DISABLE_NIGHTLY_WARNING": "1", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=FORGE_TIMEOUT_S,
            check=False,
        )


def main() -> int:
    try:
        done = run_forge(["test", *sys.argv[1:]])
    except SwarmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
