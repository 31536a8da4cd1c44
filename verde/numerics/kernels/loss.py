"""Why this module exists: a vocabulary has 2^18 words, so its rows of logits are read as few times as can be.

A row is read twice while it is in the processor's cache: for its maximum, and for the sum of exponentials, which needs
no maximum of its own: the largest term is exp(0) = 1, so the exponent of SUM is always 1.

Shapes: R rows, V words.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.epilogue import holds_no_number
from verde.numerics.kernels.exponent import INFINITY_BITS, magnitude_bits, rounded
from verde.numerics.kernels.reduce import SHIFTER_BITS, WIDTH, largest_bits, term_bits
from verde.numerics.kernels.scalar import add, exp, log, mul, sub

_ZERO = np.float32(0.0)

# 2^36 relative to the exponent of 1.
_SCALE = np.float64(2.0 ** (WIDTH - 1))
_ORDER = np.int32(0x7FFFFFFF)


@kernel
def largest_value(z_V):
    """The largest of finite values; as integers whose order is theirs, so that the loop is vectorised."""
    largest = np.int32(-0x80000000)
    for v in range(z_V.shape[0]):
        bits = np.float32(z_V[v]).view(np.int32)
        largest = max(largest, bits ^ ((bits >> 31) & _ORDER))
    return np.int32(largest ^ ((largest >> 31) & _ORDER)).view(np.float32)


@kernel
def sum_of_powers(z_V, most):
    """SUM of ``exp(sub(z, most))``, ``most`` being the largest z."""
    total = np.int64(0)
    for v in range(z_V.shape[0]):
        total += term_bits(exp(sub(z_V[v], most)), _SCALE)
    return rounded(total - np.int64(z_V.shape[0]) * SHIFTER_BITS, np.int64(1 - WIDTH))


@kernel
def log_probs_kernel(start, stop, z_RV, token_R, log_prob_R, normaliser_R, bad_R):
    """``sub(z[token], logsumexp(z))`` of each row; ``normaliser_R`` keeps the logsumexp."""
    for i in range(start, stop):
        z_V = z_RV[i]
        if largest_bits(z_V) >= INFINITY_BITS:
            bad_R[i] = True
            continue
        most = largest_value(z_V)
        normaliser = add(most, log(sum_of_powers(z_V, most)))
        normaliser_R[i] = normaliser
        log_prob_R[i] = sub(z_V[token_R[i]], normaliser)
        bad_R[i] = magnitude_bits(log_prob_R[i]) >= INFINITY_BITS


@kernel
def log_probs_backward_kernel(start, stop, g_R, z_RV, token_R, normaliser_R, dz_RV, bad_R):
    """dz = ``mul(-g, exp(sub(z, logsumexp)))``, and g is added at the token. ``dz_RV`` may be ``z_RV``."""
    for i in range(start, stop):
        z_V, dz_V, g, normaliser = z_RV[i], dz_RV[i], g_R[i], normaliser_R[i]
        minus = sub(np.float32(0.0), g)
        for v in range(z_V.shape[0]):
            dz_V[v] = mul(minus, exp(sub(z_V[v], normaliser)))
        dz_V[token_R[i]] = add(dz_V[token_R[i]], g)
        bad_R[i] = holds_no_number(dz_V)


@kernel
def cross_entropy_kernel(start, stop, z_RV, target_R, picked_R, norm_2R, bad_R):
    """``picked_R``: the log-softmax of each row at its target; ``norm_2R`` keeps max and log(SUM(e)).

    A target below 0 picks nothing.
    """
    for i in range(start, stop):
        z_V = z_RV[i]
        bad_R[i] = largest_bits(z_V) >= INFINITY_BITS
        if bad_R[i]:
            continue
        most = largest_value(z_V)
        logarithm = log(sum_of_powers(z_V, most))
        norm_2R[0, i], norm_2R[1, i] = most, logarithm
        picked_R[i] = sub(sub(z_V[target_R[i]], most), logarithm) if target_R[i] >= 0 else _ZERO
        bad_R[i] = magnitude_bits(picked_R[i]) >= INFINITY_BITS


@kernel
def cross_entropy_backward_kernel(start, stop, g_R, z_RV, target_R, norm_2R, dz_RV, bad_R):
    """The gradient of log-softmax where only the target's element of a row has one, ``g_R``: SUM(g) is g itself."""
    for i in range(start, stop):
        z_V, dz_V, g, most, logarithm = z_RV[i], dz_RV[i], g_R[i], norm_2R[0, i], norm_2R[1, i]
        if target_R[i] < 0:
            dz_V[:] = _ZERO
            continue
        for v in range(z_V.shape[0]):
            dz_V[v] = sub(_ZERO, mul(exp(sub(sub(z_V[v], most), logarithm)), g))
        at = target_R[i]
        dz_V[at] = sub(g, mul(exp(sub(sub(z_V[at], most), logarithm)), g))
        bad_R[i] = holds_no_number(dz_V)
