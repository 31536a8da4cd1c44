"""Why this module exists: fresh pages of a large result cost up to a sixth of the product that fills them.

The C library hands blocks above 32 MiB back to the system whenever a tensor dies, and takes them from it anew in the
next layer. Here large results come from memory that dead tensors left behind.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from math import prod

import numpy as np
import torch

# Smaller blocks stay with the C library anyway.
_LEAST_BYTES = 1 << 20

# So much memory waits for the next tensor at most; what exceeds it goes back to the system, oldest first.
_MOST_WAITING = 64 << 20

_ALIGNMENT = 64

_lock = threading.RLock()
_waiting: OrderedDict[int, np.ndarray] = OrderedDict()


def empty(*shape: int) -> torch.Tensor:
    """A contiguous float32 tensor with arbitrary contents, in recycled memory when it is large.

    Its storage cannot be resized. The memory is free again when the last tensor that views it is gone.
    """
    needed = 4 * prod(shape)
    if needed < _LEAST_BYTES:
        return torch.empty(shape)
    size = needed + _ALIGNMENT
    block = _taken(size)
    if block is None:
        block = np.empty(size, np.uint8)
    # A view of its own: torch keeps it as long as any tensor uses the storage, and its death is the sign.
    begin = -block.ctypes.data % _ALIGNMENT
    view = block[begin : begin + needed].view(np.float32)
    weakref.finalize(view, _give_back, block).atexit = False
    return torch.from_numpy(view).view(shape)


def waiting_bytes() -> int:
    """How much memory waits to be used again."""
    with _lock:
        return sum(block.nbytes for block in _waiting.values())


def release() -> None:
    """Give all waiting memory back to the system."""
    with _lock:
        _waiting.clear()


def _taken(size: int) -> np.ndarray | None:
    """A waiting block that is at most an eighth too large, the youngest first."""
    with _lock:
        for name in reversed(_waiting):
            if size <= _waiting[name].nbytes <= size + size // 8:
                return _waiting.pop(name)
    return None


def _give_back(block: np.ndarray) -> None:
    with _lock:
        _waiting[id(block)] = block
        total = waiting_bytes()
        while total > _MOST_WAITING:
            _, oldest = _waiting.popitem(last=False)
            total -= oldest.nbytes
