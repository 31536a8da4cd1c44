"""Why this module exists: the products of section 4 of docs/exact-1.md on a device, by its best exact route.

Rows are always those that are contracted, side by side in memory: tensor cores read int8 only so. ``Planes`` holds them
as two bytes per significand; doubles are made from these where a route wants them.

Shapes: R rows, K contracted, C columns of a result, P pairs of matrices.
"""

from __future__ import annotations

import torch

from protocol.errors import NotReproducible
from verde.numerics import place
from verde.numerics.portable import route
from verde.numerics.portable.rows import are_numbers, largest_bits, quantise
from verde.numerics.portable.scalar import add, flush, mul, power_of_two

Tensor = torch.Tensor

MAX_LENGTH = 1 << 22
_PIECE = 1 << 16
"""Twice this many products of two bytes fit 32 bits."""

_ALIGNMENT = 128
"""Positions beyond the length are zeros, up to a multiple of what tensor cores read at once."""

_BLOCK_ELEMENTS = 1 << 27
"""A result is computed in blocks of about so many elements, which bounds the memory of its integer sums."""


class DeviceQuantised:
    """R rows of K significands on a device; made from the floats when they are first needed.

    ``is_transposed``: the rows are the columns of ``floats``. The attributes are those of ``slices.Quantised``.
    """

    __slots__ = ("_exponents", "_planes", "_version", "floats", "is_transposed", "length", "rows", "values_R")

    def __init__(self, floats: Tensor, is_transposed: bool) -> None:
        if floats.dtype != torch.float32 or floats.dim() != 2:
            raise NotReproducible("matrix product", f"operands are float32 matrices, not {floats.dtype}")
        self.floats: Tensor | None = floats.detach()
        self._version = _version(self.floats)
        self.is_transposed = is_transposed
        self.rows, self.length = tuple(reversed(floats.shape)) if is_transposed else tuple(floats.shape)
        if self.length > MAX_LENGTH:
            raise NotReproducible("matrix product", f"a contraction of {self.length} terms exceeds 2^22")
        self.values_R = self.floats.reshape(-1).clone() if self.length == 1 else None
        self._planes: Tensor | None = None
        self._exponents: Tensor | None = None

    @property
    def planes(self) -> Tensor:
        """int8 [R, 2, K rounded up]: q = 256 · plane 0 + plane 1. Raises ``NumericsError`` for NaN or infinity."""
        if self._planes is None:
            if self.floats is None or _version(self.floats) != self._version:
                raise RuntimeError("a matrix was changed after it was quantised and before it was multiplied")
            self._planes, self._exponents = planes_of(self.floats, self.is_transposed)
        return self._planes

    @property
    def exponents_R(self) -> Tensor:
        """int32 [R]."""
        _ = self.planes
        assert self._exponents is not None
        return self._exponents

    def prepared(self) -> DeviceQuantised:
        """Itself, quantised, without the floats."""
        _ = self.planes
        self.floats = None
        return self

    def part(self, rows: slice, start: int, stop: int) -> Tensor:
        """Positions ``start … stop`` of both planes laid end to end."""
        return self.planes[rows, :, : self.length].flatten(1)[:, start:stop]

    def doubles(self, rows: slice) -> Tensor:
        """Whole significands as float64 [rows, K]."""
        planes = self.planes[rows, :, : self.length]
        return planes[:, 0].double() * 256.0 + planes[:, 1]


def _version(x: Tensor) -> int:
    return 0 if x.is_inference() else x._version


