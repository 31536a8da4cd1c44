"""Why this module exists: an update reads and writes four numbers per weight, once each.

Section 8 of docs/exact-1.md. Shapes: N elements of one tensor, in chunks of ``CHUNK``; ``start`` and ``stop`` count
chunks. ``bad_C`` marks chunks in which a result is no number.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.scalar import ONE, add, div, mul, not_finite, sqrt, sub

CHUNK = 1 << 14


@kernel
def power_kernel(base, exponent):
    """base^exponent as a running product, one rounding per factor."""
    product = ONE
    for _ in range(exponent):
        product = mul(product, base)
    return product


@kernel
def update_kernel(start, stop, weight_N, first_N, second_N, gradient_N, clip, constants, bad_C):
    """New moments and weights in place. ``constants``: beta1, beta2, their complements, sqrt(c2), epsilon, decay, rate.

    ``clip`` scales the gradient; ``decay`` is sub(1, mul(lr, wd)) and ``rate`` div(lr, c1).
    """
    beta1, beta2, rest1, rest2, root, epsilon, decay, rate = constants
    for c in range(start, stop):
        bad = np.int32(0)
        for n in range(c * CHUNK, min(len(weight_N), (c + 1) * CHUNK)):
            gradient = mul(gradient_N[n], clip)
            first = add(mul(beta1, first_N[n]), mul(rest1, gradient))
            second = add(mul(beta2, second_N[n]), mul(rest2, mul(gradient, gradient)))
            denominator = add(div(sqrt(second), root), epsilon)
            weight = sub(mul(weight_N[n], decay), mul(rate, div(first, denominator)))
            first_N[n], second_N[n], weight_N[n] = first, second, weight
            bad |= not_finite(weight) | not_finite(first) | not_finite(second)
        bad_C[c] = bad != 0
