"""Why this module exists: what a run draws is a function of names and counters, the same on every machine.

Sections 7 and 9 of docs/exact-1.md: random words, Gumbel noise, first weights; and the rotary frequencies of section 5,
which machines' own ``pow`` would give differently. Nothing here keeps a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics.constants import IRWIN_HALL
from verde.numerics.kernels.noise import gumbel_kernel, initial_kernel, words_kernel
from verde.numerics.portable import draws
from verde.numerics.portable import scalar as portable
from verde.numerics.threads import run_rows

_SEED_MASK = (1 << 64) - 1


def words(seed: int, position: int, size: int) -> np.ndarray:
    """uint32 [size]: the random word of each token at the ``position``-th generated token, for a 64-bit seed."""
    out_V = np.empty(size, np.uint32)
    run_rows(words_kernel, -(-size // 4), np.uint64(seed & _SEED_MASK), np.uint64(position), out_V, cost=40)
    return out_V


def gumbel(seed: int, position: int, size: int, device: torch.device | None = None) -> torch.Tensor:
    """float32 [size]: the Gumbel noise of each token at the ``position``-th generated token, for a 64-bit seed.

    Computed on ``device``, where one is named.
    """
    if device is not None:
        key = np.array([seed & _SEED_MASK], np.uint64).view(np.int64)
        drawn = draws.words(torch.from_numpy(key).to(device), torch.tensor([position], device=device), size)
        return portable.gumbel(drawn)[0]
    out_V = torch.empty(size, dtype=torch.float32)
    run_rows(gumbel_kernel, -(-size // 4), np.uint64(seed & _SEED_MASK), np.uint64(position), out_V.numpy(), cost=80)
    return out_V


def initial(seed: int, shape: Sequence[int], std: float, mean: float = 0.0) -> torch.Tensor:
    """float32 of ``shape``: first weights around ``mean``, near normal, none further away than 3.47 ``std``.

    ``seed`` has 64 bits and belongs to this tensor alone. ``NumericsError`` where ``std`` or ``mean`` is no number.
    """
    if not np.isfinite(np.float32([std, mean])).all():
        raise NumericsError("initialisation", f"std {std} or mean {mean}")
    scale = np.float32(std) * np.float32(IRWIN_HALL)
    scale = scale if abs(scale) >= np.float32(2.0**-126) else np.float32(0)
    out = torch.empty(tuple(shape), dtype=torch.float32)
    flat_N = out.view(-1).numpy()
    run_rows(
        initial_kernel, -(-flat_N.size // 2), np.uint64(seed & _SEED_MASK), scale, np.float32(mean), flat_N, cost=30
    )
    return out


def inv_freq(base: float, dim: int) -> torch.Tensor:
    """float32 [dim / 2]: the nearest binary32 of base^(-2i / dim), i = 0 … dim / 2 - 1, found in integers.

    ``base`` is at least 1 and taken exactly as given, ``dim`` is even; ``ValueError`` otherwise.
    """
    if dim < 2 or dim % 2 or not 1 <= base < float("inf"):
        raise ValueError(f"no rotary frequencies for base {base} and dimension {dim}")
    return torch.tensor([_power(Fraction(base), Fraction(2 * i, dim)) for i in range(dim // 2)], dtype=torch.float32)


def _power(base: Fraction, exponent: Fraction) -> float:
    """The nearest binary32 of base^-exponent, ties to even (base >= 1, 0 <= exponent < 1, result normal)."""
    p, q = exponent.numerator, exponent.denominator

    def at_least(candidate: Fraction) -> bool:
        """base^(-p/q) >= candidate, both sides to the power q."""
        return candidate**q * base**p <= 1

    scale = 1
    while not at_least(Fraction(1, scale)):
        scale *= 2
    # Now 1 / scale <= result < 2 / scale: bisect the 24 bits of its significand.
    low, high = 1 << 23, 1 << 24
    unit = Fraction(1, scale << 23)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if at_least(middle * unit) else (low, middle)
    half = (low + Fraction(1, 2)) * unit
    if not at_least(half):
        return float(low * unit)
    is_tie = half**q * base**p == 1
    return float((low if is_tie and low % 2 == 0 else low + 1) * unit)
