"""After the warm-up, first products and layers compile nothing."""

import torch

from verde.numerics import gemm, loss, norm
from verde.numerics.kernels import loss as loss_kernels
from verde.numerics.kernels import norm as norm_kernels
from verde.numerics.kernels import tiles
from verde.numerics.tiling import tiles_are_native
from verde.numerics.warm import warm_up


def test_the_first_step_compiles_nothing_more():
    warm_up()
    kernels = [norm_kernels.rms_norm_kernel, norm_kernels.rms_norm_backward_kernel, loss_kernels.log_probs_kernel]
    if tiles_are_native():
        kernels.append(tiles.multiply_kernel)
    before = [len(kernel.signatures) for kernel in kernels]
    assert min(before) >= 1
    x = torch.ones(5, 96)
    gemm.linear_backward(torch.ones(5, 33), x, torch.ones(33, 96))
    gemm.linear(x, torch.ones(33, 96), torch.ones(33))
    _, root = norm.rms_norm(x, torch.ones(96), 1e-5)
    norm.rms_norm_backward(x, x, torch.ones(96), root)
    loss.token_log_probs(x, torch.zeros(5, dtype=torch.int64))
    assert [len(kernel.signatures) for kernel in kernels] == before
