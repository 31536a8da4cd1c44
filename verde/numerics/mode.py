"""Why this module exists: inside ``exact(model)`` an unmodified Hugging Face causal language model computes in exact/1.

Three hooks together see everything: a dispatch mode sees each aten operator, forward and backward; a function mode sees
attention asked for by its torch name, which aten would take apart; and transformers' attention registry hands us the
models' own attention. All three are per thread; a model's attention setting is shared, so it is set while anyone needs
it, and on a thread outside of the mode it then means torch's scaled dot product.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from protocol.errors import NotReproducible
from verde.numerics import aten
from verde.numerics.attention import attend
from verde.numerics.fused import cross_entropy, fusing
from verde.numerics.place import deferred
from verde.numerics.rope import settle_tables
from verde.numerics.subnormals import ieee_subnormals
from verde.numerics.threads import torch_on_one_thread
from verde.numerics.weights import settle_weights

ATTENTION_NAME = "exact"
"""What a model's attention implementation is called while it computes exactly."""

_REFUSED_BY_ATTENTION = ("softcap", "s_aux", "position_bias", "cache", "score_mod", "head_mask", "alibi")

_active = threading.local()


class _Dispatch(TorchDispatchMode):
    """Every aten operator, below autograd."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled in here, and torch's guard against it costs more than small operators do

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not isinstance(func, torch._ops.OpOverload):
            raise NotReproducible(str(func))
        return aten.run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What aten would take apart or draw is taken here, by its torch name; all else goes on to ``_Dispatch``."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _torch_attention(*args, **(kwargs or {}))
        if func is F.cross_entropy:
            return cross_entropy(*args, **(kwargs or {}))
        if func is F.dropout:
            return _dropout(*args, **(kwargs or {}))
        if func is F.multi_head_attention_forward:
            raise NotReproducible("multi_head_attention_forward", "it calls attention where this mode cannot see it")
        return func(*args, **(kwargs or {}))


def is_exact() -> bool:
    """Whether this thread is inside ``exact``."""
    return bool(getattr(_active, "depth", 0))


@contextmanager
def exact(*models: nn.Module, fused: bool = True) -> Iterator[None]:
    """Everything torch computes in this block, on this thread, is exact/1 arithmetic or an error.

    ``models`` (Hugging Face causal language models in float32, on CPU or CUDA) are made ready: their rotary tables and
    subnormal weights are replaced in place, for good; their attention is ours until the block ends. ``fused`` computes
    known layers by one kernel each instead of one per aten operator; the bits are the same. May be nested. A program's
    ``torch.set_flush_denormal`` is set aside, and torch's threads rest while ours use the cores it was given.

    Raises ``NotReproducible`` for weights that are not float32 on CPU or CUDA, for tables that exact/1 does not define,
    and for models whose attention does not go through transformers' registry; inside the block, for each operator that
    it does not define. Raises ``NumericsError`` where NaN or infinity comes out; on a device that is found at the end
    of the block (``place.deferred``).
    """
    with ieee_subnormals(), torch._C.DisableTorchFunction(), torch._C._DisableTorchDispatch(), torch.no_grad():
        for model in models:
            settle_weights(model)
            settle_tables(model)
    with ExitStack() as stack:
        stack.enter_context(ieee_subnormals())
        for model in models:
            stack.enter_context(_our_attention(model))
            if fused:
                stack.enter_context(fusing(model))
        if is_exact():
            yield
            return
        _active.depth = 1
        try:
            # One thread for backward too: what this block says holds for the thread that entered it.
            with (
                torch_on_one_thread(),
                deferred(),
                torch.autograd.set_multithreading_enabled(False),
                _Functions(),
                _Dispatch(),
            ):
                yield
        finally:
            _active.depth = 0


_lock = threading.Lock()
_users: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_former: weakref.WeakKeyDictionary[Any, list[tuple[Any, str | None]]] = weakref.WeakKeyDictionary()


@contextmanager
def _our_attention(model: nn.Module) -> Iterator[None]:
    """The model asks for attention by our name, until the last of those who entered leaves."""
    _register()
    for part in model.modules():
        can_set = getattr(type(part), "_can_set_attn_implementation", None)
        if can_set is not None and not can_set():
            raise NotReproducible(f"the attention of {type(part).__name__}", "it has a way of its own to compute it")
    with _lock:
        if _users.get(model, 0) == 0:
            configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}.values()
            _former[model] = [(c, c._attn_implementation) for c in configs if hasattr(c, "_attn_implementation")]
            for config, _ in _former[model]:
                config._attn_implementation_internal = ATTENTION_NAME
        _users[model] = _users.get(model, 0) + 1
    try:
        yield
    finally:
        with _lock:
            _users[model] -= 1
            if _users[model] == 0:
                for config, name in _former.pop(model):
                    config._attn_implementation_internal = name


def _register() -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION_NAME, _model_attention)
    AttentionMaskInterface.register(ATTENTION_NAME, sdpa_mask)


def _model_attention(
    module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    """What transformers calls for a layer's attention: [B, Q, H, D], and no weights."""
    if not is_exact():
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    for name in _REFUSED_BY_ATTENTION:
        if options.get(name) is not None:
            raise NotReproducible(f"attention with {name}")
    if options.get("dropout"):
        raise NotReproducible("attention with dropout")
    scale = options.get("scaling")
    is_causal = options.get("is_causal")
    if is_causal is None:
        is_causal = getattr(module, "is_causal", True)
    output = attend(
        query, key, value, attention_mask, query.shape[-1] ** -0.5 if scale is None else scale, is_causal=is_causal
    )
    return output, None


def _dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    if training and p > 0:
        raise NotReproducible(f"dropout of {p}", "what is dropped is drawn by the machine")
    return x


def _torch_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """``F.scaled_dot_product_attention`` for [B, H, Q, D]; ``attend`` has positions before heads."""
    if dropout_p:
        raise NotReproducible("scaled_dot_product_attention with dropout")
    if query.dim() != 4:
        raise NotReproducible(f"scaled_dot_product_attention with {query.dim()} axes")
    if query.shape[1] != key.shape[1] and not enable_gqa:
        raise NotReproducible("scaled_dot_product_attention over unequal numbers of heads")
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return attend(query, key, value, attn_mask, scale, is_causal=is_causal).transpose(1, 2)
