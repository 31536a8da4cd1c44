"""Why this module exists: aten's matrix products in terms of section 4 of docs/exact-1.md."""

from __future__ import annotations

import torch

from protocol.errors import NotReproducible
from verde.numerics import elementwise, gemm
from verde.numerics.aten_table import implements, operand

aten = torch.ops.aten


@implements(aten.mm.default)
def mm(a_MK: torch.Tensor, b_KN: torch.Tensor) -> torch.Tensor:
    return gemm.matmul(operand(a_MK), operand(b_KN))


@implements(aten.addmm.default)
def addmm(
    bias: torch.Tensor, a_MK: torch.Tensor, b_KN: torch.Tensor, *, beta: float = 1, alpha: float = 1
) -> torch.Tensor:
    if beta != 1 or alpha != 1:
        raise NotReproducible("aten.addmm with alpha or beta")
    return elementwise.add(mm(a_MK, b_KN), operand(bias))


@implements(aten.bmm.default)
def bmm(a_BMK: torch.Tensor, b_BKN: torch.Tensor) -> torch.Tensor:
    return gemm.bmm(operand(a_BMK), operand(b_BKN))


@implements(aten.mv.default)
def mv(a_MK: torch.Tensor, b_K: torch.Tensor) -> torch.Tensor:
    return mm(a_MK, b_K[:, None])[:, 0]


@implements(aten.dot.default)
def dot(a_K: torch.Tensor, b_K: torch.Tensor) -> torch.Tensor:
    return mm(a_K[None], b_K[:, None])[0, 0]
