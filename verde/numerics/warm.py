"""Why this module exists: a kernel is compiled at first use, which takes seconds; that belongs to set-up, not a round.

The compiled code is kept on disk, for this processor and this version of the kernels.
"""

from __future__ import annotations

import torch

from verde.numerics import gated, gemm, loss, norm, reduce, rotary


def warm_up() -> None:
    """Run every product, sum and fused layer once on a few numbers, so that its kernel is compiled and on disk.

    Half a minute on a machine that never did it, milliseconds otherwise. Attention and the decoder are not among them.
    """
    x, bias = torch.ones(4, 64), torch.ones(64)
    square = torch.ones(64, 64)
    gemm.linear(x, square, bias)
    gemm.linear_backward(x, x, square)
    gemm.matmul(torch.ones(4, 1), torch.ones(1, 4))
    for quantised in gemm.quantise_both(square):
        _ = quantised.planes, quantised.packed
        gemm.multiply(quantised, quantised)
    reduce.sum_rows(x), reduce.sum_columns(x), reduce.sum_all(x), reduce.model_norm([x])
    _, root = norm.rms_norm(x, bias, 1e-6)
    norm.rms_norm_backward(x, x, bias, root)
    for activation in ("silu", "gelu_tanh"):
        gated.gated(activation, x, x)
        gated.gated_backward(activation, x, x, x)
    tokens = torch.zeros(4, dtype=torch.int64)
    _, normaliser = loss.token_log_probs(x, tokens)
    loss.token_log_probs_backward(torch.ones(4), x, tokens, normaliser)
    heads, tables = torch.ones(1, 2, 4, 8), torch.ones(1, 4, 8)
    rotary.rotate(heads, tables, tables)
    rotary.rotate_backward(heads, tables, tables)
