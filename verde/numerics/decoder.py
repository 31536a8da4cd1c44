"""Why this module exists: decoding is the bulk of a peer's time, and one call per aten operator would be most of that.

The same bits as the unmodified model under ``mode.exact``, for the families of ``decoder_plan``: four matrix products
and four compiled loops per layer. Tokens come as one flat list, of any number of sequences, without padding; each reads
two ranges of the cache, its prompt's (shared by all samples of the prompt) and its own. So prefill, decoding and
checking of finished rollouts are one function.

Shapes: N tokens of a pass, K hidden width, V vocabulary, C slots of the cache.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from protocol.errors import NumericsError
from verde.numerics import elementwise, gemm
from verde.numerics.decoder_plan import Layer, Matrix, Plan, plan_of
from verde.numerics.kernels import decoder as kernels
from verde.numerics.place import deferred, on_host
from verde.numerics.portable.route import kernels as device_kernels
from verde.numerics.slices import Operand
from verde.numerics.threads import run_rows

Array = np.ndarray[Any, Any]

_NO_DELTA = np.empty((0, 0), np.float32)
_NO_NORM = np.empty(0, np.float32)


@dataclass(frozen=True)
class Tokens:
    """N tokens, in any order: ids and positions in their sequences, the slot that each one's key and value go to, and
    ``range_N4``: first and end of the slots of its prompt, and of its own sequence, that it reads (its own slot
    included). All int64."""

    ids_N: Array
    position_N: Array
    slot_N: Array
    range_N4: Array


class Cache:
    """Quantised keys and values of every layer in numbered slots; who uses which is the caller's business."""

    def __init__(self, num_layers: int, num_slots: int, num_kv_heads: int, width: int) -> None:
        self.layers = [
            (
                np.empty((num_slots, num_kv_heads, width), np.int16),
                np.empty((num_kv_heads, num_slots), np.int32),
                np.empty((num_slots, num_kv_heads, width), np.int16),
                np.empty((num_kv_heads, num_slots), np.int32),
            )
            for _ in range(num_layers)
        ]


