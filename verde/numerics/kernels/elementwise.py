"""Why this module exists: the loops of the elementwise operators over flat arrays.

Each kernel takes a range and flat binary32 arrays, and sets ``bad_1[0]`` where a result is NaN or an infinity. They are
written out one by one because numba keeps a kernel on disk only under a name of its own.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels import angles, scalar
from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.scalar import device, flush, not_finite


@device
def over_one(function, start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    """``out = function(x)`` over the range."""
    x_N, out_N = x_N[start:stop], out_N[start:stop]
    bad = np.int32(0)
    for n in range(x_N.shape[0]):
        value = function(x_N[n])
        bad |= not_finite(value)
        out_N[n] = value
    if bad:
        bad_1[0] = 1


@device
def over_two(function, start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    """``out = function(a, b)`` over the range."""
    a_N, b_N, out_N = a_N[start:stop], b_N[start:stop], out_N[start:stop]
    bad = np.int32(0)
    for n in range(out_N.shape[0]):
        value = function(a_N[n], b_N[n])
        bad |= not_finite(value)
        out_N[n] = value
    if bad:
        bad_1[0] = 1


@device
def over_number(function, start, stop, a_N, b, out_N, bad_1):  # type: ignore[no-untyped-def]
    """``out = function(a, b)`` over the range, b one number."""
    a_N, out_N = a_N[start:stop], out_N[start:stop]
    bad = np.int32(0)
    for n in range(out_N.shape[0]):
        value = function(a_N[n], b)
        bad |= not_finite(value)
        out_N[n] = value
    if bad:
        bad_1[0] = 1


@kernel
def flush_kernel(start, stop, x_N, bad_1):  # type: ignore[no-untyped-def]
    """``in`` and ``out`` of rounded values, in place."""
    over_one(flush, start, stop, x_N, x_N, bad_1)


@kernel
def exp_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.exp, start, stop, x_N, out_N, bad_1)


@kernel
def expm1_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.expm1, start, stop, x_N, out_N, bad_1)


@kernel
def log_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.log, start, stop, x_N, out_N, bad_1)


@kernel
def tanh_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.tanh, start, stop, x_N, out_N, bad_1)


@kernel
def sigmoid_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.sigmoid, start, stop, x_N, out_N, bad_1)


@kernel
def silu_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.silu, start, stop, x_N, out_N, bad_1)


@kernel
def gelu_tanh_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.gelu_tanh, start, stop, x_N, out_N, bad_1)


@kernel
def sqrt_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.sqrt, start, stop, x_N, out_N, bad_1)


@kernel
def rsqrt_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(scalar.rsqrt, start, stop, x_N, out_N, bad_1)


@kernel
def sin_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(angles.sin, start, stop, x_N, out_N, bad_1)


@kernel
def cos_kernel(start, stop, x_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_one(angles.cos, start, stop, x_N, out_N, bad_1)


@kernel
def add_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.add, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def sub_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.sub, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def mul_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.mul, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def div_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.div, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def silu_backward_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.silu_backward, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def gelu_tanh_backward_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.gelu_tanh_backward, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def tanh_backward_kernel(start, stop, a_N, b_N, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_two(scalar.tanh_backward, start, stop, a_N, b_N, out_N, bad_1)


@kernel
def add_number_kernel(start, stop, a_N, b, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_number(scalar.add, start, stop, a_N, b, out_N, bad_1)


@kernel
def sub_number_kernel(start, stop, a_N, b, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_number(scalar.sub, start, stop, a_N, b, out_N, bad_1)


@kernel
def mul_number_kernel(start, stop, a_N, b, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_number(scalar.mul, start, stop, a_N, b, out_N, bad_1)


@kernel
def div_number_kernel(start, stop, a_N, b, out_N, bad_1):  # type: ignore[no-untyped-def]
    over_number(scalar.div, start, stop, a_N, b, out_N, bad_1)


OF_ONE = {
    "exp": exp_kernel,
    "expm1": expm1_kernel,
    "log": log_kernel,
    "tanh": tanh_kernel,
    "sigmoid": sigmoid_kernel,
    "silu": silu_kernel,
    "gelu_tanh": gelu_tanh_kernel,
    "sqrt": sqrt_kernel,
    "rsqrt": rsqrt_kernel,
    "sin": sin_kernel,
    "cos": cos_kernel,
}
OF_TWO = {
    "add": add_kernel,
    "sub": sub_kernel,
    "mul": mul_kernel,
    "div": div_kernel,
    "silu_backward": silu_backward_kernel,
    "gelu_tanh_backward": gelu_tanh_backward_kernel,
    "tanh_backward": tanh_backward_kernel,
}
WITH_NUMBER = {
    "add": add_number_kernel,
    "sub": sub_number_kernel,
    "mul": mul_number_kernel,
    "div": div_number_kernel,
}
