"""Why this module exists: nobody's code is run unprotected: whether this machine can lock it up is asked before."""

from __future__ import annotations

import os
import sys
import sysconfig
from functools import cache

from protocol.errors import ConfigError
from swarm.judges.cell import missing

LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")
"""Where shared libraries of the system lie that Python's own modules load."""


def require_protection() -> None:
    """Raises ``ConfigError`` where this machine cannot lock a process up."""
    lacking = missing()
    if lacking:
        raise ConfigError(
            f"This run asks for code, and this machine cannot run it safely: {lacking}.",
            "Nothing was started: other people's code would have had your files, keys and network.",
            "Join from Linux 5.13 or newer (a virtual machine will do), or play a run without code.",
        )


@cache
def python() -> str:
    """The interpreter itself, without any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


@cache
def standard_library() -> tuple[str, ...]:
    """Folders that Python's own modules are read from."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    own |= {os.path.realpath(path) for path in own}
    return (*sorted(own), *LIBRARIES)