class Decoder:
    """A model's forward pass on its weights at the time of making. One thread at a time: it reuses its memory."""

    device = torch.device("cpu")

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tables = [(np.empty((0, 0), np.float32), np.empty((0, 0), np.float32)) for _ in plan.frequencies]
        self._memory: dict[str, torch.Tensor] = {}

    def new_cache(self, num_slots: int) -> Cache:
        """An empty cache. See ``slot_bytes`` for its size."""
        plan = self._plan
        return Cache(len(plan.layers), num_slots, plan.num_kv_heads, plan.width)

    @property
    def slot_bytes(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        plan = self._plan
        return len(plan.layers) * plan.num_kv_heads * 2 * (2 * plan.width + 4)

    @property
    def token_bytes(self) -> int:
        """About how many bytes one token of a pass takes while it is computed."""
        layer = self._plan.layers[0]
        widest = max(layer.heads.weight.rows, layer.gate_up.weight.rows)
        return 4 * 4 * self._plan.embedding.shape[1] + 8 * widest

    def forward(self, tokens: Tokens, cache: Cache) -> torch.Tensor:
        """Hidden states float32 [N, K] before the last norm; keys and values are written to the cache.

        The result lives in memory that the next call reuses. Raises ``NumericsError`` for NaN or infinity.
        """
        plan = self._plan
        x_NK = self._space("x", len(tokens.ids_N), plan.embedding.shape[1])
        torch.index_select(plan.embedding, 0, torch.from_numpy(tokens.ids_N), out=x_NK)
        if plan.embedding_scale is not None:
            x_NK.copy_(elementwise.mul(x_NK, plan.embedding_scale))
        self._grow_tables(int(tokens.position_N.max()) + 1)
        delta, delta_norm = _NO_DELTA, _NO_NORM
        for layer, entry in zip(plan.layers, cache.layers, strict=True):
            normed = self._norm(x_NK, delta, delta_norm, layer.input_norm)
            attended = self._attend(normed, layer, entry, tokens)
            delta, delta_norm = self._times("hidden", attended, layer.output).numpy(), layer.attention_norm
            normed = self._norm(x_NK, delta, delta_norm, layer.mlp_norm)
            gated = self._gate(self._times("wide", normed, layer.gate_up))
            delta, delta_norm = self._times("hidden", gated, layer.down).numpy(), layer.mlp_output_norm
        self._pending = (delta, delta_norm)
        return x_NK

    def logits(self, x_NK: torch.Tensor, rows: Array | None = None) -> torch.Tensor:
        """Logits float32 [R, V] of rows of the hidden states that ``forward`` just returned (all by default).

        Lives in memory that the next call reuses.
        """
        delta, delta_norm = self._pending
        if rows is None:
            x_NK = x_NK.clone()
        else:
            x_NK, delta = x_NK[torch.from_numpy(rows)], delta[rows]
        return self._times("logits", self._norm(x_NK, delta, delta_norm, self._plan.final_norm), self._plan.head)

    def _norm(self, x_NK: torch.Tensor, delta_NK: Array, delta_norm_K: Array, weight_K: Array) -> torch.Tensor:
        """x += delta in place; the norm of x."""
        num_rows, width = x_NK.shape
        out_NK = self._space("row", num_rows, width)
        arguments = (x_NK.numpy(), delta_NK, delta_norm_K, weight_K, self._plan.eps)
        run_rows(kernels.norm_kernel, num_rows, *arguments, out_NK.numpy(), cost=8 * width)
        return out_NK

    def _attend(self, normed_NK: torch.Tensor, layer: Layer, entry: tuple[Array, ...], tokens: Tokens) -> torch.Tensor:
        plan = self._plan
        qkv_NK = self._times("wide", normed_NK, layer.heads).numpy()
        num_rows, shape = len(qkv_NK), (len(qkv_NK), plan.num_heads)
        queries = self._space("query", num_rows, plan.num_heads * plan.width, torch.int16).numpy()
        query_NHD, query_exponent_NH = queries.reshape(*shape, plan.width), np.empty(shape, np.int32)
        bad_N = np.empty(num_rows, np.bool_)
        run_rows(
            kernels.heads_kernel,
            num_rows,
            *(qkv_NK, layer.head_norms, plan.eps, self._tables[layer.rotary], tokens.position_N, tokens.slot_N),
            *(query_NHD, query_exponent_NH, entry, bad_N),
            cost=8 * qkv_NK.shape[1],
        )
        if bad_N.any():
            raise NumericsError("attention", f"queries, keys or values of {num_rows} tokens")
        range_N4 = windowed(tokens, layer.window) if layer.window else tokens.range_N4
        out_NK = self._space("row", num_rows, plan.num_heads * plan.width)
        length = int((range_N4[:, 1] - range_N4[:, 0] + range_N4[:, 3] - range_N4[:, 2]).mean()) + 1
        run_rows(
            kernels.attend_kernel,
            num_rows,
            *(query_NHD, query_exponent_NH, entry, range_N4, plan.scale, out_NK.numpy(), bad_N),
            cost=4 * plan.num_heads * plan.width * length,
        )
        if bad_N.any():
            raise NumericsError("attention", f"scores of {num_rows} tokens")
        return out_NK

    def _gate(self, gate_up_NK: torch.Tensor) -> torch.Tensor:
        num_rows, width = gate_up_NK.shape[0], gate_up_NK.shape[1] // 2
        out_NK = self._space("gated", num_rows, width)
        arguments = (gate_up_NK.numpy(), self._plan.activation, out_NK.numpy())
        run_rows(kernels.gate_kernel, num_rows, *arguments, cost=12 * width)
        return out_NK

    def _times(self, name: str, row_NK: torch.Tensor, matrix: Matrix) -> torch.Tensor:
        out = self._space(name, row_NK.shape[0], matrix.weight.rows)
        row = gemm.quantise_rows(row_NK)
        return self._adapted(gemm.multiply(row, matrix.weight, out, bias_C=matrix.bias), row, matrix)

    def _adapted(self, out: torch.Tensor, row: Operand, matrix: Matrix) -> torch.Tensor:
        """``out`` with what the matrix's adapters add to it, in place."""
        for adapter in matrix.adapters:
            added = gemm.multiply(gemm.quantise_rows(gemm.multiply(row, adapter.down)), adapter.up)
            part = out[:, adapter.first : adapter.first + adapter.up.rows]
            part.copy_(elementwise.add(part, elementwise.mul(added, adapter.scale)))
        return out

    def _space(self, name: str, num_rows: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Memory for a matrix, the same in every call: fresh pages would cost more than what is written to them."""
        needed = num_rows * width
        kept = self._memory.get(name)
        if kept is None or kept.numel() < needed:
            kept = self._memory[name] = torch.empty(needed, dtype=dtype)
        return kept[:needed].view(num_rows, width)

    def _grow_tables(self, length: int) -> None:
        if length <= self._tables[0][0].shape[0]:
            return
        positions = torch.arange(max(256, 2 * length), dtype=torch.float32)[:, None]
        angles = [elementwise.mul(positions, row[None]) for row in self._plan.frequencies]
        self._tables = [(elementwise.cos(angle).numpy(), elementwise.sin(angle).numpy()) for angle in angles]


def decoder_of(model: nn.Module, vocab_size: int | None = None) -> Decoder | None:
    """A decoder on the model's present weights, or ``None`` for models that only ``mode.exact`` can compute.

    On the weights' device; one without fused kernels (``portable.route.kernels``) has none.

    The model must have been settled by ``mode.exact``. Logits are those of the first ``vocab_size`` tokens. Multiplies
    by the route (``backend.route``) that is in use now.
    """
    device = next(model.parameters()).device
    if on_host(next(model.parameters())):
        plan = plan_of(model, vocab_size)
        return None if plan is None else Decoder(plan)
    if device_kernels(device) is None:
        return None
    from verde.numerics.gpu.decoder import DeviceDecoder

    with deferred():
        plan = plan_of(model, vocab_size)
    return None if plan is None else DeviceDecoder(plan)


def windowed(tokens: Tokens, window: int) -> Array:
    """The ranges without keys that lie ``window`` positions or more before the token."""
    first = np.maximum(tokens.position_N - window + 1, 0)
    range_N4 = tokens.range_N4.copy()
    prompt = range_N4[:, 1] - range_N4[:, 0]
    range_N4[:, 0] += np.minimum(first, prompt)
    range_N4[:, 2] += np.maximum(first - prompt, 0)
    return range_N4
