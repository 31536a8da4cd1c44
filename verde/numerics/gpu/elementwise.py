"""Why this module exists: elementwise operators of exact/1 as one launch each, over memory without gaps."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from verde.numerics import place
from verde.numerics.gpu import scalar as s
from verde.numerics.gpu.scalar import UNFUSED

_BLOCK = 1024
_OF_ONE = frozenset({"exp", "log", "tanh", "sigmoid", "silu", "gelu_tanh", "sqrt", "rsqrt", "flush_"})
_OF_TWO = frozenset({"add", "sub", "mul", "div", "silu_backward", "gelu_tanh_backward", "tanh_backward"})


@triton.jit(do_not_specialize=["size"])
def of_one_kernel(x_ptr, out_ptr, mark_ptr, size, OPERATOR: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    x = tl.load(x_ptr + at, mask=inside, other=1.0)
    if OPERATOR == "exp":
        y = s.exp(x)
    elif OPERATOR == "log":
        y = s.log(x)
    elif OPERATOR == "tanh":
        y = s.tanh(x)
    elif OPERATOR == "sigmoid":
        y = s.sigmoid(x)
    elif OPERATOR == "silu":
        y = s.silu(x)
    elif OPERATOR == "gelu_tanh":
        y = s.gelu_tanh(x)
    elif OPERATOR == "sqrt":
        y = s.sqrt(x)
    elif OPERATOR == "rsqrt":
        y = s.div(1.0, s.sqrt(x))
    else:
        y = s.flush(x)
    tl.store(out_ptr + at, y, mask=inside)
    tl.store(mark_ptr, 1, mask=tl.max(s.not_finite(y), 0) != 0)


@triton.jit(do_not_specialize=["size"])
def of_two_kernel(
    a_ptr, b_ptr, a_number, b_number, out_ptr, mark_ptr, size,
    OPERATOR: tl.constexpr, A_IS_NUMBER: tl.constexpr, B_IS_NUMBER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    if A_IS_NUMBER:  # noqa: SIM108 (compiled)
        a = tl.full((BLOCK,), 1.0, tl.float32) * a_number
    else:
        a = tl.load(a_ptr + at, mask=inside, other=1.0)
    if B_IS_NUMBER:  # noqa: SIM108 (compiled)
        b = tl.full((BLOCK,), 1.0, tl.float32) * b_number
    else:
        b = tl.load(b_ptr + at, mask=inside, other=1.0)
    if OPERATOR == "add":
        y = s.add(a, b)
    elif OPERATOR == "sub":
        y = s.sub(a, b)
    elif OPERATOR == "mul":
        y = s.mul(a, b)
    elif OPERATOR == "div":
        y = s.div(a, b)
    elif OPERATOR == "silu_backward":
        y = s.silu_backward(a, b)
    elif OPERATOR == "gelu_tanh_backward":
        y = s.gelu_tanh_backward(a, b)
    else:
        y = s.mul(a, s.sub(1.0, s.mul(b, b)))
    tl.store(out_ptr + at, y, mask=inside)
    bad = tl.where(inside, s.not_finite(y), 0)
    tl.store(mark_ptr, 1, mask=tl.max(bad, 0) != 0)


def _is_dense(x: torch.Tensor) -> bool:
    """Whether the elements fill one piece of memory, in whatever order."""
    return x.is_contiguous() or x.permute(sorted(range(x.dim()), key=x.stride, reverse=True)).is_contiguous()


def takes_one(operator: str, x: torch.Tensor) -> bool:
    """Whether ``of_one`` is for this operator and tensor."""
    return operator in _OF_ONE and x.numel() > 0 and _is_dense(x)


def takes_two(operator: str, a: Any, b: Any) -> bool:
    """Whether ``of_two`` is for this operator and these tensors of one layout, or numbers."""
    tensors = [x for x in (a, b) if isinstance(x, torch.Tensor)]
    first = tensors[0]
    return (
        operator in _OF_TWO
        and first.numel() > 0
        and all(x.shape == first.shape and x.stride() == first.stride() for x in tensors)
        and _is_dense(first)
    )


def of_one(operator: str, x: torch.Tensor) -> torch.Tensor:
    out = torch.empty_like(x)
    with place.marking(x.device, operator, f"a tensor of shape {tuple(x.shape)}") as mark_1:
        grid = (triton.cdiv(x.numel(), _BLOCK),)
        of_one_kernel[grid](x, out, mark_1, x.numel(), OPERATOR=operator, BLOCK=_BLOCK, **UNFUSED)
    return out


def of_two(operator: str, a: torch.Tensor | float, b: torch.Tensor | float) -> torch.Tensor:
    like = a if isinstance(a, torch.Tensor) else b
    assert isinstance(like, torch.Tensor)
    out = torch.empty_like(like)
    is_a, is_b = isinstance(a, torch.Tensor), isinstance(b, torch.Tensor)
    with place.marking(like.device, operator, f"a tensor of shape {tuple(like.shape)}") as mark_1:
        of_two_kernel[(triton.cdiv(like.numel(), _BLOCK),)](
            a if is_a else like, b if is_b else like, 0.0 if is_a else a, 0.0 if is_b else b, out, mark_1,
            like.numel(), OPERATOR=operator, A_IS_NUMBER=not is_a, B_IS_NUMBER=not is_b, BLOCK=_BLOCK, **UNFUSED,
        )  # fmt: skip
    return out
