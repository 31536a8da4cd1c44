"""Why this module exists: a file on disk is the old one or the new one, also after a kill or a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(temporary: Path, final: Path) -> None:
    """Flush ``temporary`` to the disk, let it take over the name ``final``, and flush the folder entry."""
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(temporary, final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_file(final: Path, data: bytes) -> None:
    """Write ``data`` to ``final`` in one indivisible step. Leftovers of a killed writer are named ``.NAME.tmp``."""
    temporary = temporary_for(final)
    temporary.write_bytes(data)
    replace_file(temporary, final)


def temporary_for(final: Path) -> Path:
    """Where to write what will become ``final``: same folder, one fixed name, so leftovers never pile up."""
    return final.with_name(f".{final.name}.tmp")
