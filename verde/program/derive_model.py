"""Why this module exists: a whole decoder, forward and backward, in the order in which autograd adds its gradients.

Shapes: R rows, L columns, K hidden, C kept columns, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from verde.program.builder import Builder
from verde.program.derive_layers import Attention, Gated, Linear, RmsNorm, Rotary
from verde.program.kinds import NO_SKIP, Kind, Type
from verde.program.shape import Architecture
from verde.program.view import View

Weights = dict[str, View]
Gradients = dict[str, View]

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"


def parameters(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and sizes of what is trained, in the model's order."""
    q, kv = arch.num_heads * arch.width, arch.num_kv_heads * arch.width
    found: dict[str, tuple[int, ...]] = {EMBEDDING: (arch.vocabulary, arch.hidden)}
    for number in range(arch.num_layers):
        at = f"model.layers.{number}."
        for name, rows, columns, has_bias in (
            ("self_attn.q_proj", q, arch.hidden, arch.attention_bias),
            ("self_attn.k_proj", kv, arch.hidden, arch.attention_bias),
            ("self_attn.v_proj", kv, arch.hidden, arch.attention_bias),
            ("self_attn.o_proj", arch.hidden, q, arch.output_bias),
            ("mlp.gate_proj", arch.feed_forward, arch.hidden, arch.mlp_bias),
            ("mlp.up_proj", arch.feed_forward, arch.hidden, arch.mlp_bias),
            ("mlp.down_proj", arch.hidden, arch.feed_forward, arch.mlp_bias),
        ):
            found[f"{at}{name}.weight"] = (rows, columns)
            if has_bias:
                found[f"{at}{name}.bias"] = (rows,)
        if arch.head_norms:
            found[f"{at}self_attn.q_norm.weight"] = found[f"{at}self_attn.k_norm.weight"] = (arch.width,)
        found[f"{at}input_layernorm.weight"] = found[f"{at}post_attention_layernorm.weight"] = (arch.hidden,)
    found[FINAL_NORM] = (arch.hidden,)
    if not arch.is_tied:
        found[HEAD] = (arch.vocabulary, arch.hidden)
    return found


def state_weights(b: Builder, arch: Architecture) -> Weights:
    """The weights before the step."""
    return {name: b.state(f"weight/{name}", *sizes) for name, sizes in parameters(arch).items()}


@dataclass(frozen=True)
class Inputs:
    """What tokens a pass reads, where they are, and what they see: I32 [R, L] each."""

    ids: View
    position: View
    segment: View

    @classmethod
    def of_data(cls, b: Builder, prefix: str, rows: int, columns: int) -> Inputs:
        return cls(*(b.data(f"{prefix}{name}", Type.I32, rows, columns) for name in ("ids", "position", "segment")))


