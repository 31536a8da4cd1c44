"""Why this module exists: norms, rotary embedding, gates, softmax and losses (docs/exact-1.md section 5) on a device.

Each is the operators of its section one after the other; where fused kernels are (``route.kernels``), one launch.
Shapes: R rows, K elements of a row, V words of the vocabulary; heads as in ``verde.numerics.rotary``.
"""

from __future__ import annotations

from types import ModuleType

import torch

from verde.numerics.place import require_numbers
from verde.numerics.portable import route, scalar
from verde.numerics.portable.rows import sum_along
from verde.numerics.portable.scalar import add, div, exp, flush, log, mul, rsqrt, sub

Tensor = torch.Tensor

ACTIVATIONS = {
    "silu": (scalar.silu, scalar.silu_backward),
    "gelu_tanh": (scalar.gelu_tanh, scalar.gelu_tanh_backward),
}


def rms_norm(x_RK: Tensor, weight_K: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """As ``norm.rms_norm``."""
    fused = _row_kernels(x_RK)
    if fused is not None:
        return fused.rms_norm(x_RK.contiguous(), weight_K.contiguous(), epsilon)  # type: ignore[no-any-return]
    mean = div(sum_along(mul(x_RK, x_RK), 1), float(x_RK.shape[1]))
    root_R = rsqrt(add(mean, epsilon))
    out_RK = mul(weight_K, mul(x_RK, root_R[:, None]))
    require_numbers("RMS norm", f"rows of shape {list(x_RK.shape)}", out_RK, root_R)
    return out_RK, root_R


def rms_norm_backward_parts(g_RK: Tensor, x_RK: Tensor, weight_K: Tensor, root_R: Tensor) -> tuple[Tensor, ...]:
    """As ``norm.rms_norm_backward_parts``."""
    fused = _row_kernels(x_RK)
    if fused is not None:
        direct, through, each = fused.rms_norm_backward(g_RK.contiguous(), x_RK.contiguous(), weight_K, root_R)
    else:
        root, weighted = root_R[:, None], mul(g_RK, weight_K)
        cube = mul(mul(root, root), root)
        total = sum_along(mul(weighted, x_RK), 1, keepdim=True)
        by_square = div(mul(mul(total, -0.5), cube), float(x_RK.shape[1]))
        direct, through = mul(weighted, root), mul(by_square, mul(x_RK, 2.0))
        each = mul(g_RK, mul(x_RK, root))
        require_numbers("RMS norm", f"rows of shape {list(x_RK.shape)}", direct, through)
    dweight_K = sum_columns(each)
    require_numbers("RMS norm", f"rows of shape {list(x_RK.shape)}", dweight_K)
    return direct, through, dweight_K


def _row_kernels(x_RK: Tensor) -> ModuleType | None:
    """The fused kernels, where there are rows and each fits one program."""
    fused = route.kernels(x_RK.device)
    return fused if fused is not None and len(x_RK) and fused.takes_rows(x_RK.shape[1]) else None


def sum_columns(x_RK: Tensor) -> Tensor:
    """SUM of each column, NaN where a term is no number."""
    fused = route.kernels(x_RK.device)
    return sum_along(x_RK, 0) if fused is None else fused.sum_columns(x_RK.contiguous())


def rotate(x_BHLD: Tensor, cos_BLD: Tensor, sin_BLD: Tensor, *, backward: bool) -> Tensor:
    """As ``rotary.rotate`` and ``rotary.rotate_backward``."""
    batch, heads, length, width = x_BHLD.shape
    x, half = x_BHLD.transpose(1, 2), width // 2
    cos, sin = cos_BLD[:, :, None], sin_BLD[:, :, None]
    a, b = x[..., :half], x[..., half:]
    if backward:
        first = add(mul(a, cos[..., :half]), mul(b, sin[..., half:]))
        second = add(mul(b, cos[..., half:]), flush(-mul(a, sin[..., :half])))
    else:
        first = add(mul(a, cos[..., :half]), mul(flush(-b), sin[..., :half]))
        second = add(mul(b, cos[..., half:]), mul(a, sin[..., half:]))
    out = torch.cat((first, second), -1)
    require_numbers("rotary embedding", f"heads of shape {[batch, heads, length, width]}", out)
    return out.transpose(1, 2)


def gated(activation: str, gate: Tensor, up: Tensor) -> Tensor:
    """As ``gated.gated``."""
    fused = route.kernels(gate.device)
    if fused is not None:
        return fused.gated(activation, gate.contiguous(), up.contiguous())  # type: ignore[no-any-return]
    out = mul(ACTIVATIONS[activation][0](gate), up)
    require_numbers("gated activation", f"tensors of shape {list(gate.shape)}", out)
    return out


def gated_backward(activation: str, g: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """As ``gated.gated_backward``."""
    fused = route.kernels(gate.device)
    if fused is not None:
        return fused.gated_backward(activation, *(x.contiguous() for x in (g, gate, up)))  # type: ignore[no-any-return]
    value, slope = ACTIVATIONS[activation]
    dgate, dup = slope(mul(g, up), gate), mul(g, value(gate))
    require_numbers("gated activation", f"tensors of shape {list(gate.shape)}", dgate, dup)
    return dgate, dup


def _powers(z_RV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(largest [R, 1], exponentials [R, V], SUM of them [R, 1]) of rows of logits."""
    most = z_RV.amax(-1, keepdim=True)
    powers = exp(sub(z_RV, most))
    return most, powers, sum_along(powers, -1, keepdim=True)


def softmax(x_RV: Tensor) -> Tensor:
    _, powers, total = _powers(x_RV)
    return _sound(div(powers, total))


def log_softmax(x_RV: Tensor) -> Tensor:
    most, _, total = _powers(x_RV)
    return _sound(sub(sub(x_RV, most), log(total)))


def softmax_backward(g_RV: Tensor, y_RV: Tensor) -> Tensor:
    return _sound(mul(y_RV, sub(g_RV, sum_along(mul(g_RV, y_RV), -1, keepdim=True))))


def log_softmax_backward(g_RV: Tensor, y_RV: Tensor) -> Tensor:
    return _sound(sub(g_RV, mul(exp(y_RV), sum_along(g_RV, -1, keepdim=True))))


def _sound(out: Tensor) -> Tensor:
    require_numbers("softmax", f"a tensor of shape {tuple(out.shape)}", out)
    return out


def row_norms(z_RV: Tensor) -> tuple[Tensor, Tensor]:
    """(largest [R], log of the SUM of exponentials [R]) of rows of logits; NaN where one is no number."""
    fused = route.kernels(z_RV.device)
    if fused is not None:
        return fused.row_norms(z_RV)  # type: ignore[no-any-return]
    most, _, total = _powers(z_RV)
    return most[:, 0], log(total)[:, 0]


def token_log_probs(z_RV: Tensor, token_R: Tensor) -> tuple[Tensor, Tensor]:
    """As ``loss.token_log_probs``."""
    normaliser_R = add(*row_norms(z_RV))
    log_prob_R = sub(z_RV.gather(1, token_R[:, None])[:, 0], normaliser_R)
    _sound_loss(z_RV, log_prob_R, normaliser_R)
    return log_prob_R, normaliser_R


def token_log_probs_backward(g_R: Tensor, z_RV: Tensor, token_R: Tensor, normaliser_R: Tensor) -> Tensor:
    """As ``loss.token_log_probs_backward``."""
    fused = route.kernels(z_RV.device)
    minus = flush(-g_R)
    if fused is not None:
        dz_RV: Tensor = fused.scaled_powers(z_RV, normaliser_R, None, minus)
    else:
        dz_RV = mul(minus[:, None], exp(sub(z_RV, normaliser_R[:, None])))
        _sound_loss(z_RV, dz_RV)
    return _added_at(dz_RV, token_R, g_R)


def target_log_probs(z_RV: Tensor, target_R: Tensor) -> tuple[Tensor, Tensor]:
    """As ``loss.target_log_probs``."""
    most_R, logarithm_R = row_norms(z_RV)
    picked_R = z_RV.gather(1, target_R.clamp(min=0)[:, None])[:, 0]
    picked_R = torch.where(target_R >= 0, sub(sub(picked_R, most_R), logarithm_R), 0.0)
    _sound_loss(z_RV, picked_R, logarithm_R)
    return picked_R, torch.stack((most_R, logarithm_R))


def target_log_probs_backward(g_R: Tensor, z_RV: Tensor, target_R: Tensor, norm_2R: Tensor) -> Tensor:
    """As ``loss.target_log_probs_backward``."""
    g_R = torch.where(target_R >= 0, g_R, 0.0)
    fused = route.kernels(z_RV.device)
    minus = flush(-g_R)
    if fused is not None:
        dz_RV: Tensor = fused.scaled_powers(z_RV, norm_2R[0], norm_2R[1], minus)
    else:
        dz_RV = mul(minus[:, None], exp(sub(sub(z_RV, norm_2R[0][:, None]), norm_2R[1][:, None])))
        _sound_loss(z_RV, dz_RV)
    # sub(g, mul(e, g)) is what adding g to the negated product gives: both are one rounding of the same sum.
    return _added_at(dz_RV, target_R.clamp(min=0), g_R)


def _added_at(dz_RV: Tensor, token_R: Tensor, g_R: Tensor) -> Tensor:
    """Add each row's g at its token, in place."""
    at = token_R[:, None]
    values_R1 = add(dz_RV.gather(1, at), g_R[:, None])
    _sound_loss(dz_RV, values_R1)
    return dz_RV.scatter_(1, at, values_R1)


def _sound_loss(z: Tensor, *found: Tensor) -> None:
    require_numbers("log-probabilities", f"logits of shape {list(z.shape)}", *found)
