"""Why this module exists: ``verde.numerics.decoder`` on a GPU: the same plan, tokens and cache, the same bits.

Between the products a layer is four launches (``gpu/decoding``). One call asks the device once whether all was numbers;
inside ``place.deferred`` not even that.

Shapes: N tokens of a pass, K hidden width, V vocabulary, C slots of the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton

from verde.numerics import elementwise, gemm, place
from verde.numerics.decoder import Cache, Decoder, Tokens, windowed
from verde.numerics.decoder_plan import Layer, Matrix, Plan
from verde.numerics.gpu import decoding as kernels
from verde.numerics.gpu.layers import row_block
from verde.numerics.gpu.scalar import UNFUSED
from verde.numerics.kernels.decoder import SILU

Tensor = torch.Tensor
Array = np.ndarray[Any, Any]

_KEYS_AT_ONCE = 32

_RECORDED_ROWS = 256
"""Passes of at most so many tokens are recorded and replayed: launching them would take longer than they do."""

_ROWS_ALIKE, _KEYS_ALIKE = 8, 256
"""Numbers of tokens and of keys are rounded up to multiples of these, so that one recording serves many passes."""


class _Recording:
    """A pass and its logits as a CUDA graph over inputs of one shape; it reads and writes the same memory each time."""

    def __init__(self, decoder: DeviceDecoder, cache: Cache, flat: Array, rows: int, longest: tuple[int, ...]) -> None:
        self.inputs = torch.from_numpy(flat).to(decoder.device)
        self.mark_1 = torch.zeros(1, dtype=torch.int32, device=decoder.device)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of this process may allocate and launch meanwhile.
        with (
            place.marked_in(self.mark_1),
            torch.cuda.graph(self._graph, pool=decoder.pool, capture_error_mode="thread_local"),
        ):
            self.mark_1.zero_()
            self.hidden, self.pending = decoder.layers(self.inputs, rows, longest, cache)
            self.logits = decoder.head(self.hidden.clone(), self.pending)

    def replay(self, flat: Array) -> None:
        self.inputs.copy_(torch.from_numpy(flat))
        self._graph.replay()


class DeviceDecoder(Decoder):
    """A model's forward pass on its weights at the time of making, on their device."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.device = plan.embedding.device
        none = torch.empty((0, 0), device=self.device)
        self._tables: Any = [(none, none) for _ in plan.frequencies]
        self._windows = tuple(sorted({layer.window for layer in plan.layers}))
        self._seen: set[tuple[int, ...]] = set()
        self._recordings: dict[tuple[int, ...], _Recording] = {}
        self._recorded_cache: Cache | None = None
        self._pending: Any = None
        self._ready: tuple[Tensor, Tensor] | None = None
        self.pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None

    def new_cache(self, num_slots: int) -> Cache:
        """An empty cache on the device."""
        self._forget_recordings(None)
        plan, cache = self._plan, Cache(0, 0, 0, 0)
        shape = (num_slots, plan.num_kv_heads, plan.width)
        for _ in plan.layers:
            entry = [
                torch.empty(size, dtype=kind, device=self.device)
                for size, kind in 2 * [(shape, torch.int16), ((plan.num_kv_heads, num_slots), torch.int32)]
            ]
            cache.layers.append(tuple(entry))  # type: ignore[arg-type]
        return cache

    def forward(self, tokens: Tokens, cache: Cache) -> Tensor:
        """As ``Decoder.forward``; the result lives on the device, in memory that the next call may reuse."""
        count = len(tokens.ids_N)
        self._ready = None
        with place.deferred(), torch.no_grad():
            self._grow_tables(int(tokens.position_N.max()) + 1)
            is_short = self.device.type == "cuda" and count <= _RECORDED_ROWS
            rows = -(-count // _ROWS_ALIKE) * _ROWS_ALIKE if is_short else count
            flat, longest = self._packed(tokens, rows)
            key = (rows, *longest)
            if self._recorded_cache is not cache:
                self._forget_recordings(cache)
            if not is_short or key not in self._seen:
                # The first pass of a shape compiles its kernels; a recording has to find them ready.
                self._seen.add(key)
                hidden, pending = self.layers(torch.from_numpy(flat).to(self.device), rows, longest, cache)
            else:
                recording = self._recordings.get(key)
                if recording is None:
                    recording = self._recordings[key] = _Recording(self, cache, flat, rows, longest)
                recording.replay(flat)
                with place.marking(self.device, "decoding", f"a pass of {count} tokens") as mark_1:
                    mark_1.bitwise_or_(recording.mark_1)
                hidden, pending = recording.hidden, recording.pending
                self._ready = (hidden[:count], recording.logits[:count])
            self._pending = (pending[0][:count], pending[1])
            return hidden[:count] if self._ready is None else self._ready[0]

    def logits(self, x_NK: Tensor, rows: Array | None = None) -> Tensor:
        """As ``Decoder.logits``; on the device, in memory that the next call may reuse."""
        if self._ready is not None and (rows is None or np.array_equal(rows, np.arange(len(x_NK)))):
            return self._ready[1]
        delta, delta_norm = self._pending
        with place.deferred(), torch.no_grad():
            if rows is None:
                x_NK = x_NK.clone()
            else:
                at = torch.from_numpy(np.asarray(rows)).to(self.device)
                x_NK, delta = x_NK[at], delta[at]
            return self.head(x_NK, (delta, delta_norm))

    def layers(
        self, inputs: Tensor, rows: int, longest: tuple[int, ...], cache: Cache
    ) -> tuple[Tensor, tuple[Tensor, Any]]:
        """(hidden states, what is still to be added to them and its norm) of packed inputs; nothing waits."""
        plan = self._plan
        ids_N, position_N, slot_N = inputs[: 3 * rows].view(3, rows)
        ranges = dict(zip(self._windows, inputs[3 * rows :].view(-1, rows, 4), strict=True))
        reach = dict(zip(self._windows, longest, strict=True))
        x_NK = plan.embedding.index_select(0, ids_N)
        if plan.embedding_scale is not None:
            x_NK = elementwise.mul(x_NK, plan.embedding_scale)
        delta: Tensor | None = None
        delta_norm: Any = None
        for layer, entry in zip(plan.layers, cache.layers, strict=True):
            normed = self._norm(x_NK, delta, delta_norm, layer.input_norm)
            where = (position_N, slot_N, ranges[layer.window], reach[layer.window])
            attended = self._attend_on_device(normed, layer, entry, where)
            delta, delta_norm = self._times("", attended, layer.output), layer.attention_norm
            normed = self._norm(x_NK, delta, delta_norm, layer.mlp_norm)
            gated = self._gate(self._times("", normed, layer.gate_up))
            delta, delta_norm = self._times("", gated, layer.down), layer.mlp_output_norm
        assert delta is not None
        return x_NK, (delta, delta_norm)

    def head(self, x_NK: Tensor, pending: tuple[Tensor, Any]) -> Tensor:
        """Logits of hidden states, which are written to."""
        return self._times("", self._norm(x_NK, *pending, self._plan.final_norm), self._plan.head)

    def _packed(self, tokens: Tokens, rows: int) -> tuple[Array, tuple[int, ...]]:
        """Ids, positions, slots and each window's ranges as one array, the last token again up to ``rows``; and how
        many keys a token of each window reads at most."""
        ranges = [windowed(tokens, window) if window else tokens.range_N4 for window in self._windows]
        lengths = [int((one[:, 1] - one[:, 0] + one[:, 3] - one[:, 2]).max()) for one in ranges]
        missing = rows - len(tokens.ids_N)
        parts = [tokens.ids_N, tokens.position_N, tokens.slot_N, *ranges]
        padded = [np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]).reshape(-1) for part in parts]
        alike = _KEYS_ALIKE if rows <= _RECORDED_ROWS else _KEYS_AT_ONCE
        return np.concatenate(padded), tuple(-(-length // alike) * alike for length in lengths)

    def _forget_recordings(self, cache: Cache | None) -> None:
        self._recordings.clear()
        self._seen.clear()
        self._recorded_cache = cache

    def _norm(self, x_NK: Tensor, delta_NK: Any, delta_norm_K: Any, weight_K: Any) -> Tensor:
        num_rows, width = x_NK.shape
        out = torch.empty_like(x_NK)
        has_norm = delta_NK is not None and delta_norm_K.shape[0] > 0
        with place.marking(self.device, "RMS norm", f"rows of shape {[num_rows, width]}") as mark_1:
            kernels.add_norm_kernel[(num_rows,)](
                x_NK, x_NK if delta_NK is None else delta_NK, delta_norm_K if has_norm else weight_K, weight_K, out,
                mark_1, width, float(width), float(self._plan.eps),
                HAS_DELTA=delta_NK is not None, HAS_DELTA_NORM=has_norm, **row_block(width), **UNFUSED,
            )  # fmt: skip
        return out

    def _attend_on_device(
        self, normed_NK: Tensor, layer: Layer, entry: Any, where: tuple[Tensor, Tensor, Tensor, int]
    ) -> Tensor:
        plan, (position_N, slot_N, range_N4, longest) = self._plan, where
        qkv_NK = self._times("", normed_NK, layer.heads)
        num_rows, heads, kv_heads, width = len(qkv_NK), plan.num_heads, plan.num_kv_heads, plan.width
        query = torch.empty((num_rows, heads, width), dtype=torch.int16, device=self.device)
        query_exponent = torch.empty((num_rows, heads), dtype=torch.int32, device=self.device)
        cos, sin = self._tables[layer.rotary]
        query_norm, key_norm = layer.head_norms
        has_norm, slots = query_norm.shape[0] > 0, len(entry[0])
        out = torch.empty((num_rows, heads * width), device=self.device)
        scratch = torch.empty((num_rows, heads, 2, longest), device=self.device)
        with place.marking(self.device, "attention", f"heads of {num_rows} tokens") as mark_1:
            kernels.heads_kernel[(num_rows, heads + 2 * kv_heads)](
                qkv_NK, query_norm if has_norm else cos, key_norm if has_norm else cos, cos, sin, position_N, slot_N,
                query, query_exponent, *entry, mark_1, slots, width // 2, float(width), float(plan.eps),
                H=heads, J=kv_heads, HAS_NORM=has_norm,
                BLOCK=triton.next_power_of_2(max(16, width // 2)), num_warps=1, **UNFUSED,
            )  # fmt: skip
            kernels.attend_kernel[(num_rows, heads)](
                query, query_exponent, *entry, range_N4, scratch, out, mark_1, float(plan.scale), longest, slots, width,
                H=heads, J=kv_heads, BLOCK_L=_KEYS_AT_ONCE,
                BLOCK_D=triton.next_power_of_2(max(16, width)), num_warps=2, **UNFUSED,
            )  # fmt: skip
        return out

    def _gate(self, gate_up_NK: Tensor) -> Tensor:
        num_rows, width = gate_up_NK.shape[0], gate_up_NK.shape[1] // 2
        out = torch.empty((num_rows, width), device=self.device)
        with place.marking(self.device, "gated activation", f"rows of shape {[num_rows, width]}") as mark_1:
            kernels.gate_kernel[(num_rows, triton.cdiv(width, 1024))](
                gate_up_NK, out, mark_1, width, IS_SILU=self._plan.activation == SILU, BLOCK=1024, **UNFUSED
            )
        return out

    def _times(self, name: str, row_NK: Tensor, matrix: Matrix) -> Tensor:
        row = gemm.quantise_rows(row_NK)
        return self._adapted(gemm.multiply(row, matrix.weight, bias_C=matrix.bias), row, matrix)

    def _grow_tables(self, length: int) -> None:
        if length <= self._tables[0][0].shape[0]:
            return
        positions = torch.arange(max(256, 2 * length), dtype=torch.float32, device=self.device)[:, None]
        angles = [elementwise.mul(positions, row[None]) for row in self._plan.frequencies]
        self._forget_recordings(self._recorded_cache)
        self._tables = [(elementwise.cos(x).contiguous(), elementwise.sin(x).contiguous()) for x in angles]
