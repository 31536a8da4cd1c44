"""Why this module exists: anvil writes its state in place, so ``kill -9`` in the wrong millisecond leaves half a file.

That half file would be the end of the chain (one kill in about ten hits it once the file has some megabytes). While the
chain runs, complete states are copied aside, each copy appearing in one step and on disk; before it starts again, the
newest complete state is put back. Costs a second or two of blocks instead of all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import msgspec

COPY_EVERY_S = 1.0


def copies_of(state: Path) -> tuple[Path, Path]:
    """Where the two copies lie, written in turn: a damaged one never is the only one."""
    return state.with_suffix(".copy-a.json"), state.with_suffix(".copy-b.json")


def is_complete(file: Path) -> bool:
    """Whether the whole file is one JSON value (this parses it: 0.1 s for 100 MB)."""
    try:
        msgspec.json.decode(file.read_bytes(), type=dict[str, msgspec.Raw])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def restore(state: Path) -> bool:
    """Make ``state`` the newest complete one of itself and its copies. Whether a copy had to be used.

    Leaves everything as it is when there is no complete one: the dev chain then says what is wrong with its file.
    """
    if is_complete(state):
        return False
    copies = sorted((copy for copy in copies_of(state) if is_complete(copy)), key=lambda copy: copy.stat().st_mtime_ns)
    if not copies:
        return False
    scratch = state.with_suffix(".scratch")
    shutil.copyfile(copies[-1], scratch)
    os.replace(scratch, state)
    return True


def copy_if_complete(state: Path) -> bool:
    """Copy ``state`` over the older copy, unless it is being written. Whether there is a new copy."""
    older = min(copies_of(state), key=lambda copy: copy.stat().st_mtime_ns if copy.exists() else 0)
    scratch = older.with_suffix(".scratch")
    try:
        shutil.copyfile(state, scratch)
    except FileNotFoundError:
        return False
    if not is_complete(scratch):
        scratch.unlink()
        return False
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(scratch, older)
    return True


async def keep_copies(state: Path) -> None:
    """Copy the state once a second until cancelled. A full disk is left to the chain itself to report."""
    while True:
        await asyncio.sleep(COPY_EVERY_S)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(copy_if_complete, state)
