"""Why this module exists: a compiled kernel on disk must be forgotten when anything that was inlined into it changes.

numba keys its cache by the file of the kernel alone. A kernel that inlines a function of another file would go on
giving that function's old bits after an update, on some machines and not on others. Kernels made here are keyed by the
text of every file in this package and of the constants.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

_HERE = Path(__file__).resolve().parent


def sources() -> str:
    """SHA-256 (hex) over the names and texts of all that a kernel can inline."""
    digest = hashlib.sha256()
    for path in [*sorted(_HERE.glob("*.py")), _HERE.parent / "constants.py"]:
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode() + text)
    return digest.hexdigest()


_SOURCES = sources()


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile ``function`` at first use: without the interpreter's lock, cached on disk, division by 0 as IEEE says."""
    compiled = njit(nogil=True, cache=True, error_model="numpy")(function)
    compiled._cache._cache_file._source_stamp = _SOURCES
    return compiled  # type: ignore[no-any-return]
