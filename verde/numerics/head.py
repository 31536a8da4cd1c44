"""Why this module exists: a training pass' logits and their gradients would be most of what it keeps, although nobody
but the loss reads them where the output matrix is not trained.

Hidden rows become log-probabilities of chosen tokens without any tensor of all logits: they are computed for a block
of rows at a time, and again on the way back. A row's logits, their gradients and the gradient of the hidden row depend
on no other row (section 4 of docs/exact-1.md: every row has an exponent of its own), so the bits are those of all at
once, for any block. The gradient of a log-probability by its hidden row, computed forward and multiplied by the loss'
later, would save the second time, but not have these bits: the product quantises what it is given.

Shapes: M hidden rows, K features, V rows of the output matrix, N chosen tokens, U rows that predict any of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from verde.numerics import elementwise, gemm, loss, memory
from verde.numerics.aten_scatter import scatter_sum
from verde.numerics.aten_table import number
from verde.numerics.place import computing, on_host

BLOCK_ROWS, BLOCK_WORDS = 160, 1 << 24
"""A block has at most so many rows, or so many logits where that is more rows."""

_THIN = 32
"""Rows whose logits are copied at a time where not all of the output matrix' rows are words."""


@dataclass(frozen=True)
class Head:
    """``weight_VK``: the output matrix, which gets no gradient. Its first ``num_words`` rows are words, the only ones
    of which there are logits; these are divided by ``temperature``. ``block``: rows at a time (0: what suits; no bit
    depends on it)."""

    weight_VK: torch.Tensor
    num_words: int
    temperature: float = 1.0
    block: int = 0

    @property
    def rows(self) -> int:
        """Rows of a block at most."""
        return self.block or max(BLOCK_ROWS, BLOCK_WORDS // len(self.weight_VK))


def chosen_log_probs(hidden_MK: torch.Tensor, head: Head, row_N: torch.Tensor, token_N: torch.Tensor) -> torch.Tensor:
    """[N]: of each token its log-probability by the logits of its row of ``hidden_MK``, with the latter's gradient.

    The bits are those of ``z[row, token] - z.logsumexp(-1)[row]``, z being ``linear(hidden)[:, :num_words]`` divided
    by the temperature, operator by operator, forward and backward. ``row_N`` and ``token_N`` are int64; a row may have
    several tokens. Raises ``NumericsError`` for NaN or infinity, ``ValueError`` for tokens that are no words.
    Works inside and outside of ``mode.exact``; always exact.
    """
    result: torch.Tensor = _ChosenLogProbs.apply(hidden_MK, head, row_N, token_N)  # type: ignore[no-untyped-call]
    return result


class _Pass:
    """One pass' rows of the head. The logits of one block at a time lie in ``logits``."""

    def __init__(self, x_UK: torch.Tensor, head: Head) -> None:
        self.head, self.x_UK = head, x_UK
        count = -(-len(x_UK) // head.rows)
        bounds = [len(x_UK) * number // max(1, count) for number in range(count + 1)]
        self.blocks = [slice(start, stop) for start, stop in pairwise(bounds)]
        self._buffer_BV: torch.Tensor | None = None
        self._held: slice | None = None

    def logits(self, block: slice) -> torch.Tensor:
        """[B, V] of a block, not divided by the temperature; computed unless they still lie there."""
        if self._buffer_BV is None:
            shape = (min(self.head.rows, len(self.x_UK)), len(self.head.weight_VK))
            self._buffer_BV = memory.empty(*shape) if on_host(self.x_UK) else self.x_UK.new_empty(shape)
        z_BV = self._buffer_BV[: block.stop - block.start]
        if self._held != block:
            gemm.linear(self.x_UK[block], self.head.weight_VK, out=z_BV)
            self._held = block
        return z_BV

    @property
    def is_plain(self) -> bool:
        """Whether products are logits: each row of the output matrix is a word, and the temperature 1."""
        return self.head.num_words == len(self.head.weight_VK) and self.head.temperature == 1

    def spend(self) -> None:
        """What lies in the memory is no longer the logits."""
        self._held = None

    def give_back(self) -> None:
        """Let go of the memory: whoever still holds the graph need not hold that."""
        self._held = self._buffer_BV = None

    def thin(self, z_BV: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
        """Rows of a block, and their logits in contiguous memory: that of the block itself where it can be."""
        step = len(z_BV) if self.is_plain else _THIN
        for start in range(0, len(z_BV), step):
            rows = slice(start, start + step)
            yield rows, z_BV[rows] if self.is_plain else self.scaled(z_BV[rows, : self.head.num_words].contiguous())

    def scaled(self, x: torch.Tensor) -> torch.Tensor:
        """Logits or their gradients, divided by the temperature."""
        if self.head.temperature == 1:
            return x
        return elementwise.div(x, number(self.head.temperature))


class _ChosenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_MK: torch.Tensor, head: Head, row_N: torch.Tensor, token_N: torch.Tensor
    ) -> torch.Tensor:
        with computing():
            words = head.num_words
            if on_host(token_N) and len(token_N) and not 0 <= int(token_N.min()) <= int(token_N.max()) < words:
                raise ValueError(f"a token is not one of {words} words")
            row_U, at_N = torch.unique(row_N, return_inverse=True)
            work = _Pass(hidden_MK.detach().index_select(0, row_U), head)
            picked_N, normaliser_U = hidden_MK.new_empty(len(token_N)), hidden_MK.new_empty(len(row_U))
            token_U = token_N.new_zeros(len(row_U)).index_put((at_N,), token_N)
            for block in work.blocks:
                z_BV = work.logits(block)
                mine = _inside(at_N, block)
                picked_N[mine] = z_BV[at_N[mine] - block.start, token_N[mine]]
                for rows, z in work.thin(z_BV):
                    of_all = slice(block.start + rows.start, min(block.start + rows.stop, block.stop))
                    _, normaliser_U[of_all] = loss.token_log_probs(z, token_U[of_all])
            ctx.save_for_backward(row_U, at_N, token_N, token_U, normaliser_U)
            ctx.work, ctx.num_rows = work, len(hidden_MK)
            return elementwise.sub(work.scaled(picked_N), normaliser_U[at_N])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with computing():
            row_U, at_N, token_N, token_U, normaliser_U = ctx.saved_tensors
            work: _Pass = ctx.work
            g_N, weight_VK, words = gradient.detach(), work.head.weight_VK, work.head.num_words
            minus_U = scatter_sum(at_N, elementwise.flush_(-g_N)[:, None], len(row_U))[:, 0]
            g_U = elementwise.flush_(-minus_U)
            # What is chosen from a row is a gradient of its own beside that of the normaliser, and added to it.
            pair_P, of_N = torch.unique(at_N * words + token_N, return_inverse=True)
            at_P, token_P = pair_P // words, pair_P % words
            g_P = scatter_sum(of_N, g_N[:, None], len(pair_P))[:, 0]
            dhidden_MK = gradient.new_zeros((ctx.num_rows, weight_VK.shape[1]))
            for block in reversed(work.blocks):
                z_BV = work.logits(block)
                work.spend()
                mine = _inside(at_P, block)
                at, token = at_P[mine], token_P[mine]
                share = elementwise.exp(elementwise.sub(work.scaled(z_BV[at - block.start, token]), normaliser_U[at]))
                chosen = work.scaled(elementwise.add(g_P[mine], elementwise.mul(minus_U[at], share)))
                for rows, z in work.thin(z_BV):
                    of_all = slice(block.start + rows.start, min(block.start + rows.stop, block.stop))
                    task = (token_U[of_all], normaliser_U[of_all])
                    dz = loss.token_log_probs_backward(g_U[of_all], z, *task, out=z)
                    if not work.is_plain:
                        z_BV[rows, :words] = work.scaled(dz)
                        z_BV[rows, words:] = 0
                z_BV[at - block.start, token] = chosen
                dx_BK = gemm.multiply(gemm.quantise_rows(z_BV), gemm.columns_of_weight(weight_VK))
                dhidden_MK[row_U[block]] = dx_BK
            work.give_back()
            return dhidden_MK, None, None, None


def _inside(at_N: torch.Tensor, block: slice) -> torch.Tensor:
    """Which of the rows lie in a block."""
    inside_N: torch.Tensor = (at_N >= block.start) & (at_N < block.stop)
    return inside_N.nonzero()[:, 0]
