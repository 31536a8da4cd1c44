"""Why this module exists: a gated activation (SwiGLU, GeGLU) is one pass over two tensors, and back one over three.

All arrays are flat; kernels take a range of elements.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.scalar import (
    gelu_tanh,
    gelu_tanh_backward,
    mul,
    not_finite,
    silu,
    silu_backward,
)


@kernel
def silu_gated_kernel(start, stop, gate_N, up_N, out_N, bad_1):
    """out = ``mul(silu(gate), up)``."""
    gate_N, up_N, out_N = gate_N[start:stop], up_N[start:stop], out_N[start:stop]
    bad = np.int32(0)
    for n in range(out_N.shape[0]):
        value = mul(silu(gate_N[n]), up_N[n])
        bad |= not_finite(value)
        out_N[n] = value
    if bad:
        bad_1[0] = 1


@kernel
def gelu_gated_kernel(start, stop, gate_N, up_N, out_N, bad_1):
    """out = ``mul(gelu_tanh(gate), up)``."""
    gate_N, up_N, out_N = gate_N[start:stop], up_N[start:stop], out_N[start:stop]
    bad = np.int32(0)
    for n in range(out_N.shape[0]):
        value = mul(gelu_tanh(gate_N[n]), up_N[n])
        bad |= not_finite(value)
        out_N[n] = value
    if bad:
        bad_1[0] = 1


@kernel
def silu_gated_backward_kernel(start, stop, g_N, gate_N, up_N, dgate_N, dup_N, bad_1):
    """dgate = the gradient of silu for ``mul(g, up)``; dup = ``mul(g, silu(gate))``."""
    g_N, gate_N, up_N = g_N[start:stop], gate_N[start:stop], up_N[start:stop]
    dgate_N, dup_N = dgate_N[start:stop], dup_N[start:stop]
    bad = np.int32(0)
    for n in range(g_N.shape[0]):
        dgate, dup = silu_backward(mul(g_N[n], up_N[n]), gate_N[n]), mul(g_N[n], silu(gate_N[n]))
        bad |= not_finite(dgate) | not_finite(dup)
        dgate_N[n], dup_N[n] = dgate, dup
    if bad:
        bad_1[0] = 1


@kernel
def gelu_gated_backward_kernel(start, stop, g_N, gate_N, up_N, dgate_N, dup_N, bad_1):
    """As ``silu_gated_backward_kernel``, of gelu_tanh."""
    g_N, gate_N, up_N = g_N[start:stop], gate_N[start:stop], up_N[start:stop]
    dgate_N, dup_N = dgate_N[start:stop], dup_N[start:stop]
    bad = np.int32(0)
    for n in range(g_N.shape[0]):
        dgate, dup = gelu_tanh_backward(mul(g_N[n], up_N[n]), gate_N[n]), mul(g_N[n], gelu_tanh(gate_N[n]))
        bad |= not_finite(dgate) | not_finite(dup)
        dgate_N[n], dup_N[n] = dgate, dup
    if bad:
        bad_1[0] = 1
