"""Why this module exists: AdamW and the gradient's norm (docs/exact-1.md sections 3 and 8) on a device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from verde.numerics.place import require_numbers
from verde.numerics.portable import route
from verde.numerics.portable.rows import sum_of_pieces
from verde.numerics.portable.scalar import add, div, mul, sqrt, sub

Tensor = torch.Tensor


def sums_of_squares(x_N: Tensor, piece: int) -> Tensor:
    """SUM of ``mul(x, x)`` over each piece of a vector; NaN or infinite where a square is no number."""
    fused = route.kernels(x_N.device)
    if fused is not None:
        return fused.sums_of_squares(x_N, piece)  # type: ignore[no-any-return]
    return sum_of_pieces(mul(x_N, x_N), piece)


def update(
    weight: Tensor, first: Tensor, second: Tensor, gradient: Tensor, clip: float, constants: Sequence[float]
) -> None:
    """One tensor's step in place; ``constants`` as in ``kernels/adamw``."""
    what = f"a weight of shape {list(weight.shape)}"
    fused = route.kernels(weight.device)
    if fused is not None:
        fused.update(weight, first, second, gradient, clip, constants, what)
        return
    beta1, beta2, rest1, rest2, root, epsilon, decay, rate = constants
    gradient = mul(gradient, clip)
    new_first = add(mul(first, beta1), mul(gradient, rest1))
    new_second = add(mul(second, beta2), mul(mul(gradient, gradient), rest2))
    denominator = add(div(sqrt(new_second), root), epsilon)
    new_weight = sub(mul(weight, decay), mul(div(new_first, denominator), rate))
    for target, value in ((weight, new_weight), (first, new_first), (second, new_second)):
        target.copy_(value)
    require_numbers("AdamW", what, new_weight, new_first, new_second)
