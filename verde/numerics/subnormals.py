"""Why this module exists: a program may have told its processor to drop subnormals, which exact/1 does not.

The setting belongs to a thread, and threads inherit it from whoever starts them. docs/exact-1.md rounds on IEEE's own
grid first and flushes afterwards, which a processor that flushes by itself does not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def ieee_subnormals() -> Iterator[None]:
    """In this block, this thread computes with subnormals as IEEE 754 says; afterwards as before."""
    was_flushing = are_flushed()
    if was_flushing:
        torch.set_flush_denormal(False)
    try:
        yield
    finally:
        if was_flushing:
            torch.set_flush_denormal(True)


def are_flushed() -> bool:
    """Whether this thread reads or writes subnormals as zeros."""
    least = np.array([2.0**-126], np.float32)
    half = least * np.float32(0.5)
    return bool((half + half != least)[0])


def start_thread() -> None:
    """What a thread of ours does first."""
    torch.set_flush_denormal(False)
