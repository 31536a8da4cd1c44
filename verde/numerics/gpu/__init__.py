"""Why this package exists: on a GPU, exact/1's memory-bound operators are one Triton kernel each, with the same bits.

``portable.route.kernels`` hands this package to ``portable``, where Triton is installed; what is not here is computed
by torch's operators. Importing it needs Triton.
"""

from verde.numerics.gpu.attention import attention_gradient, attention_weights, quantised_pairs, rounded_pairs
from verde.numerics.gpu.draws import draw
from verde.numerics.gpu.elementwise import of_one, of_two, takes_one, takes_two
from verde.numerics.gpu.layers import (
    gated,
    gated_backward,
    rms_norm,
    rms_norm_backward,
    row_norms,
    scaled_powers,
    sum_columns,
    takes_rows,
)
from verde.numerics.gpu.optimiser import sums_of_squares, update
from verde.numerics.gpu.planes import planes_of
from verde.numerics.gpu.products import contract

__all__ = [
    "attention_gradient",
    "attention_weights",
    "contract",
    "draw",
    "gated",
    "gated_backward",
    "of_one",
    "of_two",
    "planes_of",
    "quantised_pairs",
    "rms_norm",
    "rms_norm_backward",
    "rounded_pairs",
    "row_norms",
    "scaled_powers",
    "sum_columns",
    "sums_of_squares",
    "takes_one",
    "takes_rows",
    "takes_two",
    "update",
]
