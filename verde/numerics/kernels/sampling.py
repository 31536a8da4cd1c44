"""Why this module exists: the arg-max of logits plus noise needs the noise of few tokens only.

Section 7 of docs/exact-1.md defines a noise for every token of the vocabulary. A token cannot win when even a bound of
its noise leaves it below the best so far: the largest noise there is, or, once its random word is known, minus the
logarithm of that word's distance from 2^32. Addition rounds monotonically, so a bound that was added is a bound of the
sum, and the result is that of the whole definition.

Shapes: R rows of logits, V tokens, N tokens to draw; draw n reads row ``row_N[n]``. ``start`` and ``stop`` count draws.
"""

from __future__ import annotations

import numpy as np

from verde.numerics.kernels.compiled import kernel
from verde.numerics.kernels.philox import philox
from verde.numerics.kernels.scalar import add, div, gumbel

NO_CLAIM = -1

_LARGEST_GUMBEL = np.float32(22.25)
_INFINITY_BITS = np.int32(0x7F800000)
_SIGNLESS = np.int32(0x7FFFFFFF)
_LN_2 = np.float32(0.6931471805599453)
_MARGIN = np.float32(1e-3)
_LOW = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_CHUNK = 256


@kernel
def scale_kernel(start, stop, logits_RV, temperature, out_RV, bad_R):
    """Logits divided by the temperature; marks rows with a logit, before or after, that is no number."""
    divides = temperature != np.float32(1.0)
    for i in range(start, stop):
        largest = np.int32(0)
        for v in range(out_RV.shape[1]):
            value = div(logits_RV[i, v], temperature) if divides else logits_RV[i, v]
            out_RV[i, v] = value
            largest = max(largest, np.float32(value).view(np.int32) & _SIGNLESS)
        bad_R[i] = largest >= _INFINITY_BITS


@kernel
def noise_bound(word):
    """At least ``gumbel`` of an int32 word: -log(t), t the distance of u from 1, by a line below the logarithm."""
    rest = np.int32(np.int32(word ^ np.int32(-1)) >> np.int32(1)) & _SIGNLESS
    half = np.float32(np.int32(rest)) + np.float32(0.5)
    log2 = np.float32(np.float32(half).view(np.int32)) * np.float32(2.0**-23) - np.float32(127.0)
    return (np.float32(31.0) - log2) * _LN_2 + _MARGIN


@kernel
def draw_kernel(start, stop, z_RV, row_N, key_N, position_N, claim_N, token_N):
    """The least token with the largest z + noise; ``claim_N`` names a token to begin with (any or ``NO_CLAIM``)."""
    size = z_RV.shape[1]
    words_4C = np.empty((4, _CHUNK // 4), np.int32)
    may_win_4C = np.empty((4, _CHUNK // 4), np.int32)
    for n in range(start, stop):
        z_V, key, position = z_RV[row_N[n]], key_N[n], np.uint64(position_N[n])
        token = np.int64(claim_N[n])
        if token < 0:
            token = _first_largest(z_V)
        best = add(z_V[token], gumbel(np.uint32(_word(key, position, token))))
        for first in range(0, size, _CHUNK):
            z_C = z_V[first : first + _CHUNK]
            if add(_largest(z_C), _LARGEST_GUMBEL) < best:
                continue
            blocks = (len(z_C) + 3) // 4
            _fill_words(key, position, first // 4, words_4C[:, :blocks])
            if _mark_hopes(z_C, best, words_4C, may_win_4C) == 0:
                continue
            for c in range(len(z_C)):
                if may_win_4C[c % 4, c // 4]:
                    value = add(z_C[c], gumbel(np.uint32(words_4C[c % 4, c // 4])))
                    if value > best or (value == best and first + c < token):
                        best, token = value, np.int64(first + c)
        token_N[n] = token


@kernel
def _mark_hopes(z_C, best, words_4C, may_win_4C):
    """Mark the tokens whose bound reaches ``best``; how many they are."""
    hopes = np.int32(0)
    for lane in range(4):
        words, may_win = words_4C[lane], may_win_4C[lane]
        for block in range((len(z_C) - lane + 3) // 4):
            may_win[block] = np.int32(add(z_C[4 * block + lane], noise_bound(words[block])) >= best)
        for block in range((len(z_C) - lane + 3) // 4):
            hopes += may_win[block]
    return hopes


@kernel
def _word(key, position, token):
    """The random word of one token, as int32."""
    zero = np.uint64(0)
    w0, w1, w2, w3 = philox(key & _LOW, key >> _SHIFT, np.uint64(token // 4), np.uint64(position), zero, zero)
    number = token % 4
    return np.int32(w0 if number == 0 else w1 if number == 1 else w2 if number == 2 else w3)


@kernel
def _fill_words(key, position, counter, words_4B):
    """The words of tokens from 4 · counter on, one row per place in a block, so that lanes compute together."""
    low, high, zero = key & _LOW, key >> _SHIFT, np.uint64(0)
    for block in range(words_4B.shape[1]):
        w0, w1, w2, w3 = philox(low, high, np.uint64(counter + block), position, zero, zero)
        words_4B[0, block] = np.int32(w0)
        words_4B[1, block] = np.int32(w1)
        words_4B[2, block] = np.int32(w2)
        words_4B[3, block] = np.int32(w3)


@kernel
def draw_among_kernel(start, stop, z_RV, row_N, limit_R, count, key_N, position_N, token_N):
    """As ``draw_kernel`` among the ``count`` largest logits, ``limit_R`` being the smallest of them; ties by token."""
    size = z_RV.shape[1]
    for n in range(start, stop):
        z_V, limit = z_RV[row_N[n]], limit_R[row_N[n]]
        ties = count
        for v in range(size):
            ties -= z_V[v] > limit
        token, best = np.int64(-1), np.float32(0.0)
        for v in range(size):
            if z_V[v] < limit:
                continue
            if z_V[v] == limit:
                ties -= 1
                if ties < 0:
                    continue
            value = add(z_V[v], gumbel(np.uint32(_word(key_N[n], position_N[n], v))))
            if token < 0 or value > best:
                best, token = value, np.int64(v)
        token_N[n] = token


@kernel
def greedy_kernel(start, stop, z_RV, row_N, token_N):
    """The least token with the largest logit."""
    for n in range(start, stop):
        token_N[n] = _first_largest(z_RV[row_N[n]])


@kernel
def _largest(z_V):
    """The largest value, compared as integers: those reductions run in lanes."""
    largest = np.int32(-_SIGNLESS)
    for v in range(z_V.shape[0]):
        bits = np.float32(z_V[v]).view(np.int32)
        largest = max(largest, np.int32(bits ^ (np.int32(bits >> np.int32(31)) & _SIGNLESS)))
    return np.int32(largest ^ (np.int32(largest >> np.int32(31)) & _SIGNLESS)).view(np.float32)


@kernel
def _first_largest(z_V):
    largest = _largest(z_V)
    for v in range(z_V.shape[0]):
        if z_V[v] == largest:
            return np.int64(v)
    return np.int64(0)
