"""Why this module exists: what a stage of a small model leaves with the C library is a fifth of what a peer has.

Pieces of many sizes on many threads leave memory in places that the next stage's pieces do not fit, and a peer that
only waits for the others would hold it all the same. Asking costs milliseconds, and more when it is needed again.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def trim() -> bool:
    """Return freed memory that the C library keeps to the system; whether there was a way to.

    Only the GNU library is asked; others return memory by themselves, or have no such call.
    """
    asked = _malloc_trim()
    if asked is None:
        return False
    asked(0)
    return True


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
