"""Why this module exists: a state after a step is signed, so clipping and AdamW give one result, too.

Section 8 of docs/exact-1.md: elementwise operators, powers as running products, constants that are the nearest binary32
of the decimals that a run names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics.kernels.adamw import CHUNK, power_kernel, update_kernel
from verde.numerics.place import computing, on_host
from verde.numerics.portable import optimiser
from verde.numerics.reduce import model_norm
from verde.numerics.threads import run_rows
from verde.numerics.weights import are_settled

_ONE = np.float32(1)
_SMALLEST = np.float32(2.0**-126)


def binary32(value: Fraction) -> np.float32:
    """The nearest binary32 of a rational number, ties to even, subnormals as 0. For magnitudes below 2^127."""
    if value == 0:
        return np.float32(0)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
    # 2^(exponent - 1) < |value| < 2^(exponent + 1): scaled to at least 24 bits, rounded, and shifted back exactly.
    if abs(value) >= Fraction(2) ** exponent:
        exponent += 1
    significand = round(value * Fraction(2) ** (24 - exponent))
    rounded = np.float32(float(significand * Fraction(2) ** (exponent - 24)))
    return rounded if abs(rounded) >= _SMALLEST else np.float32(0)


BETA1, BETA2 = binary32(Fraction(9, 10)), binary32(Fraction(999, 1000))
EPSILON = binary32(Fraction(1, 10**8))
NORM_FLOOR = binary32(Fraction(1, 10**6))


@dataclass(frozen=True)
class Rates:
    """``max_norm`` 0 turns clipping off."""

    learning_rate: np.float32
    weight_decay: np.float32
    max_norm: np.float32


def clip_factor(gradients: Sequence[torch.Tensor], max_norm: np.float32) -> tuple[np.float32, np.float32]:
    """(what to multiply every gradient with, norm of all of them before).

    Raises ``NumericsError`` when a gradient holds NaN or infinity, or the norm exceeds binary32.
    """
    with computing():
        norm = np.float32(model_norm(gradients).item())
    if max_norm == 0:
        return _ONE, norm
    return min(_ONE, _out(max_norm / _out(norm + NORM_FLOOR))), norm


def update(
    weights: Sequence[torch.Tensor],
    first: Sequence[torch.Tensor],
    second: Sequence[torch.Tensor],
    gradients: Sequence[torch.Tensor],
    step: int,
    clip: np.float32,
    rates: Rates,
) -> None:
    """AdamW step number ``step`` (from 1), in place, on contiguous float32 tensors; gradients are only read.

    Raises ``NumericsError`` when a result is NaN or infinite; the tensors are then half updated.
    """
    c1, c2 = (_out(_ONE - power_kernel(beta, step)) for beta in (BETA1, BETA2))
    constants = (
        *(BETA1, BETA2, _out(_ONE - BETA1), _out(_ONE - BETA2), _out(np.sqrt(c2)), EPSILON),
        *(_out(_ONE - _out(rates.learning_rate * rates.weight_decay)), _out(rates.learning_rate / c1)),
    )
    is_on_host = on_host(*weights)
    with computing():
        for tensors in zip(weights, first, second, gradients, strict=True):
            flat = [_flat(tensor) for tensor in tensors]
            bad_C = np.zeros(-(-len(flat[0]) // CHUNK), np.bool_)
            if is_on_host:
                arrays = [tensor.numpy() for tensor in flat]
                run_rows(update_kernel, len(bad_C), *arrays, clip, constants, bad_C, cost=20 * CHUNK)
            else:
                optimiser.update(*flat, float(clip), [float(value) for value in constants])
            for tensor in tensors[:3]:
                torch.autograd.graph.increment_version(tensor)
            if bad_C.any():
                raise NumericsError("AdamW", f"a weight of shape {list(tensors[0].shape)}")
            are_settled(tensors[:1])


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype != torch.float32 or not tensor.is_contiguous():
        raise ValueError("AdamW works on contiguous float32 tensors.")
    return tensor.detach().view(-1)


def _out(value: np.float32) -> np.float32:
    return value if abs(value) >= _SMALLEST else np.float32(0)
