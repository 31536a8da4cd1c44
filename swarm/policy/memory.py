"""Why this module exists: memory runs out in many ways and words, and must come out as one typed error.

On a CPU allocators raise ``MemoryError`` or a ``RuntimeError`` in words of their own, on a GPU torch has a class for
it. Everything else passes through unchanged.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from protocol.errors import OutOfMemory

_WORDS = ("can't allocate memory", "out of memory", "not enough memory", "cannot allocate memory", "bad_alloc")


def ran_out(error: BaseException) -> bool:
    """Whether ``error`` says that this machine's memory did not hold something."""
    if isinstance(error, (MemoryError, OutOfMemory, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


@contextmanager
def memory_told(what: str, so_what: str, next_step: str) -> Iterator[None]:
    """Raise ``OutOfMemory`` in these words where memory runs out in the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        said = " ".join(str(error).split())[:160] or type(error).__name__
    else:
        return
    # Outside of the handler: the traceback, and whatever its frames hold, is gone before anybody goes on.
    give_back()
    raise OutOfMemory(f"{what} ({said}).", so_what, next_step)


def give_back() -> None:
    """Return what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
