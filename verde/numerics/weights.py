"""Why this module exists: exact/1 reads a subnormal weight from a file as +0, so a model's weights are made so once.

Weights that exact/1 itself computed hold none; what was looked at is remembered until it changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from protocol.errors import NotReproducible, NumericsError
from verde.numerics.kernels.numbers import CHUNK, count_subnormals_kernel, flush_kernel, largest_magnitudes_kernel
from verde.numerics.place import on_host
from verde.numerics.portable import scalar
from verde.numerics.threads import run_rows

DEVICES = ("cpu", "cuda")

_INFINITY_BITS = 0x7F800000

_seen = WeakTensorKeyDictionary()


def settle_weights(model: nn.Module) -> None:
    """Flush the subnormals of all parameters and weight buffers to +0, in place.

    Raises ``NotReproducible`` for floating-point weights that are not float32 on the CPU, ``NumericsError`` for NaN or
    infinity. A weight that is changed past its version counter (``.data``, numpy) is not looked at again.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            continue
        if tensor.dtype != torch.float32 or tensor.device.type not in DEVICES:
            raise NotReproducible(f"{name} in {tensor.dtype} on {tensor.device}", "weights are float32 on CPU or CUDA")
        version = -1 if tensor.is_inference() else tensor._version
        if tensor.numel() == 0 or (version >= 0 and _seen.get(tensor) == version):
            continue
        _settle(name, tensor)
        if version >= 0:
            _seen[tensor] = tensor._version


def are_settled(tensors: Sequence[torch.Tensor]) -> None:
    """Remember that these were just computed by exact/1, so that nobody looks for subnormals in them again."""
    for tensor in tensors:
        if not tensor.is_inference():
            _seen[tensor] = tensor._version


def _settle(name: str, tensor: torch.Tensor) -> None:
    flat = tensor.detach().contiguous().view(-1)
    if not on_host(tensor):
        if not bool(torch.isfinite(flat).all()):
            raise NumericsError("loading", name)
        if bool(((flat.abs() < scalar.TINY) & (flat != 0)).any()):
            with torch.no_grad():
                tensor.copy_(scalar.flush(flat).view(tensor.shape))
        return
    chunks = np.empty(-(-flat.numel() // CHUNK), np.int32)
    run_rows(largest_magnitudes_kernel, len(chunks), flat.numpy(), chunks, cost=CHUNK)
    if int(chunks.max()) >= _INFINITY_BITS:
        raise NumericsError("loading", name)
    run_rows(count_subnormals_kernel, len(chunks), flat.numpy(), chunks, cost=CHUNK)
    if int(chunks.sum()):
        flat = flat.clone()
        run_rows(flush_kernel, len(chunks), flat.numpy(), cost=CHUNK)
        with torch.no_grad():
            tensor.copy_(flat.view(tensor.shape))
