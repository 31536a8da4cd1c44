"""Why this module exists: the work of the tile kernel is divided so that caches hold what is read again and again."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from verde.numerics.kernels.tiles import LEFT_LANES, multiply_kernel
from verde.numerics.slices import Quantised
from verde.numerics.threads import run_rows

# Bytes of a packed left block, which is read once per right tile and should stay in a cache.
_BLOCK_BYTES = 1 << 21
_MAX_HEIGHT = 512
_NO_EXPONENTS = np.empty(0, np.int32)


@cache
def tiles_are_native() -> bool:
    """Whether the code that numba makes here may use AVX512-VNNI."""
    from numba.core.registry import cpu_target

    features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
    return {"+avx512f", "+avx512bw", "+avx512dq", "+avx512vnni"} <= features


def contract(a: Quantised, b: Quantised, bias_C: np.ndarray, out_RC: np.ndarray, bad_R: np.ndarray) -> None:
    """``backend.contract`` by the tile kernel: ``a`` is packed block by block as it is used, ``b`` once and kept."""
    right = b.packed
    arrays, from_planes = a.arrays()
    exponents = a.exponents_R.numpy() if from_planes or not a.by_rows else _NO_EXPONENTS
    rows, tiles, threads = a.rows, right.words.shape[0], torch.get_num_threads()
    fits = max(LEFT_LANES, min(_MAX_HEIGHT, _BLOCK_BYTES // (2 * a.length)))
    blocks = -(-rows // fits)
    if blocks > threads:
        blocks = -(-blocks // threads) * threads
    height = -(-rows // blocks // LEFT_LANES) * LEFT_LANES
    blocks = -(-rows // height)
    panels = -(-tiles // (1 if blocks >= threads else -(-threads // blocks)))
    across = -(-tiles // panels)
    run_rows(
        multiply_kernel,
        blocks * across,
        *(panels, height, arrays, from_planes, a.by_rows, a.length, exponents),
        *(right.words, right.scale_C, right.span, bias_C, out_RC, bad_R),
        # About one element of memory traffic is worth 32 products.
        cost=height * panels * a.length,
    )