def planes_of(x: Tensor, is_transposed: bool) -> tuple[Tensor, Tensor]:
    """(planes, exponents int32 [R]) of a matrix [R, K], or [K, R] when transposed."""
    fused = route.kernels(x.device)
    if fused is not None:
        return fused.planes_of(x, is_transposed, _ALIGNMENT)
    rows_RK = x.T.contiguous() if is_transposed else x.contiguous()
    _require_operand(largest_bits(rows_RK, 1), rows_RK)
    q, e = quantise(rows_RK, 1)
    whole = q.to(torch.int16)
    high = (whole + 128) >> 8
    rows, length = rows_RK.shape
    planes = x.new_zeros((rows, 2, -(-length // _ALIGNMENT) * _ALIGNMENT), dtype=torch.int8)
    planes[:, 0, :length] = high.to(torch.int8)
    planes[:, 1, :length] = (whole - 256 * high).to(torch.int8)
    return planes, e.view(-1).to(torch.int32)


def _require_operand(bits: Tensor, x: Tensor) -> None:
    what = f"an operand of shape {list(x.shape)}"
    with place.marking(x.device, "matrix product", what) as mark_1:
        place.mark(mark_1, (~are_numbers(bits)).any())


def multiply(a: DeviceQuantised, b: DeviceQuantised, out: Tensor | None, bias_C: Tensor | None) -> Tensor:
    """As ``gemm.multiply``."""
    what = f"a result of shape {[a.rows, b.rows]}"
    if a.values_R is not None and b.values_R is not None:
        left, right = flush(a.values_R), flush(b.values_R)
        result = mul(left[:, None], right[None, :])
    elif a.length == 0 or not a.rows or not b.rows:
        result = a.exponents_R.new_zeros((a.rows, b.rows), dtype=torch.float32)
    else:
        return route.contract(a, b, bias_C, what, out)
    if bias_C is not None:
        result = add(result, flush(bias_C.detach()))
    place.require_numbers("matrix product", what, result)
    return result if out is None else out.copy_(result)


def bmm(a_PRK: Tensor, b_PKC: Tensor) -> Tensor:
    """P products of float32 matrices, [P, R, C], as batched products of doubles."""
    what = f"a result of shape {[*a_PRK.shape[:2], b_PKC.shape[2]]}"
    if a_PRK.shape[2] == 1:
        result = mul(flush(a_PRK), flush(b_PKC))
    else:
        left, ea = quantised_pairs(a_PRK, 2)
        right, eb = quantised_pairs(b_PKC, 1)
        return rounded_pairs(left, right, ea, eb)
    place.require_numbers("matrix product", what, result)
    return result


def quantised_pairs(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Significands as float64 and exponents along an axis. Raises ``NumericsError`` for NaN or infinity."""
    x = x.detach()
    fused = route.kernels(x.device)
    if fused is not None and x.numel() and (dim == 1 or fused.takes_rows(x.shape[2])):
        return fused.quantised_pairs(x.contiguous(), dim)  # type: ignore[no-any-return]
    _require_operand(largest_bits(x, dim), x)
    return quantise(x, dim)


def rounded_pairs(left_PRK: Tensor, right_PKC: Tensor, ea: Tensor, eb: Tensor | None) -> Tensor:
    """The exact product of significands, rounded with exponents [P, R, 1] and [P, 1, C], the latter 0 if not given."""
    total = torch.bmm(left_PRK, right_PKC)
    fused = route.kernels(total.device)
    if fused is not None and total.numel():
        return fused.rounded_pairs(total, ea, eb)  # type: ignore[no-any-return]
    result = flush((total * power_of_two((ea if eb is None else ea + eb) - 30)).float())
    place.require_numbers("matrix product", f"a result of shape {list(result.shape)}", result)
    return result


def by_doubles(a: DeviceQuantised, b: DeviceQuantised, bias_C: Tensor | None, what: str, out: Tensor | None) -> Tensor:
    """a · b^T by products of doubles, which are exact: every sum of significands is below 2^52."""
    out = _result(a, b, out)
    scale_R, scale_C = power_of_two(a.exponents_R - 30), power_of_two(b.exponents_R)
    left = a.doubles(slice(None))
    for columns in blocks(b.rows, max(256, _BLOCK_ELEMENTS // max(a.rows, b.length))):
        total = torch.mm(left, b.doubles(columns).T)
        out[:, columns] = epilogue(total, scale_R, scale_C[columns], None if bias_C is None else bias_C[columns])
    place.require_numbers("matrix product", what, out)
    return out


def by_bytes(a: DeviceQuantised, b: DeviceQuantised, bias_C: Tensor | None, what: str, out: Tensor | None) -> Tensor:
    """a · b^T by ``torch._int_mm``: four products of bytes with sums in 32 bits, added as doubles."""
    out = _result(a, b, out)
    scale_R, scale_C = power_of_two(a.exponents_R - 30), power_of_two(b.exponents_R)
    left = _padded(a.planes, 32)
    padded_length = left.shape[2]
    for columns in blocks(b.rows, max(256, _BLOCK_ELEMENTS // a.rows)):
        right = _padded(b.planes[columns], _ALIGNMENT)
        total: Tensor | None = None
        for piece in blocks(padded_length, _PIECE):
            (ah, al), (bh, bl) = ((x[:, 0, piece], x[:, 1, piece]) for x in (left, right))
            mid = torch._int_mm(ah, bl.T) + torch._int_mm(al, bh.T)
            part = torch._int_mm(ah, bh.T).double() * 65536.0 + mid.double() * 256.0 + torch._int_mm(al, bl.T)
            total = part if total is None else total + part
        assert total is not None
        total = total[: a.rows, : columns.stop - columns.start]
        out[:, columns] = epilogue(total, scale_R, scale_C[columns], None if bias_C is None else bias_C[columns])
    place.require_numbers("matrix product", what, out)
    return out


def epilogue(total: Tensor, scale_R: Tensor, scale_C: Tensor, bias_C: Tensor | None) -> Tensor:
    """One rounding of exact sums; the bias is added afterwards."""
    result = flush((total * (scale_R[:, None] * scale_C[None, :])).float())
    return result if bias_C is None else add(result, flush(bias_C.detach()))


def _result(a: DeviceQuantised, b: DeviceQuantised, out: Tensor | None) -> Tensor:
    return a.planes.new_empty((a.rows, b.rows), dtype=torch.float32) if out is None else out


def _padded(planes: Tensor, rows: int) -> Tensor:
    """Planes with rows of zeros up to a multiple of ``rows``: tensor cores refuse other shapes."""
    missing = -len(planes) % rows
    return torch.nn.functional.pad(planes, (0, 0, 0, 0, 0, missing)) if missing else planes


def blocks(total: int, size: int) -> list[slice]:
    """Slices of at most ``size`` that cover 0 … total."""
    return [slice(start, min(total, start + size)) for start in range(0, total, size)]
