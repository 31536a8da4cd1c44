"""Why this module exists: the work of the tile kernel is divided so that caches hold what is read again and again."""

from __future__ import annotations

from functools import cache

import numpy as np

from verde.numerics.kernels.packing import LEFT_LANES, PIECE, RECORD, exponents_of_rows_kernel
from verde.numerics.kernels.tiles import MAX_PIECES, multiply_kernel
from verde.numerics.slices import Quantised
from verde.numerics.threads import num_threads, run_rows

# Bytes of a packed left block, which is read once per right tile and should stay in a cache.
_BLOCK_BYTES = 3 << 19

# Rows of so many positions that less than the least height would fit are packed in slabs, high enough for what a block
# reads of the right operand; what slabs leave is in the cache, too.
_LEAST_HEIGHT, _MOST_HEIGHT = 192, 510
_SLAB_BYTES, _SLAB_HEIGHT = 1 << 20, 384

# Sums of so many tiles are carried from slab to slab.
_CARRIED_TILES = 1 << 12

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
    rows, tiles, threads = a.rows, right.words.shape[0], num_threads()
    pieces = -(-a.length // PIECE)
    fits = min(_MOST_HEIGHT, _BLOCK_BYTES // RECORD // pieces * LEFT_LANES)
    in_slabs = fits < min(_LEAST_HEIGHT, rows)
    fits = _SLAB_HEIGHT if in_slabs else fits
    blocks = -(-rows // fits)
    if blocks > threads:
        blocks = -(-blocks // threads) * threads
    height = -(-rows // blocks // LEFT_LANES) * LEFT_LANES
    blocks = -(-rows // height)
    slab = min(MAX_PIECES, max(1, _SLAB_BYTES // RECORD // (height // LEFT_LANES))) if in_slabs else pieces
    across = 1 if blocks >= threads else -(-threads // blocks)
    if slab < pieces:
        across = max(across, -(-tiles * (height // LEFT_LANES) // _CARRIED_TILES))
    panels = -(-tiles // across)
    across = -(-tiles // panels)
    run_rows(
        multiply_kernel,
        blocks * across,
        *(panels, height, slab, arrays, from_planes, a.by_rows, a.length, _exponents(a, from_planes, slab < pieces)),
        *(right.words, right.scale_C, right.span, bias_C, out_RC, bad_R),
        # About one element of memory traffic is worth 32 products.
        cost=height * panels * a.length,
    )


def _exponents(a: Quantised, from_planes: bool, in_slabs: bool) -> np.ndarray:
    """What the kernel does not find out itself."""
    if from_planes or not a.by_rows:
        return a.exponents_R.numpy()
    if not in_slabs:
        return _NO_EXPONENTS
    exponents = np.empty(a.rows, np.int32)
    run_rows(exponents_of_rows_kernel, a.rows, a.unchanged_floats().numpy(), exponents, cost=a.length)
    return exponents
