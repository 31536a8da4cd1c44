"""Why this module exists: the log-probabilities of chosen tokens, and their gradient, without a tensor of exponentials.

Shapes: R rows, V words of the vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch

from protocol.errors import NumericsError
from verde.numerics import memory
from verde.numerics.kernels import loss as kernels
from verde.numerics.place import mark, marking, on_host
from verde.numerics.portable import layers
from verde.numerics.threads import run_rows

_COST = 8


def token_log_probs(z_RV: torch.Tensor, token_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-probabilities [R], normalisers [R]): ``sub(z[token], logsumexp(z))`` and that logsumexp.

    ``token_R`` int64 in 0 … V-1. Backward wants the normalisers. Raises ``NumericsError`` for NaN or infinity,
    ``ValueError`` (on a device ``NumericsError``) for a token outside of the vocabulary.
    """
    z_RV, token_R = z_RV.detach().contiguous(), _checked(token_R, z_RV.shape[1])
    if not on_host(z_RV):
        return layers.token_log_probs(z_RV, token_R)
    rows, words = z_RV.shape
    log_prob_R, normaliser_R, bad_R = torch.empty(rows), torch.empty(rows), np.zeros(rows, np.bool_)
    task = (z_RV.numpy(), token_R.numpy(), log_prob_R.numpy(), normaliser_R.numpy(), bad_R)
    run_rows(kernels.log_probs_kernel, rows, *task, cost=_COST * words)
    _refuse(bad_R, z_RV)
    return log_prob_R, normaliser_R


def token_log_probs_backward(
    g_R: torch.Tensor,
    z_RV: torch.Tensor,
    token_R: torch.Tensor,
    normaliser_R: torch.Tensor,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """dz [R, V] as autograd takes it from ``z.gather(token) - z.logsumexp(-1)``: -g · exp(z - logsumexp), g at token.

    ``out`` may be ``z_RV`` itself when nobody reads the logits afterwards.
    """
    z_RV, token_R, g_R = z_RV.detach().contiguous(), _checked(token_R, z_RV.shape[1]), g_R.detach().contiguous()
    if not on_host(z_RV):
        found_RV = layers.token_log_probs_backward(g_R, z_RV, token_R, normaliser_R)
        return found_RV if out is None else out.detach().copy_(found_RV)
    rows, words = z_RV.shape
    dz_RV = memory.empty(rows, words) if out is None else out.detach()
    if dz_RV.shape != z_RV.shape or not dz_RV.is_contiguous():
        raise ValueError("out must be a contiguous matrix of the logits' shape")
    bad_R = np.zeros(rows, np.bool_)
    task = (g_R.numpy(), z_RV.numpy(), token_R.numpy(), normaliser_R.numpy(), dz_RV.numpy(), bad_R)
    run_rows(kernels.log_probs_backward_kernel, rows, *task, cost=_COST * words)
    _refuse(bad_R, z_RV)
    return dz_RV


def target_log_probs(z_RV: torch.Tensor, target_R: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(log-softmax [R] of each row at its target, [2, R] for backward). A target of -1 picks nothing: 0.

    ``target_R`` int64 below V. Raises ``NumericsError`` for NaN or infinity, ``ValueError`` for other targets.
    """
    z_RV, target_R = z_RV.detach().contiguous(), _checked(target_R, z_RV.shape[1], least=-1)
    if not on_host(z_RV):
        return layers.target_log_probs(z_RV, target_R)
    rows, words = z_RV.shape
    picked_R, norm_2R, bad_R = torch.empty(rows), torch.empty(2, rows), np.zeros(rows, np.bool_)
    task = (z_RV.numpy(), target_R.numpy(), picked_R.numpy(), norm_2R.numpy(), bad_R)
    run_rows(kernels.cross_entropy_kernel, rows, *task, cost=_COST * words)
    _refuse(bad_R, z_RV)
    return picked_R, norm_2R


def target_log_probs_backward(
    g_R: torch.Tensor, z_RV: torch.Tensor, target_R: torch.Tensor, norm_2R: torch.Tensor
) -> torch.Tensor:
    """dz [R, V]: the gradient of the whole log-softmax where each target has the gradient g and all else has none."""
    z_RV, target_R, g_R = z_RV.detach().contiguous(), _checked(target_R, z_RV.shape[1], least=-1), g_R.contiguous()
    if not on_host(z_RV):
        return layers.target_log_probs_backward(g_R, z_RV, target_R, norm_2R)
    rows, words = z_RV.shape
    dz_RV, bad_R = memory.empty(rows, words), np.zeros(rows, np.bool_)
    task = (g_R.numpy(), z_RV.numpy(), target_R.numpy(), norm_2R.numpy(), dz_RV.numpy(), bad_R)
    run_rows(kernels.cross_entropy_backward_kernel, rows, *task, cost=_COST * words)
    _refuse(bad_R, z_RV)
    return dz_RV


def _checked(token_R: torch.Tensor, words: int, least: int = 0) -> torch.Tensor:
    token_R = token_R.detach().contiguous()
    if not on_host(token_R):
        # Looked at where it lies: asking the device would make it wait. What is no word picks another one meanwhile.
        with marking(token_R.device, "log-probabilities", f"tokens that are not among {words} words") as mark_1:
            if token_R.numel():
                mark(mark_1, ((token_R < least) | (token_R >= words)).any())
        return token_R.clamp(least, words - 1)
    if token_R.numel() and not least <= int(token_R.min()) <= int(token_R.max()) < words:
        raise ValueError(f"a token is not one of {words} words")
    return token_R


def _refuse(bad_R: np.ndarray, z: torch.Tensor) -> None:
    if bad_R.any():
        raise NumericsError("log-probabilities", f"logits of shape {list(z.shape)}")
