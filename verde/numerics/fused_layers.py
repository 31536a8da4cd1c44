"""Why this module exists: layers as autograd functions around one kernel each, instead of one call per aten operator.

The bits are those of the operators one by one, forward and backward: each function is created where the modelling code
would create the operators' nodes, so autograd adds gradients in the same order. Inside, dispatch is off: everything
here is exact already.

Shapes: R rows (all leading axes), K features of the input, N of the output; heads as in ``verde.numerics.rotary``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from verde.numerics import elementwise, gated, gemm, loss, norm, reduce, rotary
from verde.numerics.aten_table import number

_columns = threading.local()


@contextmanager
def _native() -> Iterator[None]:
    with torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch():
        yield


def forget() -> None:
    """Let go of the activation whose slices this thread has kept for its next product."""
    _columns.kept = None


def _columns_of(x_RK: torch.Tensor) -> gemm.Quantised:
    """``quantise_columns(x)``: several products read one activation in a row (queries, keys, values; gate, up)."""
    key = (x_RK.data_ptr(), x_RK.shape, x_RK.stride(), None if x_RK.is_inference() else x_RK._version)
    kept = getattr(_columns, "kept", None)
    if kept is None or kept[0] != key:
        # The tensor is kept too: while it lives, nobody else has its memory.
        kept = _columns.kept = (key, x_RK, gemm.quantise_columns(x_RK, copies=2))
    slices: gemm.Quantised = kept[2]
    return slices


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])


class Linear(torch.autograd.Function):
    """x · weight^T + bias. ``is_transposed``: the weight lies as [K, N] (GPT-2's Conv1D)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, is_transposed: bool
    ) -> torch.Tensor:
        with _native():
            ctx.save_for_backward(x, weight)
            ctx.is_transposed, ctx.has_bias = is_transposed, bias is not None
            weight_NK = weight.detach().t() if is_transposed else weight
            return gemm.linear(_rows(x.detach()), weight_NK, bias).view(*x.shape[:-1], weight_NK.shape[0])

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            x, weight = ctx.saved_tensors
            needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
            weight_NK = weight.detach().t() if ctx.is_transposed else weight
            gradient_RN = _rows(gradient.detach()).contiguous()
            dx = dweight = None
            if needs_weight:
                columns = _columns_of(_rows(x.detach()))
                dx, dweight = gemm.linear_backward(gradient_RN, columns, weight_NK, needs_input=needs_x)
                dweight = dweight.t() if ctx.is_transposed else dweight
            elif needs_x:
                dx = gemm.multiply(gemm.quantise_rows(gradient_RN), gemm.columns_of_weight(weight_NK))
            dbias = reduce.sum_columns(gradient_RN) if ctx.has_bias and needs_bias else None
            return (None if dx is None else dx.view(x.shape)), dweight, dbias, None


class RMSNorm(torch.autograd.Function):
    """w · x · rsqrt(mean(x²) + epsilon); ``from_one``: the weight is what the factor exceeds 1 by (Gemma).

    ``x`` is given twice, because the operators read it twice: autograd adds the two parts of its gradient to what else
    arrives there (a residual's) one after the other.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, again: torch.Tensor, weight: torch.Tensor, epsilon: float, from_one: bool
    ) -> torch.Tensor:
        with _native():
            factor = elementwise.add(weight.detach(), number(1)) if from_one else weight.detach()
            rows = _rows(x.detach())
            output, root = norm.rms_norm(rows, factor, number(epsilon).item())
            ctx.save_for_backward(x, factor, root)
            return output.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            x, factor, root = ctx.saved_tensors
            rows = _rows(gradient), _rows(x.detach())
            direct, through, dweight = norm.rms_norm_backward_parts(*rows, factor, root)
            return direct.view(x.shape), through.view(x.shape), dweight, None, None


class Gated(torch.autograd.Function):
    """activation(gate) · up."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, activation: str) -> torch.Tensor:
        with _native():
            ctx.save_for_backward(gate, up)
            ctx.activation = activation
            return gated.gated(activation, gate, up)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            gate, up = ctx.saved_tensors
            return (*gated.gated_backward(ctx.activation, gradient, gate, up), None)


class Rotary(torch.autograd.Function):
    """Queries or keys [B, H, L, D] turned by tables [B or 1, L, D], which get no gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        with _native():
            ctx.save_for_backward(cos, sin)
            return rotary.rotate(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            cos, sin = ctx.saved_tensors
            return rotary.rotate_backward(gradient, cos, sin), None, None


class _LogProbs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_RV: torch.Tensor, token_R: torch.Tensor) -> torch.Tensor:
        with _native():
            log_probs, normaliser = loss.token_log_probs(logits_RV, token_R)
            ctx.save_for_backward(logits_RV, token_R, normaliser)
            return log_probs

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            logits_RV, token_R, normaliser = ctx.saved_tensors
            return loss.token_log_probs_backward(gradient, logits_RV, token_R, normaliser), None


def log_probs(logits_RV: torch.Tensor, token_R: torch.Tensor) -> torch.Tensor:
    """[R]: ``z.gather(token) - z.logsumexp(-1)`` with its gradient, reading the logits twice instead of ten times.

    Works inside and outside of ``exact``; always exact. ``token_R`` int64. Errors as ``loss.token_log_probs``.
    """
    result: torch.Tensor = _LogProbs.apply(logits_RV, token_R)  # type: ignore[no-untyped-call]
    return result


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_RV: torch.Tensor, target_R: torch.Tensor, ignored: int, is_mean: bool) -> torch.Tensor:
        with _native():
            target_R = torch.where(target_R == ignored, -1, target_R)
            picked_R, norm_2R = loss.target_log_probs(logits_RV, target_R)
            total = reduce.sum_all(elementwise.flush_(-picked_R))
            count = (target_R >= 0).sum().to(torch.float32)
            ctx.save_for_backward(logits_RV, target_R, norm_2R, count)
            ctx.is_mean = is_mean
            return elementwise.div(total, count) if is_mean else total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        with _native():
            logits_RV, target_R, norm_2R, count = ctx.saved_tensors
            each = elementwise.div(gradient, count) if ctx.is_mean else gradient
            g_R = elementwise.flush_(-each).expand(len(target_R))
            return loss.target_log_probs_backward(g_R, logits_RV, target_R, norm_2R), None, None, None


def cross_entropy(logits_RV: torch.Tensor, target_R: torch.Tensor, ignored: int, is_mean: bool) -> torch.Tensor:
    """``F.cross_entropy`` of a matrix of logits, summed or averaged over the targets that are not ``ignored``.

    Neither the log-softmax nor the gradient of it exists as a tensor. Errors as ``loss.target_log_probs``.
    """
    result: torch.Tensor = _CrossEntropy.apply(logits_RV, target_R, ignored, is_mean)  # type: ignore[no-untyped-call]
    return result
