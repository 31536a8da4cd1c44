"""Why this module exists: which of a device's products are exact is found out by multiplying, never taken on trust.

Routes of a device, the first that proves exact: ``fused`` (our Triton kernel on int8 tensor cores, rounding included),
``int8`` (``torch._int_mm``) and ``fp64`` (products of doubles). A device on which none is exact is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from protocol.errors import NotReproducible

if TYPE_CHECKING:
    from verde.numerics.portable.products import DeviceQuantised

ROUTES = ("fused", "int8", "fp64")

Product = Callable[["DeviceQuantised", "DeviceQuantised", torch.Tensor | None, str, torch.Tensor | None], torch.Tensor]

_forced: ContextVar[str | None] = ContextVar("forced_device_route", default=None)
_without_kernels: ContextVar[bool] = ContextVar("without_kernels", default=False)


_interpreted: ContextVar[bool] = ContextVar("interpreted_kernels", default=False)


@contextmanager
def use_route(name: str) -> Iterator[None]:
    """Take a route of ``ROUTES`` whatever the device proved, in this context (for tests)."""
    if name not in ROUTES:
        raise ValueError(f"no route of a device is called {name}")
    token = _forced.set(name)
    try:
        yield
    finally:
        _forced.reset(token)


@contextmanager
def without_kernels() -> Iterator[None]:
    """Compute everything by torch's operators in this context, even where fused kernels are (for tests)."""
    token = _without_kernels.set(True)
    try:
        yield
    finally:
        _without_kernels.reset(token)


@contextmanager
def interpreted_kernels() -> Iterator[None]:
    """Host tensors are computed by the fused kernels too, which Triton must interpret (for tests)."""
    token = _interpreted.set(True)
    try:
        yield
    finally:
        _interpreted.reset(token)


def kernels(device: torch.device) -> ModuleType | None:
    """The fused kernels, where this device runs them; ``None`` where torch's operators compute."""
    if _without_kernels.get() or not (device.type == "cuda" or _interpreted.get()):
        return None
    return _gpu()


@cache
def _gpu() -> ModuleType | None:
    try:
        import triton  # noqa: F401
    except ImportError:
        return None
    from verde.numerics import gpu

    return gpu


def route_of(device: torch.device) -> tuple[str, str]:
    """(name, reason) of the route that this device takes; the first call on a device probes it.

    Raises ``NotReproducible`` where no route is exact.
    """
    forced = _forced.get()
    if forced is not None:
        return forced, "asked for by name"
    if device.type == "cpu":
        return "fp64", "the host computes in the place of a device"
    return _probed(device, kernels(device) is not None)


@cache
def _probed(device: torch.device, has_kernels: bool) -> tuple[str, str]:
    refused: list[str] = []
    for name in ROUTES if has_kernels else ROUTES[1:]:
        trouble = trouble_with(name, device)
        if not trouble:
            reason = "its products proved exact" + "".join(f"; {text}" for text in refused)
            return name, reason
        refused.append(f"{name}: {trouble}")
    raise NotReproducible(f"computing on {device}", "none of its products is exact: " + "; ".join(refused))


def trouble_with(name: str, device: torch.device) -> str:
    """What is wrong with a route on a device; empty where hostile patterns and lengths gave the exact integers."""
    from verde.numerics.portable.products import DeviceQuantised
    from verde.numerics.portable.scalar import power_of_two

    for rows, columns, length in ((5, 7, 33), (64, 96, 896), (33, 40, 131_200)):
        draw = torch.Generator().manual_seed(length)
        left, right = (torch.randint(-32639, 32640, (size, length), generator=draw) for size in (rows, columns))
        for x in (left, right):
            x[0], x[1], x[2, ::2], x[2, 1::2] = 32639, -32639, 32639, -32639
            x[3], x[4] = 32384, -32384  # the least low bytes that there are
        floats = [(x.double() * 2.0**-15).float().to(device) for x in (left, right)]
        a, b = (DeviceQuantised(x, False) for x in floats)
        try:
            with use_route(name):
                found = contract(a, b, None, "", None).cpu()
        except (RuntimeError, AssertionError) as error:
            return f"it fails ({str(error).splitlines()[0][:120]})"
        scale = power_of_two(a.exponents_R[:, None].cpu() + b.exponents_R[None, :].cpu() - 30)
        q = [256 * x.planes[:, 0, :length].cpu().to(torch.int64) + x.planes[:, 1, :length].cpu() for x in (a, b)]
        expected = q[0] @ q[1].T
        if not torch.equal(found, (expected.double() * scale).float()):
            return f"sums of {length} products are not exact"
    return ""


def contract(
    a: DeviceQuantised, b: DeviceQuantised, bias_C: torch.Tensor | None, what: str, out: torch.Tensor | None
) -> torch.Tensor:
    """a · b^T (+ bias) by the route in use; both have the same length, at least 2."""
    from verde.numerics.portable import products

    name, _ = route_of(a.planes.device)
    if name == "fused":
        fused = kernels(a.planes.device)
        if fused is None:
            raise NotReproducible("the fused route", "this device has no fused kernels")
        return fused.contract(a, b, bias_C, what, out)  # type: ignore[no-any-return]
    return (products.by_bytes if name == "int8" else products.by_doubles)(a, b, bias_C, what, out)
