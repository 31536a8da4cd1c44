"""Why this module exists: who computes a tensor (compiled kernels of the host, or torch on a device) is one question.

Host tensors go to ``kernels/``; all others to ``portable/``, which is exact/1 in torch's own operators and gives the
same bits. ``portable_code`` sends host tensors there as well, so that the code of devices is tested without one.

A device computes ahead of the program. Asking it after every operator whether a result was a number would stop it each
time, so inside ``deferred`` the answers wait in a ledger on the device and are read once, at the end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from protocol.errors import NumericsError

_LEDGER_SIZE = 1 << 12

_STRIDE = 4
"""Marks are 16 bytes apart, so that kernels are not compiled once for each alignment of a pointer to one."""

_portable: ContextVar[bool] = ContextVar("portable_code", default=False)


def on_host(*tensors: object) -> bool:
    """Whether the host's compiled kernels compute these tensors (what is no tensor does not count)."""
    if _portable.get():
        return False
    return all(x.is_cpu for x in tensors if isinstance(x, torch.Tensor))


@contextmanager
def portable_code() -> Iterator[None]:
    """In this block, on this thread, host tensors are computed by the code of devices (for tests)."""
    token = _portable.set(True)
    try:
        yield
    finally:
        _portable.reset(token)


class _Ledger:
    """Marks of what was no number, per device, in the order of the operators."""

    def __init__(self) -> None:
        self._marks: dict[torch.device, torch.Tensor] = {}
        self._names: dict[torch.device, list[tuple[str, str]]] = {}

    def slot(self, device: torch.device, operator: str, what: str) -> torch.Tensor:
        """int32 [1], 0 on the device: not 0 will mean that ``operator`` met NaN or an infinity."""
        names = self._names.setdefault(device, [])
        if len(names) == _LEDGER_SIZE:
            self.settle()
            names = self._names.setdefault(device, [])
        if device not in self._marks:
            self._marks[device] = torch.zeros((_LEDGER_SIZE, _STRIDE), dtype=torch.int32, device=device)
        names.append((operator, what))
        return self._marks[device][len(names) - 1, :1]

    def settle(self) -> None:
        """Wait for the devices. Raises ``NumericsError`` for the first operator with a mark."""
        marks, names = self._marks, self._names
        self._marks, self._names = {}, {}
        for device, found in marks.items():
            first = found.nonzero()
            if len(first):
                operator, what = names[device][int(first[0, 0])]
                raise NumericsError(operator, what)


class _OneMark(_Ledger):
    def __init__(self, mark_1: torch.Tensor) -> None:
        super().__init__()
        self._mark_1 = mark_1

    def slot(self, device: torch.device, operator: str, what: str) -> torch.Tensor:
        return self._mark_1


_open = threading.local()


@contextmanager
def deferred() -> Iterator[None]:
    """In this block, on this thread, devices are asked once, at its end, whether all results were numbers.

    Raises ``NumericsError`` there for the first operator that met NaN or an infinity. Nested blocks are one.
    """
    if getattr(_open, "ledger", None) is not None:
        yield
        return
    ledger = _open.ledger = _Ledger()
    try:
        yield
        _open.ledger = None
        with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
            ledger.settle()
    finally:
        _open.ledger = None


@contextmanager
def computing() -> Iterator[None]:
    """In this block, torch's operators are our tools and no longer what ``mode.exact`` watches; checks wait until its
    end (or that of ``deferred`` around it)."""
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch(), torch.no_grad(), deferred():
        yield


@contextmanager
def marking(device: torch.device, operator: str, what: str) -> Iterator[torch.Tensor]:
    """int32 [1] for a kernel to set where a result is no number; read at the block's end, or later if ``deferred``."""
    ledger: _Ledger | None = getattr(_open, "ledger", None)
    if ledger is not None:
        yield ledger.slot(device, operator, what)
        return
    own = _Ledger()
    yield own.slot(device, operator, what)
    own.settle()


@contextmanager
def marked_in(mark_1: torch.Tensor) -> Iterator[None]:
    """In this block, on this thread, all operators mark the same place, which nobody reads here (for recorded work)."""
    before = getattr(_open, "ledger", None)
    _open.ledger = _OneMark(mark_1)
    try:
        yield
    finally:
        _open.ledger = before


def mark(mark_1: torch.Tensor, bad: torch.Tensor) -> None:
    """Set a mark where ``bad`` (boolean, one element) says so; a mark that is set stays."""
    mark_1.bitwise_or_(bad.view(1).to(torch.int32))


def require_numbers(operator: str, what: str, *tensors: torch.Tensor) -> None:
    """Raises ``NumericsError``, now or at the end of ``deferred``, where a float tensor holds NaN or an infinity."""
    for x in tensors:
        if x.numel():
            with marking(x.device, operator, what) as mark_1:
                mark(mark_1, (~torch.isfinite(x)).any())
