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
        # Views that start at 0: with an offset in the index, the loop would not be vectorised.
        begin, end = c * CHUNK, min(len(weight_N), (c + 1) * CHUNK)
        weight_n, first_n = weight_N[begin:end], first_N[begin:end]
        second_n, gradient_n = second_N[begin:end], gradient_N[begin:end]
        for n in range(weight_n.shape[0]):
            gradient = mul(gradient_n[n], clip)
            first = add(mul(beta1, first_n[n]), mul(rest1, gradient))
            second = add(mul(beta2, second_n[n]), mul(rest2, mul(gradient, gradient)))
            denominator = add(div(sqrt(second), root), epsilon)
            weight = sub(mul(weight_n[n], decay), mul(rate, div(first, denominator)))
            first_n[n], second_n[n], weight_n[n] = first, second, weight
        # A loop of its own, while the chunk is in the cache: in the one above it would cost as much as all the rest.
        for n in range(weight_n.shape[0]):
            bad |= not_finite(weight_n[n]) | not_finite(first_n[n]) | not_finite(second_n[n])
        bad_C[c] = bad != 0
