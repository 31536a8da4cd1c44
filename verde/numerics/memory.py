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

# Too little to be missed elsewhere: ``release`` leaves it, and so much may wait in any case.
_SPARE = 64 << 20

_ALIGNMENT = 64

_lock = threading.RLock()
_waiting: OrderedDict[int, np.ndarray] = OrderedDict()
_in_use = _most_in_use = _waiting_bytes = 0


def empty(*shape: int) -> torch.Tensor:
    """A contiguous float32 tensor with arbitrary contents, in recycled memory when it is large.

    Its storage cannot be resized. The memory waits for another tensor when the last that views it is gone. With what
    waits there is never much more of it than tensors used at one time since ``release``.
    """
    global _in_use, _most_in_use
    needed = 4 * prod(shape)
    if needed < _LEAST_BYTES:
        return torch.empty(shape)
    size = needed + _ALIGNMENT
    with _lock:
        block = _taken(size)
        _in_use += size if block is None else block.nbytes
        _most_in_use = max(_most_in_use, _in_use)
        _keep(_most_in_use + _SPARE - _in_use)
    if block is None:
        block = np.empty(size, np.uint8)
    # A view of its own: torch keeps it as long as any tensor uses the storage, and its death is the sign.
    begin = -block.ctypes.data % _ALIGNMENT
    view = block[begin : begin + needed].view(np.float32)
    weakref.finalize(view, _give_back, block).atexit = False
    return torch.from_numpy(view).view(shape)


def waiting_bytes() -> int:
    """How much memory waits to be used again."""
    return _waiting_bytes


def release(leave: int = _SPARE) -> None:
    """Give memory back to the system but for ``leave`` bytes: for whoever is done with computing for a while."""
    global _most_in_use
    with _lock:
        _keep(leave)
        _most_in_use = _in_use + _waiting_bytes


def _keep(most: int) -> None:
    """Of what waits so many bytes at most; the oldest goes first."""
    global _waiting_bytes
    while _waiting_bytes > most:
        _, oldest = _waiting.popitem(last=False)
        _waiting_bytes -= oldest.nbytes


def _taken(size: int) -> np.ndarray | None:
    """A waiting block that is at most an eighth too large, the youngest first."""
    global _waiting_bytes
    for name in reversed(_waiting):
        if size <= _waiting[name].nbytes <= size + size // 8:
            block = _waiting.pop(name)
            _waiting_bytes -= block.nbytes
            return block
    return None


def _give_back(block: np.ndarray) -> None:
    global _in_use, _waiting_bytes
    with _lock:
        _in_use -= block.nbytes
        _waiting_bytes += block.nbytes
        _waiting[id(block)] = block
