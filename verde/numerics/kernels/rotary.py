"""Why this module exists: rotating is one pass, where ``x·cos + rotate_half(x)·sin`` makes six tensors.

Shapes: B batch, L positions, H heads, D width, rows are the B·L positions. Heads of one position share their angles.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.scalar import add, mul, sub

_ZERO = np.float32(0.0)


@kernel
def rotate_kernel(start, stop, x_RHD, cos_RD, sin_RD, out_RHD, bad_R):
    """out = ``add(mul(x, cos), mul(rotate_half(x), sin))``."""
    heads, width = x_RHD.shape[1:]
    half = width // 2
    for i in range(start, stop):
        cos_D, sin_D = cos_RD[i], sin_RD[i]
        bad = False
        for h in range(heads):
            x_D, out_D = x_RHD[i, h], out_RHD[i, h]
            for d in range(half):
                out_D[d] = add(mul(x_D[d], cos_D[d]), mul(sub(_ZERO, x_D[half + d]), sin_D[d]))
                out_D[half + d] = add(mul(x_D[half + d], cos_D[half + d]), mul(x_D[d], sin_D[half + d]))
            bad |= holds_no_number(out_D)
        bad_R[i] = bad


@kernel
def rotate_backward_kernel(start, stop, g_RHD, cos_RD, sin_RD, dx_RHD, bad_R):
    """dx: ``mul(g, cos)`` plus the half that ``mul(g, sin)`` gives back to where it came from."""
    heads, width = g_RHD.shape[1:]
    half = width // 2
    for i in range(start, stop):
        cos_D, sin_D = cos_RD[i], sin_RD[i]
        bad = False
        for h in range(heads):
            g_D, dx_D = g_RHD[i, h], dx_RHD[i, h]
            for d in range(half):
                dx_D[d] = add(mul(g_D[d], cos_D[d]), mul(g_D[half + d], sin_D[half + d]))
                dx_D[half + d] = add(mul(g_D[half + d], cos_D[half + d]), sub(_ZERO, mul(g_D[d], sin_D[d])))
            bad |= holds_no_number(dx_D)
        bad_R[i] = bad