class Layer:
    """One layer: its forward pass when it is made, then once ``backward``."""

    def __init__(self, b: Builder, arch: Architecture, w: Weights, number: int, h: View, rotary: Rotary, mask: View):
        self._b, self._arch, self._w, self._rotary = b, arch, w, rotary
        self._at = f"model.layers.{number}."
        x, self._norm1 = RmsNorm.forward(b, h, w[f"{self._at}input_layernorm.weight"], arch.eps)
        self._q, self._k, self._v = (self._linear(f"self_attn.{name}_proj", x) for name in "qkv")
        q, self._q_norm = self._head_norm("q_norm", self._q[0].split(-1, arch.num_heads))
        k, self._k_norm = self._head_norm("k_norm", self._k[0].split(-1, arch.num_kv_heads))
        v = self._v[0].split(-1, arch.num_kv_heads)
        turned = rotary.forward(b, q), rotary.forward(b, k)
        mixed, self._attention = Attention.forward(b, *turned, v, mask, arch.scale)
        self._o = self._linear("self_attn.o_proj", mixed)
        h1 = b.add(h, self._o[0])
        y, self._norm2 = RmsNorm.forward(b, h1, w[f"{self._at}post_attention_layernorm.weight"], arch.eps)
        self._gate, self._up = self._linear("mlp.gate_proj", y), self._linear("mlp.up_proj", y)
        inner, self._gated = Gated.forward(b, self._gate[0], self._up[0])
        self._down = self._linear("mlp.down_proj", inner)
        self.output = b.add(h1, self._down[0])

    def _linear(self, name: str, x: View) -> tuple[View, Linear]:
        at = f"{self._at}{name}"
        return Linear.forward(self._b, x, self._w[f"{at}.weight"], self._w.get(f"{at}.bias"))

    def _head_norm(self, name: str, x: View) -> tuple[View, RmsNorm | None]:
        if not self._arch.head_norms:
            return x, None
        return RmsNorm.forward(self._b, x, self._w[f"{self._at}self_attn.{name}.weight"], self._arch.eps)

    def backward(self, g: View, found: Gradients) -> View:
        """The gradient of the layer's input; those of its weights are entered into ``found``."""
        b = self._b
        dinner = self._linear_back("mlp.down_proj", self._down, g, found)
        dgate, dup = self._gated.backward(b, dinner)
        from_up = self._linear_back("mlp.up_proj", self._up, dup, found)
        from_gate = self._linear_back("mlp.gate_proj", self._gate, dgate, found)
        g = self._norm_back("post_attention_layernorm", self._norm2, b.add(from_up, from_gate), g, found)
        dmixed = self._linear_back("self_attn.o_proj", self._o, g, found)
        dq, dk, dv = self._attention.backward(b, dmixed)
        dq, dk = (self._rotary.backward(b, d) for d in (dq, dk))
        dq, dk = self._head_back("q_norm", self._q_norm, dq, found), self._head_back("k_norm", self._k_norm, dk, found)
        from_v, from_k, from_q = (
            self._linear_back(f"self_attn.{name}_proj", linear, self._joined(d), found)
            for name, linear, d in (("v", self._v, dv), ("k", self._k, dk), ("q", self._q, dq))
        )
        dx = b.add(b.add(from_v, from_k), from_q)
        return self._norm_back("input_layernorm", self._norm1, dx, g, found)

    def _joined(self, d_RLHD: View) -> View:
        rows, length, heads, width = d_RLHD.sizes
        return self._b.flat(d_RLHD, rows, length, heads * width)

    def _linear_back(self, name: str, linear: tuple[View, Linear], g: View, found: Gradients) -> View:
        dx, dweight, dbias = linear[1].backward(self._b, g)
        found[f"{self._at}{name}.weight"] = dweight
        if dbias is not None:
            found[f"{self._at}{name}.bias"] = dbias
        return dx

    def _norm_back(self, name: str, norm: RmsNorm, g: View, so_far: View, found: Gradients) -> View:
        direct, through, found[f"{self._at}{name}.weight"] = norm.backward(self._b, g)
        return self._b.add(self._b.add(so_far, direct), through)

    def _head_back(self, name: str, norm: RmsNorm | None, g: View, found: Gradients) -> View:
        if norm is None:
            return g
        direct, through, found[f"{self._at}self_attn.{name}.weight"] = norm.backward(self._b, g)
        return self._b.add(direct, through)


class Model:
    """A pass through the decoder: logits of the last ``kept`` columns when it is made, then once ``backward``."""

    def __init__(self, b: Builder, arch: Architecture, w: Weights, inputs: Inputs, kept: int) -> None:
        self._b, self._arch, self._inputs = b, arch, inputs
        rows, columns = inputs.ids.sizes
        embedding = w[EMBEDDING]
        sizes = (rows, columns, arch.hidden)
        table = View(embedding.node, embedding.type, sizes, (0, 0, 1))
        h = b.add_node(Kind.GATHER, sizes, [table, inputs.ids.insert(-1)], [arch.hidden])
        rotary = Rotary.tables(b, inputs.position, arch.frequencies)
        segment = inputs.segment
        mask = b.add_node(Kind.MASK, (rows, columns, columns), [segment.insert(2), segment.insert(1)], [0])
        self._layers: list[Layer] = []
        for number in range(arch.num_layers):
            self._layers.append(Layer(b, arch, w, number, h, rotary, mask))
            h = self._layers[-1].output
        x, self._norm = RmsNorm.forward(b, h, w[FINAL_NORM], arch.eps)
        self._head_weight = w[EMBEDDING if arch.is_tied else HEAD]
        self._last = x.narrow(1, columns - kept, kept)
        self.logits_RCV, _ = Linear.forward(b, self._last, self._head_weight.narrow(0, 0, arch.num_tokens))

    def backward(self, dlogits_RCV: View) -> Gradients:
        """Gradients of all weights for the gradient of the logits."""
        b, arch, found = self._b, self._arch, Gradients()
        rows, columns = self._inputs.ids.sizes
        g = b.pad(dlogits_RCV, 2, 0, arch.vocabulary)
        dlast, dhead, _ = Linear(self._last, self._head_weight, False).backward(b, g)
        dx = b.pad(dlast, 1, columns - dlast.sizes[1], columns)
        direct, through, found[FINAL_NORM] = self._norm.backward(b, dx)
        g = b.add(direct, through)
        for layer in reversed(self._layers):
            g = layer.backward(g, found)
        g_KR, ids_R = b.flat(g, rows * columns, arch.hidden).transpose(), b.flat(self._inputs.ids, rows * columns)
        skip = NO_SKIP if arch.pad_token is None else arch.pad_token
        dembedding = b.total_where(g_KR, (arch.vocabulary, arch.hidden), ids_R, skip=skip)
        if arch.is_tied:
            dembedding = b.add(dhead, dembedding)
        else:
            found[HEAD] = dhead
        found[EMBEDDING] = dembedding
        return found
